"""What the store's tests share: a clock that is set by hand, entries, rows, a sink that fails when told."""

import threading
import time
from collections.abc import Callable
from typing import Any

from rung.store.ledger import ClimbRow
from rung.store.stored import Stored


class Clock:
    """Unix seconds that pass only when somebody says so."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def an_entry(size: int = 10, **known: Any) -> Stored:
    return Stored(**{"data": b"x" * size, "shape": "whole", "model": "groq:m", "rung": "cloud", **known})


def a_row(name: str = "r", **known: Any) -> ClimbRow:
    told = {"started_at": 1_000_000.0, "outcome": "answered", "total_ms": 1.5, "rung": "cloud", "model": "groq:m"}
    return ClimbRow(**{"request_id": name, **told, **known})


class FakeSink:
    """Keeps what it is given; `error`, while set, is raised instead. `tried` tells of every try."""

    label = "fake"

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.batches: list[int] = []
        self.error: Exception | None = None
        self.closed = 0
        self.tried = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def write(self, rows: list[Any]) -> None:
        self.gate.wait(10)
        self.tried.set()
        if self.error is not None:
            raise self.error
        if any(row == "bad" for row in rows):
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        self.rows += rows
        self.batches.append(len(rows))

    def close(self) -> None:
        self.closed += 1


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for another thread to make `condition` true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
