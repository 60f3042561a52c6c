"""Work that is done once, for all who come to need it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Once:
    """`work`, done in a thread when it is first waited for. `done`: nobody has to wait any more.

    Where it raises, all who wait are told so, and who comes next has it tried again.
    """

    __slots__ = ("_running", "_work", "done")

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._running: asyncio.Task[None] | None = None
        self.done = False

    async def wait(self) -> None:
        """Wait until it is done. Many calls that read the same file, each in a thread, take far longer than one, and
        leave the event loop hardly any time."""
        if self.done:
            return
        if self._running is None:
            self._running = asyncio.create_task(self._do())
        await asyncio.shield(self._running)  # who leaves must not take it from the others

    async def _do(self) -> None:
        try:
            await asyncio.to_thread(self._work)
            self.done = True
        finally:
            self._running = None
