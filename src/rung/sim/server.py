"""The simulator: one server on one port, every provider under its own prefix, its books beside them.

    async with simulator({"groq": {"script": [429, "ok"]}}) as sim:
        client = AsyncGroq(base_url=sim.root("groq"), api_key="any")

Control: ``GET /sim/books``, ``GET /sim/requests?since=N``, ``POST /sim/scenario`` (TOML), ``POST /sim/reset``,
``POST /sim/advance?seconds=N`` and ``GET /`` for the addresses.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from rung.errors import ConfigError
from rung.providers.prices import PriceBook
from rung.providers.rows import rows
from rung.sim import faults
from rung.sim.answers import Answers
from rung.sim.anthropic import Anthropic
from rung.sim.books import Books, Entry
from rung.sim.clock import Clock
from rung.sim.deepseek import DeepSeek
from rung.sim.delivery import Delivery, Ended
from rung.sim.exchange import Reply, Request, whole
from rung.sim.gemini import Gemini
from rung.sim.groq import Groq
from rung.sim.ollama import Ollama
from rung.sim.openai import OpenAI
from rung.sim.provider import Provider, World
from rung.sim.scenario import Scenario
from rung.sim.wire import BadRequest, Connection, Incoming

SIMULATED = {"x-rung-simulated": "true"}
MAX_CONNECTIONS = 2000
RECEIVED = 256

KINDS: tuple[type[Provider], ...] = (OpenAI, Groq, DeepSeek, Gemini, Anthropic, Ollama)


class Simulator:
    """All providers of one scenario. Made off the event loop: it reads the price table and the answers' files."""

    def __init__(self, scenario: Scenario, *, seed: int | None = None, clock: Clock | None = None) -> None:
        """Raises ConfigError where a file of answers cannot be used."""
        self.clock = clock or (Clock() if scenario.start is None else Clock(scenario.start))
        self.seed = scenario.seed if seed is None else seed
        self.prices = PriceBook.load()
        self.books = Books(self.prices)
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.received: deque[Request] = deque(maxlen=RECEIVED)
        """the latest requests as they came, bodies included; never told over HTTP"""
        self._running = 0
        self.busy = asyncio.Event()
        """set while an answer is on its way"""
        self.idle = asyncio.Event()
        """set while none is: everything in the books is closed"""
        self.idle.set()
        self.use(scenario)

    def use(self, scenario: Scenario) -> None:
        """Play another scenario from its beginning, with empty caches; the books and the clock go on."""
        world = World(scenario, self.clock, Answers(scenario.answers, self.seed), self.prices, self.seed)
        self.scenario = scenario
        self.providers: Mapping[str, Provider] = {kind.name: kind(world) for kind in KINDS}

    @property
    def requests(self) -> list[Entry]:
        """What came in, oldest first."""
        return list(self.books.entries)

    def root(self, provider: str) -> str:
        """Where the provider's own host would be: ``http://127.0.0.1:7900/groq``."""
        return f"http://127.0.0.1:{self.port}/{provider}"

    def url(self, provider: str) -> str:
        """The `base_url` that rung's configuration wants: the root and the path of the provider's row."""
        return self.root(provider) + urlsplit(rows()[provider].base_url).path.rstrip("/")

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen. Raises OSError if the port is taken."""
        self._server = await asyncio.start_server(self._serve, host, port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        wire = Connection(reader, writer)
        try:
            if self._refusing() or len(self._tasks) > MAX_CONNECTIONS:
                wire.reset()
                return
            while (incoming := await wire.read()) is not None:
                await self._one(incoming, wire)
                if incoming.headers.get("connection", "").lower() == "close":
                    break
        except (Ended, ConnectionError, BadRequest, asyncio.CancelledError):
            pass  # the task is ours: nobody awaits it but aclose
        finally:
            self._tasks.discard(task)
            wire.close()

    def _refusing(self) -> bool:
        now = self.clock.now()
        return any(outage.holds(now) and isinstance(outage.fault, faults.Refused) for outage in self.scenario.outages)

    async def _one(self, incoming: Incoming, wire: Connection) -> None:
        name, _, rest = incoming.path.lstrip("/").partition("/")
        request = Request(incoming.method, f"/{rest}", incoming.query, incoming.headers, incoming.body)
        provider = self.providers.get(name)
        if provider is None:
            reply = await self._control(incoming.path, request)
            body = b"".join(piece.data for piece in reply.pieces)
            size = {"content-type": reply.content_type, "content-length": str(len(body))}
            await wire.head(reply.status, {**SIMULATED, **size})
            await wire.send(body)
            return
        self.received.append(request)
        entry = self.books.open(name, request.path, self.clock.at(), request.headers.get("user-agent", "")[:200])
        reply = provider.reply(request)
        _write(entry, reply)
        books = self.books

        def settle(delivery: Delivery, outcome: str) -> None:
            """What was generated is billed, also when the client left or the answer broke on its way."""
            entry.told = delivery.told
            if reply.turn is not None and outcome != "whole" and reply.stream:
                counts = entry.counts
                counts.reasoning = min(counts.reasoning, delivery.generated)
                counts.output = min(counts.output, delivery.generated - counts.reasoning)
            if reply.turn is not None:
                provider.over(reply.turn, outcome)
            books.close(entry, "error" if outcome == "whole" and reply.status >= 400 else outcome)

        delivery = Delivery(reply, entry.number, self.clock, SIMULATED, self.seed, settle)
        delivery.head_only = request.method == "HEAD"
        self._count(provider, 1)
        try:
            await _while_there(delivery, wire)
        finally:
            delivery.settle("left")
            self._count(provider, -1)

    def _count(self, provider: Provider, change: int) -> None:
        provider.running += change
        self._running += change
        for event, holds in ((self.busy, self._running > 0), (self.idle, not self._running)):
            (event.set if holds else event.clear)()

    async def _control(self, path: str, request: Request) -> Reply:
        """The simulator's own pages."""
        match request.method, path:
            case "GET", "/":
                return whole({"simulated": True, "providers": {name: self.url(name) for name in self.providers}})
            case "GET", "/sim/books":
                return whole(self.books.wire())
            case "GET", "/sim/requests":
                since = request.query.get("since", "0")
                after = int(since) if since.isdigit() else 0
                told = [entry.wire() for entry in self.books.entries if entry.number > after]
                return whole({"simulated": True, "requests": told})
            case "POST", "/sim/reset":
                self.books = Books(self.prices)
                await asyncio.to_thread(self.use, self.scenario)
                return whole({"ok": True})
            case "POST", "/sim/advance":
                try:
                    self.clock.advance(float(request.query.get("seconds", "")))
                except ValueError:
                    return whole({"error": "write ?seconds=N"}, 400)
                return whole({"now": self.clock.now()})
            case "POST", "/sim/scenario":
                return await self._take(request.body)
        return whole({"error": f"nothing here; known are {', '.join(f'/{name}' for name in self.providers)}"}, 404)

    async def _take(self, body: bytes) -> Reply:
        """A new scenario over HTTP, which may name no file of this machine."""
        try:
            scenario = Scenario.parse(body.decode(errors="replace"))
            if scenario.answers.file or scenario.answers.truth:
                raise ConfigError("a scenario sent over HTTP cannot name files; start rung sim with --scenario")
            await asyncio.to_thread(self.use, scenario)
        except ConfigError as error:
            return whole({"error": error.message}, 400)
        return whole({"ok": True})


def _write(entry: Entry, reply: Reply) -> None:
    entry.status, entry.stream, entry.model = reply.status, reply.stream, reply.model
    if reply.fault is not None:
        entry.fault = str(reply.fault.__struct_config__.tag)
    if reply.turn is not None:
        asked = reply.turn.ask
        entry.model, entry.service_tier, entry.counts = asked.model, asked.tier, reply.turn.counts


async def _while_there(delivery: Delivery, wire: Connection) -> None:
    """Deliver until done. Raises Ended where the connection is over, because of the fault or of the client."""
    sending = asyncio.ensure_future(delivery.run(wire))
    leaving = asyncio.ensure_future(wire.left())
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, leaving):
            if not task.done():
                task.cancel()
        results = await asyncio.gather(sending, leaving, return_exceptions=True)
    failed = results[0]
    if isinstance(failed, asyncio.CancelledError | ConnectionError):
        raise Ended
    if isinstance(failed, BaseException):
        raise failed


@asynccontextmanager
async def simulator(
    scenario: Scenario | Mapping[str, Any] | str | None = None,
    *,
    seed: int | None = None,
    clock: Clock | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[Simulator]:
    """A running simulator. `scenario` may be a `Scenario`, a mapping or TOML text; virtual time unless a
    `clock` is given. Raises ConfigError, OSError."""
    sim = await asyncio.to_thread(_make, scenario, seed, clock)
    await sim.start(host, port)
    try:
        yield sim
    finally:
        await sim.aclose()


def _make(scenario: Scenario | Mapping[str, Any] | str | None, seed: int | None, clock: Clock | None) -> Simulator:
    if scenario is None or isinstance(scenario, Mapping):
        scenario = Scenario.of(scenario or {})
    elif isinstance(scenario, str):
        scenario = Scenario.parse(scenario)
    return Simulator(scenario, seed=seed, clock=clock)
