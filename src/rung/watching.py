"""Climbs told to whoever watches, as they end. Nobody watches: nothing is made, nothing is kept.

No text of a call is ever told, and of private calls only that they came and how they ended.
"""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from rung.errors import OverloadedError
from rung.ladder.climb import Climb
from rung.record import line

WATCHERS = 32
"""pages that may watch at once"""

WAITING = 256
"""climbs kept for a watcher that is slow; older ones are dropped and counted"""


class Watcher:
    """One who watches. Belongs to the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque(maxlen=WAITING)
        self._missed = 0
        self._woken = asyncio.Event()

    def add(self, told: bytes) -> None:
        self._missed += len(self._waiting) == WAITING
        self._waiting.append(told)
        self._woken.set()

    async def next(self, seconds: float) -> tuple[list[bytes], int]:
        """Wait up to `seconds` -> (climbs as JSON, how many were missed before them); nothing if none came."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return [], 0
        self._woken.clear()
        told, missed = list(self._waiting), self._missed
        self._waiting.clear()
        self._missed = 0
        return told, missed


class Watchers:
    """Everybody who watches one gateway: `all` of them."""

    def __init__(self) -> None:
        self.all: set[Watcher] = set()

    def join(self) -> Watcher:
        """Raises OverloadedError if too many watch already."""
        if len(self.all) >= WATCHERS:
            raise OverloadedError(f"{WATCHERS} pages watch already; close one")
        watcher = Watcher()
        self.all.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        self.all.discard(watcher)

    def tell(self, record: Climb) -> None:
        """A climb has ended."""
        if not self.all:
            return
        told = msgspec.json.encode(shown(record))
        for watcher in self.all:
            watcher.add(told)


def shown(record: Climb) -> dict[str, object]:
    """A climb as a page shows it: its log line, its task and its attempts. A private one is told without its task."""
    call, answer = record.call, record.answer
    steps = [
        {
            "rung": one.rung,
            "model": one.model,
            "outcome": one.outcome,
            "reason": reason(one.reason, call.private),
            "ms": round(one.ms, 3),
            "cost_pico": one.cost,
        }
        for one in record.attempts
    ]
    return {
        **line(record),
        "task": "" if call.private else call.task,
        "purpose": call.purpose,
        "stream": call.stream,
        "first_ms": (record.first_content - call.started) * 1e3 if record.first_content else None,
        "simulated": answer is not None and answer.evidence.simulated,
        "attempts": steps,
    }


def reason(told: str, private: bool) -> str:
    """Why a rung did not answer; of a private call only the code, since the rest may say what the call was like."""
    return told.partition(":")[0] if private else told
