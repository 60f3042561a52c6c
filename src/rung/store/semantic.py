"""The semantic cache's file: the truth about what is stored. Indexes and what is held in memory are made from it.

Written behind like the exact cache's: a full queue costs entries on disk, never a call. An entry is one row, so that
a prompt's vector and its answer are on disk together or not at all.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from rung.answer import Usage
from rung.store.db import Database, open_database, open_reader
from rung.store.migrations import SEMANTIC
from rung.store.stored import Stored
from rung.store.writer import Writer

log = logging.getLogger("rung.store")

QUEUE_LIMIT = 5000
"""changes waiting for the disk; beyond it the disk misses some entries, the memory none"""

PURGE_WAIT = 60.0
"""seconds a purge has to reach the disk"""

_COLUMNS = (
    "id", "scope", "tenant", "created", "expires", "used", "hits", "answer", "signature", "digest", "embedder",
    "vector", "prompt", "meta", "data",
)  # fmt: skip
_PUT = f"INSERT OR REPLACE INTO entries ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_USED = "UPDATE entries SET used = ?, hits = ? WHERE id = ?"
_REMOVE = "DELETE FROM entries WHERE id = ?"
_EMBEDDED = "UPDATE entries SET vector = ?, embedder = ? WHERE id = ?"
_LEARNT = "INSERT OR REPLACE INTO scopes (scope, tenant, updated, embedder, told, snapshot) VALUES (?, ?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM scopes WHERE scope = ?"

Statement = tuple[str, tuple[Any, ...]]


class Entry(msgspec.Struct, gc=False):
    """One prompt and its answer.

    `vector`: little-endian 16-bit floats, empty once an index holds it. `prompt` None: only hashes were stored.
    `signature`: `Decision.key` of the prompt; `answer`: its number among the scope's.
    """

    id: int
    scope: bytes
    tenant: str
    created: float
    expires: float
    answer: int
    signature: int
    digest: bytes
    prompt: str | None
    stored: Stored
    embedder: str = ""
    vector: bytes = b""
    used: float = 0.0
    hits: int = 0

    @property
    def size(self) -> int:
        """Bytes this entry counts for: its answer, its prompt, its vector twice (an index has links)."""
        return self.stored.size + 2 * len(self.prompt or "") + 1200


class _Meta(msgspec.Struct):
    """All of a `Stored` that has no column of its own."""

    shape: str
    model: str
    rung: str
    usage: Usage | None
    cost: int | None
    mode: str
    finish_reason: str
    model_version: str
    stripped: tuple[str, ...]
    simulated: bool


class Scope(msgspec.Struct):
    """What was learnt about one scope. `told`: JSON, its cell as people see it."""

    scope: bytes
    tenant: str
    updated: float
    embedder: str
    told: bytes
    snapshot: bytes | None = None


def digest(prompt: str) -> bytes:
    """16 bytes; equal for prompts that differ in case and white space only."""
    return blake2b(" ".join(prompt.casefold().split()).encode("utf-8", "replace"), digest_size=16).digest()


class _Purge(msgspec.Struct):
    """A place in the queue after which nothing of the deleted rows is left on disk."""

    statements: list[Statement]
    done: threading.Event
    removed: list[int]
    error: str = ""


class SemanticStore:
    """The file at `path`. `put` and its kind never block; `load`, `scopes` and `purge` do.

    `with_text` False: prompts are stored as hashes only.
    """

    def __init__(
        self, path: Path, writer: Writer, *, with_text: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        self.label = f"semantic cache {path}"
        self.path = path
        self._with_text = with_text
        self._clock = clock
        self._database = Database(path, SEMANTIC, self._tidy)
        self._writer = writer
        self.channel = writer.channel(self, QUEUE_LIMIT)

    def put(self, entry: Entry) -> None:
        """Queue an entry, whose `vector` must be there, for the disk."""
        self.channel.put(((_PUT, _values(entry, with_text=self._with_text)),))

    def used(self, entries: Iterable[tuple[float, int, int]]) -> None:
        """(when last, hits, id) of entries that were served."""
        if statements := tuple((_USED, values) for values in entries):
            self.channel.put(statements)

    def remove(self, entries: Iterable[int]) -> None:
        if statements := tuple((_REMOVE, (entry,)) for entry in entries):
            self.channel.put(statements)

    def embedded(self, entry: int, vector: bytes, embedder: str) -> None:
        """An entry's vector was made anew."""
        self.channel.put(((_EMBEDDED, (vector, embedder, entry)),))

    def learnt(self, scope: Scope) -> None:
        """Keep what was learnt about a scope, in the place of what was known."""
        told = scope.told.decode()
        row = (scope.scope, scope.tenant, scope.updated, scope.embedder, told, scope.snapshot)
        self.channel.put(((_LEARNT, row),))

    def load(self, scope: bytes, now: float) -> tuple[Scope | None, list[Entry]]:
        """What is known of a scope, its live entries the oldest first. Raises StoreError, sqlite3.Error, OSError."""
        if not self.path.exists():
            return None, []
        with closing(open_database(self.path, SEMANTIC)) as db:
            found = db.execute(
                "SELECT scope, tenant, updated, embedder, told, snapshot FROM scopes WHERE scope = ?", (scope,)
            ).fetchone()
            columns = ", ".join(_COLUMNS)
            rows = db.execute(
                f"SELECT {columns} FROM entries WHERE scope = ? AND expires > ? ORDER BY id",  # noqa: S608
                (scope, now),
            )
            entries = [_entry(row) for row in rows]
        return None if found is None else _scope(found), entries

    def known(self) -> tuple[int, set[bytes]]:
        """-> (the highest id given so far, scopes there are). Raises as `load`."""
        if not self.path.exists():
            return 0, set()
        with closing(open_database(self.path, SEMANTIC)) as db:
            highest = db.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()[0]
            return highest, {bytes(scope) for (scope,) in db.execute("SELECT DISTINCT scope FROM entries")}

    def purge(self, tenant: str | None, match: str | None) -> int:
        """Delete entries of `tenant` (None: anybody's) that hold `match` (None: all), and what was learnt from them.

        -> how many. When it returns, nothing of them is in the file or its log. Raises OSError if that could not be
        done within `PURGE_WAIT` seconds.
        """
        if not self.path.exists() and not self.channel.queued:
            return 0
        where, values = purged(tenant, match)
        learnt = f"DELETE FROM scopes WHERE scope IN (SELECT scope FROM entries WHERE {where})"  # noqa: S608
        statements: list[Statement] = [(learnt, values)]
        if match is None:
            statements.append(("DELETE FROM scopes WHERE ? IS NULL OR tenant = ?", (tenant, tenant)))
        statements.append((f"DELETE FROM entries WHERE {where}", values))  # noqa: S608
        order = _Purge(statements, threading.Event(), [])
        self.channel.put(order)
        self._writer.flush(PURGE_WAIT)
        if not order.done.is_set() or order.error:
            raise OSError(f"{self.path} could not be purged: {order.error or 'its disk does not answer'}")
        return order.removed[-1]

    def flush(self, seconds: float) -> bool:
        """Block until all that was put is on disk; False if it is not within `seconds`."""
        return self._writer.flush(seconds)

    def write(self, rows: list[Any]) -> None:
        """See `writer.Sink`."""
        orders = [row for row in rows if isinstance(row, _Purge)]

        def apply(db: sqlite3.Connection) -> None:
            db.execute("PRAGMA secure_delete = ON")
            for row in rows:
                if isinstance(row, _Purge):
                    row.removed = [db.execute(sql, values).rowcount for sql, values in row.statements]
                else:
                    for sql, values in row:
                        db.execute(sql, values)

        self._database.write(apply)
        if orders:
            error = ""
            try:
                self._database.scrub()
            except sqlite3.Error as failed:
                error = str(failed)
            for order in orders:
                order.error = error
                order.done.set()

    def close(self) -> None:
        """See `writer.Sink`."""
        self._database.close()

    def _tidy(self, db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM entries WHERE expires < ?", (self._clock(),))
        db.execute("DELETE FROM scopes WHERE updated < ?", (self._clock() - KEEP_SCOPES,))
        db.executescript("PRAGMA incremental_vacuum;")


KEEP_SCOPES = 90 * 86400.0
"""seconds for which what was learnt about a scope is kept without being used"""


def purged(tenant: str | None, match: str | None) -> tuple[str, tuple[Any, ...]]:
    """The condition of a purge, and its values. `match`: a text in the prompt or the answer, in any case of ASCII.

    A prompt of which only the hash is stored is found by the whole of its text.
    """
    where = "(? IS NULL OR tenant = ?)"
    if match is None:
        return where, (tenant, tenant)
    held = f"%{match.replace('~', '~~').replace('%', '~%').replace('_', '~_')}%"
    quoted = msgspec.json.encode(match).decode()[1:-1]  # as it stands in a JSON answer
    also = f"%{quoted.replace('~', '~~').replace('%', '~%').replace('_', '~_')}%"
    like = "prompt LIKE ? ESCAPE '~' OR CAST(data AS TEXT) LIKE ? ESCAPE '~' OR CAST(data AS TEXT) LIKE ? ESCAPE '~'"
    return f"{where} AND (digest = ? OR {like})", (tenant, tenant, digest(match), held, held, also)


def listed(path: Path, tenant: str | None, match: str | None, limit: int) -> Iterator[Entry]:
    """Entries in the file, the newest first; for commands. Raises StoreError."""
    where, values = purged(tenant, match)
    with closing(open_reader(path, SEMANTIC)) as db:
        columns = ", ".join(_COLUMNS)
        found = f"SELECT {columns} FROM entries WHERE {where} ORDER BY created DESC, id DESC LIMIT ?"  # noqa: S608
        for row in db.execute(found, (*values, limit)):
            yield _entry(tuple(row))


def scopes(path: Path) -> list[Scope]:
    """What was learnt, without the snapshots, the last used first; for commands. Raises StoreError."""
    with closing(open_reader(path, SEMANTIC)) as db:
        found = db.execute("SELECT scope, tenant, updated, embedder, told FROM scopes ORDER BY updated DESC")
        return [_scope((*row, None)) for row in found]


def restored(told: Any) -> Entry:
    """An entry of its plain values (`msgspec.to_builtins`). Raises msgspec.ValidationError."""
    return msgspec.convert(told, Entry)


def _scope(row: tuple[Any, ...]) -> Scope:
    scope, tenant, updated, embedder, told, snapshot = row
    return Scope(scope, tenant, updated, embedder, told.encode(), snapshot)


def _values(entry: Entry, *, with_text: bool) -> tuple[Any, ...]:
    meta = _Meta(**{name: getattr(entry.stored, name) for name in _Meta.__struct_fields__})
    return (
        entry.id, entry.scope, entry.tenant, entry.created, entry.expires, entry.used, entry.hits, entry.answer,
        entry.signature, entry.digest, entry.embedder, entry.vector, entry.prompt if with_text else None,
        msgspec.json.encode(meta), entry.stored.data,
    )  # fmt: skip


def _entry(row: tuple[Any, ...]) -> Entry:
    meta = msgspec.json.decode(row[13], type=_Meta)
    stored = Stored(data=row[14], tenant=row[2], created=row[3], **msgspec.structs.asdict(meta))
    return Entry(
        row[0], row[1], row[2], row[3], row[4], row[7], row[8], row[9], row[12], stored, row[10], row[11],
        row[5], row[6],
    )  # fmt: skip
