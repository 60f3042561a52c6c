from __future__ import annotations

import pytest
from report_worlds import LOCAL, REFERENCE, World, attempt

from rung.report.margin import margin
from rung.report.sketch import Interval


def world() -> World:
    """Of 100 extraction calls the reference answered 50 (2 µUSD, 400 ms), the local model 50 (0 USD, 900 ms); it was
    asked in vain 10 times before (100 ms each)."""
    made = World()
    for number in range(50):
        vain = [attempt("local", LOCAL, "declined", ms=100)] if number < 10 else []
        made.call(*vain, attempt("cloud", REFERENCE, ms=400, cost=2_000_000))
        made.call(attempt("local", LOCAL, ms=900))
    return made


def test_with_and_without_by_hand() -> None:
    told = margin(world().traffic(), "local", LOCAL, REFERENCE, disagreement={"extraction": Interval(0.02, 0.01, 0.04)})
    assert (told.calls, told.asked, told.basis) == (50, 60, "measured")
    assert told.money.value == pytest.approx(50 * 2e-6 / 100 * 1000)
    assert told.seconds.value == pytest.approx((50 * (400 - 900) - 10 * 100) / 1e3 / 100 * 1000)
    assert told.errors == Interval(10.0, 5.0, 20.0)
    assert told.money.low <= told.money.value <= told.money.high
    assert told.seconds.low < told.seconds.value < told.seconds.high


def test_a_rung_that_only_costs_loses() -> None:
    made = World()
    for _ in range(100):
        made.call(
            attempt("semantic", "semantic", "declined", ms=3, cost=100), attempt("cloud", REFERENCE, ms=400, cost=10)
        )
    told = margin(made.traffic(), "semantic", "", REFERENCE)
    assert told.calls == 0
    assert told.money.value == pytest.approx(-100e-12 * 1000)
    assert told.money.high < 0
    assert told.seconds.value == pytest.approx(-3.0)


def test_a_simulated_reference_makes_it_simulated() -> None:
    made = World()
    for _ in range(10):
        made.call(attempt("cloud", REFERENCE, ms=400, cost=2_000_000), simulated=True)
        made.call(attempt("local", LOCAL, ms=900))
    assert margin(made.traffic(), "local", LOCAL, REFERENCE).basis == "simulated"


def test_what_the_reference_never_did_is_predicted() -> None:
    made = world()
    for _ in range(20):
        made.call(attempt("tool", "tool", ms=0.2), task="validation_formatting")
    told = margin(made.traffic(), "tool", "", REFERENCE)
    assert told.basis == "predicted"
    assert told.money.value == pytest.approx(20 * 2e-6 / 120 * 1000)
    empty = margin(World().traffic(), "tool", "", REFERENCE)
    assert (empty.calls, empty.money.value, empty.basis) == (0, 0.0, "predicted")
