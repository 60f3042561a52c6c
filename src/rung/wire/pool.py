"""The connections to one origin: how many, who waits, which are idle."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from rung.errors import TimeoutFault
from rung.wire.connection import Connection
from rung.wire.origin import Limits, Origin

_MAX_HEADS = 64
"""prepared request heads kept per origin"""


class Pool:
    """At most `max_connections` connections, the most recently used idle one first, waiters in order.

    A connection counts from before it is dialled until it is lost. A slot that frees while someone waits
    passes to the first in line without being counted down in between.
    """

    __slots__ = (
        "_connections",
        "_dial",
        "_idle",
        "_max_connections",
        "_max_idle",
        "_on_idle",
        "_size",
        "_waiters",
        "heads",
        "idle_expiry",
        "label",
        "limits",
        "origin",
    )

    def __init__(
        self,
        origin: Origin,
        dial: Callable[[Pool], Awaitable[Connection]],
        on_idle: Callable[[], None],
        *,
        limits: Limits,
        max_connections: int,
        max_idle: int,
        idle_expiry: float,
    ) -> None:
        self.origin = origin
        self.label = origin.label
        self.limits = limits
        self.idle_expiry = idle_expiry
        self.heads: dict[tuple[str, str, bytes], bytes] = {}
        self._dial = dial
        self._on_idle = on_idle
        self._max_connections = max_connections
        self._max_idle = max_idle
        self._size = 0
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()

    @property
    def empty(self) -> bool:
        return not self._size and not self._waiters

    def remember(self, key: tuple[str, str, bytes], head: bytes) -> None:
        """Keep a prepared head for the next request like it."""
        if len(self.heads) >= _MAX_HEADS:
            self.heads.clear()
        self.heads[key] = head

    def take(self, now: float) -> Connection | None:
        """An idle connection, if there is one that can be used."""
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since <= self.idle_expiry and connection.usable:
                return connection
            connection.drop()
        return None

    async def acquire(self, seconds: float, *, fresh: bool = False) -> Connection:
        """A connection within `seconds`: idle, new, or the next one to become free. `fresh`: only a new one.

        Raises ConnectFault, or TimeoutFault with code ``connect_timeout``.
        """
        loop = asyncio.get_running_loop()
        waited = False
        try:
            async with asyncio.timeout(seconds):
                connection = None if fresh else self.take(loop.time())
                if connection is not None:
                    return connection
                while not self._take_slot(fresh):
                    waited = True
                    connection = await self._wait(loop)
                    if connection is not None and not fresh:
                        return connection
                    if connection is None or self._replace(connection):
                        break
                waited = False
                return await self._open()
        except TimeoutError:
            why = f"no free connection ({self._size} in use)" if waited else "no connection"
            raise TimeoutFault(f"{self.label}: {why} within {seconds:g} s", code="connect_timeout") from None

    def _take_slot(self, fresh: bool) -> bool:
        """Count one connection more, if there is room (for a `fresh` one an idle one makes room)."""
        if self._size < self._max_connections:
            self._size += 1
            return True
        return fresh and bool(self._idle) and self._replace(self._idle.pop(0))

    def _replace(self, connection: Connection) -> bool:
        """Drop a connection but keep its slot. False if it is lost already, and its slot with it."""
        if connection not in self._connections:
            return False
        self._connections.remove(connection)
        connection.drop()
        return True

    async def _open(self) -> Connection:
        """Dial in a slot that is already counted."""
        try:
            connection = await self._dial(self)
        except BaseException:
            self._free_slot()
            raise
        self._connections.add(connection)
        if not connection.usable:  # lost again before we could see it: discard() did not know it yet
            self.discard(connection)
        return connection

    async def _wait(self, loop: asyncio.AbstractEventLoop) -> Connection | None:
        """Stand in line. Returns a connection, or None with the right to dial one."""
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled() or not waiter.done():
                self._waiters.remove(waiter)
            elif (connection := waiter.result()) is not None:
                self.release(connection)
            else:
                self._free_slot()
            raise

    def release(self, connection: Connection) -> None:
        """A connection has served and may serve again."""
        waiter = self._next_waiter() if self._waiters else None
        if waiter is not None:
            waiter.set_result(connection)
        elif len(self._idle) < self._max_idle:
            if not self._idle:  # else the sweeper is on its way already
                self._on_idle()
            self._idle.append(connection)
        else:
            connection.drop()

    def discard(self, connection: Connection) -> None:
        """A connection is lost."""
        if connection in self._connections:
            self._connections.remove(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._free_slot()

    def sweep(self, now: float) -> bool:
        """Close what has been idle for too long. True if idle connections remain."""
        while self._idle and now - self._idle[0].idle_since >= self.idle_expiry:
            self._idle.pop(0).drop()
        return bool(self._idle)

    def connections(self) -> list[Connection]:
        return list(self._connections)

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _free_slot(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
        else:
            self._size -= 1
