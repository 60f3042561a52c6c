"""The real engine with a real model: what no fake can show."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from rung.answer import Answer, Declined
from rung.errors import EngineFault
from rung.local.embedded import Embedded
from rung.local.engine import Engine
from rung.providers.local import adapter_for
from rung.rungs.local import LocalRung
from rung.testing import make_call
from rung.wire.client import Client, Deadlines

pytestmark = [pytest.mark.model, pytest.mark.timeout(180)]

SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer"}, "city": {"enum": ["Lyon", "Paris"]}},
    "required": ["age", "city"],
    "additionalProperties": False,
}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.aclose()


@pytest.fixture
async def engine(smollm2: Path) -> AsyncIterator[Engine]:
    engine = Engine(smollm2, alias="smollm2-135m", threads=1, context=1024, delays=(0.0,))
    await engine.start()
    assert await engine.ready(120), engine.detail
    yield engine
    await engine.stop()


def local_rung(engine: Engine, client: Client) -> LocalRung:
    backend = Embedded(engine)
    backend.health.become("ready", loaded=True)
    return LocalRung(backend, adapter_for(backend, client))


async def text(rung: LocalRung, **body: object) -> str:
    answer = await rung.attempt(make_call("Count: one, two,", private=True, body={"temperature": 0, **body}))
    assert isinstance(answer, Answer)
    content: str = orjson.loads(answer.body or b"")["choices"][0]["message"]["content"]
    return content


async def busy(engine: Engine, client: Client) -> bool:
    assert engine.origin is not None
    key = f"authorization: Bearer {engine.api_key}\r\n".encode()
    slots = await client.fetch(engine.origin, "GET", "/slots", key, b"", Deadlines())
    return any(slot["is_processing"] for slot in orjson.loads(slots.body))


async def test_it_answers_within_the_contract(engine: Engine, client: Client) -> None:
    rung = local_rung(engine, client)
    assert await text(rung, max_tokens=8)
    assert await text(rung, seed=7, temperature=1.0, max_tokens=8) == await text(
        rung, seed=7, temperature=1.0, max_tokens=8
    )
    form = {"type": "json_schema", "json_schema": {"name": "p", "schema": SCHEMA}}
    told = orjson.loads(await text(rung, response_format=form, max_tokens=100))
    assert isinstance(told["age"], int)
    assert told["city"] in ("Lyon", "Paris")
    assert "," not in await text(rung, stop=[","], max_tokens=20)
    overflow = await rung.attempt(make_call("word " * 2000, private=True))
    assert isinstance(overflow, Declined)
    assert overflow.code == "context_overflow"
    assert engine.origin is not None
    refused = await client.fetch(engine.origin, "GET", "/slots", b"", b"", Deadlines())
    assert refused.status == 401


async def test_who_leaves_stops_the_model(engine: Engine, client: Client) -> None:
    rung = local_rung(engine, client)
    long = {"ignore_eos": True, "max_tokens": 900, "temperature": 0}
    answer = await rung.attempt(make_call("Tell a story.", stream=True, private=True, body=long))
    assert isinstance(answer, Answer)
    assert answer.events is not None
    await anext(answer.events)
    await answer.aclose()
    async with asyncio.timeout(5):  # 900 tokens would take far longer
        while await busy(engine, client):  # noqa: ASYNC110 (another process sets no event)
            await asyncio.sleep(0.005)
    whole = asyncio.create_task(rung.attempt(make_call("Tell a story.", private=True, body=long)))
    async with asyncio.timeout(20):
        while not await busy(engine, client):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    whole.cancel()
    await asyncio.wait([whole])
    async with asyncio.timeout(5):
        while await busy(engine, client):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_kill_under_a_stream_is_told_and_the_next_call_works(engine: Engine, client: Client) -> None:
    rung = local_rung(engine, client)
    answer = await rung.attempt(make_call("Tell a story.", stream=True, private=True, body={"ignore_eos": True}))
    assert isinstance(answer, Answer)
    assert answer.events is not None
    await anext(answer.events)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(EngineFault):
        async for _ in answer.events:
            pass
    assert await text(rung, max_tokens=4)
