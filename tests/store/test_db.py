"""Opening files: schemas, versions, corruption, locks."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rung.errors import StoreError
from rung.store import db as db_module
from rung.store.db import Database, open_database, open_reader
from rung.store.migrations import CACHE, LEDGER

FIRST = "CREATE TABLE things (name TEXT);"
SECOND = "ALTER TABLE things ADD COLUMN size INTEGER; UPDATE things SET size = 1;"


def broken(path: Path) -> None:
    """A file with a good header and rubbish behind it."""
    open_database(path, (FIRST,)).close()
    data = bytearray(path.read_bytes())
    data[100:] = b"\xff" * (len(data) - 100)  # the header has 100 bytes
    path.write_bytes(data)


def test_a_new_file_gets_the_newest_schema_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.sqlite3"
    with closing(open_database(path, (FIRST, SECOND))) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (1,)
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_file_that_is_just_being_made_is_not_old(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    path.touch()
    with pytest.raises(StoreError, match="being made"):
        open_reader(path, (FIRST,))


def test_an_old_file_is_brought_up_to_date_with_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    with closing(open_database(path, (FIRST,))) as db:
        db.execute("INSERT INTO things VALUES ('a')")
    with pytest.raises(StoreError, match="older schema"):
        open_reader(path, (FIRST, SECOND))

    with closing(open_database(path, (FIRST, SECOND))) as db:
        assert db.execute("SELECT * FROM things").fetchall() == [("a", 1)]
    with closing(open_reader(path, (FIRST, SECOND))) as db, pytest.raises(sqlite3.OperationalError):
        db.execute("DELETE FROM things")


def test_two_that_open_a_new_file_at_once_both_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.sqlite3"
    look = db_module._version

    def looked(db: sqlite3.Connection) -> int:
        version = look(db)
        monkeypatch.setattr(db_module, "_version", look)
        open_database(path, (FIRST, SECOND)).close()  # between our look and our migration
        return version

    monkeypatch.setattr(db_module, "_version", looked)
    with closing(open_database(path, (FIRST, SECOND))) as db:
        assert db.execute("SELECT count(*), max(size) FROM things").fetchone() == (0, None)
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    open_database(path, (FIRST,)).close()
    with pytest.raises(sqlite3.OperationalError):
        open_database(path, (FIRST, "CREATE TABLE more (a); CREATE TABLE things (a);"))

    with closing(open_reader(path, (FIRST,))) as db:
        assert [row["name"] for row in db.execute("SELECT name FROM sqlite_master")] == ["things"]


def test_a_file_of_a_newer_rung_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    open_database(path, (FIRST, SECOND)).close()
    before = path.read_bytes()

    for opener in (open_database, open_reader):
        with pytest.raises(StoreError, match="newer rung"):
            opener(path, (FIRST,))
    assert path.read_bytes() == before


@pytest.mark.parametrize("corrupt", [broken, lambda path: path.write_bytes(b"this is no database" * 100)])
def test_a_broken_file_is_moved_aside_and_a_new_one_started(
    tmp_path: Path, corrupt: object, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.sqlite3"
    corrupt(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(StoreError, match="cannot read"):
        open_reader(path, (FIRST,))

    with closing(open_database(path, (FIRST,))) as db:
        db.execute("INSERT INTO things VALUES ('a')")

    aside = [file for file in tmp_path.iterdir() if ".corrupt-" in file.name]
    assert [file.read_bytes() for file in aside] == [before]
    assert "moved" in caplog.text


def test_corruption_found_while_writing_is_healed_by_the_next_write(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite3", (FIRST,), lambda db: None)

    def stumble(db: sqlite3.Connection) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    database.write(lambda db: db.execute("INSERT INTO things VALUES ('a')"))
    with pytest.raises(sqlite3.DatabaseError):
        database.write(stumble)
    database.write(lambda db: db.execute("INSERT INTO things VALUES ('b')"))
    database.close()

    with closing(open_reader(tmp_path / "x.sqlite3", (FIRST,))) as db:
        assert [row["name"] for row in db.execute("SELECT name FROM things")] == ["b"]


def test_a_write_is_whole_or_not_at_all(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite3", (FIRST,), lambda db: None)

    def half(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO things VALUES ('a')")
        db.execute("INSERT INTO nothing VALUES ('a')")

    with pytest.raises(sqlite3.OperationalError):
        database.write(half)
    database.write(lambda db: db.execute("INSERT INTO things VALUES ('b')"))
    database.close()

    with closing(open_reader(tmp_path / "x.sqlite3", (FIRST,))) as db:
        assert [row["name"] for row in db.execute("SELECT name FROM things")] == ["b"]


def test_a_failing_tidy_is_only_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def tidy(db: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    database = Database(tmp_path / "x.sqlite3", (FIRST,), tidy)
    database.write(lambda db: db.execute("INSERT INTO things VALUES ('a')"))
    database.close()

    assert "could not be tidied" in caplog.text


def test_a_reader_says_when_there_is_nothing_yet(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="appears with the first call"):
        open_reader(tmp_path / "x.sqlite3", LEDGER)


def test_the_schemas_are_sound(tmp_path: Path) -> None:
    for name, migrations in (("ledger", LEDGER), ("cache", CACHE)):
        with closing(open_database(tmp_path / name, migrations)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
