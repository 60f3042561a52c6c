"""Control: opens on proof, never much above the limit, steps down and closes when the world turns."""

from __future__ import annotations

from random import Random

import pytest

pytest.importorskip("numpy")

from rung.semantic.control import SHARES, Control


def feed(control: Control, count: int, p_wrong: float, rng: Random, score: float = 0.995) -> int:
    """Requests of one score, wrong with a probability; audits are drawn as the control asks. -> wrong hits."""
    served_wrong = 0
    for number in range(count):
        wrong = rng.random() < p_wrong
        if score >= control.threshold:
            served_wrong += wrong
            pi = control.pi(score)
            if rng.random() < pi:
                control.labelled(score, wrong, pi)
            else:
                control.unlabelled(score)
        else:
            control.labelled(score, wrong, 1.0)
        if number % 250 == 249:
            control.refit()
    return served_wrong


def test_nothing_is_served_without_evidence() -> None:
    control = Control(0.01)
    assert control.threshold > 1
    assert control.bound == 1.0
    feed(control, 200, 0.0, Random(1))
    assert control.threshold > 1


def test_right_answers_open_it_level_by_level() -> None:
    control = Control(0.01)
    feed(control, 3000, 0.0, Random(1))
    assert control.level == len(SHARES) - 1
    assert control.bound == 0.01
    assert control.threshold <= 0.995


def test_scores_that_are_wrong_too_often_never_open() -> None:
    """3 % of everything is wrong whatever the score: with a limit of 1 % hardly any of it may be served."""
    for seed in range(3):
        control = Control(0.01)
        assert feed(control, 4000, 0.03, Random(seed)) <= 40


def test_opening_by_chance_is_rare_at_the_limit() -> None:
    """Thresholds are held where everything is served: the true error is just over the limit, all of it labelled."""
    opened = 0
    for seed in range(20):
        control, rng = Control(0.01), Random(seed)
        control._thresholds = [0.0] * len(SHARES)
        for _ in range(1500):
            control.labelled(0.9, rng.random() < 0.0101, 1.0)
            if control.level >= 0:
                opened += 1
                break
    assert opened <= 5


def test_a_world_that_turns_closes_it() -> None:
    control, rng = Control(0.01), Random(3)
    feed(control, 4000, 0.0, rng)
    assert control.level >= 0
    served_wrong = feed(control, 4000, 0.5, rng)
    assert control.closed >= 1
    assert control.level == -1
    assert served_wrong < 300


def test_uncertain_hits_are_audited_more() -> None:
    control = Control(0.01)
    feed(control, 4000, 0.0, Random(1))
    assert control.pi(0.999) < control.pi(0.95) < control.pi(0.8) <= 0.5


def test_evidence_is_begun_afresh_as_the_cache_grows() -> None:
    control = Control(0.01)
    feed(control, 1999, 0.0, Random(1))
    before = control._wealth.max()
    feed(control, 2, 0.0, Random(1))
    assert control._wealth.max() < before
    assert control.level == len(SHARES) - 1
