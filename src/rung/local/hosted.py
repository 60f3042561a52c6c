"""Backends that somebody else runs on this machine: Ollama, or a server that speaks OpenAI's API.

They are asked, not started. One that does not answer is ``gone`` and looked for again whenever a call would
want it, at most once every `Hosted.delays` seconds; nothing here polls.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from rung.errors import BadAnswerFault, ConnectFault, Fault, ServerFault, TimeoutFault
from rung.local.desk import Desk
from rung.local.health import STOPPED, Health, Listener
from rung.local.ollama import QUICK, OllamaHost
from rung.local.speeds import Speed
from rung.wire.client import Client, Deadlines
from rung.wire.origin import Origin

LOOKED = 10.0
"""seconds for which what was seen is taken to be still so"""


_ODD = re.compile(r"[^A-Za-z0-9._/@+-]+")
"""what a server may call its models, and no header or model name of ours should hold"""


class Hosted(ABC):
    """What the two have in common: probing, and staying away for a while from what is gone.

    Args:
        load_deadline: seconds a load may take, apart from any call's own deadline.
        delays: seconds between one try and the next while it does not answer.
    """

    headers = b""

    def __init__(
        self,
        client: Client,
        origin: Origin,
        base_path: str,
        model: str,
        *,
        slots: int = 1,
        speed: Speed | None = None,
        max_waiting: int = 8,
        load_deadline: float = 180.0,
        delays: Sequence[float] = (0.0, 1.0, 4.0, 16.0, 60.0),
        on_change: Listener | None = None,
    ) -> None:
        self.origin: Origin | None = origin
        self.base_path = base_path
        self.model = model
        self.alias = _ODD.sub("-", model)
        self.version = ""
        self.context = 0
        self.speed = Speed() if speed is None else speed
        self.desk = Desk(slots, max_waiting, on_change=self._used)
        self.health = Health(lambda: self.desk.full, on_change)
        self._client = client
        self._at = origin
        self._limits = Deadlines(5.0, load_deadline, load_deadline, load_deadline)
        self._delays = tuple(delays)
        self._misses = 0
        self._again = 0.0
        self._seen = 0.0
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def load(self) -> None:
        """Make sure that it answers and has its model loaded. Raises Fault."""

    @abstractmethod
    async def look(self) -> bool:
        """Is the model still loaded? Raises Fault."""

    def _used(self) -> None:
        """A call began or ended."""
        self._seen = time.monotonic()

    async def start(self) -> None:
        self._again = 0.0
        self.wake()

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._again = math.inf  # until it is started again
        self.health.become("gone", STOPPED)

    def wake(self) -> None:
        if self.health.up or (self._task is not None and not self._task.done()) or time.monotonic() < self._again:
            return
        self.health.become("loading")
        self._task = asyncio.create_task(self._load(), name="rung-local-backend")

    async def ready(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while True:
            self.wake()
            if self._task is not None:
                await asyncio.wait([self._task], timeout=max(0.0, end - time.monotonic()))
            now = time.monotonic()
            if self.health.up or self.health.state == "gone" or max(self._again, now) >= end:
                return self.health.up
            await asyncio.sleep(max(0.0, self._again - now))

    async def up(self) -> bool:
        if not self.health.up:
            return False
        now = time.monotonic()
        if now - self._seen < LOOKED or self.desk.running:
            return True
        try:
            there = await self.look()
        except Fault as fault:
            self.broke(self._at, fault)
            return False
        if there:
            self._seen = now
        else:
            self.health.become("ready", "not loaded; the next call loads it")
        return there

    def broke(self, origin: Origin | None, fault: Fault) -> None:
        """A refused connection means that it is gone; an error of its own, that it had better be looked at."""
        if isinstance(fault, ConnectFault):
            self._missed("gone", f"nothing answers at {self._at.label}; start it, or remove it from the configuration")
        elif isinstance(fault, (ServerFault, TimeoutFault, BadAnswerFault)):
            self._missed("failing", fault.message)

    async def lost(self, origin: Origin | None, seconds: float) -> bool:
        return self.health.state == "failing" and await self.ready(seconds)

    async def _load(self) -> None:
        began = time.monotonic()
        try:
            await self.load()
        except Fault as fault:
            self.broke(self._at, fault)
            return
        self._misses, self._seen = 0, time.monotonic()
        self.speed.loaded(self._seen - began)
        self.health.become("ready", loaded=True)

    def _missed(self, state: Literal["gone", "failing"], why: str) -> None:
        self._again = time.monotonic() + self._delays[min(self._misses, len(self._delays) - 1)]
        self._misses += 1
        self.health.become(state, why)


class Ollama(Hosted):
    """One model of a running Ollama, kept loaded `idle_unload` seconds after its last call (0: for ever)."""

    kind: Literal["ollama"] = "ollama"

    def __init__(
        self,
        client: Client,
        origin: Origin,
        base_path: str,
        model: str,
        *,
        context: int,
        idle_unload: float = 300.0,
        **told: Any,
    ) -> None:
        super().__init__(client, origin, base_path, model, **told)
        self.context = context
        self.keep_alive = idle_unload or -1.0
        self.host = OllamaHost(client, origin, base_path)

    async def load(self) -> None:
        for model in await self.host.tags():
            if model.name in (self.model, f"{self.model}:latest"):
                if not model.stays_here:
                    raise ServerFault(f"{self.model} runs on another machine; it is no local model")
                self.version = model.digest
                break
        else:
            raise ServerFault(f"Ollama has no {self.model} any more; get it with: rung models pull ollama:{self.model}")
        await self.host.load(self.model, keep_alive=self.keep_alive, context=self.context, limits=self._limits)

    async def look(self) -> bool:
        for model in await self.host.ps():
            if model.name in (self.model, f"{self.model}:latest"):
                self.version = model.digest or self.version  # it may have been pulled anew
                return True
        return False


class Listed(msgspec.Struct):
    """One model of ``GET /v1/models``. `owned_by` is where llama-server and vLLM say who they are."""

    id: str = ""
    owned_by: str = ""


class Listing(msgspec.Struct):
    data: list[Listed]


class Server(Hosted):
    """One model of a server that speaks OpenAI's API (llama-server, vLLM, LM Studio), which loads it as it likes."""

    kind: Literal["server"] = "server"

    async def load(self) -> None:
        if not await self.look():
            raise ServerFault(f"the server at {self._at.label} has no {self.model} any more")

    async def look(self) -> bool:
        response = await self._client.fetch(
            self._at, "GET", f"{self.base_path}/models", self.headers, b"", QUICK, private=True
        )
        if response.status != 200:
            raise ServerFault(f"the server at {self._at.label} answered {response.status}")
        try:
            listed = msgspec.json.decode(response.body, type=Listing).data
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ServerFault(f"what answers at {self._at.label} has no list of models") from None
        return any(model.id == self.model for model in listed)
