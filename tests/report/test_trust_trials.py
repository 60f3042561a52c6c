"""The protocols of ``rung bench trust`` on populations whose truth is made up, and its robustness to odd files."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rung.cli.bench_trust import command
from rung.report.trust_rows import BadRows, disagreement, load
from rung.report.trust_trials import Plan, Population, allowed, any_time, naive, once, repeat, summary

DICE = random.Random(9)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def sums_file(path: Path, rows: int = 80) -> Path:
    """Answers with a slip are wrong, most others right."""
    made = []
    for at in range(rows):
        a, b = DICE.randrange(2, 99), DICE.randrange(2, 99)
        slip = DICE.random() < 0.3
        right = not slip and DICE.random() < 0.97
        made.append(
            {
                "prompt": f"Tom has {a} pens and buys {b}. How many has he?",
                "weak": int(right),
                "strong": 1,
                "weak_response": f"{a} + {b} = {a + b + slip}\n#### {a + b if right else a + b + 1}",
                "strong_response": f"He has {a + b} pens.",
                "domain": f"d{at % 3}",
            }
        )
    return write(path, made)


def population(risk_low: float, risk_high: float) -> Population:
    """Scores spread evenly; risk falls linearly with the score."""
    dice = random.Random(0)
    scores = [at / 400 for at in range(400)]
    wrong = [dice.random() < risk_low + (risk_high - risk_low) * score for score in scores]
    return Population(scores, wrong, [0.7, 0.5, 0.3, 0.0])


def test_a_threshold_above_the_limit_is_a_violation_and_the_naive_way_breaks_the_promise() -> None:
    world = population(0.4, 0.0)
    plan = Plan(alpha=world.risk[2] - 0.01, delta=0.1, labels=800, runs=30)
    assert world.risk[2] > plan.alpha
    kept = summary(repeat(world, any_time, plan), plan)
    tuned = summary(repeat(world, naive, plan), plan)
    assert kept["violations"] <= allowed(30, 0.1)
    assert tuned["violations"] > kept["violations"]
    assert kept["answered_low_mean"] > 0.2
    assert kept["error_mean"] < plan.alpha


def test_one_look_opens_at_least_as_often_as_looking_all_the_time() -> None:
    world = population(0.3, 0.0)
    plan = Plan(alpha=0.15, delta=0.1, labels=200, runs=20)
    early, late = summary(repeat(world, any_time, plan), plan), summary(repeat(world, once, plan), plan)
    assert late["answered_low_mean"] >= early["answered_low_mean"]


def test_violations_allowed_are_those_of_the_issue() -> None:
    assert allowed(200, 0.1) == 27


def bench(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(command, ["--data", str(path), "--runs", "10", "--labels", "80", "--json", *options])
    return done.exit_code, json.loads(done.output)


def test_it_prints_what_was_promised(tmp_path: Path) -> None:
    code, found = bench(sums_file(tmp_path / "sums.jsonl"), "--alpha", "0.25")
    assert code == 0
    keys = "runs violations answered_low_mean answered_low_p10 answered_low_oracle error_mean apgr cpt50 cpt80 once"
    assert set(f"{keys} disjoint controls disagreement".split()) <= found.keys()
    assert found["violations"] <= found["violations_allowed"]
    assert found["answered_low_mean"] > 0.4  # a slip tells
    assert found["apgr"] > 0.75
    assert found["disagreement"]["comparator"] == "number"
    assert found["disagreement"]["disagree"] == pytest.approx(found["weak_wrong"])
    rivals = "always_strong always_weak random_same_budget naive_tuned best_fixed_threshold oracle prompt_length domain"
    assert found["controls"].keys() == set(rivals.split())
    again = bench(tmp_path / "sums.jsonl", "--alpha", "0.25")[1]
    assert {**again, "cpu_seconds": 0} == {**found, "cpu_seconds": 0}


def test_it_refuses_what_cannot_be_proved_with_the_number(tmp_path: Path) -> None:
    path = sums_file(tmp_path / "sums.jsonl")
    done = CliRunner().invoke(command, ["--data", str(path), "--runs", "5", "--labels", "40", "--alpha", "0.01"])
    assert done.exit_code == 0
    assert "refused in 5 of 5 runs" in done.output
    assert "(mu - alpha)/(1 - alpha) =" in done.output


@pytest.mark.parametrize(
    "rows",
    [
        [{"prompt": "a", "weak": 1, "strong": 1}],
        [{"prompt": "a", "weak": 1, "strong": 1}, {"prompt": "a", "weak": 0, "strong": 1, "domain": None}],
        [{"prompt": f"q{at}", "weak": 1, "strong": 1, "weak_response": "x"} for at in range(40)],
        [{"prompt": f"q{at}", "weak": False, "strong": True, "domain": at % 3} for at in range(40)],
        [{"prompt": "same", "weak": at % 2, "strong": 1} for at in range(40)],
        [{"prompt": "q" * at, "weak": at % 3 > 0} for at in range(40)],
        [{"prompt": f"q{at}", "weak": 7.5 + at % 3, "strong": 9, "weak_response": "x"} for at in range(40)],
        [{"prompt": f"q{at}", "weak": at % 2, "strong": 1, "weak_response": "x" if at else None} for at in range(40)],
    ],
    ids=["one", "two", "all right", "all wrong", "constant", "no strong", "points", "texts in part"],
)
def test_odd_files_are_replayed(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    code, found = bench(write(tmp_path / "odd.jsonl", rows), "--alpha", "0.1")
    assert code == 0
    assert found["rows"] == len(rows)
    assert 0 <= found["answered_low_mean"] <= 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no rows"),
        ('{"prompt"', "1: not JSON"),
        ('{"prompt": 1, "weak": 1}', 'a row needs "prompt"'),
        ('\n{"prompt": "a", "weak": "yes"}', ':2: "weak" must be 0 or 1'),
        ('{"prompt": "a", "weak": NaN}', '"weak" must be 0 or 1'),
        ('{"prompt": "a", "weak": 1, "strong": null}', '"strong" must be'),
        ('{"prompt": "a", "weak": 3}', "every row needs both"),
        ("[1]", "a row needs"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text, "utf-8")
    with pytest.raises(BadRows, match=says):
        load(path)
    done = CliRunner().invoke(command, ["--data", str(path)])
    assert done.exit_code == 2


def test_disagreement_and_truth_are_told_apart(tmp_path: Path) -> None:
    rows = [
        {"prompt": "q", "weak": 1, "strong": 0, "weak_response": "A", "strong_response": "B"},
        {"prompt": "q", "weak": 0, "strong": 0, "weak_response": "C", "strong_response": "C"},
    ]
    told = disagreement(load(write(tmp_path / "two.jsonl", rows)))
    assert told is not None
    assert told["comparator"] == "label"
    assert (told["disagree"], told["weak_wrong"], told["reference_wrong"]) == (0.5, 0.5, 1.0)
    assert (told["agree_but_wrong"], told["disagree_but_right"]) == (0.5, 0.5)
    assert disagreement(load(write(tmp_path / "none.jsonl", [{"prompt": "q", "weak": 1}]))) is None
