"""rung bench tasks: rows in, figures out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rung.cli.bench import command
from rung.cli.bench_tasks import figures
from rung.ladder.task import Guess

ROWS = [
    {"prompt": 'Pretty print this JSON: {"a":1,"b":2}', "task_type": "validation_formatting"},
    {"prompt": [{"role": "user", "content": "Translate to French: hello"}], "task_type": "translation"},
    {"prompt": "Gdzie jest dworzec?", "system": "Translate Polish to English.", "task_type": "translation"},
]


def run(path: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, ["tasks", "--data", str(path), *options])
    return result.exit_code, result.output


def test_the_figures_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS), "utf-8")
    code, out = run(path, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["n"], found["macro_f1"]) == (3, 1.0)
    assert found["per_class"]["translation"] | {"by_rule": 0, "by_rule_precision": None} == {
        "support": 2,
        "precision": 1.0,
        "recall": 1.0,
        "f1": 1.0,
        "by_rule": 0,
        "by_rule_precision": None,
    }
    assert found["p50_us"] <= found["p99_us"]
    assert "macro-F1 1.000" in run(path)[1]


def test_macro_f1_is_over_the_classes_of_the_file() -> None:
    guesses = [Guess("math", 1.0, "", False), Guess("other", 1.0, "", False), Guess("math", 1.0, "", True)]
    found = figures(["math", "math", "analysis"], guesses, [1.0, 2.0, 3.0])
    assert found["macro_f1"] == pytest.approx((2 / (2 + 2) + 0) / 2)
    assert found["per_class"]["other"] == {
        "support": 0,
        "precision": 0.0,
        "recall": None,
        "f1": 0.0,
        "by_rule": 0,
        "by_rule_precision": None,
    }
    assert found["per_class"]["math"]["by_rule_precision"] == 0.0


@pytest.mark.parametrize("line", ["{", '{"prompt": "a"}', '{"prompt": 7, "task_type": "math"}', ""])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(line, "utf-8")
    code, out = run(path)
    assert code == 2
    assert "rows.jsonl" in out
