"""A score: the chance that an answer agrees with the reference, as far as its evidence tells. Frozen once fitted.

A score needs no guarantee of its own: thresholds on it are certified by labels it has never seen. A better score only
lets more answers through.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import msgspec

from rung.ladder.trust.forest import Forest, grow
from rung.ladder.trust.opening import COVERAGES, grid

FOLDS = 5

REJECTED = -1.0
"""the score of an answer that fails a necessary check (`rung.ladder.checks`): no threshold is as low"""


class Scorer(msgspec.Struct, frozen=True):
    """`version` goes into the cell's key: a refit is another score, and another cell."""

    version: str
    forest: Forest | None
    thresholds: list[float]
    """the grid of `opening.grid`, from scores of rows that the score was not fitted on"""
    rows: int
    """it was fitted on"""

    def score(self, evidence: Mapping[str, float]) -> float:
        """Between 0 and 1; the higher, the likelier to agree."""
        return 0.5 if self.forest is None else self.forest.answer(evidence)


EVERYTHING = Scorer("all", None, [0.0], 0)
"""The score before there is one: all answers alike, one threshold that accepts them all."""


def fit(
    rows: Sequence[Mapping[str, float]],
    agrees: Sequence[bool],
    *,
    coverages: Sequence[float] = COVERAGES,
    seed: int = 0,
) -> Scorer:
    """A score from rows of `features.evidence` and whether each agreed with the reference (or was right).

    Rows where all agree, or none, teach nothing: the score is then the same for all, under the name of `EVERYTHING`.
    Raises ValueError without rows, or if `agrees` is not as long.
    """
    if len(rows) != len(agrees) or not rows:
        raise ValueError(f"{len(rows)} rows with {len(agrees)} outcomes: there must be as many, and at least one")
    if all(agrees) or not any(agrees):
        return EVERYTHING
    forest = grow(rows, agrees, seed=seed)
    thresholds = grid(out_of_fold(rows, agrees, seed=seed), coverages)
    version = blake2b(msgspec.msgpack.encode((forest, thresholds)), digest_size=8).hexdigest()
    return Scorer(version, forest, thresholds, len(rows))


def out_of_fold(
    rows: Sequence[Mapping[str, float]], agrees: Sequence[bool], *, folds: int = FOLDS, seed: int = 0
) -> list[float]:
    """The score of each row from a forest that has not seen it."""
    scores = [0.5] * len(rows)
    for fold in split(agrees, folds, seed):
        held = set(fold)
        kept = [at for at in range(len(rows)) if at not in held]
        if not kept:
            continue
        forest = grow([rows[at] for at in kept], [agrees[at] for at in kept], seed=seed)
        for at in fold:
            scores[at] = forest.answer(rows[at])
    return scores


def split(outcomes: Sequence[bool], folds: int, seed: int) -> list[list[int]]:
    """Row numbers in `folds` parts with about the same share of good outcomes in each; empty parts are left out."""
    dice = random.Random(seed)  # noqa: S311 (no secret)
    order = list(range(len(outcomes)))
    dice.shuffle(order)
    order.sort(key=lambda at: outcomes[at])
    return [part for part in (order[first::folds] for first in range(folds)) if part]
