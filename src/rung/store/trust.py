"""What has been learnt about cells, and what learning may still cost: labels, snapshots, jobs, money.

Unlike the ledger nothing here is ever dropped: the queue has no limit of its own, because everything that feeds it
is bounded (`rung.learning`). One `put` is one transaction, so that a label, the cell it changed, the job it ends
and the money it took are on disk together or not at all.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from rung.store.db import Database, open_database, open_reader
from rung.store.migrations import TRUST
from rung.store.writer import Writer

log = logging.getLogger("rung.store")

KEEP_SERVED = 30 * 86400.0
"""seconds for which feedback on an answer is understood"""

KEEP_DAYS = 400
"""days of spends and changes that are kept"""

KEEP_LABELS = 200_000
"""the newest labels that are kept; a cell's state does not need the old ones"""

STUCK = 2000
"""puts that wait for a disk, after which learning stops until it writes again"""

ACTIONS = ("reset", "pin", "close")

Statement = tuple[str, tuple[Any, ...]]


class Label(msgspec.Struct, gc=False):
    """One comparison. Field for field a column of `labels`."""

    cell: str
    epoch: int
    at: float
    kind: str
    request_id: str
    session: bytes
    fingerprint: bytes
    probability: float
    score: float
    disagrees: bool
    comparator: str
    reason: str
    cost_pico: int | None
    evidence: str
    """JSON object of figures; no text"""


class Order(msgspec.Struct):
    """What a person told a cell: `action` is one of `ACTIONS`."""

    id: int
    cell: str
    action: str


class Learnt(msgspec.Struct):
    """What a gateway takes over at its start."""

    cells: dict[str, bytes]
    """snapshots by cell"""
    jobs: list[tuple[str, bytes]]
    """(id, job), the oldest first"""
    spent_pico: int
    """of today: settled, and reserved where nothing was settled"""
    scorers: dict[str, bytes]
    """by what their cells have in common"""
    costs: dict[str, int]
    """pico-dollars of all labels, by cell"""
    cascades: dict[str, bytes]
    """books by check and model"""


_LABEL = f"INSERT INTO labels ({', '.join(Label.__struct_fields__)}) VALUES ({', '.join('?' * 14)})"  # noqa: S608


def save_cell(cell: str, snapshot: bytes, at: float) -> Statement:
    return "INSERT OR REPLACE INTO cells (cell, updated_at, snapshot) VALUES (?, ?, ?)", (cell, at, snapshot)


def forget_cell(cell: str) -> Statement:
    return "DELETE FROM cells WHERE cell = ?", (cell,)


def save_scorer(base: str, scorer: bytes) -> Statement:
    return "INSERT OR REPLACE INTO scorers (base, scorer) VALUES (?, ?)", (base, scorer)


def save_cascade(name: str, book: bytes) -> Statement:
    return "INSERT OR REPLACE INTO cascades (name, book) VALUES (?, ?)", (name, book)


def save_label(label: Label) -> Statement:
    return _LABEL, msgspec.structs.astuple(label)


def save_job(job_id: str, job: bytes, at: float) -> Statement:
    return "INSERT OR REPLACE INTO jobs (id, created_at, job) VALUES (?, ?, ?)", (job_id, at, job)


def end_job(job_id: str) -> Statement:
    return "DELETE FROM jobs WHERE id = ?", (job_id,)


def reserve(spend_id: str, day: str, pico: int) -> Statement:
    return "INSERT INTO spends (id, day, reserved_pico) VALUES (?, ?, ?)", (spend_id, day, pico)


def settle(spend_id: str, pico: int) -> Statement:
    return "UPDATE spends SET settled_pico = ? WHERE id = ?", (pico, spend_id)


def save_served(request_id: str, tenant: str, cell: str, at: float) -> Statement:
    return "INSERT OR REPLACE INTO served (request_id, at, tenant, cell) VALUES (?, ?, ?, ?)", (
        request_id,
        at,
        tenant,
        cell,
    )


def save_feedback(request_id: str, tenant: str, verdict: str, corrected: bool, cell: str, at: float) -> Statement:
    return (
        "INSERT OR REPLACE INTO feedback (request_id, at, tenant, verdict, corrected, cell) VALUES (?, ?, ?, ?, ?, ?)",
        (request_id, at, tenant, verdict, corrected, cell),
    )


def save_change(cell: str, what: str, at: float) -> Statement:
    return "INSERT INTO changes (cell, what, at) VALUES (?, ?, ?)", (cell, what, at)


def end_order(order_id: int) -> Statement:
    return "DELETE FROM orders WHERE id = ?", (order_id,)


class TrustStore:
    """The file at `path`. `put` may be called from the event loop; everything else blocks."""

    def __init__(self, path: Path, writer: Writer, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.label = f"trust {path}"
        self._clock = clock
        self._database = Database(path, TRUST, self._tidy)
        self._writer = writer
        self._channel = writer.channel(self, None)

    def put(self, *statements: Statement) -> None:
        """Queue what must be on disk together; never blocks, never raises."""
        self._channel.put(statements)

    @property
    def stuck(self) -> bool:
        """Does so much wait for the disk that nothing more should be put? Nothing is dropped, so somebody must stop."""
        return self._channel.queued >= STUCK

    def flush(self, seconds: float) -> bool:
        """Block until all that was put is on disk; False if it is not within `seconds`."""
        return self._writer.flush(seconds)

    def load(self, day: str) -> Learnt:
        """What is there. Raises StoreError, sqlite3.Error or OSError if the file cannot be used."""
        if not self.path.exists():
            return Learnt({}, [], 0, {}, {}, {})
        with closing(open_database(self.path, TRUST)) as db:
            cells = {cell: bytes(snapshot) for cell, snapshot in db.execute("SELECT cell, snapshot FROM cells")}
            jobs = [(name, bytes(job)) for name, job in db.execute("SELECT id, job FROM jobs ORDER BY created_at")]
            spent = db.execute(_SPENT, (day,)).fetchone()[0]
            scorers = {base: bytes(scorer) for base, scorer in db.execute("SELECT base, scorer FROM scorers")}
            costs = dict(db.execute(_COSTS).fetchall())
            cascades = {name: bytes(book) for name, book in db.execute("SELECT name, book FROM cascades")}
        return Learnt(cells, jobs, spent, scorers, costs, cascades)

    def evidence(self, cell: str) -> list[tuple[str, bool]]:
        """(evidence, disagrees) of a cell's labels, the oldest first; for a thread."""
        with closing(open_reader(self.path, TRUST)) as db:
            found = db.execute("SELECT evidence, disagrees FROM labels WHERE cell = ? ORDER BY id", (cell,))
            return [(row["evidence"], bool(row["disagrees"])) for row in found]

    def orders(self) -> list[Order]:
        """What people have told since; for a thread."""
        if not self.path.exists():
            return []
        with closing(open_reader(self.path, TRUST)) as db:
            return [Order(**dict(row)) for row in db.execute("SELECT id, cell, action FROM orders ORDER BY id")]

    def served(self, request_id: str) -> tuple[str, str] | None:
        """(tenant, cell) of an answer given under a promise, None if this is none; for a thread."""
        if not self.path.exists():
            return None
        with closing(open_reader(self.path, TRUST)) as db:
            row = db.execute("SELECT tenant, cell FROM served WHERE request_id = ?", (request_id,)).fetchone()
        return None if row is None else (row["tenant"], row["cell"])

    def write(self, rows: list[tuple[Statement, ...]]) -> None:
        """See `writer.Sink`."""

        def work(db: sqlite3.Connection) -> None:
            for statements in rows:
                for sql, values in statements:
                    db.execute(sql, values)

        self._database.write(work)

    def close(self) -> None:
        """See `writer.Sink`."""
        self._database.close()

    def _tidy(self, db: sqlite3.Connection) -> None:
        now = self._clock()
        db.execute("DELETE FROM served WHERE at < ?", (now - KEEP_SERVED,))
        oldest = time.strftime("%Y-%m-%d", time.gmtime(now - KEEP_DAYS * 86400))
        db.execute("DELETE FROM spends WHERE day < ?", (oldest,))
        db.execute("DELETE FROM feedback WHERE at < ?", (now - KEEP_DAYS * 86400,))
        db.execute("DELETE FROM changes WHERE at < ?", (now - KEEP_DAYS * 86400,))
        db.execute("DELETE FROM labels WHERE id <= (SELECT max(id) FROM labels) - ?", (KEEP_LABELS,))


_COSTS = "SELECT cell, coalesce(sum(cost_pico), 0) FROM labels GROUP BY cell"
_JUDGED = "SELECT cell, count(*) FROM labels WHERE comparator LIKE 'judged%' GROUP BY cell"
_SPENT = "SELECT coalesce(sum(coalesce(settled_pico, reserved_pico)), 0) FROM spends WHERE day = ?"


def today(at: float) -> str:
    """The day money is counted for: UTC, ``2026-11-22``."""
    return time.strftime("%Y-%m-%d", time.gmtime(at))


class Kept(msgspec.Struct):
    """What a command shows without a gateway: the file as it is."""

    cells: dict[str, bytes]
    orders: list[Order]
    jobs: int
    spent_pico: int
    changes: list[tuple[float, str, str]]
    """(unix seconds, cell, what), the newest last"""
    feedback: dict[str, tuple[int, int]]
    """(right, wrong) by cell"""
    costs: dict[str, int]
    """pico-dollars of all labels, by cell"""
    judged: dict[str, int]
    """labels that a judge has made, by cell"""


NOTHING = Kept({}, [], 0, 0, [], {}, {}, {})


def read(path: Path, at: float, *, changes: int = 200) -> Kept:
    """The file of this installation at the time `at` (unix seconds). Raises StoreError if it cannot be read."""
    with closing(open_reader(path, TRUST)) as db:
        told = db.execute("SELECT at, cell, what FROM changes ORDER BY id DESC LIMIT ?", (changes,)).fetchall()
        words = db.execute(
            "SELECT cell, sum(verdict = 'right') AS good, sum(verdict = 'wrong') AS bad FROM feedback GROUP BY cell"
        )
        return Kept(
            {row["cell"]: bytes(row["snapshot"]) for row in db.execute("SELECT cell, snapshot FROM cells")},
            [Order(**dict(row)) for row in db.execute("SELECT id, cell, action FROM orders ORDER BY id")],
            db.execute("SELECT count(*) FROM jobs").fetchone()[0],
            db.execute(_SPENT, (today(at),)).fetchone()[0],
            [(row["at"], row["cell"], row["what"]) for row in reversed(told)],
            {row["cell"]: (row["good"], row["bad"]) for row in words},
            dict(db.execute(_COSTS).fetchall()),
            dict(db.execute(_JUDGED).fetchall()),
        )


def give_order(path: Path, cell: str, action: str, at: float) -> None:
    """Tell a cell something; a gateway on this file takes it within seconds, or when it next starts.

    Raises ValueError for an unknown `action`, StoreError or sqlite3.Error if the file cannot be written.
    """
    if action not in ACTIONS:
        raise ValueError(f"{action!r} is none of {', '.join(ACTIONS)}")
    with closing(open_database(path, TRUST)) as db:
        db.execute("INSERT INTO orders (at, cell, action) VALUES (?, ?, ?)", (at, cell, action))
