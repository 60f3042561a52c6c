"""Two replays of the same traffic beside each other, call by call."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from math import comb, erfc, sqrt

import msgspec

from rung.report.sketch import Interval

_DRAWS = 1000
_SHOWN = 1000
"""differing calls that are kept"""


class Ran(msgspec.Struct):
    """One call of a replay. `number`: its place in the traffic file; `cost` in pico-dollars, None if unknown."""

    number: int
    task: str
    rung: str
    model: str
    outcome: str
    ms: float
    cost: int | None
    text: str


class Difference(msgspec.Struct):
    """A call the two runs answered differently, or only one of them."""

    number: int
    task: str
    first: Ran
    second: Ran


class Comparison(msgspec.Struct):
    """`second` against `first`, over the calls both have.

    `ms`, `cost`: mean difference per call (second - first; milliseconds, dollars), paired bootstrap, 95 %.
    `cost` is over `priced` calls whose price both know. `faster`: share of calls the second answered in less time;
    `p_faster`: how likely so uneven a share is if neither is faster (two-sided sign test). `agree`: share of calls
    answered by both whose answers say the same, Wilson interval 95 %. `only_first`, `only_second`: answered by one
    only; `p_answered`: exact McNemar test of that.
    """

    calls: int
    missing: int
    ms: Interval | None
    cost: Interval | None
    priced: int
    faster: float | None
    p_faster: float | None
    agree: Interval | None
    only_first: int
    only_second: int
    p_answered: float
    rungs: dict[str, tuple[int, int]]
    differing: list[Difference]


def compare(
    first: Iterable[Ran], second: Iterable[Ran], same: Callable[[Ran, Ran], bool], *, seed: int = 1
) -> Comparison:
    """Pair the calls by number. `same`: do two answers of one call say the same?"""
    ones, others = ({ran.number: ran for ran in runs} for runs in (first, second))
    pairs = [(ones[number], others[number]) for number in sorted(ones.keys() & others.keys())]
    both = [(a, b) for a, b in pairs if a.outcome == b.outcome == "answered"]
    agreed = {a.number for a, b in both if same(a, b)}
    only_first = sum(a.outcome == "answered" != b.outcome for a, b in pairs)
    only_second = sum(b.outcome == "answered" != a.outcome for a, b in pairs)
    priced = [(b.cost - a.cost) / 1e12 for a, b in pairs if a.cost is not None and b.cost is not None]
    waits = [b.ms - a.ms for a, b in both]
    faster, slower = sum(wait < 0 for wait in waits), sum(wait > 0 for wait in waits)
    rungs: dict[str, tuple[int, int]] = {}
    for a, b in pairs:
        for place, ran in enumerate((a, b)):
            name = ran.rung or "nobody"
            counts = list(rungs.get(name, (0, 0)))
            counts[place] += 1
            rungs[name] = (counts[0], counts[1])
    differing = [
        Difference(a.number, a.task, a, b)
        for a, b in pairs
        if a.number not in agreed and "answered" in (a.outcome, b.outcome)
    ]
    return Comparison(
        len(pairs),
        len(ones.keys() ^ others.keys()),
        _mean(waits, seed),
        _mean(priced, seed),
        len(priced),
        faster / len(waits) if waits else None,
        sign_test(faster, slower) if waits else None,
        wilson(len(agreed), len(both)),
        only_first,
        only_second,
        sign_test(only_first, only_second),
        rungs,
        differing[:_SHOWN],
    )


def sign_test(one: int, other: int) -> float:
    """Two-sided exact binomial test of `one` against `other` at 1/2 (normal approximation beyond 1,000)."""
    total, least = one + other, min(one, other)
    if not total:
        return 1.0
    if total > 1000:
        z = (total / 2 - least - 0.5) / sqrt(total / 4)
        return min(1.0, erfc(z / sqrt(2)))
    tail = sum(comb(total, k) for k in range(least + 1))
    return min(1.0, 2 * tail / (1 << total))


def wilson(hits: int, total: int, z: float = 1.96) -> Interval | None:
    """The share and its score interval (Wilson 1927); None of nothing."""
    if not total:
        return None
    share = hits / total
    middle = share + z * z / (2 * total)
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return Interval(share, max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale))


def _mean(values: list[float], seed: int) -> Interval | None:
    if not values:
        return None
    rng = random.Random(seed)  # noqa: S311 (statistics)
    means = sorted(sum(rng.choices(values, k=len(values))) / len(values) for _ in range(_DRAWS))
    return Interval(sum(values) / len(values), means[int(0.025 * _DRAWS)], means[int(0.975 * _DRAWS)])
