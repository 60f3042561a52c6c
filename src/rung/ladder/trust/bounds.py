"""Confidence bounds on a share, from counts. Plain Python: no special-function library."""

from __future__ import annotations

import math
from collections.abc import Callable

from rung.ladder.trust.opening import FRACTIONS, WEIGHTS

_AGREE_SHRINKS = (0.98, 0.95, 0.9, 0.8, 0.6)


def upper(labels: float, disagreements: float, delta: float) -> float:
    """The any-time upper bound: the largest risk the opening test has not refuted at level δ.

    Valid however often it is looked at, for labels of equal weight; with unequal weights it errs to the safe side
    (log(1 + v·x) >= v·log(1 + x)).
    """
    return _largest(lambda risk: opening_evidence(labels, disagreements, risk) < 1 / delta)


def lower(labels: float, disagreements: float, delta: float) -> float:
    """The any-time lower bound, from bets that the risk is higher: each says agreement is s times as likely."""

    def low_enough(risk: float) -> bool:
        logs = [
            disagreements * math.log((1 - s) / risk + s) + (labels - disagreements) * math.log(s)
            for s in _AGREE_SHRINKS
        ]
        return log_sum(logs) - math.log(len(logs)) >= -math.log(delta)

    return _largest(low_enough) if disagreements else 0.0


def opening_evidence(labels: float, disagreements: float, alpha: float) -> float:
    """E of the opening test after so many labels of weight 1; grows with `alpha`."""
    return math.exp(min(log_opening_evidence(labels, disagreements, alpha), 700.0))


def log_opening_evidence(labels: float, disagreements: float, alpha: float) -> float:
    logs = [
        math.log(weight)
        + (disagreements * math.log(r) if r else (0.0 if not disagreements else -math.inf))
        + (labels - disagreements) * math.log((1 - r * alpha) / (1 - alpha))
        for r, weight in zip(FRACTIONS, WEIGHTS, strict=True)
    ]
    return log_sum(logs)


def log_sum(logs: list[float]) -> float:
    most = max(logs)
    return most if most == -math.inf else most + math.log(sum(math.exp(one - most) for one in logs))


def clopper_pearson(labels: int, disagreements: int, delta: float) -> tuple[float, float]:
    """The exact one-sided bounds (lower, upper), each at level δ: for one look, decided in advance.

    Clopper & Pearson, Biometrika 26 (1934).
    """
    low = _largest(lambda risk: binomial_tail(labels, disagreements, risk) <= delta) if disagreements else 0.0
    high = _largest(lambda risk: 1 - binomial_tail(labels, disagreements + 1, risk) >= delta)
    return low, high


def binomial_tail(trials: int, least: int, share: float) -> float:
    """P(at least `least` of `trials`) where each comes with probability `share`."""
    if least <= 0:
        return 1.0
    if least > trials or share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    return incomplete_beta(share, least, trials - least + 1)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz; DLMF 8.17.22)."""
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), tiny)
    total = d
    for m in range(1, 400):
        for coefficient in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + coefficient * d) or tiny)
            c = (1 + coefficient / c) or tiny
            total *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * total / a


def escalation_floor(risk: float, alpha: float) -> float:
    """The least share of calls that must go up even with a perfect selector: (μ - α)/(1 - α), not below 0.

    From μ = P(wrong) <= α·P(accepted) + P(sent up) (arXiv 2606.29054).
    """
    return max(0.0, (risk - alpha) / (1 - alpha))


def _largest(holds: Callable[[float], bool]) -> float:
    """The largest share in (0, 1) for which `holds`, which must hold below and fail above; by bisection."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return high if high < 1 else 1.0
