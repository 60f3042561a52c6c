"""Any server that speaks OpenAI's chat completions: Groq, DeepSeek, OpenAI, vLLM, LM Studio, llama-server.

What differs between them is in the row (`providers/rows.py`), not here. Bytes pass unchanged in both
directions but for the spans of `model`, `rung`, `stream_options` and the fields the row or the model strips.
Reasoning, in either spelling, counts as content: who shows it cannot take it back, so it commits the answer;
but reasoning alone is no answer.
Shapes: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson

from rung.answer import Answer, Event, Evidence
from rung.call import Call
from rung.errors import BadAnswerFault, Fault, TimeoutFault
from rung.providers.chat_wire import (
    SIMULATED,
    Said,
    fault_from,
    read_chunk,
    read_usage,
    read_whole,
)
from rung.providers.chat_writer import ChatWriter
from rung.providers.continuation import prefix_base, rest_of
from rung.providers.endpoint import Endpoint, Price
from rung.providers.failed_generation import rescue
from rung.providers.flow import Flow
from rung.providers.relay import require_answer
from rung.providers.rows import ModelRule, ModelRules
from rung.wire.client import Client, Deadlines, Response, StaleConnectionFault
from rung.wire.splice import append_member, edit, replace_text

_quoted = lru_cache(512)(orjson.dumps)
"""a model's name as JSON: always the same few"""

__all__ = ["Endpoint", "OpenAICompatible", "Price", "Straight"]


class OpenAICompatible:
    """Chat completions over one `Endpoint`. Stateless but for the client's pool."""

    def __init__(self, endpoint: Endpoint, client: Client) -> None:
        self.endpoint = endpoint
        self._client = client
        self._rules = ModelRules(endpoint.models)
        self._target = f"{endpoint.base_path}/chat/completions"
        self._touched = frozenset(("rung", *endpoint.strip, *(old for old, _ in endpoint.rename)))
        self._prefixed: OpenAICompatible | None = None
        if endpoint.prefix_path:
            base = prefix_base(endpoint.base_path, endpoint.prefix_path)
            self._prefixed = OpenAICompatible(replace(endpoint, base_path=base, prefix_path=""), client)

    @property
    def takes_prefix(self) -> bool:
        """Can this provider be given the beginning of an answer?"""
        return self._prefixed is not None

    async def resume(self, call: Call, model: str, so_far: str, deadlines: Deadlines) -> Answer:
        """The rest of an answer that begins with `so_far`, if it `takes_prefix`. Otherwise as `chat`."""
        assert self._prefixed is not None
        return await self._prefixed.chat(rest_of(call, so_far), model, deadlines)

    async def chat(self, call: Call, model: str, deadlines: Deadlines) -> Answer:
        """Ask `model`; the answer's events arrive as the provider sends them.

        Raises a `rung.errors.Fault`: before this returns for anything up to the response head, from the
        event stream afterwards.
        """
        end = self.endpoint
        if call.early is not None and (begun := call.early.flow) is not None:
            call.early = None
            return self._streamed(begun)
        evidence = Evidence()
        body = self._request(call, model, evidence)
        answer = Answer("", f"{end.name}:{model}", evidence)
        if call.stream:
            response = await _come(call) or await self._client.send(
                end.origin, "POST", self._target, end.headers, body, deadlines, private=call.private
            )
            self._heard(model, response, evidence)
            if response.status != 200:
                return await self._refused(call, answer, response)
            return self._streamed(Flow(end, call, model, response, answer, deadlines.idle))
        if end.waits_in_blank_lines:
            response = await self._past_blank_lines(call, body, deadlines)
        elif (early := await _come(call)) is not None:
            response = early
        else:
            response = await self._client.fetch(
                end.origin, "POST", self._target, end.headers, body, deadlines, private=call.private
            )
        self._heard(model, response, evidence)
        if response.status != 200:
            return await self._refused(call, answer, response)
        answer.body = response.body
        self._account(call, model, evidence, read_whole(response.body, end.name))
        return answer

    def straight(self, model: str) -> Straight | None:
        """How calls to `model` are sent that need nothing changed but its name; None where that takes waiting."""
        return None if self.endpoint.waits_in_blank_lines else Straight(self, model, self._rules.of(model))

    def _streamed(self, flow: Flow) -> Answer:
        answer: Answer = flow.answer
        answer.events = flow.events(self._rescue)
        return answer

    def _heard(self, model: str, response: Response, evidence: Evidence) -> None:
        """Take in what the head of a response tells."""
        if self.endpoint.on_headers is not None:
            self.endpoint.on_headers(model, response.headers)
        evidence.simulated = SIMULATED in response.headers

    async def _past_blank_lines(self, call: Call, body: bytes, deadlines: Deadlines) -> Response:
        """A whole answer that blank lines may precede: they say nothing, so the first-byte deadline goes on."""
        end = self.endpoint
        response = await self._client.send(
            end.origin, "POST", self._target, end.headers, body, deadlines, private=call.private
        )
        started = time.monotonic()
        pieces: list[bytes] = []
        spoke = False
        try:
            async for block in response.blocks():
                spoke = spoke or not block.isspace()
                if spoke:
                    pieces.append(block)
                elif time.monotonic() - started > deadlines.first_byte:
                    raise TimeoutFault(
                        f"{end.name} sent only blank lines for {deadlines.first_byte:g} s",
                        provider=end.name,
                        code="first_byte_timeout",
                    )
        finally:
            response.close()
        response.body = b"".join(pieces)
        return response

    async def _refused(self, call: Call, answer: Answer, response: Response) -> Answer:
        """The fault of an HTTP error, or the answer hidden in it (`failed_generation`)."""
        body = response.body or await response.read()
        if response.status == 400 and await self._rescue(call, answer, body):
            return answer
        raise fault_from(response.status, response.headers, body, self.endpoint.name)

    async def _rescue(self, call: Call, answer: Answer, error_body: bytes) -> bool:
        """Fill `answer` with what the model said and the provider could not parse, if that can be."""
        if b"failed_generation" not in error_body:
            return False
        rescued = await asyncio.to_thread(rescue, call.body, error_body)
        if rescued is None:
            return False
        evidence = answer.evidence
        evidence.edits = rescued.edits
        writer = ChatWriter(call, answer.model.partition(":")[2], evidence)
        writer.text(rescued.text)
        for place, (name, arguments) in enumerate(rescued.calls):
            writer.tool_call(f"call_{call.request_id}_{place}", name, arguments)
        writer.finish("tool_calls" if rescued.calls else "stop")
        evidence.complete = True  # its usage, and so its cost, is not told with an error
        if call.stream:
            answer.events = _once(writer.take()[0] + writer.end(None))
        else:
            answer.body = writer.whole(None)
        return True

    def _request(self, call: Call, model: str, evidence: Evidence) -> bytes:
        """The caller's bytes with only the spans changed that must change."""
        body = call.body
        name = _quoted(model)
        rule = self._rules.of(model)
        changes = None if self._untouched(call, rule) else self._changes(body, rule, evidence)
        if changes is None and "model" in body:
            # the usual call: nothing but the model, and perhaps the asking for usage
            raw = replace_text(call.raw, "model", body["model"], name)
            if raw is not None and (usual := self._asking_usage(call, raw)) is not None:
                return usual
        ask_usage = self._asks_usage(call)
        changed, gone = changes or ({}, [])
        replace = {"model": name, **changed}
        if ask_usage:
            options = body.get("stream_options") or {}
            replace["stream_options"] = orjson.dumps({**options, "include_usage": True})
        return edit(call.raw, replace=replace, remove=["rung", *(field for field in gone if field not in replace)])

    def _asks_usage(self, call: Call) -> bool:
        """Has the provider to be asked for the usage of a stream, since the caller did not?"""
        return call.stream and self.endpoint.usage_in_stream and not call.include_usage

    def _asking_usage(self, call: Call, raw: bytes) -> bytes | None:
        """`raw`, which asks for the usage if that has to be asked for; None if that is not plain to do."""
        if not self._asks_usage(call):
            return raw
        if "stream_options" in call.body:
            return None
        return append_member(raw, "stream_options", b'{"include_usage":true}')

    def _untouched(self, call: Call, rule: ModelRule) -> bool:
        """Is it sure that nothing but the model and the asking for usage has to be changed?"""
        end = self.endpoint
        if not self._touched.isdisjoint(call.body) or rule.strip or rule.effort or end.strip_messages:
            return False
        return not end.reasoning_back or call.raw.find(b'"tool_calls"') < 0

    def _changes(
        self, body: dict[str, Any], rule: ModelRule, evidence: Evidence
    ) -> tuple[dict[str, bytes], list[str]] | None:
        """-> (members with another value, members to remove), or None if there is neither."""
        end = self.endpoint
        stripped = [field for field in body if field in end.strip or field in rule.strip]
        replace = self._changed(body, rule, stripped)
        evidence.stripped = tuple(stripped)
        gone = [field for field in stripped if field in body]
        for old, new in end.rename:
            if old in body and new not in body:
                replace[new] = orjson.dumps(body[old])
                gone.append(old)
        return (replace, gone) if replace or gone or "rung" in body else None

    def _changed(self, body: dict[str, Any], rule: ModelRule, stripped: list[str]) -> dict[str, bytes]:
        """Members whose value this provider or model wants otherwise; adds to `stripped` what is told."""
        changed: dict[str, bytes] = {}
        asked = body.get("reasoning_effort")
        if rule.effort and isinstance(asked, str) and rule.effort.get(asked) != asked:
            stripped.append("reasoning_effort")
            if asked in rule.effort:
                changed["reasoning_effort"] = orjson.dumps(rule.effort[asked])  # the nearest there is
        if self.endpoint.reasoning_back and _lacks_reasoning(body):
            changed["thinking"] = b'{"type":"disabled"}'
            stripped.append("thinking")
        gone = self.endpoint.strip_messages
        messages = body["messages"]
        told = {name for message in messages for name in message if name in gone} if gone else None
        if told:
            kept = [{name: value for name, value in message.items() if name not in gone} for message in messages]
            changed["messages"] = orjson.dumps(kept)
            stripped += sorted(f"messages[].{name}" for name in told)
        return changed

    def _account(self, call: Call, model: str, evidence: Evidence, whole: Said) -> None:
        name = self.endpoint.name
        evidence.finish_reason = whole.finish_reason
        evidence.tool_calls = whole.tool_calls
        evidence.model_version = whole.model
        evidence.usage = read_usage(whole.usage) if whole.usage is not None else None
        evidence.cost = None if evidence.usage is None else self.endpoint.price(model, evidence.usage)
        evidence.complete = whole.finish_reason is not None
        if not evidence.complete:
            raise BadAnswerFault(f"{name} answered without a finish reason", provider=name)
        if whole.blank:
            require_answer(call, evidence, name, blank=whole.answer)


class Straight:
    """Calls of one model, sent without waiting and with nothing changed but its name and the asking for usage."""

    __slots__ = ("_adapter", "_id", "_model", "_quoted", "_rule")

    def __init__(self, adapter: OpenAICompatible, model: str, rule: ModelRule) -> None:
        self._adapter, self._model, self._quoted, self._rule = adapter, model, _quoted(model), rule
        self._id = f"{adapter.endpoint.name}:{model}"

    def send(self, call: Call, deadlines: Deadlines, then: Callable[[], None]) -> Response | None:
        """As `Client.post`; also None for a call that needs more changed."""
        adapter = self._adapter
        if not adapter._untouched(call, self._rule):
            return None
        sent = replace_text(call.raw, "model", call.body["model"], self._quoted)
        if sent is not None and call.stream:
            sent = adapter._asking_usage(call, sent)
        if sent is None:
            return None
        end, target, whole = adapter.endpoint, adapter._target, not call.stream
        return adapter._client.post(end.origin, target, end.headers, sent, deadlines, then, whole=whole)

    def read(self, response: Response) -> Answer | None:
        """The usual answer: some text to its end, and what it took. None: `chat` finds out what came (`Call.early`)."""
        if response.fault is not None or response.status != 200:
            return None
        end, body = self._adapter.endpoint, response.body
        try:
            said = read_chunk(body, end.name, whole=True)
        except Fault:
            return None
        if said.blank or said.tool_calls or said.finish_reason != "stop" or not said.answer or said.usage is None:
            return None
        usage = read_usage(said.usage)
        evidence = Evidence("stop", True, usage, end.price(self._model, usage), said.model)
        self._adapter._heard(self._model, response, evidence)
        return Answer("", self._id, evidence, body)

    def flow(self, call: Call, response: Response, idle: float) -> Flow | None:
        """The stream whose head has come. None: `chat` finds out what has (`Call.early`)."""
        if response.status != 200:
            return None
        answer = Answer("", self._id)
        self._adapter._heard(self._model, response, answer.evidence)
        return Flow(self._adapter.endpoint, call, self._model, response, answer, idle)

    def events(self, flow: Flow) -> None:
        """Let its answer be waited for from here on."""
        self._adapter._streamed(flow)


async def _come(call: Call) -> Response | None:
    """What comes to a call that was sent before its turn; None if it has to be sent. Raises what happens to it."""
    early, call.early = call.early, None
    if early is None:
        return None
    response: Response = early.response
    try:
        return await response.arrived()
    except StaleConnectionFault:
        return None


def _lacks_reasoning(body: dict[str, Any]) -> bool:
    """Is there a turn with tool calls without its reasoning, from another model or a client that dropped it?"""
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "disabled":
        return False
    return any(turn.get("tool_calls") and "reasoning_content" not in turn for turn in body["messages"])


async def _once(data: bytes) -> AsyncIterator[Event]:
    yield Event(data, True, True)
