"""The rows of benchmarks/tools, replayed: the bars of the tool rung hold on every file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rung.cli.bench_tools import check, command, figures, load_rows, replay
from rung.tools import NotATask, understand

ROWS = Path(__file__).parents[2] / "benchmarks" / "tools"
ROUNDS = [f"round_{number}" for number in range(1, 10)]


@pytest.mark.parametrize(
    "name", ["tune", "held_out", "second", "third", "fourth", "fifth", "sixth", "near_misses", *ROUNDS]
)
def test_bars(name: str) -> None:
    found = figures(replay(load_rows(ROWS / f"{name}.jsonl")))
    assert found["precision"] >= 0.99, found["failures"]
    assert found["recall"] >= 0.85, found["failures"]
    assert found["right"] == 1.0, found["failures"]


def test_there_are_enough_rows_in_two_languages() -> None:
    rows = [row for file in ROWS.glob("*.jsonl") for row in load_rows(file)]
    assert len(rows) >= 400
    assert 0.45 <= sum(row["expect"] == "decline" for row in rows) / len(rows) <= 0.6
    assert sum(row["lang"] == "fr" for row in rows) >= 100


def test_the_command_prints_exactly_the_figures(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": "Minify this JSON: [ 1 ]", "expect": "tool", "check": {"equals": "[1]"}},
        {
            "messages": [{"role": "user", "content": "Minify this JSON: [ 2 ]"}],
            "expect": "tool",
            "check": {"equals": "[1]"},
        },
        {"prompt": "Format this JSON: [1]", "expect": "decline", "check": None, "unknown": 1},
        {"system": "Answer in verse.", "prompt": "Format this JSON: [1]", "expect": "tool"},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    done = CliRunner().invoke(command, ["--data", str(file), "--json"])
    found = json.loads(done.output)
    assert list(found) == ["n", "precision", "recall", "right", "p50_ms", "p99_ms", "failures"]
    assert (found["n"], found["precision"], found["recall"], found["right"]) == (4, 0.6667, 0.6667, 0.5)
    assert [one["problem"].split(":")[0] for one in found["failures"]] == [
        "equals does not hold",
        "answered",
        "declined",
    ]
    assert "precision" in CliRunner().invoke(command, ["--data", str(file)]).output


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"expect":"tool"}', '{"prompt":"x","expect":"maybe"}', '{"prompt":3,"expect":"tool"}', ""]
)
def test_bad_rows_are_usage_errors(tmp_path: Path, line: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(line)
    assert CliRunner().invoke(command, ["--data", str(file)]).exit_code == 2


@pytest.mark.parametrize(
    ("content", "wanted", "holds"),
    [
        ("[1]", {"json_equals": [1]}, True),
        ("x", {"json_equals": [1]}, False),
        ("a: 1", {"yaml_equals": {"a": 1}}, True),
        ("a: [", {"yaml_equals": {"a": 1}}, False),
        ("a = 1", {"toml_equals": {"a": 1}}, True),
        ("No, it is not.", {"verdict": "no"}, True),
        ("Oui.", {"verdict": True}, True),
        ("Perhaps.", {"verdict": "yes"}, False),
        ("No, this is not valid JSON", {"valid": False}, True),
        ("Yes, this is valid JSON", {"valid": False}, False),
        ("```json\n[1]\n```", {"fenced": True, "equals": "[1]"}, True),
        ("[1]", {"fenced": True}, False),
        ("abc", {"contains": ["a", "c"], "not_contains": "x", "matches": "^a"}, True),
        ("abc", "b", True),
        ("abc", ["x"], False),
        ("abc", {"something": "else"}, True),
        ("abc", None, True),
    ],
)
def test_checks(content: str, wanted: object, holds: bool) -> None:
    assert (check(content, wanted) == "") is holds


@pytest.mark.parametrize(
    "more",
    [
        "Also explain it.",
        "Then summarize it.",
        "What is it for?",
        "Add a key.",
        "Puis résume-le.",
        "Mais n'en fais rien.",
    ],
)
def test_a_second_demand_before_the_task_makes_it_no_task(more: str) -> None:
    for row in load_rows(ROWS / "tune.jsonl"):
        if row["expect"] == "tool":
            task = understand(f"{more} {row['prompt']}", row.get("system", ""))
            assert isinstance(task, NotATask), (more, row["prompt"])
