"""Unloads the model before the kernel kills for memory, and lets it be loaded again when there is room.

Looked at: free memory within cgroup limits and, where the kernel tells it, the share of time in which everything
waited for memory (PSI).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rung.errors import ModelFileError
from rung.local import hardware
from rung.local.embedded import Embedded
from rung.local.engine import Engine
from rung.local.fit import ram_needed
from rung.local.gguf import read_header

MiB = 1024 * 1024

STALLED, CALM = 0.2, 0.1
"""shares of the last 10 s in which nothing could run for want of memory: from the one on it is pressure, below
the other it is over"""

_HARD = 0.5
"""share of `min_free` below which calls under way are not waited for"""


class Guard:
    """Watches memory for one backend. `min_free`: bytes that must stay free."""

    def __init__(
        self,
        backend: Embedded,
        min_free: int,
        *,
        free: Callable[[], int | None] = hardware.ram_free,
        stalled: Callable[[], float] = hardware.stalled,
    ) -> None:
        self._backend = backend
        self._min_free = min_free
        self._free = free
        self._stalled = stalled
        self._need: int | None = None

    async def look(self) -> None:
        """Look once; squeeze or relax the backend accordingly."""
        free, stalled = await asyncio.to_thread(lambda: (self._free(), self._stalled()))
        if free is None or not self._min_free:
            return
        loaded = self._backend.engine.state != "stopped"
        least = self._min_free if loaded else self._min_free + await self._needed()
        told = f"memory pressure: {free // MiB} MiB are free, {least // MiB} must be"
        if free < least:
            self._backend.squeeze(told, hard=free < self._min_free * _HARD)
        elif loaded and stalled >= STALLED:
            self._backend.squeeze(f"memory pressure: the machine stood still {stalled:.0%} of the time", hard=False)
        elif stalled < CALM:
            self._backend.relax()

    async def _needed(self) -> int:
        """Bytes the model takes when it is loaded, 0 where its file does not say."""
        if self._need is None:
            engine = self._backend.engine
            self._need = await asyncio.to_thread(_needed, engine)
        return self._need


def _needed(engine: Engine) -> int:
    try:
        size, header = engine.model_path.stat().st_size, read_header(engine.model_path)
    except (OSError, ModelFileError):
        return 0
    return ram_needed(size, header, context=engine.context, slots=engine.slots, tuning=engine.tuning)
