"""The ledger: one row for every climb, written behind, kept for as long and as large as the user said."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from rung.store.db import Database, open_reader
from rung.store.migrations import LEDGER
from rung.store.writer import Channel, Writer

TIDY_ROWS = 5000
"""rows deleted at once, so that a reader is never locked out for long"""

TOGETHER = 10
"""rows of one statement: beginning and ending one takes as long as two rows"""

POLL = 0.25
"""seconds between two looks of a follower"""


class ClimbRow(msgspec.Struct, gc=False):
    """One climb. Field for field a column of `climbs` (`migrations.LEDGER`): what is its own, from `door` on what many
    climbs have in common, the texts.

    `started_at` is in unix seconds, `*_ms` in milliseconds, tokens as in `rung.answer.Usage` (None where
    nobody told), `cost_pico` in 10^-12 USD (None: unknown). `outcome` is answered, failed, cut or cancelled;
    `cache` is hit, miss, bypass or empty; `attempts` a JSON list. The two texts are kept only where
    the ledger was told to, and never those of a private call. `purpose` is empty for what a caller asked,
    else why rung itself asked (``shadow``, ``audit``, ``judge``, ``repeat``): part of the bill, not of the traffic.
    """

    request_id: str
    started_at: float
    session: str = ""
    first_content_ms: float | None = None
    total_ms: float = 0.0
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_pico: int | None = None
    fingerprint: bytes | None = None
    attempts: bytes = b"[]"
    door: str = "openai"
    tenant: str = "local"
    requested_model: str = ""
    task: str = ""
    mode: str = "auto"
    private: bool = False
    stream: bool = False
    outcome: str = "answered"
    rung: str = ""
    model: str = ""
    model_version: str = ""
    status: int = 200
    finish_reason: str | None = None
    error_code: str | None = None
    cache: str = ""
    simulated: bool = False
    unproved: bool = False
    purpose: str = ""
    request_text: bytes | None = None
    answer_text: bytes | None = None


_COLUMNS = ClimbRow.__struct_fields__
_DOOR, _TEXT = _COLUMNS.index("door"), _COLUMNS.index("request_text")
_OWN, _COMMON, _TEXTS = _COLUMNS[:_DOOR], _COLUMNS[_DOOR:_TEXT], _COLUMNS[_TEXT:]
_FINGERPRINT, _ATTEMPTS = _OWN.index("fingerprint"), _OWN.index("attempts")

KINDS = 2048
"""kinds of climbs that are read from the file; twice as many are remembered"""


def _insert_into(table: str, columns: tuple[str, ...], rows: int = 1) -> str:
    places = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([places] * rows)}"  # noqa: S608


@cache
def _insertion(columns: int, rows: int = 1) -> str:
    """The statement for so many of the columns and `rows` rows."""
    return _insert_into("rows", (*_OWN, "kind", *_TEXTS)[:columns], rows)


_INSERT_KIND = _insert_into("kinds", _COMMON)
_SELECT_KINDS = f"SELECT id, {', '.join(_COMMON)} FROM kinds ORDER BY id DESC LIMIT ?"  # noqa: S608
_SELECT = f"SELECT id, {', '.join(_COLUMNS)} FROM climbs"  # noqa: S608


class Ledger:
    """The file at `path` (None: no ledger, `record` does nothing).

    `queue_limit`: rows that may wait for the disk; beyond it rows are dropped and counted. Rows older than
    `keep_days`, and the oldest beyond `keep_bytes` of file, are deleted now and then. `clock`: unix seconds.
    """

    def __init__(
        self,
        path: Path | None,
        writer: Writer,
        *,
        queue_limit: int = 10_000,
        keep_days: float = 90.0,
        keep_bytes: int = 1024 * 1024 * 1024,
        store_text: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.label = f"ledger {path}"
        self.store_text = store_text
        self._keep_days = keep_days
        self._keep_bytes = keep_bytes
        self._clock = clock
        self._database: Database | None = None
        self._kinds: dict[tuple[Any, ...], int] = {}
        self._kinds_of: tuple[int, int] | None = None  # the state of the file they were read from
        self.channel: Channel | None = None
        if path is not None:
            self._database = Database(path, LEDGER, self._tidy)
            self.channel = writer.channel(self, queue_limit)

    def record(self, row: ClimbRow) -> None:
        """Queue `row`; never blocks, never raises."""
        if self.channel is not None:
            self.channel.put(row)

    @property
    def dropped(self) -> int:
        """Rows given up since the start."""
        return self.channel.dropped if self.channel is not None else 0

    def write(self, rows: list[Any]) -> None:
        """See `writer.Sink`."""
        if self._database is not None:
            self._database.write(lambda db: self._insert(db, rows))

    def close(self) -> None:
        """See `writer.Sink`."""
        if self._database is not None:
            self._database.close()

    def _insert(self, db: sqlite3.Connection, rows: list[ClimbRow]) -> None:
        state = (id(db), db.execute("PRAGMA data_version").fetchone()[0])
        # Numbers hold only as long as nobody else has written to the file, and this transaction may be rolled back.
        kinds = self._kinds if state == self._kinds_of and len(self._kinds) < 2 * KINDS else _kinds(db)
        self._kinds_of = None
        for start in range(0, len(rows), TOGETHER):  # each statement lets the event loop's thread go on
            told = [
                [*_values(db, row, kinds), *(_texts(row) if self.store_text else ())]
                for row in rows[start : start + TOGETHER]
            ]
            db.execute(_insertion(len(told[0]), len(told)), list(chain.from_iterable(told)))
        self._kinds, self._kinds_of = kinds, state

    def _tidy(self, db: sqlite3.Connection) -> None:
        """Delete what is too old, then the oldest rows until the rest fits."""
        oldest = self._clock() - self._keep_days * 86400
        gone = 0
        while (deleted := db.execute(_DELETE_OLD, (oldest, TIDY_ROWS)).rowcount) > 0:
            gone += deleted
        if gone:
            self._forget_kinds(db)
        while (over := _bytes_used(db) - self._keep_bytes) > 0:
            count = db.execute("SELECT count(*) FROM rows").fetchone()[0]
            share = min(1.0, 1.1 * over / _bytes_used(db))
            doomed = min(max(int(count * share), 1), TIDY_ROWS)
            if db.execute(_DELETE_OLDEST, (doomed,)).rowcount <= 0:
                break
            self._forget_kinds(db)
        db.executescript("PRAGMA incremental_vacuum;")  # `execute` would free one page only

    def _forget_kinds(self, db: sqlite3.Connection) -> None:
        """Delete the kinds that no row is of any more."""
        self._kinds_of = None
        db.execute(_DELETE_KINDS)


def _kinds(db: sqlite3.Connection) -> dict[tuple[Any, ...], int]:
    """The newest kinds and their numbers."""
    return {tuple(told): number for number, *told in reversed(db.execute(_SELECT_KINDS, (KINDS,)).fetchall())}


def _values(db: sqlite3.Connection, row: ClimbRow, kinds: dict[tuple[Any, ...], int]) -> list[Any]:
    """All columns but the texts; a kind that is not in `kinds` is written down. sqlite3 takes int, float, str and
    bytearray as they are; for anything else it asks for an adapter first, which takes longer than the insertion."""
    told = msgspec.structs.astuple(row)
    values = list(told[:_DOOR])
    if row.fingerprint is not None:
        values[_FINGERPRINT] = bytearray(row.fingerprint)
    values[_ATTEMPTS] = row.attempts.decode()
    common = told[_DOOR:_TEXT]
    kind = kinds.get(common)
    if kind is None:
        kind = kinds[common] = db.execute(_INSERT_KIND, common).lastrowid or 0
    values.append(kind)
    return values


def _texts(row: ClimbRow) -> list[bytes | None]:
    return [None, None] if row.private else [row.request_text, row.answer_text]


_DELETE_OLD = "DELETE FROM rows WHERE id IN (SELECT id FROM rows WHERE started_at < ? LIMIT ?)"
_DELETE_OLDEST = "DELETE FROM rows WHERE id IN (SELECT id FROM rows ORDER BY started_at LIMIT ?)"
_DELETE_KINDS = "DELETE FROM kinds WHERE id NOT IN (SELECT kind FROM rows)"


def _bytes_used(db: sqlite3.Connection) -> int:
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def tail(
    path: Path,
    count: int = 10,
    *,
    follow: bool = False,
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[dict[str, Any]]:
    """The last `count` climbs, oldest first, as columns by name; with `follow` then every new one, for ever.

    Raises StoreError if the ledger cannot be read. `wait` is called with seconds between two looks.
    """
    with closing(open_reader(path, LEDGER)) as db:
        last = 0
        for row in reversed(db.execute(f"{_SELECT} ORDER BY id DESC LIMIT ?", (count,)).fetchall()):
            last = row["id"]
            yield dict(row)
        if not last:
            last = db.execute("SELECT coalesce(max(id), 0) FROM climbs").fetchone()[0]
        while follow:
            wait(POLL)
            for row in db.execute(f"{_SELECT} WHERE id > ? ORDER BY id LIMIT 1000", (last,)).fetchall():
                last = row["id"]
                yield dict(row)


@dataclass(slots=True)
class Total:
    """What one rung and model did. Costs in pico-dollars; `unknown_costs` calls have none and are not in it."""

    rung: str
    model: str
    purpose: str
    calls: int
    answered: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_pico: int
    unknown_costs: int
    mean_ms: float | None
    simulated: int


_TOTALS = """
SELECT rung, model, purpose, count(*) AS calls, sum(outcome = 'answered') AS answered,
    coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(cache_read_tokens), 0) AS cache_read_tokens,
    coalesce(sum(cache_write_tokens), 0) AS cache_write_tokens, coalesce(sum(output_tokens), 0) AS output_tokens,
    coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens, coalesce(sum(cost_pico), 0) AS cost_pico,
    sum(cost_pico IS NULL) AS unknown_costs, avg(CASE WHEN outcome = 'answered' THEN total_ms END) AS mean_ms,
    sum(simulated) AS simulated
FROM climbs WHERE started_at >= ? GROUP BY purpose, rung, model ORDER BY purpose, calls DESC, rung, model
"""


def totals(path: Path, since: float) -> list[Total]:
    """Climbs since `since` (unix seconds) per purpose, rung and model, callers' own and the busiest first.

    Rung "" answered nothing.

    Raises StoreError if the ledger cannot be read.
    """
    with closing(open_reader(path, LEDGER)) as db:
        return [Total(**dict(row)) for row in db.execute(_TOTALS, (since,))]
