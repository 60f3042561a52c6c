"""Cells as plain data: for ``rung trust``, the dashboard and ``/readyz``. The same from a gateway and from its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from rung.ladder.trust import Cell, Change, explain, forecast
from rung.learning.keys import reference_of

if TYPE_CHECKING:
    from rung.learning.learner import Learner

ORDER = ("open", "shadow", "quarantined", "closed")


def describe(name: str, cell: Cell, learning_pico: int | None = 0) -> dict[str, Any]:
    """One cell. Shares are between 0 and 1, money in pico-dollars; None: not known, or not possible at this rate.

    `disagreement` and `upper` are of the calls it may answer once it is open, of all its calls before: `of` says
    which. `share` is how many of its calls it may answer. `learning_pico` is all that its labels cost.
    """
    key, ahead = cell.key, forecast(cell)
    reference, _, simulated = reference_of(key)
    opened = ahead.accepted_labels > 0
    return {
        "cell": name,
        "task": key.task,
        "rung": key.rung,
        "model": key.model,
        "version": key.version,
        "reference": reference,
        "simulated": simulated,
        "score": key.score,
        "limit": key.limit,
        "state": cell.state,
        "reason": cell.reason,
        "pinned": cell.pinned,
        "epoch": cell.epoch,
        "labels": round(ahead.labels),
        "of": "answers it may give" if opened else "all its calls",
        "denominator": round(ahead.accepted_labels if opened else ahead.labels),
        "disagreement": ahead.accepted_disagreement if opened else ahead.disagreement,
        "upper": ahead.accepted_upper if opened else ahead.upper,
        "confidence": 1 - cell.rules.delta,
        "threshold": cell.threshold,
        "share": ahead.coverage if cell.threshold is not None else 0.0,
        "labels_missing": ahead.labels_missing,
        "sessions_missing": ahead.sessions_missing,
        "must_go_up": ahead.escalation_floor,
        "answers": round(cell.answers),
        "saved_pico": cell.saved,
        "spent_pico": cell.spent,
        "net_pico": cell.saved - cell.spent,
        "learning_pico": learning_pico,
    }


def words(cell: Cell) -> list[str]:
    """Why a cell is as it is and what it lacks, a sentence a line."""
    reference, _, simulated = reference_of(cell.key)
    told = f"{cell.key.task} on {cell.key.model}, held against {reference}"
    return [f"{told}{' (simulated: it says nothing about the real one)' if simulated else ''}.", *explain(cell)]


def ordered(cells: Mapping[str, Cell]) -> list[tuple[str, Cell]]:
    """Open ones first, then by task and model."""
    return sorted(
        cells.items(), key=lambda told: (ORDER.index(told[1].state), told[1].key.task, told[1].key.model, told[0])
    )


def report(learner: Learner, waits: Mapping[str, str]) -> dict[str, Any]:
    """What a gateway tells: ``cells`` (`describe`, with ``waiting`` comparisons and why), ``queue``, ``money``, and
    ``calls``: what became of the calls that could have been compared."""
    cells = []
    for name, cell in ordered(learner.cells):
        told = describe(name, cell, learner.costs.get(name, 0))
        told["waiting"] = len(learner.queues.get(name, ()))
        told["waits_for"] = waits.get(name, "")
        cells.append(told)
    return {
        "cells": cells,
        "queue": {"waiting": learner.waiting, "limit": learner.told.queue},
        "money": {"spent_today_pico": learner.purse.spent_pico, "daily_pico": learner.purse.daily_pico},
        "calls": dict(learner.counts),
    }


_WORDS = {
    "opened": "opened",
    "widened": "opened further",
    "closed": "closed",
    "quarantined": "closed and quarantined",
    "shadow": "gathers evidence anew",
}


def sentence(change: Change) -> str:
    """``opened (evidence), epoch 1, for scores from 0.8``."""
    reach = "" if change.threshold is None else f", for scores from {change.threshold:.2g}"
    return f"{_WORDS[change.what]} ({change.reason}), epoch {change.epoch}{reach}"


def restored(snapshot: bytes) -> Cell | None:
    """A cell of the file, None if it is of another version of rung."""
    try:
        return Cell.restore(msgspec.json.decode(snapshot))
    except (msgspec.MsgspecError, ValueError):
        return None
