"""The exact cache's file: read once at start, written behind. Private answers never come here."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from rung.answer import Usage
from rung.errors import StoreError
from rung.store.db import Database, open_database
from rung.store.migrations import CACHE
from rung.store.stored import Stored
from rung.store.writer import Writer

log = logging.getLogger("rung.store")

QUEUE_LIMIT = 2000
"""changes waiting for the disk; beyond it the disk misses some answers, the memory none"""

_PUT = "INSERT OR REPLACE INTO entries (key, tenant, created, size, meta, data) VALUES (?, ?, ?, ?, ?, ?)"
_REMOVE = "DELETE FROM entries WHERE key = ?"
_PURGE = "DELETE FROM entries WHERE tenant = ?"
_PURGE_ALL = "DELETE FROM entries"


class _Meta(msgspec.Struct):
    """All of a `Stored` that has no column of its own."""

    shape: str
    model: str
    rung: str
    usage: Usage | None
    cost: int | None
    unproved: bool
    mode: str
    finish_reason: str
    model_version: str
    tool_calls: bool
    stripped: tuple[str, ...]
    simulated: bool


class DiskCache:
    """A file of stored answers, of at most `max_bytes`, none older than `ttl` seconds."""

    def __init__(
        self,
        path: Path,
        writer: Writer,
        *,
        max_bytes: int = 256 * 1024 * 1024,
        ttl: float = 24 * 3600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.label = f"exact cache {path}"
        self._path = path
        self._max_bytes = max_bytes
        self._ttl = ttl
        self._clock = clock
        self._database = Database(path, CACHE, self._tidy)
        self.channel = writer.channel(self, QUEUE_LIMIT)

    def put(self, key: bytes, entry: Stored) -> None:
        """Queue `entry` for the disk; never blocks."""
        self.channel.put((_PUT, key, entry))

    def remove(self, key: bytes) -> None:
        self.channel.put((_REMOVE, key, None))

    def purge(self, tenant: str | None) -> None:
        self.channel.put((_PURGE_ALL, None, None) if tenant is None else (_PURGE, tenant, None))

    def load(self, oldest: float, max_bytes: int) -> list[tuple[bytes, Stored]]:
        """Entries created after `oldest` (unix seconds), newest first, up to `max_bytes` of them.

        Blocks. A file that cannot be read gives nothing and a warning; a corrupted one is moved aside.
        """
        if not self._path.exists():
            return []
        try:
            db = open_database(self._path, CACHE)
            try:
                return _read(db, oldest, max_bytes)
            finally:
                db.close()
        except (sqlite3.Error, OSError, StoreError, msgspec.MsgspecError) as error:
            log.warning("%s cannot be read (%s); starting with an empty cache", self.label, error)
            return []

    def write(self, rows: list[Any]) -> None:
        """See `writer.Sink`."""

        def apply(db: sqlite3.Connection) -> None:
            for statement, key, entry in rows:
                db.execute(statement, _parameters(key, entry))

        self._database.write(apply)

    def close(self) -> None:
        """See `writer.Sink`."""
        self._database.close()

    def _tidy(self, db: sqlite3.Connection) -> None:
        """Drop what is too old, then the oldest until the rest fits."""
        db.execute("DELETE FROM entries WHERE created < ?", (self._clock() - self._ttl,))
        db.execute(
            """
            DELETE FROM entries WHERE key IN (
                SELECT key FROM (SELECT key, sum(size) OVER (ORDER BY created DESC, key) AS total FROM entries)
                WHERE total > ?
            )
            """,
            (self._max_bytes,),
        )
        db.executescript("PRAGMA incremental_vacuum;")  # `execute` would free one page only


def _parameters(key: Any, entry: Stored | None) -> tuple[Any, ...]:
    if entry is None:
        return () if key is None else (key,)
    meta = _Meta(**{name: getattr(entry, name) for name in _Meta.__struct_fields__})
    return (key, entry.tenant, entry.created, entry.size, msgspec.json.encode(meta), entry.data)


def _read(db: sqlite3.Connection, oldest: float, max_bytes: int) -> list[tuple[bytes, Stored]]:
    found: list[tuple[bytes, Stored]] = []
    total = 0
    rows = db.execute(
        "SELECT key, tenant, created, meta, data FROM entries WHERE created > ? ORDER BY created DESC", (oldest,)
    )
    for key, tenant, created, packed, data in rows:
        meta = msgspec.json.decode(packed, type=_Meta)
        entry = Stored(data=data, tenant=tenant, created=created, **msgspec.structs.asdict(meta))
        total += entry.size
        if total > max_bytes:
            break
        found.append((key, entry))
    return found
