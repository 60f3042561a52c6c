"""Anthropic's Messages API: ``POST /v1/messages``, whole or as typed events.

Its `input_tokens` are only what no cache held; the counts of a stream are cumulative, the last ones hold.
Thinking is told as `reasoning_content`; the signed blocks, which a history with tool calls must hold, as
`thinking_blocks`. Shapes: https://platform.claude.com/docs/en/api/messages-streaming
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from rung.answer import Evidence, Usage
from rung.call import Call
from rung.errors import CredentialFault, Fault
from rung.providers.anthropic_request import write
from rung.providers.chat_request import Asked, read, rejected
from rung.providers.chat_wire import require_noise, tier_of
from rung.providers.chat_writer import ChatWriter
from rung.providers.endpoint import Endpoint
from rung.providers.memory import CallMemory
from rung.providers.native import Headers, Native, Reader
from rung.wire.client import Client
from rung.wire.sse import Frame

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",  # the turn could go on: what is there is not whole
    "refusal": "content_filter",
}
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""HTTP statuses of the error types, for errors in the middle of a stream"""

_OWN = ("thinking", "output_config", "cache_control", "inference_geo", "speed")
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
"""its own request fields, passed on as they are"""


class _Written(msgspec.Struct):
    ephemeral_1h_input_tokens: int | None = None


class _Details(msgspec.Struct):
    thinking_tokens: int | None = None


class _Counts(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: _Written | None = None
    output_tokens_details: _Details | None = None
    service_tier: str | None = None
    speed: str | None = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str = ""
    name: str = ""
    input: dict[str, Any] | None = None


class _Message(msgspec.Struct):
    model: str = ""
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: _Counts | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Counts | None = None
    error: dict[str, Any] | None = None


_message = msgspec.json.Decoder(_Message)
_event = msgspec.json.Decoder(_Event)


class Anthropic(Native):
    """Claude over one `Endpoint` whose base is the host, without ``/v1``."""

    def __init__(self, endpoint: Endpoint, client: Client) -> None:
        super().__init__(endpoint, client)
        self._thinking = CallMemory()

    def read_request(self, call: Call, model: str) -> Asked:
        strip = self.endpoint.strip.union(self.rules.of(model).strip)
        return read(call.body, self.endpoint.name, strip, (*_OWN, "service_tier"))

    def request(self, call: Call, model: str, asked: Asked) -> tuple[str, dict[str, Any]]:
        own = {name: call.body[name] for name in _OWN if call.body.get(name) is not None and name not in asked.stripped}
        for name in ("thinking", "output_config"):
            if not isinstance(own.get(name, {}), dict):
                raise rejected(self.endpoint.name, f"wants an object as {name}", name)
        tier = call.body.get("service_tier")
        if known := _TIERS.get(str(tier)):
            own["service_tier"] = known
        elif tier is not None:
            asked.stripped.append("service_tier")
        body = write(
            asked,
            self.rules.of(model),
            own,
            self.endpoint.name,
            lambda call_id: self._thinking.get(call.tenant, call_id),
        )
        return "/v1/messages", {"model": model, **body, "stream": call.stream}

    def reader(self, call: Call, writer: ChatWriter, evidence: Evidence) -> Reader:
        return _Reader(self, call, writer, evidence)

    def remember(self, call: Call, call_id: str, blocks: list[dict[str, Any]]) -> None:
        """Keep the thinking of a tool call's turn for a client that will not send it back."""
        self._thinking.put(call.tenant, call_id, blocks)

    def fault(self, status: int, headers: Headers, body: bytes) -> Fault:
        """A spend limit of one's own is a 429 that no waiting helps."""
        try:
            error = _event.decode(body).error or {}
        except (msgspec.DecodeError, UnicodeDecodeError):
            error = {}
        details = error.get("details")
        if isinstance(details, dict) and details.get("error_code") == "enforced_spend_limit_reached":
            name = self.endpoint.name
            return CredentialFault(f"{name}'s spend limit is reached; raise it or wait for its renewal", provider=name)
        return super().fault(status, headers, body)


class _Reader(Reader):
    """Reads one Message, or the events that build it."""

    def __init__(self, anthropic: Anthropic, call: Call, writer: ChatWriter, evidence: Evidence) -> None:
        super().__init__(anthropic.endpoint.name, writer, evidence)
        self._anthropic = anthropic
        self._call = call
        self._blocks: dict[int, _Block] = {}
        self._tools: dict[int, int] = {}
        self._spoken: set[int] = set()
        self._thoughts: list[dict[str, Any]] = []
        self._first_call = ""

    def whole(self, body: bytes) -> None:
        told = self.decode(_message, body)
        self.model_version(told.model)
        self._count(told.usage)
        for index, block in enumerate(told.content or ()):
            self._open(index, block)
            self._close(index)
        if told.stop_reason:
            self._stop(told.stop_reason)
        self._done()

    def frame(self, frame: Frame) -> bool:
        if frame.data is None:
            require_noise(frame.raw, self.provider)
            return False
        told = self.decode(_event, frame.data)
        kind = told.type
        if kind == "ping":
            return False
        if kind == "content_block_delta" and told.delta is not None:
            self._delta(told.index, told.delta)
        elif kind == "content_block_start" and told.content_block is not None:
            self._open(told.index, told.content_block)
        elif kind == "content_block_stop":
            self._close(told.index)
        elif kind == "message_start" and told.message is not None:
            self.model_version(told.message.model)
            self._count(told.message.usage)
        elif kind == "message_delta":
            self._count(told.usage)
            if told.delta is not None and told.delta.stop_reason:
                self._stop(told.delta.stop_reason)
        elif kind == "message_stop":
            self._done()
        elif kind == "error":
            error = told.error or {}
            status = _STATUS.get(str(error.get("type")), 500)
            raise self._anthropic.fault(status, (), orjson.dumps({"type": "error", "error": error}))
        return True

    def _open(self, index: int, block: _Block) -> None:
        self._blocks[index] = block
        if block.type == "tool_use":
            whole = orjson.dumps(block.input).decode() if block.input else ""
            self._tools[index] = self.writer.tool_call(block.id, block.name, whole)
            self._first_call = self._first_call or block.id
            if whole:
                self._spoken.add(index)
        elif block.type == "text":
            self.writer.text(block.text or "")
        elif block.type == "thinking":
            self.writer.reasoning(block.thinking or "")

    def _delta(self, index: int, delta: _Delta) -> None:
        block = self._blocks.get(index)
        if block is None:
            self.bad("sent a piece of a block that has not begun", "bad_answer")
        if delta.type == "text_delta":
            self.writer.text(delta.text or "")
        elif delta.type == "thinking_delta":
            piece = delta.thinking or ""
            block.thinking = (block.thinking or "") + piece
            self.writer.reasoning(piece)
        elif delta.type == "signature_delta":
            block.signature = (block.signature or "") + (delta.signature or "")
        elif delta.type == "input_json_delta" and delta.partial_json and index in self._tools:
            self._spoken.add(index)
            self.writer.tool_arguments(self._tools[index], delta.partial_json)

    def _close(self, index: int) -> None:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if block.type == "thinking" and block.signature:
            self._thoughts.append({"type": "thinking", "thinking": block.thinking or "", "signature": block.signature})
        elif block.type == "redacted_thinking" and block.data:
            self._thoughts.append({"type": "redacted_thinking", "data": block.data})
        elif index in self._tools and index not in self._spoken:
            self.writer.tool_arguments(self._tools[index], "{}")  # a call without arguments sends no piece

    def _stop(self, reason: str) -> None:
        finish = _FINISH.get(reason)
        if finish is None:
            self.bad("ended its answer for a reason unknown here", "unknown_stop_reason")
        self.writer.finish(finish)

    def _done(self) -> None:
        if self._thoughts:
            self.writer.attach({"thinking_blocks": self._thoughts})
            if self._first_call:
                self._anthropic.remember(self._call, self._first_call, self._thoughts)
        self.ended = True

    def _count(self, told: _Counts | None) -> None:
        """Later counts replace earlier ones, field by field."""
        if told is None:
            return
        usage = self.usage or Usage()
        if told.input_tokens is not None:
            usage.input_tokens = told.input_tokens
        if told.cache_read_input_tokens is not None:
            usage.cache_read_tokens = told.cache_read_input_tokens
        if told.cache_creation_input_tokens is not None:
            long = told.cache_creation.ephemeral_1h_input_tokens if told.cache_creation is not None else None
            usage.cache_write_long_tokens = min(long or 0, told.cache_creation_input_tokens)
            usage.cache_write_tokens = told.cache_creation_input_tokens - usage.cache_write_long_tokens
        if told.output_tokens is not None:
            thought = told.output_tokens_details.thinking_tokens if told.output_tokens_details is not None else None
            usage.reasoning_tokens = min(thought or 0, told.output_tokens)
            usage.output_tokens = told.output_tokens - usage.reasoning_tokens
        # a faster speed has a price of its own, as a tier has
        usage.service_tier = tier_of(told.speed) or tier_of(told.service_tier) or usage.service_tier
        self.usage = usage
