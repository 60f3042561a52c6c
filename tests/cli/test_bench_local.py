"""``rung bench local``: its cases, its judge, its table."""

from __future__ import annotations

import json
import random
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rung.cli.bench_local import command, figures, load_cases, run, table, wilson
from rung.cli.bench_local_cases import TASKS, cases
from rung.cli.bench_local_code import code_case, interpreter, passes
from rung.cli.bench_local_run import Outcome, Subject, judge
from rung.errors import EngineFault, TimeoutFault
from rung.testing import ScriptedRung


def perfect(case: dict[str, Any]) -> str:
    truth = case["truth"]
    if case["task"] == "json":
        return str(truth.get("text") or json.dumps(truth["value"]))
    return json.dumps(truth) if case["task"] == "extract" else f"{truth}"


def test_a_seed_makes_the_same_cases_another_seed_others() -> None:
    tasks = tuple(TASKS)
    assert cases(1, 5, tasks) == cases(1, 5, tasks)
    ours, others = ({one["prompt"] for one in cases(seed, 20, ("json",))} for seed in (1, 2))
    assert len(ours) == 20
    assert not ours & others


async def test_the_truth_is_right_and_nothing_else_is() -> None:
    for case in cases(3, 40, ("json", "lint", "label", "extract", "short")):
        assert await judge(case, perfect(case)) == ""
        assert await judge(case, f"```json\n{perfect(case)}\n```") == ""
        assert await judge(case, "perhaps") != ""


async def test_json_must_be_indented_as_asked() -> None:
    case = {"task": "json", "truth": {"value": {"a": 1}, "text": '{\n  "a": 1\n}'}}
    assert await judge(case, '{"a": 1}') == "it is not indented as asked"
    assert await judge(case, '{\n    "a": 1\n}') == "it is not indented as asked"
    assert await judge(case, '{\n  "a": 1.0\n}') == "the value differs"
    deep = {"task": "json", "truth": {"value": {"a": [1, {"b": "{["}]}, "text": "..."}}
    assert await judge(deep, '{\n  "a": [1, {"b": "{["}]\n}') == ""  # a short list may share a line
    assert await judge(deep, '{\n  "a": [\n    1,\n    {\n      "b": "{["\n    }\n  ]\n}') == ""
    assert await judge(deep, '{\n  "a": [\n  1,\n  {"b": "{["}\n  ]\n}') == "it is not indented as asked"


async def test_what_the_machine_is_to_blame_for_is_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Outcome] = []
    rung: Any = ScriptedRung([TimeoutFault("idle"), EngineFault("gone"), "4"])
    asked = [{"task": "short", "prompt": str(number), "truth": "4"} for number in range(3)]
    out = await run([nullcontext(Subject("m", rung))], asked, {}, kept.append)
    assert [one.right for one in out] == [None, None, True]
    assert kept == out[2:]
    (row,) = figures(out, ["m"])
    assert (row["n"], row["declined"], row["unanswered"]) == (1, 0, 2)


def test_half_of_the_lint_cases_do_not_compile_or_name_the_unknown() -> None:
    for case in cases(4, 60, ("lint",)):
        code = case["tool_prompt"].split("```python\n")[1].removesuffix("```")
        try:
            compile(code, "case", "exec")
            broken = any(word in code for word in ("missing", "undefined"))
        except SyntaxError:
            broken = True
        assert broken == (case["truth"] == "yes"), code


async def test_code_is_judged_by_its_tests_in_a_sandbox() -> None:
    if await interpreter() is None:
        pytest.skip("there is no sandbox here")
    truth = {"function": "f", "tests": [[[[3, 1]], 4], [[[]], 0]]}
    assert await passes("def f(x):\n    return sum(x)", truth) == ""
    assert await passes("def f(x):\n    return 4", truth) == "it failed its tests"
    assert await passes("def f(x):\n    return sum(x", truth) == "it failed its tests"
    case = {"task": "code", "truth": truth}
    assert await judge(case, "```python\nimport math\ndef f(x):\n    return sum(x)\n```") == ""
    assert await judge(case, "import sys\nsys.exit(0)") == "it failed its tests"


def test_code_cases_have_tests_of_their_reference() -> None:
    rng = random.Random(1)
    for _ in range(40):
        case = code_case(rng)
        assert case["truth"]["function"] in case["prompt"]
        assert len(case["truth"]["tests"]) == 6


def test_wilson() -> None:
    assert wilson(36, 40) == (pytest.approx(0.769, abs=1e-3), pytest.approx(0.960, abs=1e-3))
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(200, 200)[1] == pytest.approx(1.0)


def test_the_table_has_declines_and_intervals() -> None:
    def outcome(model: str, right: bool | None, probability: float | None = None) -> Outcome:
        return Outcome(model, "label", "k", right, "", 0.5, 0.25, probability)

    told = [outcome("tool", None), outcome("m", True, 0.99), outcome("m", False, 0.4)]
    rows = figures(told, ["tool", "m"])
    assert rows[0] == {"model": "tool", "task": "label", "n": 0, "declined": 1}
    assert rows[1]["confident"] == {"n": 1, "right": 1}
    assert "| label | m | 1/2 | 50.0% (9.4%–90.5%) | 0.5 | 0.5 | 0.25 |" in table(rows)
    assert "| label | tool | declines |" in table(rows)


def test_rows_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    row = {"task": "json", "prompt": 'Minify this JSON: {"a": 1}', "truth": {"value": {"a": 1}}}
    file.write_text(json.dumps(row) + "\n\n")
    assert load_cases(file) == [row]
    done = CliRunner().invoke(command, ["--data", str(file), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"][0]["right"] == 1
    for bad in ("{", "{}", '{"task": "json", "prompt": "x"}', ""):
        file.write_text(bad)
        assert CliRunner().invoke(command, ["--data", str(file)]).exit_code == 2


def test_outcomes_are_kept_and_not_asked_again(tmp_path: Path) -> None:
    kept, failures = tmp_path / "kept.jsonl", tmp_path / "failed.jsonl"
    told = ["--task", "json", "--cases", "4", "--resume", str(kept), "--json"]
    first = CliRunner().invoke(command, told)
    assert first.exit_code == 0, first.output
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert len(rows) == 4
    kept.write_text("".join(json.dumps(row | {"right": False, "problem": "made up"}) + "\n" for row in rows))
    again = CliRunner().invoke(command, [*told, "--failures", str(failures)])
    assert json.loads(again.stdout)["rows"][0]["right"] == 0
    assert len(kept.read_text().splitlines()) == 4
    assert len(failures.read_text().splitlines()) == 4


def test_a_server_that_is_not_there_is_told() -> None:
    done = CliRunner().invoke(command, ["--task", "label", "--cases", "1", "--served", "http://127.0.0.1:9/v1", "m"])
    assert done.exit_code == 1
    assert done.output.startswith("Error: m at 127.0.0.1:9: ")
    wrong = CliRunner().invoke(command, ["--task", "label", "--cases", "1", "--served", "not a url", "m"])
    assert wrong.exit_code == 1
