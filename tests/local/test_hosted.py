"""Backends that others run: loads have a deadline of their own, what is gone is left alone for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from rung.answer import Answer, Declined, Usage
from rung.errors import ConnectFault, Fault, ServerFault
from rung.local import hosted
from rung.local.hosted import Ollama, Server
from rung.providers.local import adapter_for, free
from rung.rungs.local import LocalRung
from rung.testing import Received, ScriptedUpstream, completion_stream, make_call, reply
from rung.wire.client import Client
from rung.wire.origin import Origin

TAG = {"name": "phi4:latest", "model": "phi4:latest", "size": 9, "digest": "d" * 64}
LOADED = {"model": "phi4", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "load"}
SAID = {
    "model": "phi4",
    "message": {"role": "assistant", "content": "Hello"},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 100,
    "prompt_eval_duration": 500_000_000,
    "eval_count": 40,
    "eval_duration": 2_000_000_000,
}


class FakeOllama:
    """Just enough of Ollama to be loaded, late or not, and asked. `loading`: what a load waits for."""

    def __init__(self) -> None:
        self.tags: list[dict[str, Any]] = [TAG]
        self.ps: list[dict[str, Any]] = [TAG]
        self.loading: asyncio.Event | None = None
        self.load_error: dict[str, Any] | None = None
        self.chat: tuple[int, dict[str, Any]] = (200, SAID)
        self.asked: list[tuple[str, Any]] = []

    async def __call__(self, asked: Received, writer: asyncio.StreamWriter) -> None:
        told = asked.json() if asked.body else None
        self.asked.append((asked.target, told))
        if asked.target != "/api/chat":
            answers = {"/api/tags": {"models": self.tags}, "/api/ps": {"models": self.ps}, "/api/show": {}}
            writer.write(reply(answers[asked.target]))
        elif told["messages"]:
            writer.write(reply(self.chat[1], self.chat[0]))
        elif self.load_error is not None:
            writer.write(reply(self.load_error, 500))
        else:
            if self.loading is not None:
                await self.loading.wait()
            writer.write(reply(LOADED))
        await writer.drain()

    def loads(self) -> int:
        return sum(told["messages"] == [] for path, told in self.asked if path == "/api/chat")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.aclose()


@pytest.fixture
async def fake() -> FakeOllama:
    return FakeOllama()


@pytest.fixture
async def make(client: Client, fake: FakeOllama) -> AsyncIterator[Callable[..., Ollama]]:
    async with ScriptedUpstream(fake) as upstream:
        origin, _ = Origin.parse(upstream.base_url)
        made: list[Ollama] = []

        def make(**told: Any) -> Ollama:
            made.append(Ollama(client, origin, "", "phi4", **{"context": 4096, "delays": (0.0,), **told}))
            return made[-1]

        yield make
        for backend in made:
            await backend.stop()


def rung(backend: Ollama | Server, client: Client, **told: Any) -> LocalRung:
    return LocalRung(backend, adapter_for(backend, client), **told)


async def test_a_load_may_outlast_a_call_and_goes_on_without_it(
    make: Callable[..., Ollama], client: Client, fake: FakeOllama
) -> None:
    fake.loading = asyncio.Event()
    backend = make()
    await backend.start()
    call = make_call(private=True)
    call.deadline = call.started + 0.05
    told = await rung(backend, client).attempt(call)
    assert told == Declined("local_loading")
    waiting = asyncio.create_task(rung(backend, client).attempt(make_call(private=True)))
    leaving = asyncio.create_task(rung(backend, client).attempt(make_call(private=True)))
    await asyncio.sleep(0)
    leaving.cancel()  # a client that leaves takes no load with it
    await asyncio.wait([leaving])
    fake.loading.set()
    assert isinstance(await waiting, Answer)
    assert fake.loads() == 2  # one for all who waited, and the adapter's own


async def test_a_load_has_a_deadline_of_its_own(make: Callable[..., Ollama], fake: FakeOllama) -> None:
    fake.loading = asyncio.Event()
    backend = make(load_deadline=0.05, delays=(60.0,))
    await backend.start()
    assert not await backend.ready(30)
    assert backend.health.state == "failing"


async def test_every_call_says_the_same_context_and_keep_alive(
    make: Callable[..., Ollama], client: Client, fake: FakeOllama
) -> None:
    """Another num_ctx would load the model anew."""
    backend = make(idle_unload=120.0)
    await backend.start()
    for _ in range(2):
        await rung(backend, client).attempt(make_call(private=True, body={"num_ctx": 99}))
    chats = [told for path, told in fake.asked if path == "/api/chat"]
    assert {told["options"]["num_ctx"] for told in chats} == {4096}
    assert {told["keep_alive"] for told in chats} == {120.0}
    assert make(idle_unload=0.0).keep_alive == -1.0


async def test_its_own_times_teach_its_speed(make: Callable[..., Ollama], client: Client) -> None:
    backend = make()
    await backend.start()
    await rung(backend, client).attempt(make_call(private=True))
    assert (backend.speed.prompt, backend.speed.generation) == (200.0, 20.0)


async def test_a_model_pulled_anew_is_another_version(
    make: Callable[..., Ollama], client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make()
    await backend.start()
    assert await backend.ready(20)
    assert backend.version == "d" * 64
    monkeypatch.setattr(hosted, "LOOKED", -1.0)
    fake.ps = [{**TAG, "digest": "e" * 64}]
    told = await rung(backend, client).attempt(make_call(private=True))
    assert isinstance(told, Answer)
    assert told.evidence.model_version == "e" * 64


async def test_what_runs_elsewhere_is_no_local_model(make: Callable[..., Ollama], fake: FakeOllama) -> None:
    fake.tags = [{**TAG, "remote_host": "https://ollama.com:443"}]
    backend = make(delays=(60.0,))
    await backend.start()
    assert not await backend.ready(20)
    assert backend.health.detail == "phi4 runs on another machine; it is no local model"
    assert fake.loads() == 0


async def test_a_model_that_was_removed_is_said_so(make: Callable[..., Ollama], fake: FakeOllama) -> None:
    fake.tags = []
    backend = make(delays=(60.0,))
    await backend.start()
    assert not await backend.ready(20)
    assert backend.health.detail == "Ollama has no phi4 any more; get it with: rung models pull ollama:phi4"


async def test_a_load_that_fails_is_told_in_ollamas_own_words(make: Callable[..., Ollama], fake: FakeOllama) -> None:
    fake.load_error = {"error": "llama-server reported out-of-memory during startup"}
    backend = make(delays=(60.0,))
    await backend.start()
    assert not await backend.ready(20)
    assert backend.health.state == "failing"
    assert "out-of-memory during startup" in backend.health.detail


async def test_a_failing_backend_is_not_asked_before_its_delay(
    make: Callable[..., Ollama], client: Client, fake: FakeOllama
) -> None:
    fake.load_error = {"error": "no"}
    backend = make(delays=(60.0,))
    await backend.start()
    assert not await backend.ready(20)
    before = len(fake.asked)
    for _ in range(3):
        told = await rung(backend, client).attempt(make_call())
        assert isinstance(told, Declined)
        assert told.code == "local_failing"
    assert len(fake.asked) == before


async def test_an_error_of_its_own_makes_it_look_again(
    make: Callable[..., Ollama], client: Client, fake: FakeOllama
) -> None:
    backend = make()
    await backend.start()
    assert await backend.ready(20)
    fake.chat = (500, {"error": "the runner crashed"})
    with pytest.raises(ServerFault, match="the runner crashed"):
        await rung(backend, client).attempt(make_call())
    assert backend.health.state == "failing"
    fake.chat = (200, SAID)
    told = await rung(backend, client).attempt(make_call())
    assert isinstance(told, Declined)  # and it is being looked at
    assert isinstance(await rung(backend, client).attempt(make_call(private=True)), Answer)


async def test_a_prompt_too_long_for_it_is_declined(
    make: Callable[..., Ollama], client: Client, fake: FakeOllama
) -> None:
    backend = make()
    await backend.start()
    fake.chat = (400, {"error": "the input length exceeds the context length"})
    assert await rung(backend, client).attempt(make_call(private=True)) == Declined("context_overflow")
    assert backend.health.up


async def test_one_that_is_not_there_is_said_to_be_gone_with_what_to_do(client: Client) -> None:
    backend = Server(client, Origin("http", "127.0.0.1", 9), "/v1", "phi-4")
    await backend.start()
    assert not await backend.ready(20)
    assert backend.health.state == "gone"
    assert backend.health.detail == "nothing answers at 127.0.0.1:9; start it, or remove it from the configuration"
    await backend.stop()


async def test_a_server_that_lost_its_model_is_failing(client: Client) -> None:
    async with ScriptedUpstream(reply({"data": [{"id": "another"}]})) as upstream:
        origin, path = Origin.parse(upstream.base_url)
        backend = Server(client, origin, path, "phi-4", delays=(60.0,))
        await backend.start()
        assert not await backend.ready(20)
        assert backend.health.detail == f"the server at {origin.label} has no phi-4 any more"
        await backend.stop()


async def test_a_server_without_times_is_timed_by_us(client: Client) -> None:
    async def answer(asked: Received, writer: asyncio.StreamWriter) -> None:
        listed = reply({"data": [{"id": "phi-4"}]})
        writer.write(listed if asked.method == "GET" else completion_stream("Hello " * 40))
        await writer.drain()

    async with ScriptedUpstream(answer) as upstream:
        origin, path = Origin.parse(upstream.base_url)
        backend = Server(client, origin, path, "phi-4")
        await backend.start()
        told = await rung(backend, client).attempt(make_call(private=True, stream=True))
        assert isinstance(told, Answer)
        assert told.events is not None
        assert [event async for event in told.events]
        assert (backend.speed.answers, backend.speed.output) == (1, 5.0)
        await backend.stop()


def test_what_runs_here_costs_nothing_and_what_does_not_costs_something_unknown() -> None:
    assert free("phi4", Usage(10)) == 0
    assert free("phi4-cloud", Usage(10)) is None


@pytest.mark.parametrize("fault", [ConnectFault("refused"), ServerFault("boom")])
async def test_a_fault_after_the_commit_point_counts_too(make: Callable[..., Ollama], fault: Fault) -> None:
    backend = make()
    await backend.start()
    assert await backend.ready(20)
    backend.broke(backend.origin, fault)
    assert backend.health.state == ("gone" if isinstance(fault, ConnectFault) else "failing")


@pytest.mark.parametrize(
    ("model", "alias"),
    [
        ("qwen2.5-coder:1.5b", "qwen2.5-coder-1.5b"),
        ("Qwen/Qwen2.5-Coder-7B", "Qwen/Qwen2.5-Coder-7B"),
        ("a\r\nset-cookie: x", "a-set-cookie-x"),
        ("modèle", "mod-le"),
    ],
)
async def test_a_name_that_no_header_could_hold_is_made_one(client: Client, model: str, alias: str) -> None:
    backend = Server(client, Origin("http", "127.0.0.1", 9), "/v1", model)
    assert (backend.alias, backend.model) == (alias, model)
