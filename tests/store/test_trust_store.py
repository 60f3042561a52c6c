"""What is learnt outlives the process, whole or not at all; text of calls does not outlive its job."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from store_fakes import Clock

from rung.errors import StoreError
from rung.store import db as db_module
from rung.store import trust
from rung.store import writer as writer_module
from rung.store.migrations import TRUST
from rung.store.trust import Label, TrustStore
from rung.store.writer import Writer

DAY = "1970-01-12"  # of the clock's first second


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    monkeypatch.setattr(writer_module, "INTERVAL", 0.01)
    monkeypatch.setattr(db_module, "TIDY_EVERY", 0.0)
    writer = Writer()
    yield writer
    writer.close(0.1)


@pytest.fixture
def kept(writer: Writer, tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "trust.sqlite3", writer, clock=Clock())


def a_label(cell: str = "c1", **told: object) -> Label:
    known: dict[str, object] = {
        "cell": cell,
        "epoch": 1,
        "at": 1.0,
        "kind": "audit",
        "request_id": "r1",
        "session": b"s",
        "fingerprint": b"f",
        "probability": 0.03,
        "score": 0.5,
        "disagrees": True,
        "comparator": "json",
        "reason": "values",
        "cost_pico": None,
        "evidence": '{"slips":1.0}',
    }
    return Label(**{**known, **told})  # type: ignore[arg-type]


def columns(path: Path, table: str) -> list[dict[str, object]]:
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(f"SELECT * FROM {table}")]


def test_nothing_is_made_by_looking(kept: TrustStore) -> None:
    assert kept.load(DAY) == trust.Learnt({}, [], 0, {}, {}, {})
    assert not kept.path.exists()
    with pytest.raises(StoreError, match="appears with the first call"):
        trust.read(kept.path, 0.0)


def test_what_was_learnt_comes_back(kept: TrustStore) -> None:
    kept.put(trust.save_cell("c1", b"first", 1.0), trust.save_job("j2", b"two", 2.0), trust.save_job("j1", b"one", 1.0))
    kept.put(
        trust.save_cell("c1", b"second", 2.0),
        trust.save_label(a_label()),
        trust.save_label(a_label(disagrees=False, cost_pico=3)),
    )
    kept.put(trust.reserve("s1", DAY, 10), trust.reserve("s2", DAY, 100), trust.reserve("s3", "1970-01-11", 1000))
    kept.put(trust.settle("s1", 7), trust.save_scorer("b1", b"weights"), trust.save_cascade("x", b"{}"))
    assert kept.flush(5)

    learnt = kept.load(DAY)

    assert learnt.cells == {"c1": b"second"}
    assert learnt.jobs == [("j1", b"one"), ("j2", b"two")]
    assert learnt.spent_pico == 107
    assert (learnt.scorers, learnt.costs) == ({"b1": b"weights"}, {"c1": 3})
    assert learnt.cascades == {"x": b"{}"}
    assert kept.evidence("c1") == [('{"slips":1.0}', True), ('{"slips":1.0}', False)]
    (label, _) = columns(kept.path, "labels")
    assert {name: label[name] for name in ("probability", "disagrees", "cost_pico")} == {
        "probability": 0.03,
        "disagrees": 1,
        "cost_pico": None,
    }


def test_a_put_is_written_whole_or_not_at_all(kept: TrustStore, caplog: pytest.LogCaptureFixture) -> None:
    kept.put(trust.reserve("s1", DAY, 2**70), trust.save_cell("bad", b"", 1.0))
    kept.put(trust.save_cell("good", b"", 1.0), trust.end_job("j1"))
    assert kept.flush(5)

    assert list(kept.load(DAY).cells) == ["good"]
    assert "a row could not be stored" in caplog.text


def test_the_text_of_a_call_goes_with_its_job(kept: TrustStore) -> None:
    kept.put(trust.save_job("j1", b"the words of a call", 1.0))
    assert kept.flush(5)
    kept.put(trust.save_label(a_label()), trust.end_job("j1"))
    assert kept.flush(5)

    assert columns(kept.path, "jobs") == []
    assert not any(b"the words" in bytes(str(columns(kept.path, table)), "utf-8") for table in ("labels", "changes"))


def test_old_things_are_forgotten_and_labels_are_not(kept: TrustStore) -> None:
    now = Clock().now
    kept.put(trust.save_served("old", "t", "c1", now - trust.KEEP_SERVED - 1), trust.save_served("new", "t", "c1", now))
    kept.put(trust.save_label(a_label()))
    assert kept.flush(5)

    assert kept.served("old") is None
    assert kept.served("new") == ("t", "c1")
    assert len(columns(kept.path, "labels")) == 1


def test_orders_reach_the_gateway_and_are_taken_once(kept: TrustStore) -> None:
    trust.give_order(kept.path, "c1", "close", 1.0)
    with pytest.raises(ValueError, match="reset, pin, close"):
        trust.give_order(kept.path, "c1", "open", 1.0)

    (order,) = kept.orders()
    assert (order.cell, order.action) == ("c1", "close")
    kept.put(trust.end_order(order.id))
    assert kept.flush(5)
    assert kept.orders() == []


def test_what_a_command_shows(kept: TrustStore) -> None:
    kept.put(trust.save_cell("c1", b"x", 1.0), trust.save_job("j1", b"y", 1.0), trust.reserve("s1", DAY, 5))
    for request, verdict in (("r1", "right"), ("r1", "wrong"), ("r2", "wrong"), ("r3", "right")):
        kept.put(trust.save_feedback(request, "t", verdict, False, "c1", 1.0))
    for number in range(3):
        kept.put(trust.save_change("c1", f"change {number}", float(number)))
    assert kept.flush(5)

    kept.put(trust.save_label(a_label()), trust.save_label(a_label(comparator="judged by a:b", cost_pico=9)))
    assert kept.flush(5)
    shown = trust.read(kept.path, Clock().now, changes=2)

    assert (shown.cells, shown.jobs, shown.spent_pico) == ({"c1": b"x"}, 1, 5)
    assert shown.changes == [(1.0, "c1", "change 1"), (2.0, "c1", "change 2")]
    assert (shown.costs, shown.judged) == ({"c1": 9}, {"c1": 1})
    assert shown.feedback == {"c1": (1, 2)}  # the last word of a caller counts


def test_the_schema_is_sound(tmp_path: Path) -> None:
    with closing(db_module.open_database(tmp_path / "x", TRUST)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = [row[1] for row in db.execute("PRAGMA table_info(labels)")]
    assert found == ["id", *Label.__struct_fields__]
