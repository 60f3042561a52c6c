from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_worlds import LOCAL, REFERENCE, World, attempt

from rung.report.sketch import Interval, Times, bootstrap, weighted


def golden() -> World:
    """Ten calls whose every figure is known by hand."""
    world = World()
    miss = attempt("tool", "tool", "declined", ms=0.1)
    for _ in range(4):
        world.call(miss, attempt("cloud", REFERENCE, ms=400, cost=2_000_000), task="math")
    for _ in range(3):
        world.call(miss, attempt("local", LOCAL, ms=900))
    world.call(attempt("tool", "tool", ms=0.2), task="validation_formatting")
    world.call(
        miss, attempt("cloud", REFERENCE, "failed", ms=50, cost=300_000), attempt("local", LOCAL, ms=800), private=False
    )
    world.call(miss, attempt("local", LOCAL, "failed", ms=100), task="math", private=True, outcome="failed")
    world.call(attempt("local", LOCAL, ms=700), purpose="shadow")
    world.call(attempt("cloud", REFERENCE, ms=300, cost=1_500_000), purpose="audit")
    world.call(attempt("cloud", REFERENCE, ms=300, cost=None))
    return world


def test_every_figure_by_hand() -> None:
    told = golden().traffic()
    assert told.calls == 11
    assert told.failed == 1
    assert told.private == 1
    assert told.private_by_task == {"math": 1}
    assert told.rescued == 1
    assert told.unknown == 1
    assert told.purposes == {"shadow": 1, "audit": 1}
    assert told.money == {"answers": 8_000_000, "refused": 300_000, "audit": 1_500_000}
    assert told.local_ms == 3 * 900 + 800 + 100 + 700
    assert told.tasks == {"math": 5, "extraction": 5, "validation_formatting": 1}
    local = told.of(rung="local")
    assert (local.calls, local.money, local.unproved) == (4, 0, 4)
    assert told.vain["extraction", "cloud", REFERENCE].failed == 1
    assert told.models() == [("cloud", REFERENCE), ("local", LOCAL)]
    assert told.of(rung="cloud").unknown == 1


OUTCOMES = st.sampled_from(["answered", "failed", "declined"])
ATTEMPTS = st.lists(st.tuples(OUTCOMES, st.none() | st.integers(0, 10**13)), min_size=1, max_size=4)
PURPOSES = st.sampled_from(["", "shadow", "audit", "judge"])


@given(st.lists(st.tuples(PURPOSES, ATTEMPTS), max_size=30))
def test_money_in_the_bill_is_money_in_the_ledger(calls) -> None:
    world = World()
    for purpose, attempts in calls:
        world.call(*(attempt("cloud", REFERENCE, outcome, cost=cost) for outcome, cost in attempts), purpose=purpose)
    ledger = sum(climb.cost_pico for climb in world.climbs if climb.cost_pico is not None)
    assert sum(world.traffic().money.values()) == ledger
    assert world.traffic().unknown == sum(climb.cost_pico is None for climb in world.climbs)


@given(st.lists(st.floats(0.001, 1e7), min_size=1, max_size=300), st.floats(0.01, 1.0))
def test_quantiles_are_right_within_a_bucket(values, share) -> None:
    times = Times()
    for value in values:
        times.add(value)
    ordered = sorted(values)
    found = times.quantile(share)
    assert found is not None
    exact = ordered[max(0, -(-round(share * len(ordered) * 1e9) // 10**9) - 1)]
    near = [value for value in ordered if 0.97 <= value / found <= 1.03]
    assert near
    assert min(near) <= exact * 1.03
    assert max(near) >= exact * 0.97


def test_nothing_has_no_quantile() -> None:
    assert Times().quantile(0.5) is None


def test_the_bootstrap_covers_the_mean() -> None:
    values = [float(n % 7) for n in range(64)]
    found = bootstrap(lambda weights: weighted(values, weights) / 64)
    assert found.value == pytest.approx(sum(values) / 64)
    assert found.low < found.value < found.high
    assert found == bootstrap(lambda weights: weighted(values, weights) / 64), "the seed is fixed"
    assert isinstance(found, Interval)
