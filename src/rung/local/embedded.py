"""The embedded engine as a backend: loaded on demand, unloaded when idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Literal

from rung.errors import EngineFault, Fault, ModelFileError
from rung.local import engine as engines
from rung.local.desk import Desk
from rung.local.engine import Engine
from rung.local.health import Health, Listener, State
from rung.local.speeds import Speed
from rung.wire.origin import Origin

_STATES: dict[engines.State, State] = {
    "loading": "loading",
    "restarting": "failing",
    "failed": "gone",
    "ready": "ready",
}

STOPPED = "stopped"


class Embedded:
    """One `engine` and its queue.

    Args:
        version: sha256 of the model file.
        max_waiting: calls that may wait for a slot; more are refused.
        idle_unload: seconds without a call after which the model is unloaded; 0: never.
        on_change: told every change of health.
    """

    kind: Literal["embedded"] = "embedded"
    base_path = "/v1"

    def __init__(
        self,
        engine: Engine,
        *,
        version: str = "",
        speed: Speed | None = None,
        max_waiting: int = 8,
        idle_unload: float = 0.0,
        on_change: Listener | None = None,
    ) -> None:
        self.engine = engine
        self.alias = self.model = engine.alias
        self.version = version
        self.context = engine.context
        self.speed = Speed() if speed is None else speed
        self.desk = Desk(engine.slots, max_waiting, on_change=self._used)
        self.health = Health(lambda: self.desk.full, on_change)
        self._idle_unload = idle_unload
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._rest: tuple[State, str] = ("gone", STOPPED)
        self._load_began = 0.0
        engine.on_change = self._changed

    @property
    def origin(self) -> Origin | None:
        return self.engine.origin

    @property
    def headers(self) -> bytes:
        return f"authorization: Bearer {self.engine.api_key}\r\n".encode()

    async def start(self) -> None:
        async with self._lock:
            self._rest = ("gone", STOPPED)
            try:
                await self.engine.start()
            except ModelFileError as error:
                self.health.become("gone", error.message)

    async def stop(self) -> None:
        self._quiet()
        await self.unload("gone", STOPPED)

    async def unload(self, state: State, detail: str) -> None:
        """Give the memory back; until the next load the health is `state`, with `detail`."""
        async with self._lock:
            self._rest = (state, detail)
            await self.engine.stop()

    def wake(self) -> None:
        if self.health.state == "ready" and not self.health.loaded:
            self.health.become("loading")
            self._spawn(self.start())

    async def ready(self, seconds: float) -> bool:
        self.wake()
        return await self.health.settled(seconds)

    async def failed(self, origin: Origin | None, fault: Fault, seconds: float) -> bool:
        return isinstance(fault, EngineFault) and await self.engine.lost(origin, seconds)

    def _changed(self, state: engines.State, detail: str) -> None:
        if state == "stopped":
            self.health.become(*self._rest)
            return
        if state == "loading":
            self._load_began = time.monotonic()
        elif state == "ready":
            self.speed.loaded(time.monotonic() - self._load_began)
        self.health.become(_STATES[state], detail, loaded=state == "ready")
        self._used()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.create_task(work, name="rung-local-backend")

    # ---- idle ----

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _used(self) -> None:
        """A call began or ended, or the model was loaded: count the idle time anew."""
        self._quiet()
        if self._idle_unload and self.health.up and not self.desk.running:
            self._timer = asyncio.get_running_loop().call_later(self._idle_unload, self._idle)

    def _idle(self) -> None:
        if self.health.up and not self.desk.running:
            why = f"unloaded after {self._idle_unload:g} s without a call; the next one loads it"
            self._spawn(self.unload("ready", why))
