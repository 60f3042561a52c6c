"""What the store had at the start, read."""

from __future__ import annotations

import logging

import msgspec

from rung.ladder.trust import Cell, Rules, Scorer
from rung.learning import jobs
from rung.learning.jobs import Job
from rung.store import trust as store

log = logging.getLogger("rung.trust")


class Learnt(msgspec.Struct):
    """As a learner takes it over."""

    cells: dict[str, Cell]
    scorers: dict[str, Scorer]
    jobs: list[Job]
    spent_pico: int
    costs: dict[str, int]
    cascades: dict[str, bytes]


def read(kept: store.TrustStore, day: str, rules: Rules) -> Learnt:
    """For a thread. What is of another version of rung is left out, and said."""
    raw = kept.load(day)
    found = Learnt({}, {}, [], raw.spent_pico, raw.costs, raw.cascades)
    for name, snapshot in raw.cells.items():
        try:
            found.cells[name] = Cell.restore(msgspec.json.decode(snapshot), rules)
        except (msgspec.MsgspecError, ValueError) as error:
            log.warning("cell %s cannot be read (%s) and starts anew", name, error)
    for base, scorer in raw.scorers.items():
        try:
            found.scorers[base] = msgspec.json.decode(scorer, type=Scorer)
        except msgspec.MsgspecError:
            log.warning("a score cannot be read any more; its cells start anew")
    for name, job in raw.jobs:
        try:
            found.jobs.append(jobs.read(job))
        except msgspec.MsgspecError:
            kept.put(store.end_job(name))
    return found
