"""The exact cache's file: read at start, written behind, never with private answers."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from store_fakes import Clock, an_entry

from rung.answer import Usage
from rung.store import db as db_module
from rung.store import writer as writer_module
from rung.store.exact import ExactCache
from rung.store.exact_disk import DiskCache
from rung.store.writer import Writer


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    monkeypatch.setattr(writer_module, "INTERVAL", 0.01)
    monkeypatch.setattr(db_module, "TIDY_EVERY", 0.0)
    writer = Writer()
    yield writer
    writer.close(0.1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.sqlite3"


def a_cache(path: Path, writer: Writer, clock: Clock, *, disk_bytes: int = 10**8, **options: Any) -> ExactCache:
    disk = DiskCache(path, writer, max_bytes=disk_bytes, ttl=options.get("ttl", 1000), clock=clock)
    return ExactCache(**{"ttl": 1000, **options}, disk=disk, clock=clock)


def keys(cache: ExactCache) -> list[bytes]:
    """From the least to the most recently used."""
    return list(cache.entries)


def test_what_was_stored_survives_a_restart(writer: Writer, path: Path) -> None:
    clock = Clock()
    first = a_cache(path, writer, clock)
    known = {
        "tenant": "t",
        "usage": Usage(1, 2, 3, 4, 5),
        "cost": 2**60,
        "unproved": True,
        "mode": "local",
        "shape": "stream",
        "finish_reason": "tool_calls",
        "model_version": "v",
        "tool_calls": True,
        "stripped": ("seed",),
        "simulated": True,
    }
    first.put(b"full", an_entry(data=b'data: {"\xc3\xa9":1}\n\n', **known))
    clock.now += 1
    first.put(b"bare", an_entry())
    assert writer.flush(5)
    second = a_cache(path, writer, clock)

    assert asyncio.run(second.load()) == 2

    assert keys(second) == [b"full", b"bare"]
    assert (second.get(b"full"), second.get(b"bare")) == (first.get(b"full"), first.get(b"bare"))
    assert second.stats().bytes == first.stats().bytes


def test_private_answers_never_reach_the_disk(writer: Writer, path: Path) -> None:
    cache = a_cache(path, writer, Clock())
    cache.put(b"secret", an_entry(data=b"my secret", private=True))
    cache.put(b"open", an_entry(data=b"for all"))
    writer.close()

    told = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"for all" in told
    assert b"my secret" not in told
    assert cache.get(b"secret") is not None


def test_the_old_is_not_loaded_and_leaves_the_file(writer: Writer, path: Path) -> None:
    clock = Clock()
    cache = a_cache(path, writer, clock)
    cache.put(b"old", an_entry())
    clock.now += 600
    cache.put(b"new", an_entry())
    assert writer.flush(5)
    clock.now += 500

    again = a_cache(path, writer, clock)
    assert asyncio.run(again.load()) == 1
    assert keys(again) == [b"new"]
    again.put(b"newer", an_entry())
    writer.close()
    assert on_disk(path) == {b"new", b"newer"}


def test_the_file_is_bounded_and_keeps_the_newest(writer: Writer, path: Path) -> None:
    clock = Clock()
    size = an_entry(100).size
    cache = a_cache(path, writer, clock, disk_bytes=3 * size)
    for number in range(10):
        clock.now += 1
        cache.put(bytes([number]), an_entry(100))
    writer.close()

    assert on_disk(path) == {b"\x07", b"\x08", b"\x09"}


def test_memory_takes_the_newest_that_fit(writer: Writer, path: Path) -> None:
    clock = Clock()
    cache = a_cache(path, writer, clock)
    for number in range(10):
        clock.now += 1
        cache.put(bytes([number]), an_entry(100))
    assert writer.flush(5)

    small = a_cache(path, writer, clock, max_bytes=3 * an_entry(100).size)

    assert asyncio.run(small.load()) == 3
    assert keys(small) == [b"\x07", b"\x08", b"\x09"]


def test_what_came_meanwhile_is_newer_than_the_file(writer: Writer, path: Path) -> None:
    clock = Clock()
    a_cache(path, writer, clock).put(b"k", an_entry(data=b"old"))
    assert writer.flush(5)
    cache = a_cache(path, writer, clock)
    cache.put(b"k", an_entry(data=b"new"))

    assert asyncio.run(cache.load()) == 0
    entry = cache.get(b"k")
    assert entry is not None
    assert entry.data == b"new"


def test_purging_reaches_the_disk(writer: Writer, path: Path) -> None:
    cache = a_cache(path, writer, Clock())
    for key, tenant in ((b"a", "one"), (b"b", "two"), (b"c", "one")):
        cache.put(key, an_entry(tenant=tenant))
    cache.purge("one")
    assert writer.flush(5)
    assert on_disk(path) == {b"b"}

    cache.remove(b"b")
    assert writer.flush(5)
    assert on_disk(path) == set()
    cache.put(b"d", an_entry())
    cache.purge()
    assert writer.flush(5)
    assert on_disk(path) == set()


def test_a_purge_while_loading_is_final(writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    a_cache(path, writer, clock).put(b"k", an_entry())
    assert writer.flush(5)
    disk = DiskCache(path, writer, clock=clock)
    cache = ExactCache(disk=disk, clock=clock)
    read = disk.load

    def purged_meanwhile(oldest: float, max_bytes: int) -> Any:
        found = read(oldest, max_bytes)
        cache.purge()
        return found

    monkeypatch.setattr(disk, "load", purged_meanwhile)

    assert asyncio.run(cache.load()) == 0


def test_without_a_file_there_is_nothing_to_load(writer: Writer, path: Path) -> None:
    assert asyncio.run(a_cache(path, writer, Clock()).load()) == 0
    assert asyncio.run(ExactCache().load()) == 0
    assert not path.exists()


def test_a_corrupted_file_is_moved_aside(writer: Writer, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(b"rubbish, but enough of it to be looked at by sqlite" * 50)

    assert asyncio.run(a_cache(path, writer, Clock()).load()) == 0

    assert "corrupted" in caplog.text
    assert [file for file in path.parent.iterdir() if ".corrupt-" in file.name]


def test_a_file_that_cannot_be_read_is_a_warning(writer: Writer, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir()

    assert asyncio.run(a_cache(path, writer, Clock()).load()) == 0

    assert "starting with an empty cache" in caplog.text


def test_rubbish_in_a_row_is_a_warning(writer: Writer, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    a_cache(path, writer, clock).put(b"k", an_entry())
    assert writer.flush(5)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE entries SET meta = 'rubbish'")

    assert asyncio.run(a_cache(path, writer, clock).load()) == 0

    assert "starting with an empty cache" in caplog.text


def on_disk(path: Path) -> set[bytes]:
    with closing(sqlite3.connect(path)) as db:
        return {key for (key,) in db.execute("SELECT key FROM entries")}
