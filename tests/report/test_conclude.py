from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.report.conclude import ENOUGH, REACH, Facts, conclude
from rung.report.sketch import Interval


def around(value: float, spread: float = 0.02) -> Interval:
    return Interval(value, value * (1 - spread), value * (1 + spread))


def facts(**told) -> Facts:
    usual = {
        "calls": 30_000,
        "days": 10.0,
        "share": around(0.3),
        "reference_cost": around(0.002),
        "own_cost": 0.0001,
        "learning": 0.2,
        "upkeep": 0.5,
        "local_seconds": 1.0,
        "reference_seconds": 0.8,
        "private": 0,
        "rescued": 0,
        "fits": True,
    }
    return Facts(**{**usual, **told})


def test_it_pays_by_hand() -> None:
    told = conclude(facts())
    assert told.kind == "adopt"
    assert told.net_per_day is not None
    assert told.net_per_day.value == pytest.approx(3000 * 0.3 * 0.0019 - 0.7)  # 1.01 USD
    assert told.at_calls_per_day == pytest.approx(0.7 / (0.3 * 0.0019))  # 1,228
    assert told.at_price_factor == pytest.approx((0.7 / 900 + 0.0001) / 0.002)  # 0.44
    assert "fewer than 1,228 calls a day" in told.opposite
    assert len(told.numbers) == 3


@pytest.mark.parametrize("factor", [0.05, 0.12, 0.2, 0.3, 0.5, 0.7, 0.9, 0.95, 1.05, 1.1, 1.3, 1.6, 2, 3, 5, 8, 12, 20])
@pytest.mark.parametrize("lever", ["traffic", "price"])
def test_worlds_around_the_break_even(factor: float, lever: str) -> None:
    """36 worlds in which it would just pay at factor 1."""
    even_calls, even_price = 0.7 / (0.3 * 0.0019), (0.7 / 900 + 0.0001)
    changed = {"calls": round(10 * even_calls * factor)} if lever == "traffic" else {}
    if lever == "price":
        changed = {"reference_cost": around(even_price * factor, 0.005)}
    else:
        changed |= {"reference_cost": around(0.002, 0.005)}
    told = conclude(facts(share=around(0.3, 0.005), **changed))
    if factor > 1:
        assert told.kind == "adopt"
    elif factor > 1 / REACH:
        assert told.kind == "defer"
    else:
        assert told.kind in ("defer", "fast_cloud")


def test_free_references_are_never_beaten() -> None:
    told = conclude(facts(reference_cost=Interval(0.0, 0.0, 0.0)))
    assert told.kind == "fast_cloud"
    assert told.at_calls_per_day is None


def test_too_slow_or_too_large_does_not_pay() -> None:
    assert conclude(facts(local_seconds=6.0)).kind == "fast_cloud"
    assert conclude(facts(local_seconds=6.0, reference_seconds=7.0)).kind == "adopt", "the reference is slower still"
    told = conclude(facts(fits=False))
    assert told.kind == "fast_cloud"
    assert "memory" in told.opposite


@pytest.mark.parametrize("need", [{"private": 40}, {"rescued": 3}])
def test_needed_though_it_does_not_pay(need: dict) -> None:
    told = conclude(facts(upkeep=50.0, **need))
    assert told.kind == "fallback"
    assert conclude(facts(upkeep=50.0, fits=False, **need)).kind == "fast_cloud"
    assert conclude(facts(**need)).kind == "adopt"


@pytest.mark.parametrize(
    "missing", [{"calls": ENOUGH - 1}, {"share": None}, {"reference_cost": None}, {"own_cost": None}]
)
def test_too_little_is_known(missing: dict) -> None:
    told = conclude(facts(**missing))
    assert told.kind == "not_enough_data"
    assert told.needed > 0
    assert f"{told.needed:,} more calls" in told.text


def test_what_would_lose_at_best_needs_no_labels() -> None:
    told = conclude(facts(share=None, upkeep=50.0))
    assert told.kind == "defer"
    assert told.text.startswith("Even if it could answer every call: it would lose 44.5 USD a day")
    assert conclude(facts(share=None, upkeep=5000.0)).kind == "fast_cloud"
    assert conclude(facts(share=None, upkeep=50.0, private=1)).kind == "fallback"
    assert conclude(facts(share=None, local_seconds=50.0)).kind == "fast_cloud"


def test_unsure_is_told_with_a_number() -> None:
    told = conclude(facts(share=Interval(0.15, 0.05, 0.3)))
    assert told.kind == "defer"
    assert told.needed > 0


@given(
    share=st.floats(0, 1),
    cost=st.floats(0, 0.1),
    own=st.floats(0, 0.01),
    fixed=st.floats(0, 100),
    calls=st.integers(ENOUGH, 10**7),
    private=st.integers(0, 5),
    seconds=st.none() | st.floats(0, 60),
)
def test_it_never_adopts_what_loses_money(share, cost, own, fixed, calls, private, seconds) -> None:
    told = conclude(
        facts(calls=calls, share=around(share), reference_cost=around(cost), own_cost=own, learning=0.0, upkeep=fixed,
              private=private, local_seconds=seconds)
    )  # fmt: skip
    net = calls / 10 * share * (cost - own) - fixed
    if told.kind == "adopt":
        assert net > 0
    assert told.text
    assert told.opposite
