"""Anthropic: ``/v1/messages`` and ``count_tokens``, typed events, cumulative usage, explicit cache breakpoints."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, timedelta
from typing import Any

import orjson

from rung.sim import faults
from rung.sim.answers import Ask, Said, Tool
from rung.sim.exchange import Piece, Refusal, Reply, Request, Turn, spread, whole, words
from rung.sim.prompt import Prompt
from rung.sim.provider import Provider

VERSIONS = ("2023-06-01", "2026-10-21")
NO_SAMPLING = "2026-10-21"
"""from this version on temperature, top_p and top_k are refused for every model"""
MOST_BREAKPOINTS = 4
LEAST_BUDGET = 1024

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "blocked_prompt": "refusal",
    "blocked_answer": "refusal",
}
_TTL = {"5m": 300.0, "1h": 3600.0}


class Anthropic(Provider):
    name = "anthropic"

    def key(self, request: Request) -> str | None:
        """The SDK sends its key as a bearer token, other clients as ``x-api-key``."""
        return request.headers.get("x-api-key") or request.bearer

    def authorise(self, request: Request) -> None:
        if self.row.key is not None and self.key(request) != self.row.key:
            raise Refusal(401, "invalid x-api-key")
        if request.headers.get("anthropic-version") not in VERSIONS:
            raise Refusal(400, f"anthropic-version: header is required; known are {', '.join(VERSIONS)}")

    def route(self, request: Request) -> Reply:
        match request.method, request.path:
            case "POST", "/v1/messages":
                return self._messages(request)
            case "POST", "/v1/messages/count_tokens":
                body = request.json()
                self.resolve(body.get("model"))
                return whole({"input_tokens": self._prompt(body).tokens})
            case "GET", "/v1/models":
                rows = [self._model_row(name) for name in self.models]
                return whole({"data": rows, "has_more": False, "first_id": rows[0]["id"], "last_id": rows[-1]["id"]})
            case "GET", path if path.startswith("/v1/models/"):
                return whole(self._model_row(self.resolve(path.removeprefix("/v1/models/"))))
        return super().route(request)

    def unknown_model(self, model: str) -> Refusal:
        return Refusal(404, f"model: {model}")

    def _model_row(self, name: str) -> dict[str, Any]:
        return {"type": "model", "id": name, "display_name": name, "created_at": "2026-10-01T00:00:00Z"}

    def _messages(self, request: Request) -> Reply:
        body = request.json()
        model = self.resolve(body.get("model"))
        self._validate(body, model, request.headers["anthropic-version"])
        turn = self.begin(self._read(body, model))
        if isinstance(turn.fault, faults.Error200):
            reply = self.refuse(Refusal(500, "simulated failure under status 200"))
            reply.status, reply.fault, reply.model = 200, turn.fault, model
            return reply
        headers = {"request-id": f"req_{turn.id}", **self._limit_headers()}
        if not turn.ask.stream:
            message = {**self._message(turn), "content": self._content(turn), **self._stop(turn)}
            return whole({**message, "usage": self._usage(turn)}, headers=headers, turn=turn)
        error = event("error", self._error(Refusal(529, self.broken_stream(turn)), turn.id))
        return Reply(
            200, self._events(turn), headers, "text/event-stream; charset=utf-8", True, turn, turn.fault, model,
            keepalive=event("ping", {}), error_piece=error,
        )  # fmt: skip

    # --- reading

    def _validate(self, body: Mapping[str, Any], model: str, version: str) -> None:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refusal(400, "messages: at least one message is required")
        limit = body.get("max_tokens")
        if not isinstance(limit, int) or limit < 0:
            raise Refusal(400, "max_tokens: Field required")
        if version >= NO_SAMPLING or not self.setting(model, "free_sampling"):
            for name in ("temperature", "top_p", "top_k"):
                if body.get(name) is not None:
                    raise Refusal(400, f"{name}: this parameter is not supported")
        thinking = body.get("thinking") or {}
        if thinking.get("type") == "enabled":
            budget = thinking.get("budget_tokens")
            if not isinstance(budget, int) or budget < LEAST_BUDGET:
                raise Refusal(400, f"thinking.enabled.budget_tokens: Input should be at least {LEAST_BUDGET}")
            if budget >= limit:
                raise Refusal(400, "`max_tokens` must be greater than `thinking.budget_tokens`")
        marks = sum(segment.mark is not None for segment in self._prompt(body).segments)
        if marks > MOST_BREAKPOINTS:
            told = f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {marks}."
            raise Refusal(400, told)
        self._check_blocks(messages, version)

    def _check_blocks(self, messages: list[Any], version: str) -> None:
        """Thinking comes back unchanged; each tool result answers a call of the turn before."""
        open_calls: set[str] = set()
        for place, message in enumerate(messages):
            blocks = message.get("content")
            blocks = blocks if isinstance(blocks, list) else []
            results = {block.get("tool_use_id") for block in blocks if block.get("type") == "tool_result"}
            if results != open_calls:
                if results - open_calls:
                    raise Refusal(
                        400, f"messages.{place}.content: unexpected `tool_use_id` found in `tool_result` blocks"
                    )
                raise Refusal(400, f"messages.{place - 1}: `tool_use` ids were found without `tool_result` blocks "
                              "immediately after")  # fmt: skip
            open_calls = {block.get("id") for block in blocks if block.get("type") == "tool_use"}
            for block in blocks:
                if block.get("type") == "thinking" and block.get("signature") != _signature(
                    block.get("thinking") or ""
                ):
                    raise Refusal(400, f"messages.{place}.content: Invalid `signature` in `thinking` block")
                if block.get("type") == "document" and message.get("role") == "assistant" and version >= NO_SAMPLING:
                    raise Refusal(400, f"messages.{place}.content: document blocks are not allowed in assistant turns")

    def _read(self, body: Mapping[str, Any], model: str) -> Ask:
        asked = [_text(message.get("content")) for message in body["messages"] if message.get("role") == "user"]
        choice = body.get("tool_choice") or {}
        force = {"any": "", "tool": str(choice.get("name", ""))}.get(str(choice.get("type")))
        form = (body.get("output_config") or {}).get("format") or {}
        return Ask(
            model=model,
            shown=model,
            prompt=self._prompt(body),
            question=asked[-1] if asked else "",
            stream=body.get("stream") is True,
            max_tokens=body["max_tokens"],
            stop=tuple(body.get("stop_sequences") or ()),
            tools=tuple(Tool(tool["name"], tool.get("input_schema") or {}) for tool in body.get("tools") or ()),
            force=force,
            json=bool(form),
            schema=form.get("schema"),
            thinking=self._thinking(body, model),
            scope=str(body.get("speed") or ""),
            tier=str(body.get("speed") or "standard"),
        )

    def _thinking(self, body: Mapping[str, Any], model: str) -> str:
        kind = (body.get("thinking") or {}).get("type")
        effort = (body.get("output_config") or {}).get("effort")
        level = self.level(model, effort) if effort else "medium"
        return level if kind in ("enabled", "adaptive", "between_tools") else "off"

    def bad_level(self, model: str, wanted: str, levels: list[str]) -> Refusal:
        return Refusal(400, f"output_config.effort: Input should be {', '.join(levels)}")

    def _prompt(self, body: Mapping[str, Any]) -> Prompt:
        """Tools, system, messages: each block a segment; settings that spoil the messages' cache salt them."""
        prompt = Prompt()
        for tool in body.get("tools") or ():
            _add(prompt, "", tool)
        system = body.get("system")
        for block in [system] if isinstance(system, str) else system or ():
            _add(prompt, "", block)
        salt = orjson.dumps([body.get("tool_choice"), body.get("thinking")])
        for message in body.get("messages") or ():
            content = message.get("content")
            for block in [content] if isinstance(content, str) else content or ():
                _add(prompt, f"<{message.get('role')}>", block, salt)
                salt = b""
        if body.get("cache_control") and prompt.segments:
            prompt.segments[-1].mark = _ttl(body["cache_control"])
        return prompt

    # --- writing

    def _message(self, turn: Turn) -> dict[str, Any]:
        return {"id": f"msg_{turn.id}", "type": "message", "role": "assistant", "model": turn.ask.model}

    def _content(self, turn: Turn) -> list[dict[str, Any]]:
        said = turn.said
        blocks: list[dict[str, Any]] = []
        if said.reasoning:
            signature = _signature(said.reasoning)
            blocks.append({"type": "thinking", "thinking": said.reasoning, "signature": signature})
        if said.text:
            blocks.append({"type": "text", "text": said.text, "citations": None})
        for call in said.tool_calls:
            blocks.append({"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": call.arguments})
        return blocks

    def _stop(self, turn: Turn) -> dict[str, Any]:
        said = turn.said
        reason = _STOPS.get(said.finish, said.finish)
        details = {"type": "refusal", "category": None, "explanation": None} if reason == "refusal" else None
        return {"stop_reason": reason, "stop_sequence": said.stop, "stop_details": details}

    def _usage(self, turn: Turn, output: int | None = None) -> dict[str, Any]:
        counts = turn.counts
        return {
            "input_tokens": counts.input,
            "cache_creation_input_tokens": counts.cache_write + counts.cache_write_long,
            "cache_read_input_tokens": counts.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": counts.cache_write,
                "ephemeral_1h_input_tokens": counts.cache_write_long,
            },
            "output_tokens": counts.completion if output is None else output,
            "output_tokens_details": {"thinking_tokens": counts.reasoning if output is None else 0},
            "service_tier": "standard",
            "speed": turn.ask.tier,
        }

    def _events(self, turn: Turn) -> Iterator[Piece]:
        start = {**self._message(turn), "content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
        yield Piece(event("message_start", {"message": {**start, "usage": self._usage(turn, 1)}}), role="start")
        yield Piece(event("ping", {}), role="start")
        for index, block in enumerate(self._content(turn)):
            yield from self._block(turn, index, block)
        usage = self._usage(turn)
        yield Piece(event("message_delta", {"delta": self._stop(turn), "usage": usage}), 0, "finish", tells_usage=True)
        yield Piece(event("message_stop", {}), role="end")

    def _block(self, turn: Turn, index: int, block: dict[str, Any]) -> Iterator[Piece]:
        kind = block["type"]
        empty: dict[str, dict[str, Any]] = {
            "text": {"text": ""},
            "thinking": {"thinking": "", "signature": ""},
            "tool_use": {"input": {}},
        }
        start = {"index": index, "content_block": {**block, **empty[kind]}}
        yield Piece(event("content_block_start", start), role="start")
        for delta, tokens in _deltas(turn, block):
            yield Piece(event("content_block_delta", {"index": index, "delta": delta}), tokens)
        yield Piece(event("content_block_stop", {"index": index}), role="start")

    # --- saying no

    def usual(self, fault: faults.Status) -> str:
        return {529: "Overloaded", 500: "Internal server error"}.get(fault.status) or super().usual(fault)

    def _error(self, refusal: Refusal, request_id: str) -> dict[str, Any]:
        error: dict[str, Any] = {"type": _TYPES.get(refusal.status, "api_error"), "message": refusal.message}
        if refusal.status == 429 and refusal.code is not None:
            error["details"] = {"error_code": refusal.code}
        return {"type": "error", "error": error, "request_id": f"req_{request_id}"}

    def refuse(self, refusal: Refusal) -> Reply:
        number = f"sim_error_{self._asked:08d}"
        headers = {"request-id": f"req_{number}", **self._limit_headers()}
        if refusal.retry_after is not None:
            headers["retry-after"] = f"{refusal.retry_after:g}"
        return whole(self._error(refusal, number), refusal.status, headers)

    def too_long(self, ask: Ask, context: int) -> Refusal:
        return Refusal(400, f"prompt is too long: {ask.prompt.tokens} tokens > {context} maximum")

    def limited(self, ask: Ask, what: str, wait: float) -> Refusal:
        return Refusal(429, f"This request would exceed your organization's rate limit of {what} per minute.",
                       retry_after=wait)  # fmt: skip

    def _limit_headers(self) -> dict[str, str]:
        """Resets are moments, not durations."""
        told = {}
        buckets = {"requests": self.limits.requests, "tokens": self.limits.tokens, "input-tokens": self.limits.tokens}
        for what, bucket in buckets.items():
            if bucket.size:
                reset = self.world.clock.at().astimezone(UTC) + timedelta(seconds=bucket.reset)
                told[f"anthropic-ratelimit-{what}-limit"] = str(bucket.size)
                told[f"anthropic-ratelimit-{what}-remaining"] = str(bucket.remaining)
                told[f"anthropic-ratelimit-{what}-reset"] = reset.strftime("%Y-%m-%dT%H:%M:%SZ")
        return told


def event(kind: str, data: Mapping[str, Any]) -> bytes:
    """One typed event; `data` may hold its own type."""
    return f"event: {kind}\n".encode() + b"data: " + orjson.dumps({"type": kind, **data}) + b"\n\n"


def _deltas(turn: Turn, block: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """(delta, tokens) of one block."""
    said = turn.said
    if block["type"] == "thinking":
        pieces = words(said.reasoning)
        for piece, tokens in zip(pieces, spread(pieces, turn.counts.reasoning), strict=True):
            yield {"type": "thinking_delta", "thinking": piece}, tokens
        yield {"type": "signature_delta", "signature": block["signature"]}, 0
    elif block["type"] == "text":
        pieces = words(said.text)
        for piece, tokens in zip(pieces, spread(pieces, Said(said.text).output_tokens), strict=True):
            yield {"type": "text_delta", "text": piece}, tokens
    else:
        call = next(call for call in said.tool_calls if block["id"] == f"toolu_{call.id}")
        text = call.text
        half = max(1, len(text) // 2)
        yield {"type": "input_json_delta", "partial_json": ""}, 0
        tokens = Said(tool_calls=[call]).output_tokens
        yield {"type": "input_json_delta", "partial_json": text[:half]}, tokens // 2
        yield {"type": "input_json_delta", "partial_json": text[half:]}, tokens - tokens // 2


def _add(prompt: Prompt, role: str, block: Any, salt: bytes = b"") -> None:
    if isinstance(block, str):
        prompt.add(role + block, salt=salt)
        return
    mark = _ttl(block["cache_control"]) if block.get("cache_control") else None
    rest = {key: value for key, value in block.items() if key != "cache_control"}
    text = rest["text"] if rest.get("type") == "text" else orjson.dumps(rest).decode()
    prompt.add(role + text, mark=mark, salt=salt)


def _ttl(control: Mapping[str, Any]) -> float:
    ttl = control.get("ttl", "5m")
    if ttl not in _TTL:
        raise Refusal(400, "cache_control.ttl: Input should be '5m' or '1h'")
    return _TTL[ttl]


def _signature(thinking: str) -> str:
    return base64.b64encode(hashlib.sha256(f"simulated {thinking}".encode()).digest()).decode()


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(block.get("text") or "") for block in content or () if block.get("type") == "text")
