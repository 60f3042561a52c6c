"""The bill of made-up ledgers: every figure by hand, and no pico-dollar lost on the way from the file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_worlds import LOCAL, REFERENCE, World, attempt

from rung.report.bill import make_bill
from rung.report.figures import Assumptions, Candidate, Evidence
from rung.report.sketch import Interval
from rung.store.ledger import ClimbRow, Ledger
from rung.store.writer import Writer
from rung.verdicts import from_ledger

CHEAP = "deepseek:small"


def candidates() -> list[Candidate]:
    """Per token: the reference 10 pico-dollars, the cheap one 4."""
    return [
        Candidate(rung="local", model=LOCAL, leaves=False),
        Candidate(rung="cloud", model=REFERENCE, price=lambda prompt, output: 10 * (prompt + output)),
        Candidate(rung="cloud", model=CHEAP, price=lambda prompt, output: 4 * (prompt + output)),
    ]


def told(task: str, differs: float, labels: int = 100) -> Evidence:
    return Evidence(task, "local", LOCAL, 0.05, "open", labels, Interval(1, 1, 1), Interval(differs, 0, 1))


def test_every_figure_by_hand() -> None:
    world = World()
    for _ in range(6):
        world.call(attempt("cloud", REFERENCE, cost=1200), task="math")
    for _ in range(3):
        world.call(attempt("local", LOCAL, ms=2000), task="extraction")
    world.call(attempt("local", LOCAL, ms=1000), task="math")
    world.call(attempt("cloud", REFERENCE, "failed", cost=50), attempt("exact", "exact"), tokens=(0, 0))
    world.call(attempt("local", LOCAL, ms=500), purpose="shadow")
    world.call(attempt("cloud", REFERENCE, cost=7), purpose="judge")
    world.call(attempt("cloud", REFERENCE, cost=None))
    evidence = [told("math", 0.5), told("extraction", 0.1)]
    bill = make_bill(world.traffic(), candidates(), REFERENCE, LOCAL, evidence, Assumptions(watts=36, kwh_usd=0.25))

    assert bill.parts == {"answers": 7200, "refused": 50, "judge": 7}
    assert (bill.total, bill.unknown) == (7257, 1)
    assert bill.energy_kwh == pytest.approx(7.5 * 36 / 3.6e6), "two seconds three times, one, and half a second"
    assert bill.energy_usd.value == pytest.approx(7.5 * 36 / 3.6e6 * 0.25)
    # 12 calls: the reference answered 7, four local ones have 120 tokens each, the repeat counts as the mean (120)
    assert bill.singles[REFERENCE].value == pytest.approx((7200 + 10 * 5 * 120) / 1e12)
    assert bill.singles[CHEAP].value == pytest.approx(4 * 12 * 120 / 1e12)
    assert bill.best_single == CHEAP
    assert bill.routed_disagreement.value == pytest.approx((3 * 0.1 + 1 * 0.5) / 12)
    # tasks as they came: 7 of math, 5 of extraction; four of twelve calls went to the local model
    assert bill.random_disagreement.value == pytest.approx(4 / 12 * (7 * 0.5 + 5 * 0.1) / 12)


MONEY = st.none() | st.integers(0, 10**15)
ATTEMPTS = st.lists(st.tuples(st.sampled_from(["answered", "failed", "declined"]), MONEY), min_size=1, max_size=3)
PURPOSES = st.sampled_from(["", "", "shadow", "audit", "judge", "repeat", "replay:a"])


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, Path]]:
    path = tmp_path_factory.mktemp("bill") / "ledger.sqlite3"
    made = Ledger(path, Writer())
    yield made, path
    made.close()


NOW, SPAN = time.time(), 1000.0
_turn = count(1)


@given(calls=st.lists(st.tuples(PURPOSES, ATTEMPTS), min_size=1, max_size=12))
@settings(max_examples=25)
def test_the_bill_is_the_ledger_to_the_pico_dollar(
    ledger: tuple[Ledger, Path], calls: list[tuple[str, list[tuple[str, int | None]]]]
) -> None:
    """Of the rows written last: every turn has a time of its own."""
    (written, path), since = ledger, NOW + SPAN * next(_turn)
    rows = []
    for number, (purpose, attempts) in enumerate(calls):
        steps = [attempt("cloud", REFERENCE, outcome, cost=cost) for outcome, cost in attempts]
        costs = [cost for _, cost in attempts]
        whole = None if None in costs else sum(cost or 0 for cost in costs)
        rows.append(
            ClimbRow(f"r{number}", since + number, purpose=purpose, rung="cloud", model=REFERENCE, cost_pico=whole,
                     attempts=orjson.dumps(steps))
        )  # fmt: skip
    written.write(rows)
    db = sqlite3.connect(path)
    (kept,) = db.execute("SELECT coalesce(sum(cost_pico), 0) FROM climbs WHERE started_at >= ?", (since,)).fetchone()
    db.close()
    bill = make_bill(from_ledger(path, since=since), candidates(), REFERENCE, LOCAL, (), Assumptions())
    assert bill.total == sum(bill.parts.values()) == kept == sum(row.cost_pico or 0 for row in rows)
    assert bill.unknown == sum(row.cost_pico is None for row in rows)
