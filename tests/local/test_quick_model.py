"""What no fake can show: grammars the real engine keeps to, labels it knows, heads that outlive it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from rung.answer import Answer
from rung.local.embedded import Embedded
from rung.local.engine import Engine
from rung.local.tuning import Tuning
from rung.providers.local import adapter_for
from rung.rungs.local import LocalRung
from rung.testing import make_call
from rung.wire.client import Client

pytestmark = [pytest.mark.model, pytest.mark.timeout(240)]

Start = Callable[[], Awaitable[LocalRung]]
CLOSED = {"additionalProperties": False}
SYSTEM = "You are a clerk. " + " ".join(f"Rule {number}: check item {number * 7}." for number in range(60))


@pytest.fixture
async def start(smollm2: Path, tmp_path: Path) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:
        client = Client()
        stack.push_async_callback(client.aclose)

        async def start() -> LocalRung:
            tuning = Tuning(heads=tmp_path / "heads")
            engine = Engine(smollm2, alias="m", threads=1, context=2048, tuning=tuning, delays=(0.0,))
            backend = Embedded(engine, identify=lambda: "sha")
            stack.push_async_callback(backend.stop)
            await backend.start()
            assert await backend.ready(120), backend.health.detail
            return LocalRung(backend, adapter_for(backend, client), patient=True)

        yield start


async def answered(rung: LocalRung, text: str, **body: Any) -> Answer:
    messages = [{"role": "user", "content": text}]
    answer = await rung.attempt(make_call(body={"messages": messages, "temperature": 0, "max_tokens": 120, **body}))
    assert isinstance(answer, Answer), answer
    return answer


def said(answer: Answer) -> Any:
    return orjson.loads(answer.body or b"")["choices"][0]["message"]["content"]


async def test_what_is_held_to_a_schema_has_it(start: Start) -> None:
    rung = await start()
    schemas: list[dict[str, Any]] = [
        {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 9}, "minItems": 2, "maxItems": 3},
        {"type": "object", "properties": {"d": {"type": "string", "format": "date"}}, "required": ["d"], **CLOSED},
        {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
        {"oneOf": [{"type": "null"}, {"type": "boolean"}]},
    ]
    jsonschema = pytest.importorskip("jsonschema")
    for schema in schemas:
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
        answer = await answered(rung, "Say something.", response_format=form)
        assert answer.evidence.finish_reason == "stop"
        jsonschema.Draft202012Validator(schema).validate(json.loads(said(answer)))
    parameters = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], **CLOSED}
    tool = {"name": "f", "parameters": parameters}
    made = await answered(rung, "Say hello.", tools=[{"type": "function", "function": tool}], tool_choice="required")
    (call,) = orjson.loads(made.body or b"")["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"])["n"] in (1, 2)


async def test_a_label_costs_one_token_and_has_a_probability(start: Start) -> None:
    rung = await start()
    answer = await answered(rung, "Is ice cold? Answer with one of: yes, no")
    assert said(answer) in ("yes", "no")
    assert answer.evidence.usage is not None
    assert answer.evidence.usage.completion_tokens == 1
    assert 0.5 <= (answer.evidence.label_probability or 0) <= 1


async def test_a_head_outlives_the_engine(start: Start) -> None:
    head = {"role": "system", "content": SYSTEM}
    for life in (1, 2):
        rung = await start()
        for text in ("one", "two", "three"):
            answer = await answered(rung, "", messages=[head, {"role": "user", "content": text}], max_tokens=2)
            usage = answer.evidence.usage
            assert usage is not None
            warm = usage.cache_read_tokens > 0.9 * usage.prompt_tokens
            assert warm == (life == 2 or text != "one"), (life, text, usage)
