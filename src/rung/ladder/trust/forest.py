"""Extremely randomised trees (Geurts, Ernst & Wehenkel 2006) over sets of rows kept as the bits of one integer.

A split is an ``&`` and two ``bit_count()``: hundreds of trees over thousands of rows grow in seconds without numpy.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

TREES = 100
LEAF = 3
"""rows a leaf holds at least"""
CUTS = 24
"""places at most where one feature may be cut"""
_DEPTH = 16
_TRIES = 3
"""random cuts tried before a feature is taken for constant in a node"""


class Tree(msgspec.Struct, array_like=True):
    """Nodes as parallel lists. `feature` is -1 at a leaf; at a split `left` takes values up to `cut`."""

    feature: list[int] = []
    cut: list[float] = []
    left: list[int] = []
    right: list[int] = []
    value: list[float] = []

    def add(self, value: float) -> int:
        self.feature.append(-1)
        self.cut.append(0.0)
        self.left.append(0)
        self.right.append(0)
        self.value.append(value)
        return len(self.feature) - 1

    def answer(self, row: Sequence[float]) -> float:
        at = 0
        feature, cut = self.feature, self.cut
        while feature[at] >= 0:
            at = self.right[at] if row[feature[at]] > cut[at] else self.left[at]
        return self.value[at]


class Forest(msgspec.Struct):
    """The mean of its trees: a share between 0 and 1. A feature that a row lacks counts as 0."""

    names: list[str]
    trees: list[Tree]

    def answer(self, row: Mapping[str, float]) -> float:
        values = [row.get(name, 0.0) for name in self.names]
        return sum(tree.answer(values) for tree in self.trees) / len(self.trees)


def grow(
    rows: Sequence[Mapping[str, float]],
    outcomes: Sequence[bool],
    *,
    trees: int = TREES,
    leaf: int = LEAF,
    seed: int = 0,
) -> Forest:
    """A forest that estimates P(outcome) from rows of named figures. The same arguments grow the same forest.

    Raises ValueError without rows, or if there are not as many outcomes.
    """
    if not rows or len(rows) != len(outcomes):
        raise ValueError(f"{len(rows)} rows with {len(outcomes)} outcomes: there must be as many, and at least one")
    names = sorted({name for row in rows for name in row})
    features = [(at, cuts) for at, name in enumerate(names) if (cuts := _cuts([row.get(name, 0.0) for row in rows]))]
    positive = sum(1 << at for at, outcome in enumerate(outcomes) if outcome)
    grower = _Grower(features, positive, len(rows), leaf, random.Random(seed))  # noqa: S311 (no secret)
    return Forest(names, [grower.tree() for _ in range(trees)])


Cut = tuple[float, int]
"""(value, bits of the rows above it)"""


def _cuts(values: list[float]) -> list[Cut]:
    """Up to `CUTS` places between different values, at even shares of the rows."""
    values = [value if math.isfinite(value) else 0.0 for value in values]
    ranked = sorted(values)
    distinct = sorted(set(ranked))
    middles = [(low + high) / 2 for low, high in pairwise(distinct)]
    if len(middles) > CUTS:
        picks = {bisect_left(middles, ranked[len(ranked) * step // (CUTS + 1)]) for step in range(1, CUTS + 1)}
        middles = [middles[pick] for pick in sorted(picks) if pick < len(middles)]
    return [(middle, sum(1 << at for at, value in enumerate(values) if value > middle)) for middle in middles]


class _Grower:
    def __init__(
        self, features: list[tuple[int, list[Cut]]], positive: int, rows: int, leaf: int, dice: random.Random
    ) -> None:
        self.features, self.positive, self.rows, self.leaf, self.dice = features, positive, rows, leaf, dice
        self.tried = math.ceil(math.sqrt(len(features)))
        self.base = positive.bit_count() / rows

    def tree(self) -> Tree:
        tree = Tree()
        todo = [(tree.add(self.base), (1 << self.rows) - 1, 0)]
        while todo:
            node, inside, depth = todo.pop()
            split = self._split(inside) if depth < _DEPTH else None
            if split is None:
                continue
            feature, cut, above = split
            tree.feature[node], tree.cut[node] = feature, cut
            below = inside & ~above
            tree.left[node] = tree.add(self._share(below))
            tree.right[node] = tree.add(self._share(above))
            todo += [(tree.left[node], below, depth + 1), (tree.right[node], above, depth + 1)]
        return tree

    def _share(self, inside: int) -> float:
        """The share of good outcomes, with one row of the average added: a leaf of few rows is never certain."""
        return ((inside & self.positive).bit_count() + self.base) / (inside.bit_count() + 1)

    def _split(self, inside: int) -> tuple[int, float, int] | None:
        """The purest of a few random cuts of a few random features, as (feature, cut, rows above)."""
        count, good = inside.bit_count(), (inside & self.positive).bit_count()
        if count < 2 * self.leaf or good in (0, count):
            return None
        best, chosen, left_to_try = 0.0, None, self.tried
        for feature, cuts in self.dice.sample(self.features, len(self.features)):
            for _ in range(min(_TRIES, len(cuts))):
                cut, bits = cuts[int(self.dice.random() * len(cuts))]
                above = bits & inside
                more = above.bit_count()
                if self.leaf <= more <= count - self.leaf:
                    break
            else:
                continue
            right = (above & self.positive).bit_count()
            purity = right * right / more + (good - right) ** 2 / (count - more)
            if chosen is None or purity > best:
                best, chosen = purity, (feature, cut, above)
            left_to_try -= 1
            if not left_to_try:
                break
        return chosen
