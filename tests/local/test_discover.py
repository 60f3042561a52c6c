"""What runs here is found, and what may send calls elsewhere is not taken for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from rung.local.discover import Found, discover, suitable
from rung.local.ollama import Model
from rung.sim import simulator
from rung.testing import Received, ScriptedUpstream, reply
from rung.wire.client import Client
from rung.wire.origin import Origin

NOBODY = (Origin("http", "127.0.0.1", 9), "/v1")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.aclose()


def serving(told: dict[str, Any]) -> ScriptedUpstream:
    """A server that answers GETs as `told` by path, 404 otherwise."""

    async def answer(asked: Received, writer: asyncio.StreamWriter) -> None:
        found = told.get(asked.target)
        writer.write(reply(orjson.dumps(found)) if found is not None else reply({}, 404))
        await writer.drain()

    return ScriptedUpstream(answer)


def place(server: ScriptedUpstream) -> tuple[Origin, str]:
    return Origin.parse(server.base_url)


LLAMA = {"/v1/models": {"data": [{"id": "phi-4.gguf", "owned_by": "llamacpp", "meta": {"n_params": 1}}]}}
VLLM = {"/v1/models": {"data": [{"id": "Qwen/Qwen2.5-Coder-7B", "owned_by": "vllm", "max_model_len": 4096}]}}
STUDIO = {
    "/api/v0/models": {
        "data": [
            {"id": "text-embedding-nomic", "type": "embeddings", "state": "loaded"},
            {"id": "phi-4", "type": "llm", "state": "not-loaded"},
            {"id": "qwen", "type": "vlm", "state": "loaded"},
        ]
    },
    "/v1/models": {"data": [{"id": "phi-4", "owned_by": "organization_owner"}]},
}
PROXY = {"/v1/models": {"data": [{"id": "gpt-5", "owned_by": "openai"}]}}


@pytest.mark.parametrize(
    ("told", "software", "models"),
    [
        (LLAMA, "llama-server", ("phi-4.gguf",)),
        (VLLM, "vLLM", ("Qwen/Qwen2.5-Coder-7B",)),
        (STUDIO, "LM Studio", ("qwen", "phi-4")),
    ],
    ids=["llama-server", "vLLM", "LM Studio"],
)
async def test_model_servers_are_told_apart(
    client: Client, told: dict[str, Any], software: str, models: tuple[str, ...]
) -> None:
    async with serving(told) as server:
        (found,) = await discover(client, ollama=None, servers=[NOBODY, place(server)])
    assert (found.software, found.models) == (software, models)


@pytest.mark.parametrize("told", [PROXY, {}, {"/v1/models": {"data": []}}, {"/v1/models": "hello"}], ids=str)
async def test_whatever_else_listens_there_is_not_used(client: Client, told: dict[str, Any]) -> None:
    async with serving(told) as server:
        assert await discover(client, ollama=None, servers=[place(server)]) == []


async def test_a_named_server_is_taken_whatever_it_is(client: Client) -> None:
    async with serving(PROXY) as server:
        (found,) = await discover(client, ollama=None, servers=[place(server)], named=True)
    assert (found.software, found.models) == ("server", ("gpt-5",))


async def test_only_loopback_addresses_are_looked_at(client: Client) -> None:
    away = Origin("http", "192.0.2.7", 11434)  # a connection would be a failure: conftest forbids it
    assert await discover(client, ollama=(away, ""), servers=[(away, "/v1")], seconds=5) == []


async def test_who_says_nothing_costs_no_more_than_the_time_allowed(client: Client) -> None:
    async def silent(asked: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with ScriptedUpstream(silent) as dead, serving(LLAMA) as alive:
        began = time.monotonic()
        found = await discover(client, ollama=place(dead), servers=[place(dead), place(alive)], seconds=0.2)
        took = time.monotonic() - began
    assert [one.software for one in found] == ["llama-server"]
    assert took < 5  # one second for each dead one would be more


async def test_ollama_is_found_with_what_it_has(client: Client) -> None:
    async with simulator() as sim:
        (found,) = await discover(client, ollama=Origin.parse(sim.root("ollama")), servers=[], seconds=10)
    assert (found.software, found.version) == ("Ollama", "0.99.0")
    assert "qwen2.5-coder:1.5b" in found.models
    assert "gpt-oss:120b-cloud" not in found.models


GB = 1000**3
INSTALLED = (
    Model("phi4:latest", 9 * GB),
    Model("qwen2.5-coder:1.5b", GB),
    Model("llama3:8b", 5 * GB),
    Model("nomic-embed-text:latest", GB // 4),
    Model("big:cloud", 0),
    Model("renamed:latest", 2 * GB, remote_host="https://ollama.com:443", capabilities=["completion"]),
    Model("bge:latest", 8 * GB, capabilities=["embedding"]),
)


@pytest.mark.parametrize(
    ("room", "known", "model"),
    [
        (20, ["qwen2.5-coder:1.5b"], "qwen2.5-coder:1.5b"),
        (20, ["phi4", "qwen2.5-coder:1.5b"], "phi4:latest"),
        (20, ["nobody"], "phi4:latest"),
        (6, ["nobody"], "llama3:8b"),
        (0.9, ["qwen2.5-coder:1.5b"], None),
    ],
)
def test_the_suitable_model_is_a_known_one_or_the_largest_that_fits(
    room: float, known: list[str], model: str | None
) -> None:
    found = Found("Ollama", NOBODY[0], "", installed=INSTALLED)
    assert suitable(found, lambda one: one.size <= room * GB, known) == model


def test_what_runs_elsewhere_is_never_suitable() -> None:
    for name in ("big:cloud", "renamed:latest", "nomic-embed-text:latest", "bge:latest"):
        found = Found("Ollama", NOBODY[0], "", installed=INSTALLED)
        assert suitable(found, lambda one, name=name: one.name == name, [name]) is None  # type: ignore[misc]
