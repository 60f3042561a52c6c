"""The test that opens: what a label does to it, what it costs, and that it keeps its promise."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.ladder.trust.bounds import (
    binomial_tail,
    clopper_pearson,
    escalation_floor,
    lower,
    opening_evidence,
    upper,
)
from rung.ladder.trust.opening import FRACTIONS, WEIGHTS, Opening, factors, grid


def labels_to_open(alpha: float, risk: float, dice: random.Random, most: int = 1500) -> int | None:
    opening = Opening.at([0.0])
    for label in range(1, most + 1):
        if opening.observe(1.0, dice.random() < risk, alpha, 0.1):
            return label
    return None


@pytest.mark.parametrize(("alpha", "labels"), [(0.2, 15), (0.1, 32), (0.05, 65), (0.02, 164), (0.01, 329)])
def test_without_disagreement_it_opens_after_as_many_labels_as_the_method_says(alpha: float, labels: int) -> None:
    assert labels_to_open(alpha, 0.0, random.Random(0)) == labels


def test_above_the_limit_it_hardly_ever_opens() -> None:
    dice = random.Random(1)
    opened = sum(labels_to_open(0.05, 0.06, dice, most=800) is not None for _ in range(60))
    assert opened <= 8  # delta allows 6; looked at after every label


def test_at_three_percent_it_opens_in_a_few_hundred_labels() -> None:
    dice = random.Random(2)
    took = sorted(labels_to_open(0.05, 0.03, dice, most=2000) or 10_000 for _ in range(40))
    assert 250 <= took[20] <= 700


@given(st.floats(0.005, 0.9), st.floats(0.01, 1.0))
def test_no_gambler_gains_at_a_risk_of_the_limit(alpha: float, v: float) -> None:
    agrees, disagrees = factors(alpha, v)
    for good, bad in zip(agrees, disagrees, strict=True):
        assert alpha * bad + (1 - alpha) * good == pytest.approx(1.0)
        assert bad >= 0
    assert len(FRACTIONS) == len(WEIGHTS) == len(agrees)
    assert sum(WEIGHTS) == pytest.approx(1.0)


def test_thresholds_open_from_the_highest_down_and_none_is_jumped() -> None:
    opening = Opening.at([0.8, 0.4, 0.0])
    for _ in range(40):
        opening.observe(0.5, False, 0.1, 0.1)  # counts at 0.4 and 0.0 only
    assert [level.latched for level in opening.levels] == [False, True, True]
    assert opening.threshold is None
    gained = [opening.observe(0.9, False, 0.1, 0.1) for _ in range(32)]
    assert gained[:-1] == [0] * 31
    assert gained[-1] == 3  # the first latched, and those below it had done so
    assert opening.threshold == 0.0


def test_a_label_below_a_threshold_says_nothing_about_it_unless_the_risk_is_per_request() -> None:
    accepted, request = Opening.at([0.5]), Opening.at([0.5])
    accepted.observe(0.1, True, 0.1, 0.1)
    request.observe(0.1, True, 0.1, 0.1, per_request=True)
    assert accepted.levels[0].labels == 0
    assert (request.levels[0].labels, request.levels[0].disagreements, request.levels[0].covered) == (1, 0, 0)
    assert accepted.disagreements == request.disagreements == 1


def test_a_lying_score_does_not_help_when_labels_are_weighted() -> None:
    """Answered: 30 % of calls, 20 % wrong, labelled at 3 %; the rest 0.1 % wrong, always. In all: 6 %, limit 5 %."""

    def opened(weighted: bool) -> int:
        dice, count = random.Random(3), 0
        for _ in range(20):
            opening = Opening.at([0.0])
            for _ in range(1500):
                served = dice.random() < 0.3
                pi = 0.03 if served else 1.0
                wrong = dice.random() < (0.2 if served else 0.001)
                if dice.random() < pi and opening.observe(0.5, wrong, 0.05, 0.1, v=0.03 / pi if weighted else 1.0):
                    count += 1
                    break
        return count

    assert opened(weighted=False) == 20
    assert opened(weighted=True) <= 4


@given(st.lists(st.floats(0, 1), max_size=80))
def test_a_grid_falls_covers_what_it_says_and_ends_with_everything(scores: list[float]) -> None:
    cuts = grid(scores)
    assert cuts == sorted(set(cuts), reverse=True)
    assert cuts[-1] == 0.0
    Opening.at(cuts)
    if scores:
        assert sum(score >= cuts[0] for score in scores) >= min(0.3 * len(scores) - 0.5, len(scores))


@pytest.mark.parametrize("cuts", [[], [0.1, 0.5], [0.5, 0.5], [1.5], [-0.1], [float("nan")]])
def test_thresholds_that_do_not_fall_between_one_and_zero_are_refused(cuts: list[float]) -> None:
    with pytest.raises(ValueError, match="thresholds"):
        Opening.at(cuts)


def test_exact_bounds_are_those_of_the_tables() -> None:
    assert binomial_tail(10, 3, 0.2) == pytest.approx(0.3222004736)
    assert clopper_pearson(100, 7, 0.05) == pytest.approx((0.0333119, 0.1274580), abs=1e-6)
    assert clopper_pearson(45, 0, 0.1)[1] == pytest.approx(1 - 0.1 ** (1 / 45))
    assert clopper_pearson(3, 3, 0.1) == pytest.approx((0.1 ** (1 / 3), 1.0))


@settings(max_examples=60)
@given(st.integers(1, 400), st.floats(0, 1))
def test_any_time_bounds_hold_the_share_and_are_wider_than_for_one_look(labels: int, share: float) -> None:
    wrong = round(share * labels)
    low, high = lower(labels, wrong, 0.1), upper(labels, wrong, 0.1)
    assert low <= wrong / labels <= high
    exact = clopper_pearson(labels, wrong, 0.1)
    assert low <= exact[0] + 1e-9
    assert high >= exact[1] - 1e-9


def test_the_upper_bound_is_the_test_read_backwards() -> None:
    bound = upper(200, 3, 0.1)
    assert opening_evidence(200, 3, bound * 1.001) >= 10 > opening_evidence(200, 3, bound * 0.999)


def test_the_escalation_floor() -> None:
    assert escalation_floor(0.10, 0.05) == pytest.approx(0.0526, abs=1e-4)
    assert escalation_floor(0.01, 0.05) == 0.0
