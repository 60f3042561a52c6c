"""The test that opens: an e-process per threshold, thresholds taken in a fixed order.

A label at score S with outcome Z (1: disagrees) multiplies, for every threshold τ <= S, the wealth of six gamblers
who bet that the risk is r_j·α and not α:

    K_j ← K_j · (1 + v·((q_j/α)^Z · ((1-q_j)/(1-α))^(1-Z) - 1)),   q_j = r_j·α,   E(τ) = Σ w_j K_j

`v` is the lowest label rate in force divided by this label's own: with it every call counts alike, however often
its kind is labelled. At a risk of α or more E(τ) is a non-negative supermartingale that starts at 1, so it ever
reaches 1/δ with probability at most δ (Ville 1939); one may look after every label. A threshold opens only when all
higher ones have latched: the first false one in that order is reached with probability at most δ, so any is
(fixed sequence: Angelopoulos et al., Learn then Test, 2021). Betting: Waudby-Smith & Ramdas 2024.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

FRACTIONS = (0.0, 0.25, 0.5, 0.65, 0.75, 0.85)
"""r: the risks bet on, as shares of the limit"""

WEIGHTS = (0.25, 0.10, 0.15, 0.20, 0.20, 0.10)

COVERAGES = tuple(percent / 100 for percent in range(30, 101, 5))
"""shares of calls accepted at each threshold of the grid"""


def grid(scores: Sequence[float], coverages: Sequence[float] = COVERAGES) -> list[float]:
    """Thresholds, highest first: the score quantiles that accept those shares of `scores`, each once.

    The last accepts everything (0.0) if 1.0 is among the coverages. The scores must not be those of the labels
    that will certify the thresholds. No scores, or one score for all: only "everything".
    """
    ranked = sorted(scores, reverse=True)
    thresholds: list[float] = []
    for coverage in sorted(coverages):
        whole = coverage >= 1 or not ranked
        threshold = 0.0 if whole else ranked[max(round(coverage * len(ranked)), 1) - 1]
        if ranked and threshold <= ranked[-1]:
            threshold = 0.0
        if not thresholds or threshold < thresholds[-1]:
            thresholds.append(threshold)
    return thresholds


class Level(msgspec.Struct):
    """One threshold and the evidence for it."""

    threshold: float
    labels: float = 0.0
    """that count here, weighted: a label with v = 1 counts 1"""
    disagreements: float = 0.0
    covered: float = 0.0
    """labels at or above the threshold; differs from `labels` only where the risk is per request"""
    wealth: list[float] = []
    latched: bool = False


class Opening(msgspec.Struct):
    """The thresholds of a cell, highest first, and how many of them have opened."""

    levels: list[Level]
    passed: int = 0
    labels: float = 0.0
    """of all calls, weighted"""
    disagreements: float = 0.0

    @classmethod
    def at(cls, thresholds: Iterable[float]) -> Opening:
        """Fresh evidence. Raises ValueError unless the thresholds fall from at most 1 to at least 0."""
        levels = [Level(threshold, wealth=list(WEIGHTS)) for threshold in thresholds]
        cuts = [level.threshold for level in levels]
        if not cuts or cuts != sorted(set(cuts), reverse=True) or not 0 <= cuts[-1] <= cuts[0] <= 1:
            raise ValueError(f"thresholds must fall and lie between 0 and 1: {cuts}")
        return cls(levels)

    @property
    def threshold(self) -> float | None:
        """The lowest that has opened, None before the first."""
        return self.levels[self.passed - 1].threshold if self.passed else None

    def observe(
        self, score: float, disagrees: bool, alpha: float, delta: float, *, v: float = 1.0, per_request: bool = False
    ) -> int:
        """Count one label; returns how many thresholds opened by it."""
        bets = factors(alpha, v)
        self.labels += v
        self.disagreements += v * disagrees
        for level in self.levels:
            inside = score >= level.threshold
            if not inside and not per_request:
                continue
            wrong = disagrees and inside
            level.labels += v
            level.covered += v * inside
            level.disagreements += v * wrong
            if not level.latched:  # wealth is left alone after that: it has done its work, and stays finite
                level.wealth = [one * bet for one, bet in zip(level.wealth, bets[wrong], strict=True)]
                level.latched = sum(level.wealth) >= 1 / delta
        before = self.passed
        while self.passed < len(self.levels) and self.levels[self.passed].latched:
            self.passed += 1
        return self.passed - before


def factors(
    alpha: float, v: float = 1.0, fractions: Sequence[float] = FRACTIONS
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What an agreement and what a disagreement multiply each gambler's wealth by."""
    return (
        tuple(1 + v * ((1 - r * alpha) / (1 - alpha) - 1) for r in fractions),
        tuple(1 + v * (r - 1) for r in fractions),
    )
