"""The contract of `rung.local.backend.Backend`, kept by all three: embedded, Ollama, a local server.

The embedded one runs a fake child, Ollama is the faithful simulator, the server a scripted one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from local_fakes import child, gguf

from rung.answer import Answer, Declined
from rung.call import Call
from rung.errors import Fault
from rung.local.backend import Backend
from rung.local.embedded import Embedded
from rung.local.engine import Engine
from rung.local.hosted import Ollama, Server
from rung.providers.local import adapter_for
from rung.rungs.local import LocalRung
from rung.sim import simulator
from rung.testing import completion_reply, completion_stream, make_call, reply
from rung.wire.client import Client
from rung.wire.origin import Origin

MODEL = "qwen2.5-coder:1.5b"


@dataclass
class There:
    """One backend and what may happen to it."""

    backend: Backend
    rung: LocalRung
    die: Callable[[], Awaitable[None]]
    revive: Callable[[], Awaitable[None]]
    unload: Callable[[], Awaitable[None]] | None
    seen: list[tuple[str, str]] = field(default_factory=list)


class Serving:
    """A model server at a port that stays the same: llama-server as far as we ask it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (line[16:] for line in head.lower().split("\r\n") if line.startswith("content-length:")), "0"
                )
                body = await reader.readexactly(int(length))
                self.asked.append(head.split(" ")[1])
                if "/chat/completions" not in head:
                    listed = {"data": [{"id": MODEL, "owned_by": "llamacpp"}]}
                    writer.write(reply(listed) if "/v1/models" in head else reply({}, 404))
                elif orjson.loads(body).get("stream"):
                    writer.write(completion_stream("Hello"))
                else:
                    writer.write(completion_reply("Hello"))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.aclose()


@pytest.fixture(params=["embedded", "ollama", "server"])
async def there(request: pytest.FixtureRequest, client: Client, tmp_path: Path) -> AsyncIterator[There]:
    made: Any = {"embedded": _embedded, "ollama": _ollama, "server": _server}[request.param]
    seen: list[tuple[str, str]] = []
    async for one in made(client, tmp_path, lambda state, detail: seen.append((state, detail))):
        one.seen = seen
        yield one
        await one.backend.stop()


def there_with(backend: Backend, client: Client, **told: Any) -> There:
    return There(backend, LocalRung(backend, adapter_for(backend, client), load_wait=20), **told)


async def _embedded(client: Client, tmp_path: Path, tell: Any) -> AsyncIterator[There]:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf())
    engine = Engine(path, alias="tiny", threads=1, delays=(0.0, 0.0), command=child(tmp_path))
    backend = Embedded(engine, identify=lambda: hashlib.sha256(gguf()).hexdigest(), max_waiting=1, on_change=tell)

    dead: list[Origin | None] = []

    async def die() -> None:
        assert engine.pid is not None
        dead.append(engine.origin)
        os.kill(engine.pid, signal.SIGKILL)

    async def revive() -> None:
        await engine.lost(dead[-1], 20)
        assert await backend.ready(20)

    async def unload() -> None:
        await backend._unload("ready", "unloaded")

    yield there_with(backend, client, die=die, revive=revive, unload=unload)


async def _ollama(client: Client, tmp_path: Path, tell: Any) -> AsyncIterator[There]:
    async with simulator() as sim:
        origin, path = Origin.parse(sim.root("ollama"))
        backend = Ollama(client, origin, path, MODEL, context=4096, max_waiting=1, delays=(0.0,), on_change=tell)

        async def die() -> None:
            backend._at = backend.origin = Origin("http", "127.0.0.1", 9)  # where nobody listens
            rung._adapter = adapter_for(backend, client)

        async def revive() -> None:
            backend._at = backend.origin = origin
            rung._adapter = adapter_for(backend, client)
            assert await backend.ready(20)

        async def unload() -> None:
            await backend.host.unload(MODEL)
            backend._seen = 0.0  # a while ago

        there = there_with(backend, client, die=die, revive=revive, unload=unload)
        rung = there.rung
        yield there


async def _server(client: Client, tmp_path: Path, tell: Any) -> AsyncIterator[There]:
    serving = Serving()
    await serving.open()
    origin = Origin("http", "127.0.0.1", serving.port)
    backend = Server(client, origin, "/v1", MODEL, max_waiting=1, delays=(0.0,), on_change=tell)

    async def revive() -> None:
        await serving.open()
        assert await backend.ready(20)

    try:
        yield there_with(backend, client, die=serving.close, revive=revive, unload=None)
    finally:
        await serving.close()


async def answered(there: There, call: Call) -> Answer:
    told = await there.rung.attempt(call)
    assert isinstance(told, Answer), told
    if told.events is not None:
        assert [event async for event in told.events][-1].last
        await told.aclose()
    return told


async def test_it_starts_at_once_and_gets_ready(there: There) -> None:
    assert there.backend.health.state == "gone"
    await there.backend.start()
    assert there.backend.health.state == "loading"
    assert await there.backend.ready(20)
    assert there.backend.health.up
    assert [state for state, _ in there.seen] == ["loading", "ready"]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_says_which_weights_gave_it_and_teaches_speed(there: There, stream: bool) -> None:
    await there.backend.start()
    answer = await answered(there, make_call(private=True, stream=stream))
    assert (answer.rung, answer.model) == ("local", f"local:{there.backend.alias}")
    evidence = answer.evidence
    assert (evidence.complete, evidence.unproved, evidence.cost) == (True, True, 0)
    if there.backend.kind == "server":
        assert evidence.model_version == "fake"  # what it calls itself
    else:
        assert len(there.backend.version) == 64
        assert evidence.model_version == there.backend.version
    assert there.backend.speed.answers == 1
    assert there.backend.desk.running == 0


async def test_it_is_busy_while_it_answers_and_its_queue_has_an_end(there: There) -> None:
    await there.backend.start()
    assert await there.backend.ready(20)
    first = await there.backend.desk.acquire(1)
    assert first
    assert there.backend.health.state == "busy"
    waiting = asyncio.create_task(answered(there, make_call(private=True)))
    while not there.backend.desk.waiting:  # noqa: ASYNC110 (a few turns of the loop)
        await asyncio.sleep(0)
    assert await there.rung.attempt(make_call(private=True)) == Declined("local_busy: 1 running, 1 waiting")
    first.release()
    await waiting
    assert there.backend.health.state == "ready"


async def test_while_it_loads_calls_that_may_leave_go_up(there: There) -> None:
    await there.backend.start()
    assert await there.rung.attempt(make_call()) == Declined("local_loading")
    await answered(there, make_call(private=True))  # who may not, waits
    await answered(there, make_call())


async def test_an_unloaded_model_is_loaded_by_the_next_call(there: There) -> None:
    if there.unload is None:
        pytest.skip("such a server loads by itself")
    await there.backend.start()
    assert await there.backend.ready(20)
    await there.unload()
    told = await there.rung.attempt(make_call())
    assert isinstance(told, Declined)
    assert told.code == "local_loading"
    assert await there.backend.ready(20)
    await there.unload()
    await answered(there, make_call(private=True))


async def test_when_it_dies_calls_go_on_at_once_and_it_may_come_back(there: There) -> None:
    await there.backend.start()
    await answered(there, make_call(private=True))
    await there.die()
    with contextlib.suppress(Fault):  # unless it knew already
        assert isinstance(await there.rung.attempt(make_call()), Declined)
    await there.revive()
    await answered(there, make_call())
    assert there.backend.desk.running == 0


async def test_it_stops_and_starts_again(there: There) -> None:
    await there.backend.start()
    assert await there.backend.ready(20)
    await there.backend.stop()
    await there.backend.stop()
    assert there.backend.health.state == "gone"
    assert await there.rung.attempt(make_call()) == Declined("local_gone: stopped")
    await there.backend.start()
    assert await there.backend.ready(20)
