"""Scenario time: real, or virtual for tests, where nothing waits.

Time zero is the start of the scenario; `at` is the same moment on the provider's wall clock, which decides
prices (peak hours) and cache expiry.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""A Monday noon: outside every provider's peak hours."""


class Clock:
    """Virtual time: a sleep moves the clock and returns at once. Concurrent sleeps overlap, as real ones do."""

    def __init__(self, start: datetime = START) -> None:
        self.start = start
        self._now = 0.0

    def now(self) -> float:
        """Seconds since the start."""
        return self._now

    def at(self) -> datetime:
        return self.start + timedelta(seconds=self.now())

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        until = self._now + seconds
        await asyncio.sleep(0)
        self._now = max(self._now, until)


class RealClock(Clock):
    """Real time, from when it is made. `speed` 10 makes everything ten times faster than the scenario says."""

    def __init__(self, start: datetime | None = None, *, speed: float = 1.0) -> None:
        super().__init__(start or datetime.now(UTC))
        self.speed = speed
        self._zero = time.monotonic()

    def now(self) -> float:
        return self._now + (time.monotonic() - self._zero) * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)
