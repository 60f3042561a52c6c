"""Where a model may not answer everything, it may answer the better part: a score, made from labels of its own.

The labels a score is made from never certify it: its cell begins anew, with thresholds fixed beforehand.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec
import orjson

from rung.ladder.trust import Cell, forecast
from rung.ladder.trust.score import EVERYTHING, Scorer, fit
from rung.learning.keys import base_of, cell_id
from rung.learning.learner import Learner
from rung.store import trust as store

log = logging.getLogger("rung.trust")

LABELS = 100
"""labels without a hope of answering everything, after which a score is made; again at every doubling"""


def due(cell: Cell) -> bool:
    """Has this cell seen enough to know that it will not open for everything?"""
    labels = round(cell.opening.labels)
    if cell.key.score != EVERYTHING.version or cell.state != "shadow" or labels < LABELS:
        return False
    times = labels / LABELS
    return times == int(times) and int(times) & (int(times) - 1) == 0 and forecast(cell).labels_missing is None


async def refit(learner: Learner, cell: Cell) -> None:
    """Make a score if it is time, and begin a cell for it in the place of the old one."""
    if not due(cell):
        return
    name = base_of(cell.key)
    await asyncio.to_thread(learner.kept.flush, 5.0)
    found = await asyncio.to_thread(learner.kept.evidence, cell_id(cell.key))
    scorer = await asyncio.to_thread(_fitted, found)
    if scorer.forest is None or len(scorer.thresholds) < 2:
        return  # it tells good answers from bad ones as little as before
    learner.replace(cell, msgspec.structs.replace(cell.key, score=scorer.version), scorer.thresholds)
    learner.scorers[name] = scorer
    learner.kept.put(store.save_scorer(name, msgspec.json.encode(scorer)))


def _fitted(found: list[tuple[str, bool]]) -> Scorer:
    """Takes seconds: for a thread."""
    rows = [orjson.loads(evidence) for evidence, _ in found]
    return fit(rows, [not disagrees for _, disagrees in found])
