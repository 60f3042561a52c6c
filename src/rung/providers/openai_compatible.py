"""Any server that speaks OpenAI's chat completions: Groq, DeepSeek, OpenAI, vLLM, LM Studio, llama-server.

What differs between them is in the row (`providers/rows.py`), not here. Bytes pass unchanged in both
directions but for the spans of `model`, `rung`, `stream_options` and the fields the row strips.
Shapes: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from functools import lru_cache

import orjson

from rung.answer import Answer, Event, Evidence
from rung.call import Call
from rung.errors import BadAnswerFault, TimeoutFault
from rung.providers.chat_wire import Whole, fault_from, read_chunk, read_usage, read_whole
from rung.providers.endpoint import Endpoint, Price
from rung.wire.client import Client, Deadlines, Response
from rung.wire.splice import append_member, edit, replace_text
from rung.wire.sse import Frame, Splitter

_quoted = lru_cache(512)(orjson.dumps)
"""a model's name as JSON: always the same few"""

__all__ = ["Endpoint", "OpenAICompatible", "Price"]


class OpenAICompatible:
    """Chat completions over one `Endpoint`. Stateless but for the client's pool."""

    def __init__(self, endpoint: Endpoint, client: Client) -> None:
        self.endpoint = endpoint
        self._client = client
        self._target = f"{endpoint.base_path}/chat/completions"

    async def chat(self, call: Call, model: str, deadlines: Deadlines) -> Answer:
        """Ask `model`; the answer's events arrive as the provider sends them.

        Raises a `rung.errors.Fault`: before this returns for anything up to the response head, from the
        event stream afterwards.
        """
        end = self.endpoint
        evidence = Evidence(simulated=end.simulated)
        body = self._request(call, model, evidence)
        answer = Answer("", f"{end.name}:{model}", evidence)
        if call.stream:
            response = await self._client.send(
                end.origin, "POST", self._target, end.headers, body, deadlines, private=call.private
            )
            if end.on_headers is not None:
                end.on_headers(model, response.headers)
            if response.status != 200:
                raise fault_from(response.status, response.headers, await response.read(), self.endpoint.name)
            answer.events = self._events(call, model, response, evidence, deadlines.idle)
            return answer
        response = await self._client.fetch(
            end.origin, "POST", self._target, end.headers, body, deadlines, private=call.private
        )
        if end.on_headers is not None:
            end.on_headers(model, response.headers)
        if response.status != 200:
            raise fault_from(response.status, response.headers, response.body, self.endpoint.name)
        answer.body = response.body
        self._account(model, evidence, read_whole(response.body, self.endpoint.name), "stop" in call.body)
        return answer

    def _request(self, call: Call, model: str, evidence: Evidence) -> bytes:
        """The caller's bytes with only the spans changed that must change."""
        end = self.endpoint
        body = call.body
        name = _quoted(model)
        ask_usage = call.stream and end.usage_in_stream and not call.include_usage
        stripped = [field for field in body if field in end.strip] if end.strip else []
        renamed = [(old, new) for old, new in end.rename if old in body and new not in body] if end.rename else []
        if not (stripped or renamed or "rung" in body) and "model" in body:
            # the usual call: nothing but the model, and perhaps the asking for usage
            raw = replace_text(call.raw, "model", body["model"], name)
            if raw is not None and not ask_usage:
                return raw
            if raw is not None and "stream_options" not in body:
                return append_member(raw, "stream_options", b'{"include_usage":true}')
        replace = {"model": name}
        if ask_usage:
            options = body.get("stream_options") or {}
            replace["stream_options"] = orjson.dumps({**options, "include_usage": True})
        for old, new in renamed:
            replace[new] = orjson.dumps(body[old])
        evidence.stripped = tuple(stripped)
        return edit(call.raw, replace=replace, remove=["rung", *stripped, *(old for old, _ in renamed)])

    def _account(self, model: str, evidence: Evidence, whole: Whole, may_be_empty: bool) -> None:
        evidence.finish_reason = whole.finish_reason
        evidence.tool_calls = whole.tool_calls
        evidence.model_version = whole.model
        evidence.usage = read_usage(whole.usage) if whole.usage is not None else None
        evidence.cost = None if evidence.usage is None else self.endpoint.price(model, evidence.usage)
        evidence.complete = whole.finish_reason is not None
        if not evidence.complete:
            raise BadAnswerFault(f"{self.endpoint.name} answered without a finish reason", provider=self.endpoint.name)
        if whole.empty and whole.finish_reason == "stop" and not may_be_empty:
            name = self.endpoint.name
            raise BadAnswerFault(f"{name} answered with no content at all", provider=name, code="empty_answer")

    async def _events(
        self, call: Call, model: str, response: Response, evidence: Evidence, idle: float
    ) -> AsyncIterator[Event]:
        """Relay frames as they come; hold back what follows the first finish reason until the stream has ended well."""
        relay = _Relay(self.endpoint.name, call.include_usage, evidence)
        splitter = Splitter()
        last_data = time.monotonic()
        try:
            async for block in response.blocks():
                frames = splitter.feed(block)
                out, content, data = relay.take(frames)
                now = time.monotonic()
                if data:
                    last_data = now
                elif now - last_data > idle:
                    raise TimeoutFault(
                        f"{self.endpoint.name} sent only keep-alives for {idle:g} s",
                        provider=self.endpoint.name,
                        code="idle_timeout",
                    )
                if out:
                    yield Event(out, content)
                if relay.done:
                    break
            held = relay.end(splitter.pending, may_be_empty="stop" in call.body)
            if evidence.usage is not None:
                evidence.cost = self.endpoint.price(model, evidence.usage)
            evidence.complete = True
            yield Event(held, relay.held_content, True)
        finally:
            response.close()


class _Relay:
    """Frame bookkeeping of one stream: what passes now, what is held to the end, what is learnt."""

    __slots__ = ("_evidence", "_held", "_include_usage", "_name", "_spoke", "done", "held_content")

    def __init__(self, name: str, include_usage: bool, evidence: Evidence) -> None:
        self._name = name
        self._include_usage = include_usage
        self._evidence = evidence
        self._held: list[bytes] = []
        self._spoke = False
        self.held_content = False
        self.done = False

    def take(self, frames: list[Frame]) -> tuple[bytes, bool, bool]:
        """-> (bytes to pass on now, do they carry content, was there any data frame)."""
        out: list[bytes] = []
        content = data = False
        for frame in frames:
            payload = frame.data
            if payload is None:
                continue  # a comment: the upstream's keep-alive; the door has its own
            data = True
            if payload == b"[DONE]":
                self.done = True
                break
            chunk = read_chunk(payload, self._name)
            if chunk.model and not self._evidence.model_version:
                self._evidence.model_version = chunk.model
            if chunk.usage is not None:
                self._evidence.usage = read_usage(chunk.usage)
                if not chunk.choices:
                    if self._include_usage:
                        self._held.append(b"data: " + payload + b"\n\n")
                    continue
            if chunk.finish_reason is not None:
                self._evidence.finish_reason = chunk.finish_reason
                content |= self._release(out)
                self._held.append(b"data: " + payload + b"\n\n")
                self.held_content = chunk.content  # some servers put the last words on the finish chunk
                self._evidence.tool_calls |= chunk.tool_calls
                continue
            content |= chunk.content | self._release(out)
            self._evidence.tool_calls |= chunk.tool_calls
            out.append(frame.raw)
        self._spoke |= content
        return b"".join(out), content, data

    def _release(self, out: list[bytes]) -> bool:
        """Pass on what was held, for more has come after it; -> did it carry content."""
        content = self.held_content
        out += self._held
        self._held, self.held_content = [], False
        return content

    def end(self, pending: bytes, *, may_be_empty: bool) -> bytes:
        """The held tail, once the upstream has ended. Raises BadAnswerFault if it ended badly."""
        if not self.done or self._evidence.finish_reason is None:
            what = "without its terminator" if not self.done else "without a finish reason"
            cut = " in the middle of a frame" if pending.strip() else ""
            raise BadAnswerFault(f"{self._name}'s stream ended {what}{cut}", provider=self._name, code="cut_stream")
        empty = not (self._spoke or self.held_content)
        if empty and self._evidence.finish_reason == "stop" and not may_be_empty:
            raise BadAnswerFault(f"{self._name} streamed no content at all", provider=self._name, code="empty_answer")
        return b"".join(self._held)
