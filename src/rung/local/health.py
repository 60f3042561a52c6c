"""How a local backend is, in five words, and whoever waits for a better one.

``ready``    it can be asked; if it is not loaded (`Health.loaded`), the next call loads it
``loading``  its model is being loaded
``busy``     it answers as many calls as it can at once; more of them wait
``failing``  it crashed or refused, and is being tried again
``gone``     it is not there: switched off, out of memory, given up; `detail` says why
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

State = Literal["ready", "loading", "busy", "failing", "gone"]

STOPPED = "stopped"
"""the detail of what was ended on purpose"""

Listener = Callable[[State, str], None]
"""told (state, detail) from the event loop at every change but between ``ready`` and ``busy``; must not block"""


class Health:
    """The state of one backend. `is_full`: are all its slots taken (what makes ``ready`` read ``busy``)?"""

    def __init__(self, is_full: Callable[[], bool], listener: Listener | None = None) -> None:
        self.detail = ""
        self.loaded = False
        self._state: State = "gone"
        self._is_full = is_full
        self._listeners: tuple[Listener, ...] = () if listener is None else (listener,)
        self._changed = asyncio.Event()

    @property
    def state(self) -> State:
        return "busy" if self._state == "ready" and self.loaded and self._is_full() else self._state

    @property
    def up(self) -> bool:
        """Would a call be answered without a load before it?"""
        return self._state == "ready" and self.loaded

    def listen(self, listener: Listener) -> None:
        """Tell this one too."""
        self._listeners += (listener,)

    def become(self, state: State, detail: str = "", *, loaded: bool = False) -> None:
        """Change, tell the listeners, and wake whoever waits."""
        if (state, detail, loaded) == (self._state, self.detail, self.loaded):
            return
        self._state, self.detail, self.loaded = state, detail, loaded
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for listener in self._listeners:
            listener(state, detail)

    async def settled(self, seconds: float) -> bool:
        """Wait up to `seconds` while it is loading or failing; -> is it `up`?"""
        try:
            async with asyncio.timeout(seconds):
                while self._state in ("loading", "failing"):
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self.up
