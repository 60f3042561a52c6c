"""How good an order of calls is: from the one to send up first to the one to keep low longest.

APGR and CPT are RouteLLM's (Ong et al. 2024, arXiv 2406.18665): the performance gap recovered, averaged over all
shares of strong calls, and the least share of strong calls that recovers half (80 %) of it. Taken over every row, not
over ten bins; calls with the same score count as sent up together in part.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

Curve = list[tuple[float, float]]
"""(share of calls sent up, value), rising shares from 0 to 1"""


def recovered(scores: Sequence[float], weak: Sequence[float], strong: Sequence[float]) -> Curve | None:
    """The share of the gap between always-weak and always-strong recovered; lowest scores are sent up first.

    None where strong is no better than weak: there is no gap to recover.
    """
    gap = sum(strong) - sum(weak)
    if not scores or gap <= 0:
        return None
    order = sorted(range(len(scores)), key=scores.__getitem__)
    curve, sent, gained = [(0.0, 0.0)], 0, 0.0
    for _, group in groupby(order, key=scores.__getitem__):
        for row in group:
            sent += 1
            gained += strong[row] - weak[row]
        curve.append((sent / len(scores), gained / gap))
    return curve


def area(curve: Curve) -> float:
    """The area under a curve: of a `recovered` one, its APGR."""
    return sum((x2 - x1) * (y1 + y2) / 2 for (x1, y1), (x2, y2) in pairwise(curve))


def first_reaching(curve: Curve, value: float) -> float:
    """The least share at which a curve reaches `value` (1.0 if it never does): of a `recovered` one, its CPT."""
    for (x1, y1), (x2, y2) in pairwise(curve):
        if y2 >= value:
            return x2 if y2 == y1 else x1 + (x2 - x1) * max(0.0, value - y1) / (y2 - y1)
    return 1.0


def risk_by_coverage(scores: Sequence[float], wrong: Sequence[bool]) -> Curve:
    """(share of calls answered low, share of those that are wrong): highest scores first."""
    order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    curve: Curve = []
    kept = errors = 0
    for _, group in groupby(order, key=scores.__getitem__):
        for row in group:
            kept += 1
            errors += wrong[row]
        curve.append((kept / len(scores), errors / kept))
    return curve
