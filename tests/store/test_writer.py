"""The writer thread: batches, bounded queues, counted drops, disks that refuse."""

import logging
import sqlite3
import threading
from collections.abc import Iterator

import pytest
from store_fakes import FakeSink

from rung.errors import StoreError
from rung.store import writer as writer_module
from rung.store.writer import BATCH, Writer


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    monkeypatch.setattr(writer_module, "INTERVAL", 0.01)
    writer = Writer()
    yield writer
    writer.close(0.1)


def test_rows_arrive_in_order_and_in_batches(writer: Writer) -> None:
    sink = FakeSink()
    channel = writer.channel(sink, 5000)
    sink.gate.clear()

    for number in range(2000):
        channel.put(number)
    sink.gate.set()

    assert writer.flush(5)
    assert sink.rows == list(range(2000))
    assert max(sink.batches) == BATCH
    assert (channel.written, channel.dropped, channel.queued) == (2000, 0, 0)


def test_a_full_queue_drops_and_counts(writer: Writer) -> None:
    sink = FakeSink()
    sink.gate.clear()
    channel = writer.channel(sink, 10)

    for number in range(25):
        channel.put(number)
    sink.gate.set()

    assert writer.flush(5)
    assert sink.rows == list(range(10))
    assert (channel.written, channel.dropped) == (10, 15)


def test_an_unlimited_channel_never_drops(writer: Writer) -> None:
    sink = FakeSink()
    sink.gate.clear()
    channel = writer.channel(sink, None)
    for number in range(20_000):
        channel.put(number)
    sink.gate.set()

    assert writer.flush(5)
    assert (channel.written, channel.dropped) == (20_000, 0)


def test_a_disk_that_refuses_for_a_while_loses_nothing_and_warns_once(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    sink = FakeSink()
    channel = writer.channel(sink, 100)
    sink.error = sqlite3.OperationalError("database or disk is full")
    channel.put("a")
    for _ in range(3):
        assert sink.tried.wait(5)
        sink.tried.clear()
    channel.put("b")
    sink.error = None

    assert writer.flush(5)
    assert sink.rows == ["a", "b"]
    assert sink.closed >= 3
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "fake: cannot write (database or disk is full); calls go on, their records wait in a bounded queue"
    ]


def test_one_broken_disk_does_not_stop_the_other(writer: Writer) -> None:
    broken, good = FakeSink(), FakeSink()
    broken.error = OSError("gone")
    lost, kept = writer.channel(broken, 100), writer.channel(good, 100)
    lost.put(1)
    assert broken.tried.wait(5)
    kept.put(2)

    assert not writer.flush(0.1)
    assert (good.rows, lost.queued) == ([2], 1)


def test_a_bad_row_costs_only_itself(writer: Writer) -> None:
    sink = FakeSink()
    channel = writer.channel(sink, 100)
    sink.gate.clear()
    for row in ("a", "bad", "b"):
        channel.put(row)
    sink.gate.set()

    assert writer.flush(5)
    assert sink.rows == ["a", "b"]
    assert (channel.written, channel.dropped) == (2, 1)


def test_a_file_that_can_never_be_written_drops_everything(writer: Writer, caplog: pytest.LogCaptureFixture) -> None:
    sink = FakeSink()
    sink.error = StoreError("written by a newer rung")
    channel = writer.channel(sink, 100)
    for _ in range(2):
        channel.put("a")
        assert writer.flush(5)

    assert (channel.dropped, channel.written) == (2, 0)
    assert len(caplog.records) == 1


def test_closing_writes_what_is_queued_and_closes_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "INTERVAL", 60.0)
    writer = Writer()
    sink = FakeSink()
    writer.channel(sink, 100).put("a")

    assert writer.close()
    assert writer.close()
    assert sink.rows == ["a"]
    assert sink.closed == 1
    assert not [thread for thread in threading.enumerate() if thread is writer._thread]


def test_closing_on_a_broken_disk_counts_the_rest(writer: Writer) -> None:
    sink = FakeSink()
    sink.error = OSError("gone")
    channel = writer.channel(sink, 100)
    channel.put("a")

    assert not writer.close(0.1)
    assert (channel.dropped, channel.queued) == (1, 0)


async def test_putting_never_blocks_the_loop(writer: Writer) -> None:
    """The guard against blocking calls watches this test."""
    sink = FakeSink()
    channel = writer.channel(sink, 10_000)
    for number in range(3000):
        channel.put(number)

    while channel.queued:  # the loop stays free while the thread writes
        await _turn()
    assert sink.rows == list(range(3000))


async def _turn() -> None:
    import asyncio

    await asyncio.sleep(0.001)
