"""The embedded engine as a backend: loaded on demand, unloaded when idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from msgspec.structs import replace

from rung.errors import Fault, ModelFileError
from rung.local import engine as engines
from rung.local.desk import Desk
from rung.local.engine import Engine
from rung.local.heads import Heads
from rung.local.health import STOPPED, Health, Listener, State
from rung.local.pulse import Pulse
from rung.local.speculate import Gauge
from rung.local.speeds import Speed
from rung.wire.origin import Origin

_STATES: dict[engines.State, State] = {
    "loading": "loading",
    "restarting": "failing",
    "failed": "gone",
    "ready": "ready",
}

_BEAT = 0.01
"""seconds between two looks whether the engine still lives while it answers"""


class Embedded:
    """One `engine` and its queue.

    Args:
        identify: finds the sha256 of the model file, which becomes `version`; blocks, and raises ModelFileError
            for a file that is not what it should be. Asked before every load.
        max_waiting: calls that may wait for a slot; more are refused.
        idle_unload: seconds without a call after which the model is unloaded; 0: never.
        on_change: told every change of health.
        on_death: told where the engine answered, as soon as it begins to end under a call.
    """

    kind: Literal["embedded"] = "embedded"
    base_path = "/v1"

    def __init__(
        self,
        engine: Engine,
        *,
        identify: Callable[[], str] = str,
        speed: Speed | None = None,
        max_waiting: int = 8,
        idle_unload: float = 0.0,
        on_change: Listener | None = None,
        on_death: Callable[[Origin], None] | None = None,
    ) -> None:
        self.engine = engine
        self.alias = self.model = engine.alias
        self.version = ""
        self.context = engine.context
        self.speed = Speed() if speed is None else speed
        self.heads: Heads | None = None
        self.gauge = Gauge()
        self.desk = Desk(engine.slots, max_waiting, on_change=self._used)
        self.health = Health(lambda: self.desk.full, on_change)
        self._identify = identify
        self._idle_unload = idle_unload
        self._on_death = on_death
        self._timer: asyncio.TimerHandle | None = None
        self._pulse: Pulse | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()
        self._rest: tuple[State, str] = ("gone", STOPPED)
        self._squeezed = ""
        """why nothing may be loaded; empty while it may"""
        self._load_began = 0.0
        engine.on_change = self._changed

    @property
    def origin(self) -> Origin | None:
        return self.engine.origin

    @property
    def headers(self) -> bytes:
        return f"authorization: Bearer {self.engine.api_key}\r\n".encode()

    async def start(self) -> None:
        self.health.become("loading")
        self._spawn(self._load())

    def _heads(self) -> Heads | None:
        """Where prompt heads outlive the engine: for weights known for sure, and one slot to put them into."""
        folder = self.engine.tuning.heads
        return Heads(folder, self.version) if folder is not None and self.version and self.engine.slots == 1 else None

    def _draft_no_more(self) -> None:
        """Drafts turned out not to pay: the model is loaded anew without them, once nobody is being answered."""
        if not self.gauge.pays and self.engine.tuning.drafts is not None and self.health.up and not self.desk.running:
            self.engine.tuning = replace(self.engine.tuning, drafts=None)
            self._spawn(self._reload("drafts gain too little on this machine; it is loaded without them"))

    async def _reload(self, why: str) -> None:
        await self._unload("loading", why)
        if not self._squeezed:
            await self._load()

    async def stop(self) -> None:
        self._quiet()
        self._squeezed = ""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._unload("gone", STOPPED)

    def wake(self) -> None:
        if self.health.state == "ready" and not self.health.loaded:
            self.health.become("loading")
            self._spawn(self._load())

    def squeeze(self, why: str, *, hard: bool) -> None:
        """Memory runs out: be ``gone``, and unload once the calls under way have ended, or at once if it is `hard`.

        Until `relax`, nothing loads it again.
        """
        if not self._squeezed:
            if self.health.state == "gone":
                return
            self._squeezed = why
            self.health.become("gone", why)
        if self.engine.state != "stopped" and not self._lock.locked() and (hard or not self.desk.running):
            self._spawn(self._unload("gone", self._squeezed))

    def relax(self) -> None:
        """There is room again."""
        if self._squeezed and not self._lock.locked():
            self._squeezed = ""
            loaded = self.engine.state == "ready"
            self.health.become("ready", "" if loaded else "there is room again; the next call loads it", loaded=loaded)

    async def _load(self) -> None:
        async with self._lock:
            try:
                self.version = await asyncio.to_thread(self._identify)
                self.heads = await asyncio.to_thread(self._heads)
                await self.engine.start()
            except ModelFileError as error:
                self.health.become("gone", error.message)

    async def _unload(self, state: State, detail: str) -> None:
        """Give the memory back; until the next load the health is `state`, with `detail`."""
        async with self._lock:
            self._rest = (state, detail)
            await self.engine.stop()

    async def ready(self, seconds: float) -> bool:
        self.wake()
        return await self.health.settled(seconds)

    async def up(self) -> bool:
        return self.health.up

    def broke(self, origin: Origin | None, fault: Fault) -> None:
        """Nothing to do: the engine is watched."""

    async def lost(self, origin: Origin | None, seconds: float) -> bool:
        return await self.engine.lost(origin, seconds)

    def _changed(self, state: engines.State, detail: str) -> None:
        if state == "stopped":
            self.health.become(*(("gone", self._squeezed) if self._squeezed else self._rest))
        if state == "stopped" or self._squeezed:
            return
        if state == "loading":
            self._load_began = time.monotonic()
        elif state == "ready":
            self.speed.loaded(time.monotonic() - self._load_began)
        self.health.become(_STATES[state], detail, loaded=state == "ready")
        self._used()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="rung-local-backend")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- idle ----

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _used(self) -> None:
        """A call began or ended, or the model was loaded: count the idle time anew, feel the pulse under calls."""
        self._quiet()
        if self.desk.running and self._pulse is None and self.engine.pid is not None:
            self._pulse = Pulse(self.engine.pid)
            self._feel(self._pulse)
        if self._idle_unload and self.health.up and not self.desk.running:
            self._timer = asyncio.get_running_loop().call_later(self._idle_unload, self._idle)
        self._draft_no_more()

    def _feel(self, pulse: Pulse) -> None:
        origin = self.engine.origin
        stopped = pulse.stopped()
        if self.desk.running and origin is not None and not stopped:
            asyncio.get_running_loop().call_later(_BEAT, self._feel, pulse)
            return
        pulse.close()
        self._pulse = None
        if stopped and origin is not None:
            self.engine.ending()
            if self._on_death is not None:
                self._on_death(origin)

    def _idle(self) -> None:
        if self.health.up and not self.desk.running:
            why = f"unloaded after {self._idle_unload:g} s without a call; the next one loads it"
            self._spawn(self._unload("ready", why))
