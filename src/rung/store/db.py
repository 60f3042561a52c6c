"""Opening SQLite files: WAL, migrations, and what to do with a file that is broken.

Everything here blocks; call it from the writer thread, a worker thread or a command.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rung.errors import StoreError

log = logging.getLogger("rung.store")

BUSY_SECONDS = 1.0
"""how long a statement waits for another process's lock"""

TIDY_EVERY = 600.0
"""seconds between two looks at age and size"""

_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""https://www.sqlite.org/rescode.html"""


class Database:
    """A file that is opened when first written to, and again after trouble. For the writer thread.

    `tidy` is called with the connection every `TIDY_EVERY` seconds at most, after a write; its failure is
    only a warning.
    """

    def __init__(self, path: Path, migrations: Sequence[str], tidy: Callable[[sqlite3.Connection], None]) -> None:
        self.path = path
        self._migrations = migrations
        self._tidy = tidy
        self._tidied: float | None = None
        self._db: sqlite3.Connection | None = None

    def write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Run `work` in one transaction. Raises as `open_database` and as `work` do; then nothing is written.

        A file found to be corrupted is moved aside before the error is raised: the next write starts anew.
        """
        try:
            if self._db is None:
                self._db = open_database(self.path, self._migrations)
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                work(self._db)
        except sqlite3.DatabaseError as error:
            if is_corrupt(error):
                self.close()
                move_aside(self.path)
            raise
        now = time.monotonic()
        if self._tidied is None or now - self._tidied >= TIDY_EVERY:
            self._tidied = now
            try:
                self._tidy(self._db)
            except sqlite3.Error as error:
                log.warning("%s could not be tidied: %s", self.path, error)

    def scrub(self) -> None:
        """Leave nothing of deleted rows in the file or its log: VACUUM, then an empty WAL. For files held by one
        process; raises sqlite3.Error while somebody else reads."""
        if self._db is not None:
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file; a later `write` opens it again."""
        if self._db is not None:
            self._db.close()
            self._db = None


def open_database(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    """Open `path` for writing, making it and its folder if need be, at the newest schema.

    A file that is not a database, or a corrupted one, is moved aside (`move_aside`) and a new one started.

    Raises StoreError if a newer rung wrote the file, sqlite3.Error or OSError if it cannot be used now
    (locked, read-only, full); those may pass.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return _open(path, migrations)
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
        move_aside(path)
        return _open(path, migrations)


def open_reader(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    """Open `path` to read only; rows are `sqlite3.Row`.

    Raises StoreError if there is no such file, if it is no database, or of another schema than this rung's.
    """
    if not path.exists():
        raise StoreError(f"there is no {path} yet; it appears with the first call (rung serve)")
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        try:
            _check_version(db, path, migrations)
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise StoreError(f"cannot read {path}: {error}") from None
    db.row_factory = sqlite3.Row
    return db


def is_corrupt(error: BaseException) -> bool:
    """Does SQLite say the file itself is broken?"""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _CORRUPT


def move_aside(path: Path) -> Path | None:
    """Rename a broken database, with its WAL, to ``<name>.corrupt-<UTC time>``; where it is now."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        try:
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")
        except FileNotFoundError:
            continue
    log.warning("%s is corrupted; it was moved to %s and a new one was started", path, aside.name)
    return aside


def _open(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        version = _version(db)
        if version > len(migrations):
            raise _newer(path, version, migrations)
        if version == 0:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only takes effect before the first table
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA cache_size = -512")  # kibibytes: what is appended is hardly ever read again
        for step in range(version, len(migrations)):
            _migrate(db, step, migrations[step])
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # reads the schema, where rubbish shows
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection, step: int, migration: str) -> None:
    """One step, unless somebody else has just done it: two processes may open a new file at the same time."""
    try:
        db.executescript(f"BEGIN IMMEDIATE;\n{migration}\nPRAGMA user_version = {step + 1};\nCOMMIT;")
    except sqlite3.OperationalError:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if _version(db) <= step:
            raise


def _check_version(db: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    version = _version(db)
    if version > len(migrations):
        raise _newer(path, version, migrations)
    if not version:
        raise StoreError(f"{path} is being made at this moment; try again")
    if version < len(migrations):
        raise StoreError(f"{path} has an older schema ({version}); start rung serve once to bring it up to date")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _newer(path: Path, version: int, migrations: Sequence[str]) -> StoreError:
    return StoreError(
        f"{path} was written by a newer rung (schema {version}, this one knows {len(migrations)}); "
        "upgrade rung or move the file away"
    )
