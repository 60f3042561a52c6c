"""Distributions and sums kept small: a ledger may hold millions of climbs, a report holds none of them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import cache
from operator import mul

import msgspec

GROUPS = 64
"""parts a sum is split into by session, so that a bootstrap can draw whole sessions again"""

_STEPS = 50
"""buckets per factor e: quantiles are right within 1 %"""


class Times(msgspec.Struct):
    """A distribution of milliseconds (or anything above 0) in buckets that grow by 2 %."""

    count: int = 0
    buckets: dict[int, int] = {}

    def add(self, value: float) -> None:
        self.count += 1
        bucket = math.floor(math.log(value) * _STEPS) if value > 1e-6 else -1000
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def merge(self, other: Times) -> None:
        self.count += other.count
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def quantile(self, share: float) -> float | None:
        """The value below which `share` of all lie; None of nothing."""
        left = share * self.count
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return math.exp((bucket + 0.5) / _STEPS)
        return None


class Sums(msgspec.Struct):
    """Counts and sums in `GROUPS` parts. `money` in pico-dollars (exact integers), `ms` in milliseconds."""

    calls: list[int] = msgspec.field(default_factory=lambda: [0] * GROUPS)
    money: list[int] = msgspec.field(default_factory=lambda: [0] * GROUPS)
    ms: list[float] = msgspec.field(default_factory=lambda: [0.0] * GROUPS)

    def add(self, group: int, money: int, ms: float) -> None:
        self.calls[group] += 1
        self.money[group] += money
        self.ms[group] += ms

    def merge(self, other: Sums) -> None:
        for group in range(GROUPS):
            self.calls[group] += other.calls[group]
            self.money[group] += other.money[group]
            self.ms[group] += other.ms[group]


class Interval(msgspec.Struct, frozen=True):
    """A figure and where it lies with 90 % confidence."""

    value: float
    low: float
    high: float


def bootstrap(
    figure: Callable[[Sequence[int]], float], *, draws: int = 400, confidence: float = 0.9, seed: int = 1
) -> Interval:
    """The interval of ``figure(weights)``, where `weights` says how often each of the `GROUPS` counts.

    Cluster bootstrap, percentiles (Efron & Tibshirani, An Introduction to the Bootstrap, ch. 13): groups of whole
    sessions are drawn with replacement, because the calls of a session are not independent.
    """
    drawn = sorted(figure(weights) for weights in _resampled(draws, seed))
    tail = (1 - confidence) / 2
    low, high = drawn[int(tail * draws)], drawn[min(draws - 1, int((1 - tail) * draws))]
    return Interval(figure([1] * GROUPS), low, high)


@cache
def _resampled(draws: int, seed: int) -> list[list[int]]:
    """How often each group counts, draw by draw."""
    rng = random.Random(seed)  # noqa: S311 (statistics)
    found = []
    for _ in range(draws):
        weights = [0] * GROUPS
        for group in rng.choices(range(GROUPS), k=GROUPS):
            weights[group] += 1
        found.append(weights)
    return found


def weighted(values: Sequence[float], weights: Sequence[int]) -> float:
    """The sum of `values`, each as often as its weight says."""
    return float(sum(map(mul, values, weights)))
