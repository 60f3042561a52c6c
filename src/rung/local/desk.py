"""Who is being answered by a local model, who waits, and for how long: the queue before its slots."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Self


class Ticket:
    """A slot that is taken. `release` it once the answer has ended; later releases do nothing."""

    __slots__ = ("_desk", "started", "work")

    def __init__(self, desk: Desk, work: float, started: float) -> None:
        self._desk: Desk | None = desk
        self.work = work
        self.started = started

    def release(self) -> None:
        """Give the slot back. Safe to call twice."""
        desk, self._desk = self._desk, None
        if desk is not None:
            desk.leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


class Desk:
    """`slots` calls are answered at once, `max_waiting` may wait, in the order they came; more are refused.

    `on_change` is told whenever the number of calls being answered changes; it must not block.
    """

    def __init__(
        self,
        slots: int = 1,
        max_waiting: int = 8,
        *,
        on_change: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = slots
        self.max_waiting = max_waiting
        self.on_change = on_change
        self._now = now
        self._free = asyncio.Semaphore(slots)
        self._running: set[Ticket] = set()
        self._queued: dict[object, float] = {}

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._queued)

    @property
    def full(self) -> bool:
        """Would one more call have to wait?"""
        return self._free.locked()

    def wait(self) -> float:
        """Seconds one more call would wait for a slot, as far as the work of the calls before it is known."""
        if not self.full:
            return 0.0
        now = self._now()
        left = [max(0.0, ticket.started + ticket.work - now) for ticket in self._running]
        return (sum(left) + sum(self._queued.values())) / self.slots

    async def acquire(self, seconds: float, work: float = 0.0) -> Ticket | None:
        """Take a slot, waiting for one up to `seconds`. None if none came free or too many wait already.

        `work`: seconds the call is expected to take once it has a slot; 0 where nothing is known.
        """
        if self.full and self.waiting >= self.max_waiting:
            return None
        place = object()
        self._queued[place] = work
        try:
            async with asyncio.timeout(seconds):
                await self._free.acquire()
        except TimeoutError:
            return None
        finally:
            del self._queued[place]
        ticket = Ticket(self, work, self._now())
        self._running.add(ticket)
        self.on_change()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """What `Ticket.release` does."""
        self._running.discard(ticket)
        self._free.release()
        self.on_change()
