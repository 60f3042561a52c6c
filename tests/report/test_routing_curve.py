"""The gap recovered, by an order of calls."""

from __future__ import annotations

import pytest

from rung.report.routing_curve import area, first_reaching, recovered, risk_by_coverage


def test_a_perfect_order_recovers_the_gap_first() -> None:
    weak, strong = [0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]
    curve = recovered([0.1, 0.2, 0.8, 0.9], weak, strong)
    assert curve == [(0, 0), (0.25, 0.5), (0.5, 1.0), (0.75, 1.0), (1.0, 1.0)]
    assert area(curve) == pytest.approx(0.75)
    assert first_reaching(curve, 0.5) == 0.25
    assert first_reaching(curve, 0.75) == pytest.approx(0.375)


def test_a_constant_score_is_random() -> None:
    curve = recovered([0.5] * 6, [0, 1, 0, 1, 0, 1], [1] * 6)
    assert curve is not None
    assert area(curve) == pytest.approx(0.5)
    assert first_reaching(curve, 0.8) == pytest.approx(0.8)


def test_where_strong_is_no_better_there_is_no_gap() -> None:
    assert recovered([0.1, 0.2], [1, 1], [1, 1]) is None
    assert recovered([], [], []) is None


def test_risk_by_coverage_counts_ties_together() -> None:
    assert risk_by_coverage([0.9, 0.5, 0.5, 0.1], [False, True, False, True]) == [(0.25, 0), (0.75, 1 / 3), (1, 0.5)]
