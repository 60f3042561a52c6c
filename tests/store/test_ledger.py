"""The ledger's rows: written behind, read back, forgotten in time; on disks that fail in every way."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from store_fakes import Clock, a_row, until

from rung.errors import StoreError
from rung.store import db as db_module
from rung.store import writer as writer_module
from rung.store.ledger import TOGETHER, ClimbRow, Ledger, tail, totals
from rung.store.migrations import LEDGER
from rung.store.writer import Writer


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    monkeypatch.setattr(writer_module, "INTERVAL", 0.01)
    monkeypatch.setattr(db_module, "BUSY_SECONDS", 0.01)
    monkeypatch.setattr(db_module, "TIDY_EVERY", 0.0)
    writer = Writer()
    yield writer
    writer.close(0.1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def names(path: Path, count: int = 1000) -> list[str]:
    return [row["request_id"] for row in tail(path, count)]


def recorded(writer: Writer, path: Path, *rows: ClimbRow, **options: Any) -> Ledger:
    ledger = Ledger(path, writer, **{"clock": Clock(), **options})
    for row in rows:
        ledger.record(row)
    assert writer.flush(5)
    return ledger


FULL = a_row(
    "r1",
    door="openai",
    tenant="t",
    session="s",
    requested_model="auto",
    task="math",
    mode="strong",
    stream=True,
    model_version="m-1",
    status=502,
    finish_reason="stop",
    error_code="cut",
    cache="miss",
    first_content_ms=2.5,
    input_tokens=1,
    cache_read_tokens=2,
    cache_write_tokens=3,
    output_tokens=4,
    reasoning_tokens=5,
    cost_pico=2**62,
    simulated=True,
    unproved=True,
    fingerprint=b"0123456789abcdef",
    attempts=b'[{"rung":"exact"}]',
    purpose="audit",
)


def test_every_field_comes_back_as_it_was(writer: Writer, path: Path) -> None:
    recorded(writer, path, FULL, a_row("bare"))

    full, bare = tail(path)

    assert full == {"id": 1, **msgspec.structs.asdict(FULL), "attempts": '[{"rung":"exact"}]'}
    assert bare["cost_pico"] is None
    assert bare["input_tokens"] is None


def test_the_schema_and_the_row_have_the_same_columns(writer: Writer, path: Path) -> None:
    recorded(writer, path, a_row())
    with closing(sqlite3.connect(path)) as db:
        columns = [column[1] for column in db.execute("PRAGMA table_info(climbs)")]
        indexed = db.execute("EXPLAIN QUERY PLAN SELECT * FROM climbs WHERE started_at > 1").fetchone()[3]

    assert sorted(columns) == sorted(["id", *ClimbRow.__struct_fields__])
    assert "climbs_started_at" in indexed


def stored_kinds(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [name for (name,) in db.execute("SELECT requested_model FROM kinds ORDER BY id")]


def test_what_rows_have_in_common_is_kept_once(writer: Writer, path: Path) -> None:
    ledger = recorded(writer, path, *(a_row(str(number), requested_model="ab"[number % 2]) for number in range(6)))
    ledger.record(a_row("7", requested_model="a"))
    assert writer.flush(5)

    recorded(writer, path, a_row("8", requested_model="b"))  # as after a restart

    assert stored_kinds(path) == ["a", "b"]
    assert [row["requested_model"] for row in tail(path)] == [*"ababab", "a", "b"]


def test_a_kind_that_somebody_else_has_deleted_is_written_again(writer: Writer, path: Path) -> None:
    ledger = recorded(writer, path, a_row("gone", requested_model="a"))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM rows")
        db.execute("DELETE FROM kinds")
        db.execute("INSERT INTO kinds SELECT 1, '', '', 'other', '', '', 0, 0, '', '', '', '', 0, '', '', '', 0, 0, ''")

    ledger.record(a_row("new", requested_model="a"))

    assert writer.flush(5)
    assert [row["requested_model"] for row in tail(path)] == ["a"]


def test_a_kind_of_a_batch_that_failed_is_written_again(writer: Writer, path: Path) -> None:
    bad = a_row("bad", requested_model="new", input_tokens=2**70)

    ledger = recorded(writer, path, bad, a_row("good", requested_model="new"))

    assert ledger.dropped == 1
    assert [(row["request_id"], row["requested_model"]) for row in tail(path)] == [("good", "new")]


def test_kinds_are_forgotten_with_their_last_row(writer: Writer, path: Path) -> None:
    clock = Clock()
    ledger = recorded(writer, path, a_row("old", requested_model="a"), clock=clock, keep_days=1.0)
    clock.now += 2 * 86400

    for number in range(2):
        ledger.record(a_row(str(number), started_at=clock.now, requested_model="b"))
        assert writer.flush(5)

    assert stored_kinds(path) == ["b"]
    assert names(path) == ["0", "1"]


def test_a_ledger_of_the_first_schema_keeps_its_climbs(writer: Writer, path: Path) -> None:
    rows = [FULL, a_row("bare"), a_row("same")]
    columns = [name for name in ClimbRow.__struct_fields__ if name != "purpose"]
    with closing(sqlite3.connect(path)) as db:
        db.executescript(LEDGER[0] + "PRAGMA user_version = 1;")
        for row in rows:
            told = {**msgspec.structs.asdict(row), "attempts": row.attempts.decode()}
            places = ", ".join("?" * len(columns))
            db.execute(
                f"INSERT INTO climbs ({', '.join(columns)}) VALUES ({places})",
                [told[name] for name in columns],
            )
        db.commit()

    recorded(writer, path, a_row("new"))

    kept = list(tail(path))
    assert kept[0] == {"id": 1, **msgspec.structs.asdict(FULL), "attempts": FULL.attempts.decode(), "purpose": ""}
    assert [row["request_id"] for row in kept] == ["r1", "bare", "same", "new"]


@pytest.mark.parametrize(
    ("store_text", "private", "kept"), [(False, False, False), (True, False, True), (True, True, False)]
)
def test_text_is_kept_only_where_asked_and_never_of_a_private_call(
    writer: Writer, path: Path, store_text: bool, private: bool, kept: bool
) -> None:
    row = a_row(private=private, request_text=b"my prompt", answer_text=b"its answer")

    recorded(writer, path, row, store_text=store_text)

    told = next(tail(path))
    assert (told["request_text"], told["answer_text"]) == ((b"my prompt", b"its answer") if kept else (None, None))
    writer.close()
    assert (b"my prompt" in b"".join(file.read_bytes() for file in path.parent.iterdir())) is kept


def test_no_path_is_no_ledger(writer: Writer) -> None:
    ledger = Ledger(None, writer)

    ledger.record(a_row())

    assert writer.flush(0)
    assert ledger.dropped == 0


def test_tail_shows_the_last_and_follows_what_comes(writer: Writer, path: Path) -> None:
    ledger = recorded(writer, path, *(a_row(str(number)) for number in range(5)))
    coming = [["5", "6"], [], ["7"]]

    def wait(seconds: float) -> None:
        if not coming:
            raise KeyboardInterrupt
        for name in coming.pop(0):
            ledger.record(a_row(name))
        assert writer.flush(5)

    seen = []
    rows = tail(path, 2, follow=True, wait=wait)
    with suppress(KeyboardInterrupt):
        while True:
            seen.append(next(rows)["request_id"])

    assert seen == ["3", "4", "5", "6", "7"]
    assert names(path, 0) == []


def test_totals_add_up_per_rung_and_model(writer: Writer, path: Path) -> None:
    recorded(
        writer,
        path,
        a_row(input_tokens=10, output_tokens=2, cost_pico=5, total_ms=10),
        a_row(input_tokens=1, cache_read_tokens=7, reasoning_tokens=3, cost_pico=6, total_ms=20),
        a_row(cost_pico=None, total_ms=90, outcome="cut"),
        a_row(rung="exact", cost_pico=0),
        a_row(rung="", model="", outcome="failed", cost_pico=1),
        a_row(cost_pico=4, purpose="audit"),
        a_row(started_at=999_000.0),
    )

    cloud, none, exact, audit = totals(path, 999_999.0)

    assert (cloud.rung, cloud.calls, cloud.answered, cloud.input_tokens, cloud.cache_read_tokens) == (
        "cloud",
        3,
        2,
        11,
        7,
    )
    assert (cloud.output_tokens, cloud.reasoning_tokens, cloud.cost_pico, cloud.unknown_costs) == (2, 3, 11, 1)
    assert cloud.mean_ms == 15
    assert (none.rung, none.answered, none.cost_pico, none.mean_ms) == ("", 0, 1, None)
    assert (exact.rung, exact.calls, exact.cost_pico) == ("exact", 1, 0)
    assert (audit.purpose, audit.rung, audit.calls, audit.cost_pico) == ("audit", "cloud", 1, 4)
    assert totals(path, 2_000_000.0) == []


def test_rows_too_old_are_forgotten(writer: Writer, path: Path) -> None:
    day = 86400.0
    rows = [a_row(str(age), started_at=1_000_000.0 - age * day) for age in (0, 1, 2.5, 3.5, 9)]

    recorded(writer, path, *rows, keep_days=3)
    writer.close()

    assert names(path) == ["0", "1", "2.5"]


def test_the_oldest_go_when_the_file_is_too_large(writer: Writer, path: Path) -> None:
    limit = 300_000
    rows = [a_row(str(number), started_at=1_000_000.0 + number, session="x" * 1000) for number in range(1000)]

    recorded(writer, path, *rows, keep_bytes=limit)
    writer.close()

    kept = names(path)
    assert kept == [str(number) for number in range(1000)][-len(kept) :]
    assert limit / 3 < path.stat().st_size <= limit


@pytest.fixture
def opened_with(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Statements run on every connection a database opens: what makes a good disk bad."""
    statements: list[str] = []

    def open_database(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
        db = db_open(path, migrations)
        for statement in statements:
            db.execute(statement)
        return db

    db_open = db_module.open_database
    monkeypatch.setattr(db_module, "open_database", open_database)
    return statements


def test_a_full_disk_costs_rows_and_never_a_call(
    writer: Writer, path: Path, opened_with: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    opened_with.append("PRAGMA max_page_count = 1")
    ledger = Ledger(path, writer, queue_limit=50, clock=Clock())
    for number in range(100):
        ledger.record(a_row(str(number), session="x" * 4000))

    until(lambda: "database or disk is full" in caplog.text)
    assert (ledger.dropped, names(path)) == (50, [])
    opened_with.clear()
    assert writer.flush(5)
    assert names(path) == [str(number) for number in range(50)]


def test_a_place_that_cannot_be_written_degrades(
    writer: Writer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    ledger = Ledger(tmp_path / "file" / "ledger.sqlite3", writer, queue_limit=5)

    for _ in range(9):
        ledger.record(a_row())

    until(lambda: len(caplog.records) == 1)
    assert not writer.close(0.1)
    assert ledger.dropped == 9


def test_a_read_only_file_degrades_and_heals(
    writer: Writer, path: Path, opened_with: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    opened_with.append("PRAGMA query_only = 1")
    ledger = Ledger(path, writer, clock=Clock())
    ledger.record(a_row("a"))

    until(lambda: "cannot write (attempt to write a readonly database)" in caplog.text)
    opened_with.clear()
    assert writer.flush(5)
    assert names(path) == ["a"]
    assert ledger.dropped == 0


def test_a_locked_file_is_waited_for(writer: Writer, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = recorded(writer, path, a_row("a"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ledger.record(a_row("b"))
        until(lambda: "locked" in caplog.text)
        other.execute("ROLLBACK")

    assert writer.flush(5)
    assert names(path) == ["a", "b"]


def test_a_corrupted_file_is_moved_aside_and_the_rows_are_kept(
    writer: Writer, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b"no database at all, but long enough to be looked at" * 50)

    recorded(writer, path, a_row("a"))

    assert names(path) == ["a"]
    assert len([file for file in path.parent.iterdir() if ".corrupt-" in file.name]) == 1
    assert "corrupted" in caplog.text


def test_a_newer_file_is_left_alone_and_rows_are_dropped(writer: Writer, path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(LEDGER) + 1}")

    ledger = recorded(writer, path, a_row())

    assert ledger.dropped == 1
    with pytest.raises(StoreError, match="newer rung"):
        names(path)


def test_a_number_sqlite_cannot_hold_costs_one_row(writer: Writer, path: Path) -> None:
    ledger = recorded(writer, path, a_row("a"), a_row("b", cost_pico=2**63), a_row("c"))

    assert names(path) == ["a", "c"]
    assert ledger.dropped == 1


def test_there_is_no_ledger_yet(path: Path) -> None:
    with pytest.raises(StoreError, match="rung serve"):
        list(tail(path))
    with pytest.raises(StoreError, match="rung serve"):
        totals(path, 0)


def test_many_rows_written_together_keep_their_order_and_their_own_values(writer: Writer, path: Path) -> None:
    """More than one statement takes, and some left over, of two kinds."""
    rows = [a_row(f"r{number}", session=f"s{number}", tenant=f"t{number % 2}") for number in range(2 * TOGETHER + 3)]
    recorded(writer, path, *rows)
    told = [(row["request_id"], row["session"], row["tenant"]) for row in tail(path, 100)]
    assert told == [(row.request_id, row.session, row.tenant) for row in rows]
