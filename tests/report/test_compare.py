from __future__ import annotations

import pytest

from rung.report.compare import Ran, compare, sign_test, wilson


def ran(
    number: int,
    *,
    ms: float = 100.0,
    cost: int | None = 1000,
    text: str = "yes",
    outcome: str = "answered",
    rung: str = "cloud",
) -> Ran:
    return Ran(number, "math", rung, f"{rung}:m", outcome, ms, cost, text)


def test_by_hand() -> None:
    first = [ran(n) for n in range(8)] + [ran(8, outcome="failed", rung=""), ran(9), ran(20)]
    second = [ran(n, ms=40.0, cost=0, rung="local") for n in range(7)]
    second += [ran(7, ms=300.0, text="no"), ran(8), ran(9, outcome="failed", cost=None)]
    told = compare(first, second, lambda a, b: a.text == b.text)
    assert (told.calls, told.missing, told.priced) == (10, 1, 9)
    assert told.ms is not None
    assert told.ms.value == pytest.approx((7 * -60 + 200) / 8)
    assert told.cost is not None
    assert told.cost.value == pytest.approx(-7 * 1000e-12 / 9)
    assert told.faster == pytest.approx(7 / 8)
    assert told.p_faster == pytest.approx(2 * (1 + 8) / 2**8)
    assert told.agree is not None
    assert told.agree.value == pytest.approx(7 / 8)
    assert (told.only_first, told.only_second, told.p_answered) == (1, 1, 1.0)
    assert told.rungs == {"cloud": (9, 3), "nobody": (1, 0), "local": (0, 7)}
    assert [one.number for one in told.differing] == [7, 8, 9]


def test_nothing_in_common() -> None:
    told = compare([ran(1)], [ran(2)], lambda a, b: True)
    assert (told.calls, told.missing, told.ms, told.agree) == (0, 2, None, None)


def test_the_tests_themselves() -> None:
    assert sign_test(0, 5) == pytest.approx(2 / 32)
    assert sign_test(5, 5) == 1.0
    assert sign_test(0, 0) == 1.0
    assert sign_test(400, 601) == pytest.approx(2.4e-10, rel=0.2)
    found = wilson(38, 40)
    assert found is not None
    assert (round(found.low, 3), round(found.high, 3)) == (0.835, 0.986)  # Brown, Cai & DasGupta's form
    assert wilson(0, 0) is None
