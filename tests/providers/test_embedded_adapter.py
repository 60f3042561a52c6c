"""The embedded engine's adapter: schemas become grammars, a few labels are answered from probabilities."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from rung.answer import Answer, Event, Evidence, Usage
from rung.call import Call
from rung.errors import BadAnswerFault, RejectedFault
from rung.local.heads import Heads
from rung.local.speeds import Speed
from rung.providers.embedded import Embedded
from rung.testing import make_call
from rung.wire.client import Client, Deadlines, Origin

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
FORM = {"type": "json_schema", "json_schema": {"name": "p", "schema": SCHEMA}}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]


class FakeProvider:
    """Says one scripted text per call; notes what it was asked."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.asked: list[dict[str, Any]] = []

    async def chat(self, call: Call, model: str, deadlines: Deadlines) -> Answer:
        body = orjson.loads(call.raw)
        assert body == call.body | {"model": body["model"]} or "response_format" in call.body or "tools" in call.body
        self.asked.append(body)
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        evidence = Evidence("length" if body.get("max_tokens") == 2 else "stop", True, Usage(input_tokens=9), 0)
        return Answer("local", model, evidence, events=self._events(said))

    async def _events(self, said: Any) -> AsyncIterator[Event]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": None}
        if isinstance(said, dict):
            top = [{"token": token, "logprob": math.log(share)} for token, share in said.items()]
            choice |= {"delta": {"content": "?"}, "logprobs": {"content": [{"token": "?", "top_logprobs": top}]}}
        else:
            choice["delta"] = {"content": said}
        head = {"id": "chatcmpl-123456789012", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        yield Event(b"data: " + orjson.dumps(head | {"choices": [choice]}) + b"\n\n")
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        yield Event(b"data: " + orjson.dumps(head | {"choices": [end]}) + b"\n\n", False, True)


class FakeBackend:
    kind, alias, model, version, context, base_path, headers = "embedded", "m", "m", "", 0, "/v1", b""
    origin = Origin("http", "127.0.0.1", 1)

    def __init__(self) -> None:
        self.speed = Speed()


def adapter(monkeypatch: pytest.MonkeyPatch, *script: Any, **more: Any) -> tuple[Embedded, FakeProvider]:
    provider = FakeProvider(*script)
    monkeypatch.setattr(Embedded, "_provider", lambda self, origin: provider)
    backend: Any = FakeBackend()
    return Embedded(backend, Client(), price=lambda model, usage: 0, **more), provider


async def content(answer: Answer) -> str:
    if answer.body is not None:
        said: str = orjson.loads(answer.body)["choices"][0]["message"]["content"]
        return said
    assert answer.events is not None
    frames = b"".join([event.data async for event in answer.events])
    parts = [orjson.loads(line[6:]) for line in frames.splitlines() if line.startswith(b"data:")]
    return "".join(part["choices"][0]["delta"].get("content") or "" for part in parts if part["choices"])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_schema_goes_as_a_grammar(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    ours, provider = adapter(monkeypatch, '{"age": 4}')
    call = make_call("How old?", stream=stream, body={"response_format": FORM, "stream": stream})
    assert await content(await ours.chat(call, "m", Deadlines())) == '{"age": 4}'
    assert "response_format" not in provider.asked[0]
    assert provider.asked[0]["grammar"].startswith("%llguidance")
    assert '"age"' in provider.asked[0]["grammar"]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_without_its_schema_is_none(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    ours, _ = adapter(monkeypatch, '{"age": "four"}')
    call = make_call("How old?", stream=stream, body={"response_format": FORM, "stream": stream})
    with pytest.raises(BadAnswerFault) as caught:
        await content(await ours.chat(call, "m", Deadlines()))
    assert caught.value.code == "schema_mismatch"


async def test_an_engine_that_knows_no_grammars_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "local answered 400: Failed to initialize samplers: failed to parse grammar: llguidance is not enabled"
    ours, _ = adapter(monkeypatch, RejectedFault(told), RejectedFault("local answered 400: no"))
    with pytest.raises(RejectedFault, match="compiled without LLGuidance") as caught:
        await ours.chat(make_call("How old?", body={"response_format": FORM}), "m", Deadlines())
    assert (caught.value.status, caught.value.code) == (400, "unsupported_schema")
    with pytest.raises(RejectedFault, match="answered 400: no"):
        await ours.chat(make_call("How old?"), "m", Deadlines())


async def test_an_answer_cut_by_its_limit_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = adapter(monkeypatch, '{"age')
    answer = await ours.chat(make_call("How old?", body={"response_format": FORM, "max_tokens": 2}), "m", Deadlines())
    assert answer.evidence.finish_reason == "length"


PERSON = SCHEMA | {"properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}
FLAT = {"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}}


async def test_a_flat_object_is_filled_in_member_by_member(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, provider = adapter(monkeypatch, "Ada", " 36")
    call = make_call("Who?", body={"response_format": FLAT, "max_tokens": 50, "temperature": 0, "user": "u"})
    answer = await ours.chat(call, "m", Deadlines())
    assert await content(answer) == '{"name": "Ada", "age": 36}'
    assert (answer.evidence.finish_reason, answer.evidence.complete, answer.evidence.cost) == ("stop", True, 0)
    assert [asked["messages"][-1]["content"] for asked in provider.asked] == ['{"name": "', '{"name": "Ada", "age": ']
    assert [asked["stop"] for asked in provider.asked] == [['"'], [",", "}", "\n"]]
    assert all(asked["max_tokens"] == 50 and "grammar" not in asked for asked in provider.asked)


async def test_what_does_not_fit_a_member_is_left_to_the_grammar(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, provider = adapter(monkeypatch, "Ada", "old", '{"name": "Ada", "age": 36}')
    answer = await ours.chat(make_call("Who?", body={"response_format": FLAT}), "m", Deadlines())
    assert await content(answer) == '{"name": "Ada", "age": 36}'
    assert "grammar" in provider.asked[2]


async def test_a_member_cut_by_the_limit_ends_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, provider = adapter(monkeypatch, "Ada Love")
    answer = await ours.chat(make_call("Who?", body={"response_format": FLAT, "max_tokens": 2}), "m", Deadlines())
    assert await content(answer) == '{"name": "Ada Love'
    assert answer.evidence.finish_reason == "length"
    assert len(provider.asked) == 1


async def test_a_stream_is_not_held_back_to_be_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, provider = adapter(monkeypatch, '{"name": "Ada", "age": 36}')
    call = make_call("Who?", stream=True, body={"response_format": FLAT, "stream": True})
    assert await content(await ours.chat(call, "m", Deadlines())) == '{"name": "Ada", "age": 36}'
    assert "grammar" in provider.asked[0]


async def test_a_schema_that_cannot_be_enforced_is_refused_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, provider = adapter(monkeypatch)
    form = {"type": "json_schema", "json_schema": {"name": "p", "schema": {"uniqueItems": True}}}
    with pytest.raises(RejectedFault) as caught:
        await ours.chat(make_call("x", body={"response_format": form}), "m", Deadlines())
    assert caught.value.param == "response_format.json_schema.schema.uniqueItems"
    assert provider.asked == []


async def test_a_required_tool_call_is_held_to_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, provider = adapter(monkeypatch, '{"name": "f", "arguments": {"age": 4}}')
    call = make_call("x", body={"tools": TOOLS, "tool_choice": "required"})
    answer = await ours.chat(call, "m", Deadlines())
    assert answer.evidence.tool_calls
    assert provider.asked[0]["tools"] == TOOLS
    assert provider.asked[0]["tool_choice"] == "none"
    assert '"const": "f"' in provider.asked[0]["grammar"]


async def test_tools_that_may_be_used_leave_the_text_free(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, provider = adapter(monkeypatch, "Just text.")
    await ours.chat(make_call("x", body={"tools": TOOLS}), "m", Deadlines())
    assert "grammar" not in provider.asked[0]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_label_is_told_from_probabilities(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    ours, provider = adapter(monkeypatch, {"good": 0.6, "bad": 0.2, "So": 0.2})
    call = make_call("Mood? Answer with one of: good, bad", stream=stream, body={"stream": stream})
    answer = await ours.chat(call, "m", Deadlines())
    assert await content(answer) == "good"
    assert answer.evidence.label_probability == pytest.approx(0.75)
    assert (answer.evidence.finish_reason, answer.evidence.complete, answer.evidence.cost) == ("stop", True, 0)
    assert (provider.asked[0]["max_tokens"], provider.asked[0]["top_logprobs"]) == (1, 40)
    assert provider.asked[0]["return_progress"] is True


async def test_a_label_inside_a_schema_is_begun_for_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, provider = adapter(monkeypatch, {"card": 1.0}, {"_lost": 0.1, "_stolen": 0.9})
    schema = {"type": "object", "properties": {"kind": {"enum": ["card_lost", "card_stolen"]}}, "required": ["kind"]}
    form = {"type": "json_schema", "json_schema": {"name": "p", "schema": schema}}
    answer = await ours.chat(make_call("x", body={"response_format": form}), "m", Deadlines())
    assert await content(answer) == '{"kind": "card_stolen"}'
    begun = [asked["messages"][-1] for asked in provider.asked]
    assert begun == [
        {"role": "assistant", "content": '{"kind": "'},
        {"role": "assistant", "content": '{"kind": "card'},
    ]


async def test_a_model_that_wants_to_say_something_else_may(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, provider = adapter(monkeypatch, {"Well": 0.9, "good": 0.1}, "Well, good.")
    answer = await ours.chat(make_call("Mood? Answer with one of: good, bad"), "m", Deadlines())
    assert await content(answer) == "Well, good."
    assert answer.evidence.label_probability is None
    assert "max_tokens" not in provider.asked[1]


class FakeSlots:
    """llama-server's save and restore: a file per head."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[str] = []

    async def fetch(self, origin: Origin, method: str, target: str, headers: bytes, body: bytes, limits: Any) -> None:
        action, file = target.partition("action=")[2], orjson.loads(body)["filename"]
        self.seen.append(action)
        if action == "save":
            await asyncio.to_thread((self.folder / file).write_bytes, b"kv")
        else:
            assert (await asyncio.to_thread((self.folder / file).read_bytes)) == b"kv"


@pytest.fixture
def heads(tmp_path: Path) -> Heads:
    return Heads(tmp_path / "kept", "sha")


async def test_a_head_used_again_is_kept_for_the_next_life(monkeypatch: pytest.MonkeyPatch, heads: Heads) -> None:
    slots = FakeSlots(heads.folder)
    messages = [{"role": "system", "content": "Be a clerk. " * 200}, {"role": "user", "content": "secret"}]
    call = make_call(body={"messages": messages})
    for life in (1, 2):
        ours, provider = adapter(monkeypatch, *["Yes."] * 4, heads=lambda: heads)
        monkeypatch.setattr(ours, "_client", slots)
        for _ in range(3):
            assert await content(await ours.chat(call, "m", Deadlines())) == "Yes."
        alone = [asked for asked in provider.asked if len(asked["messages"]) == 1]
        if life == 1:  # noticed at the second call: the head alone is asked for, one token, and then saved
            assert provider.asked[1]["messages"] == messages[:1]
            assert (provider.asked[1]["max_tokens"], len(alone)) == (1, 1)
            assert slots.seen == ["save"]
        else:
            assert alone == []
            assert slots.seen == ["save", "restore"]


@pytest.fixture
def blocked(heads: Heads) -> Heads:
    heads.folder.write_text("not a folder")
    return heads


async def test_a_disk_that_fails_costs_nothing_but_the_head(monkeypatch: pytest.MonkeyPatch, blocked: Heads) -> None:
    ours, _ = adapter(monkeypatch, *["Yes."] * 4, heads=lambda: blocked)
    call = make_call(body={"messages": [{"role": "system", "content": "x" * 2000}, {"role": "user", "content": "y"}]})
    for _ in range(3):
        assert await content(await ours.chat(call, "m", Deadlines())) == "Yes."
