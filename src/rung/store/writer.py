"""One thread that writes to disk, behind bounded queues, so that no call ever waits for a disk.

A `Sink` owns a database file. Its `Channel` is the queue the event loop puts rows into: a deque append,
plus a wake-up when the writer sleeps. Rows are written in batches, one transaction each. A disk that is
full, locked, read-only or gone costs rows (counted in `Channel.dropped`) and a warning, never a call.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from rung.errors import StoreError

log = logging.getLogger("rung.store")

INTERVAL = 0.2
"""seconds rows are collected before a batch is written"""

BATCH = 500
"""rows of one transaction"""

LONGEST_BACKOFF = 30.0
"""seconds between tries to write to a disk that refuses"""

WARN_EVERY = 300.0
"""seconds between two warnings about the same file"""


class Sink(Protocol):
    """Where a channel's rows end. Called on the writer thread only."""

    @property
    def label(self) -> str:
        """What is written, for warnings."""
        ...

    def write(self, rows: list[Any]) -> None:
        """Write all of `rows` or none, opening the file if it is not open.

        OSError and SQLite's own troubles (`_may_pass`) mean: not now. StoreError means: never. Anything else
        is blamed on a row, such as an integer beyond 64 bits.
        """
        ...

    def close(self) -> None:
        """Close the file; a later `write` opens it again."""
        ...


class Channel:
    """The queue of one sink. `limit` None: never drop (for what must not be lost)."""

    def __init__(self, writer: Writer, sink: Sink, limit: int | None) -> None:
        self._writer = writer
        self._sink = sink
        self._limit = limit
        self._rows: deque[Any] = deque()
        self._retry_at = 0.0
        self._backoff = 0.0
        self._warned_at: float | None = None
        self._dead = False
        self._refused = 0  # counted by the event loop's thread
        self._lost = 0  # counted by the writer's
        self.written = 0
        """rows on disk since the start"""

    def put(self, row: Any) -> None:
        """Queue `row`, or count it as dropped. Never blocks, never raises."""
        rows = self._rows
        if self._limit is not None and len(rows) >= self._limit:
            self._refused += 1
            return
        rows.append(row)
        if self._writer.asleep:
            self._writer.wake()

    @property
    def queued(self) -> int:
        """Rows not yet on disk."""
        return len(self._rows)

    @property
    def dropped(self) -> int:
        """Rows given up since the start."""
        return self._refused + self._lost

    def drain(self, now: float) -> None:
        """Write what is queued, batch by batch, until it is empty or the disk refuses."""
        if self._dead:
            self._drop(len(self._rows))
        while self._rows and now >= self._retry_at:
            # by index: iterating over a deque that the other thread appends to is an error
            batch = [self._rows[place] for place in range(min(len(self._rows), BATCH))]
            if not self._write(batch, now):
                return
            for _ in batch:
                self._rows.popleft()

    def give_up(self) -> None:
        """At the end: count what could not be written, close the file."""
        if self._rows:
            log.warning("%s: %d rows could not be written and are lost", self._sink.label, len(self._rows))
        self._drop(len(self._rows))
        self._sink.close()

    def waiting(self, now: float) -> bool:
        """Is there something that could be written now?"""
        return bool(self._rows) and now >= self._retry_at

    @property
    def retry_at(self) -> float:
        return self._retry_at

    def _write(self, batch: list[Any], now: float) -> bool:
        """True if the batch is done with (written, or its bad rows dropped)."""
        try:
            self._sink.write(batch)
        except StoreError as error:
            self._warn(str(error), now)
            self._dead = True
            self._drop(len(self._rows))
            return False
        except Exception as error:
            if _may_pass(error):
                self._postpone(error, now)
                return False
            self._write_singly(batch, error, now)
        else:
            self.written += len(batch)
            self._backoff = 0.0
        return True

    def _write_singly(self, batch: list[Any], error: Exception, now: float) -> None:
        """Save what can be saved of a batch that holds a bad row."""
        self._warn(f"a row could not be stored ({type(error).__name__}: {error})", now)
        for row in batch:
            try:
                self._sink.write([row])
                self.written += 1
            except Exception:
                self._lost += 1

    def _postpone(self, error: Exception, now: float) -> None:
        self._sink.close()
        self._backoff = min(max(2 * self._backoff, 2 * INTERVAL), LONGEST_BACKOFF)
        self._retry_at = now + self._backoff
        self._warn(f"cannot write ({error}); calls go on, their records wait in a bounded queue", now)

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._rows.popleft()
        self._lost += count

    def _warn(self, message: str, now: float) -> None:
        if self._warned_at is None or now - self._warned_at >= WARN_EVERY:
            self._warned_at = now
            log.warning("%s: %s", self._sink.label, message)


def _may_pass(error: Exception) -> bool:
    """Is it the disk's fault (or the file's, which is then moved aside), not a row's?"""
    return isinstance(error, (sqlite3.OperationalError, sqlite3.InternalError, OSError)) or (
        type(error) is sqlite3.DatabaseError
    )


class Writer:
    """The thread. `asleep` is read by channels to know whether a wake-up is needed."""

    def __init__(self) -> None:
        self.asleep = False
        self._channels: list[Channel] = []
        self._wake: SimpleQueue[None] = SimpleQueue()  # its put takes no lock that could make the loop wait
        self._hurry = threading.Event()
        self._stopping = False
        self._round_done = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="rung-writer", daemon=True)
        self._thread.start()

    def channel(self, sink: Sink, limit: int | None) -> Channel:
        """A queue into `sink`, of at most `limit` rows."""
        channel = Channel(self, sink, limit)
        self._channels.append(channel)
        return channel

    def wake(self) -> None:
        """Called by whoever queued a row while `asleep`; one of them is enough."""
        self.asleep = False
        self._wake.put(None)

    def flush(self, timeout: float) -> bool:
        """Block until everything queued before this call is on disk, or `timeout` seconds; True if it is."""
        end = time.monotonic() + timeout
        with self._round_done:
            while True:
                now = time.monotonic()
                held = [channel for channel in self._channels if channel.queued]
                if not held:
                    return True
                if now >= end or not self._thread.is_alive():
                    return False
                if any(channel.waiting(now) for channel in held):
                    self._hurry.set()
                    self.wake()
                self._round_done.wait(end - now)

    def close(self, timeout: float = 5.0) -> bool:
        """Flush, end the thread, close the files. True if nothing was lost. Blocks; safe to call twice."""
        good = self.flush(timeout)
        self._stopping = True
        self._hurry.set()
        self.wake()
        self._thread.join(timeout)
        return good and not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            self._sleep()
            self._hurry.wait(INTERVAL)  # let a batch gather
            self._hurry.clear()
            now = time.monotonic()
            for channel in self._channels:
                channel.drain(now)
            with self._round_done:
                self._round_done.notify_all()
        for channel in self._channels:
            channel.give_up()

    def _sleep(self) -> None:
        """Until a channel has something that may be written now, or is woken."""
        self.asleep = True
        now = time.monotonic()
        held = [channel for channel in self._channels if channel.queued]
        # `put` appends before it looks at `asleep`, and we set `asleep` before we look: no row is missed
        if not any(channel.waiting(now) for channel in held) and not self._stopping:
            next_try = min((channel.retry_at for channel in held), default=None)
            try:
                self._wake.get(timeout=None if next_try is None else max(next_try - now, 0.0))
            except Empty:
                pass
        self.asleep = False
        while not self._wake.empty():
            self._wake.get_nowait()
