"""Writes of one turn of the event loop, made together at its end.

Waking whoever sleeps at the other end of a socket costs the kernel more than the write itself. Of many writes made
one after the other only the first finds the peer asleep; made in between other work, each does. Measured in
`docs/design/0006-writes-together.md`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import groupby

HELD = 64 * 1024
"""bytes that are held at most: who writes without end must come to know that nobody takes it"""


class Outbox:
    """What is to be written, in order. Belongs to whoever's transports it writes to, and so to one loop.

    What is put here goes out before anything that `loop.call_soon` is told afterwards. Before a transport is closed or
    written to in another way, `flush`.
    """

    __slots__ = ("_after", "_held", "_size", "_twice")

    def __init__(self) -> None:
        self._held: list[tuple[asyncio.Transport, bytes]] = []
        self._after: list[Callable[[], None]] = []
        self._size = 0
        self._twice = False  # something held goes where the thing before it goes

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write `data` at the end of this turn at the latest, unless the transport is closed by then."""
        held = self._held
        if held:
            if held[-1][0] is transport:
                self._twice = True
        else:
            asyncio.get_running_loop().call_soon(self.flush)
        held.append((transport, data))
        self._size = size = self._size + len(data)
        if size > HELD:
            self.flush()

    def then(self, done: Callable[[], None]) -> None:
        """Call `done`, which must not raise, once all that has been put here up to now is written."""
        if not self._held and not self._after:
            asyncio.get_running_loop().call_soon(self.flush)
        self._after.append(done)

    def flush(self) -> None:
        """Write all of it now."""
        held, self._held, self._size = self._held, [], 0
        if self._twice:
            self._twice, held = False, _joined(held)
        for transport, data in held:
            if not transport.is_closing():
                try:
                    transport.write(data)
                except RuntimeError:  # uvloop: its handle is gone; the other connections' answers must go out
                    transport.abort()
        if self._after:
            after, self._after = self._after, []
            for done in after:
                done()


def _joined(held: list[tuple[asyncio.Transport, bytes]]) -> list[tuple[asyncio.Transport, bytes]]:
    """What goes to the same transport, one thing right after the other, in one piece."""
    runs = [list(run) for _, run in groupby(held, key=lambda told: id(told[0]))]
    return [(run[0][0], b"".join([data for _, data in run])) for run in runs]
