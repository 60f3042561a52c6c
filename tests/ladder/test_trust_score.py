"""A score learns what evidence is worth, is frozen under the hash of itself, and never sees a row it scores."""

from __future__ import annotations

import random

import msgspec
import pytest

from rung.ladder.trust.forest import Forest, grow
from rung.ladder.trust.score import EVERYTHING, Scorer, fit, out_of_fold, split

DICE = random.Random(4)
ROWS = [{"slip": float(DICE.random() < 0.3), "length": DICE.random(), "noise": DICE.random()} for _ in range(240)]
AGREES = [DICE.random() < (0.2 if row["slip"] else 0.6 + 0.35 * row["length"]) for row in ROWS]


def ranks_right(scores: list[float], outcomes: list[bool]) -> float:
    """The chance that a good row scores above a bad one (AUC)."""
    good = [score for score, outcome in zip(scores, outcomes, strict=True) if outcome]
    bad = [score for score, outcome in zip(scores, outcomes, strict=True) if not outcome]
    return sum((a > b) + (a == b) / 2 for a in good for b in bad) / (len(good) * len(bad))


def test_it_ranks_rows_it_has_not_seen() -> None:
    assert ranks_right(out_of_fold(ROWS, AGREES), AGREES) > 0.65


def test_noise_teaches_nothing() -> None:
    rows = [{"noise": row["noise"]} for row in ROWS]
    assert ranks_right(out_of_fold(rows, AGREES), AGREES) < 0.6


def test_the_same_rows_make_the_same_version_and_others_another() -> None:
    one, again, other = fit(ROWS, AGREES), fit(ROWS, AGREES), fit(ROWS[1:], AGREES[1:])
    assert one == again
    assert one.version != other.version
    assert 0.0 in one.thresholds
    assert one.thresholds == sorted(set(one.thresholds), reverse=True)


def test_a_frozen_score_survives_a_store() -> None:
    scorer = fit(ROWS, AGREES)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(scorer), type=Scorer)
    assert [again.score(row) for row in ROWS[:20]] == [scorer.score(row) for row in ROWS[:20]]
    assert scorer.score({}) == scorer.score({"slip": 0.0, "length": 0.0, "unheard_of": 9.0})


@pytest.mark.parametrize("agrees", [True, False])
def test_rows_that_all_agree_teach_nothing(agrees: bool) -> None:
    assert fit(ROWS, [agrees] * len(ROWS)) is EVERYTHING
    assert EVERYTHING.score({"slip": 1.0}) == 0.5


def test_rows_and_outcomes_must_match() -> None:
    with pytest.raises(ValueError, match="as many"):
        fit(ROWS, AGREES[1:])
    with pytest.raises(ValueError, match="as many"):
        grow([], [])


def test_constant_and_missing_figures_are_no_trouble() -> None:
    rows = [{"same": 1.0, **({"rare": float("nan")} if at % 7 == 0 else {})} for at in range(30)]
    forest = grow(rows, [at % 2 == 0 for at in range(30)])
    assert isinstance(forest, Forest)
    assert forest.answer({"same": 1.0}) == pytest.approx(0.5, abs=0.1)


def test_folds_divide_the_rows_evenly() -> None:
    parts = split(AGREES, 5, 0)
    assert sorted(at for part in parts for at in part) == list(range(len(AGREES)))
    shares = [sum(AGREES[at] for at in part) / len(part) for part in parts]
    assert max(shares) - min(shares) < 0.05
    assert len(split([True, False], 5, 0)) == 2
