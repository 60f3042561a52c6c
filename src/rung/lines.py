"""One log line a call, written behind: a full pipe or a slow terminal never holds up a call.

No prompt text, no keys: only what the ledger's row holds. Lines that find the queue full are counted and
the count is told in the next line.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Mapping
from typing import IO, Any

import orjson

PAUSE = 0.2
"""seconds between two looks at the queue"""


class CallLines:
    """`style`: ``text`` or ``json``. Lines are mappings of names to plain values; Nones are left out."""

    def __init__(self, style: str = "text", *, to: IO[str] | None = None, limit: int = 10_000) -> None:
        self._format = _as_json if style == "json" else _as_text
        self._to = to
        self._queue: deque[Mapping[str, Any]] = deque()
        self._limit = limit
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="rung-lines", daemon=True)
        self._thread.start()

    def add(self, fields: Mapping[str, Any]) -> None:
        """Cheap: formatting and writing happen on the writer's thread."""
        if self._thread is None:
            return
        if len(self._queue) >= self._limit:
            self.dropped += 1
            return
        self._queue.append(fields)

    def close(self, timeout: float = 2.0) -> None:
        """Write what is queued, for at most `timeout` seconds."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(PAUSE)
            lines = []
            while self._queue:
                lines.append(self._format(self._queue.popleft()))
            if self.dropped:
                lines.append(self._format({"event": "log_lines_dropped", "count": self.dropped}))
                self.dropped = 0
            if lines:
                out = self._to or sys.stderr
                try:
                    out.write("".join(lines))
                    out.flush()
                except (OSError, ValueError):
                    return  # nobody reads any more; calls go on


def _as_json(fields: Mapping[str, Any]) -> str:
    return orjson.dumps({name: value for name, value in fields.items() if value is not None}).decode() + "\n"


def _as_text(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_word(value)}" for name, value in fields.items() if value not in (None, "")) + "\n"


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    text = str(value)
    return orjson.dumps(text).decode() if any(char in text for char in ' "\n=') else text
