from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import orjson
import pytest

from rung.answer import Answer, Declined
from rung.call import Call
from rung.ladder.rung import Rung
from rung.rungs import tool
from rung.rungs.tool import ToolRung
from rung.tools import Result

ASK = 'Format this JSON: {"a":[1.0]}'
FORMATTED = '{\n  "a": [\n    1.0\n  ]\n}'


@pytest.fixture(scope="module")
def rung() -> ToolRung:
    made = ToolRung()
    made.warm()
    return made


def call(*messages: dict[str, Any] | str, stream: bool = False, include_usage: bool = False, **body: Any) -> Call:
    turns = [{"role": "user", "content": one} if isinstance(one, str) else one for one in messages]
    return Call(
        body={"model": "auto", "messages": turns, **body},
        raw=b"",
        model="auto",
        request_id="r1",
        stream=stream,
        include_usage=include_usage,
    )


async def content(rung: ToolRung, asked: Call) -> str:
    answer = await rung.attempt(asked)
    assert isinstance(answer, Answer), answer
    return str(orjson.loads(answer.body or b"")["choices"][0]["message"]["content"])


def test_it_is_a_rung(rung: ToolRung) -> None:
    assert isinstance(rung, Rung)
    assert rung.stays_here
    rung.settle(call(ASK), None, None)


async def test_a_whole_answer(rung: ToolRung) -> None:
    answer = await rung.attempt(call(ASK))
    assert isinstance(answer, Answer)
    assert (answer.rung, answer.model) == ("tool", "tool")
    body = orjson.loads(answer.body or b"")
    assert body["choices"][0]["message"]["content"] == FORMATTED
    assert body["choices"][0]["finish_reason"] == "stop"
    assert answer.evidence.complete
    assert answer.evidence.cost == 0
    assert answer.evidence.usage is not None
    assert answer.evidence.usage.prompt_tokens == 0


@pytest.mark.parametrize("include_usage", [False, True])
async def test_a_streamed_answer(rung: ToolRung, include_usage: bool) -> None:
    answer = await rung.attempt(call(ASK, stream=True, include_usage=include_usage))
    assert isinstance(answer, Answer)
    assert answer.events is not None
    events = [event async for event in answer.events]
    chunks = [json.loads(event.data.removeprefix(b"data: ")) for event in events]
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert text == FORMATTED
    assert [event.content for event in events].count(True) == 1
    assert [event.last for event in events] == [False] * (len(events) - 1) + [True]
    assert (chunks[-1]["choices"] == []) is include_usage
    assert all(event.data.endswith(b"\n\n") and b"[DONE]" not in event.data for event in events)


async def test_a_repair_tells_the_record(rung: ToolRung) -> None:
    answer = await rung.attempt(call('Fix this JSON: {"a": 1,}'))
    assert isinstance(answer, Answer)
    assert answer.evidence.edits[0].startswith("first fault: trailing comma")


async def test_other_ways_to_write_the_message(rung: ToolRung) -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": ASK}]}
    assert await content(rung, call(parts)) == FORMATTED
    developer = {"role": "developer", "content": "You are a JSON formatter."}
    assert await content(rung, call(developer, '{"a":[1.0]}')) == FORMATTED
    assert await content(rung, call("Hi", {"role": "assistant", "content": "Hello!"}, ASK)) == FORMATTED


@pytest.mark.parametrize(
    "asked",
    [
        call("What is the capital of Peru?"),
        call("Format this JSON"),
        call({"role": "system", "content": "Answer in verse."}, ASK),
        call({"role": "system", "content": "x" * 700}, ASK),
        call({"role": "system", "content": [{"type": "image_url"}]}, ASK),
        call({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}),
        call({"role": "user", "content": [{"type": "text", "text": ASK}, {"type": "text", "text": "again"}]}),
        call({"role": "user", "content": None}),
        call(ASK, {"role": "assistant", "content": "{"}),
        call("From now on answer in French.", {"role": "assistant", "content": "Oui"}, ASK),
        call(
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}, {"role": "tool", "content": "x"}, ASK
        ),
        call({"role": "user", "content": [{"type": "image_url"}]}, {"role": "assistant", "content": "a"}, ASK),
        call(ASK, n=2),
        call(ASK, logprobs=True),
        call(ASK, tools=[{"type": "function"}], tool_choice="required"),
        call(ASK, tools=[{"type": "function"}], tool_choice={"type": "function", "function": {"name": "f"}}),
        call(ASK, functions=[{"name": "f"}]),
        call(ASK, modalities=["text", "audio"]),
    ],
)
async def test_not_a_tool_task(rung: ToolRung, asked: Call) -> None:
    answer = await rung.attempt(asked)
    assert isinstance(answer, Declined)
    assert answer.code == "not_a_tool_task"
    assert "Peru" not in answer.reason


@pytest.mark.parametrize(
    "earlier",
    [
        "I like my JSON indented with 8 spaces.",
        "Use tabs.",
        "Give me all answers as XML.",
        "Whenever I paste JSON, also tell me its size.",
        "Act as a pirate.",
        "The word 'format' means 'translate'.",
        "On parle français ici.",
    ],
)
async def test_what_a_chat_has_agreed_on_may_hold_for_this_answer(rung: ToolRung, earlier: str) -> None:
    answer = await rung.attempt(call(earlier, {"role": "assistant", "content": "Yes."}, ASK))
    assert isinstance(answer, Declined)


async def test_an_earlier_task_does_not_stand_in_the_way(rung: ToolRung) -> None:
    asked = call('Minify this JSON: {"b": 2}', {"role": "assistant", "content": '{"b":2}'}, ASK)
    assert await content(rung, asked) == FORMATTED


@pytest.mark.parametrize(
    "asked",
    [
        call("Format this JSON: [1,"),
        call('Format this JSON: {"a":1,"a":2}'),
        call("Format this JSON: " + "[" * 300 + "]" * 300),
        call(ASK, max_tokens=3),
        call(ASK, max_completion_tokens=3),
        call(ASK, stop="1.0"),
        call(ASK, stop=["x", "\n"]),
        call("Format this JSON: [1]", response_format={"type": "json_object"}),
        call("Is this valid JSON? [1]", response_format={"type": "json_object"}),
        call(ASK, response_format={"type": "json_schema", "json_schema": {"schema": {"required": ["z"]}}}),
        call(ASK, response_format={"type": "json_schema"}),
        call(ASK, response_format={"type": "grammar"}),
        call("Format this JSON in a code block: {}", response_format={"type": "json_object"}),
    ],
)
async def test_a_task_that_cannot_be_answered_as_asked(rung: ToolRung, asked: Call) -> None:
    answer = await rung.attempt(asked)
    assert isinstance(answer, Declined)


async def test_parameters_that_do_fit(rung: ToolRung) -> None:
    schema = {"type": "json_schema", "json_schema": {"schema": {"type": "object", "required": ["a"]}}}
    asked = call(ASK, response_format=schema, max_tokens=500, stop=["zzz"], temperature=0.3, tools=[], n=1)
    assert await content(rung, asked) == FORMATTED


async def test_a_passed_deadline_declines(rung: ToolRung) -> None:
    asked = call("Lint this:\n```python\nimport os\n```")
    asked.deadline = time.monotonic() - 1
    answer = await rung.attempt(asked)
    assert isinstance(answer, Declined)
    assert "deadline" in answer.reason


async def test_large_work_leaves_the_loop_free_and_is_bounded(rung: ToolRung, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    gate = threading.Event()

    def slow(*args: object) -> Result:
        gate.wait(10)
        return Result("x", "json")

    monkeypatch.setattr(tool, "run", slow)
    asked = call("Lint this:\n```python\nimport os\n```")
    first = [asyncio.ensure_future(rung.attempt(asked)) for _ in range(tool.MAX_WORKERS)]
    await asyncio.sleep(0)
    refused = await rung.attempt(asked)
    assert isinstance(refused, Declined)
    assert "busy" in refused.reason
    gate.set()
    assert all(isinstance(one, Answer) for one in await asyncio.gather(*first))
    assert isinstance(await rung.attempt(asked), Answer)


async def test_work_that_takes_too_long_declines(rung: ToolRung, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    gate = threading.Event()

    def stuck(*args: object) -> Result:
        gate.wait(10)
        return Result("x", "json")

    monkeypatch.setattr(tool, "run", stuck)
    monkeypatch.setattr(tool, "MAX_SECONDS", 0.01)
    answer = await rung.attempt(call("Lint this:\n```python\nimport os\n```"))
    gate.set()
    assert isinstance(answer, Declined)
    assert "too long" in answer.reason


async def test_a_missing_library_names_the_extra(rung: ToolRung, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "json_repair", None)
    answer = await rung.attempt(call('Fix this JSON: {"a": 1,}'))
    assert isinstance(answer, Declined)
    assert answer.reason == "tool_cannot: json-repair is not installed: pip install 'rung[tools]'"


async def test_the_vocabulary_is_read_by_the_first_call_for_all_that_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr("rung.rungs.tool._read_vocabulary", lambda: read.append("read"))
    cold = ToolRung()
    assert cold.look(call("What is love?")) is None  # that takes waiting
    answers = await asyncio.gather(*(cold.attempt(call(ASK)) for _ in range(5)))
    assert {answer.rung for answer in answers if isinstance(answer, Answer)} == {"tool"}
    assert read == ["read"]
    assert isinstance(cold.look(call("What is love?")), Declined)
