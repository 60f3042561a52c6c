"""OpenAI's chat completions, for every provider that speaks them; what differs is told by methods to override.

Shapes: the official SDK's types, https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import orjson

from rung.completion import DONE
from rung.sim import faults
from rung.sim.answers import Ask, Said, Tool, embedding
from rung.sim.exchange import Piece, Refusal, Reply, Request, Turn, spread, whole, words
from rung.sim.prompt import Prompt
from rung.sim.provider import Provider

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part.get("text") or "" for part in parts if isinstance(part, dict))


class Chat(Provider):
    """Base of the providers with ``/chat/completions``."""

    reasoning_field: ClassVar[str | None] = None
    """sibling of `content` in messages and deltas, None where thinking is not shown"""
    always_usage: ClassVar[bool] = False
    """is usage streamed without being asked for?"""
    embedding_size: ClassVar[int] = 0
    """numbers in an embedding; 0: the provider has none"""
    finishes: ClassVar[Mapping[str, str]] = {
        "stop_sequence": "stop",
        "blocked_prompt": "content_filter",
        "blocked_answer": "content_filter",
    }

    def route(self, request: Request) -> Reply:
        path = self.inner(request.path)
        if path == "/chat/completions":
            return self.chat(request)
        if path == "/embeddings" and request.method == "POST" and self.embedding_size:
            return self.embeddings(request)
        if path == "/models" and request.method == "GET":
            return whole({"object": "list", "data": [self.model_row(name) for name in self.models]})
        if path.startswith("/models/") and request.method == "GET":
            return whole(self.model_row(self.resolve(path.removeprefix("/models/"))))
        return super().route(request)

    def inner(self, path: str) -> str:
        """The path without the provider's own base path."""
        return path.removeprefix("/v1")

    def model_row(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 1_780_000_000, "owned_by": self.name}

    def chat(self, request: Request) -> Reply:
        if request.method != "POST":
            raise Refusal(405, f"Not allowed to {request.method} on {request.path} (HINT: use POST)")
        body = request.json()
        model = self.resolve(body.get("model"))
        self.validate(body, model)
        ask = self.read(body, model)
        turn = self.begin(ask)
        if isinstance(turn.fault, faults.Error200):
            return self.error_200(turn)
        headers = self.headers(turn)
        if not ask.stream:
            reply = whole(self.completion(turn), headers=headers, turn=turn)
        else:
            reply = Reply(
                200, self.chunks(turn), headers, "text/event-stream", True, turn, turn.fault, ask.model,
                keepalive=b": keep-alive\n\n", error_piece=self.stream_error(turn),
            )  # fmt: skip
        self.said(turn)
        return reply

    def embeddings(self, request: Request) -> Reply:
        body = request.json()
        model = self.resolve(body.get("model"))
        texts = body.get("input")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise Refusal(400, "input must be a string or a list of strings", param="input")
        prompt = Prompt()
        for text in texts:
            prompt.add(text)
        turn = self.begin(Ask(model, prompt, texts[-1] if texts else "", max_tokens=0))
        size = body.get("dimensions") or self.embedding_size
        vectors = [embedding(text, size) for text in texts]
        packed = body.get("encoding_format") == "base64"
        rows = [
            {"object": "embedding", "index": place, "embedding": _packed(vector) if packed else vector}
            for place, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": prompt.tokens, "total_tokens": prompt.tokens}
        return whole({"object": "list", "data": rows, "model": model, "usage": usage}, turn=turn)

    # --- reading

    def validate(self, body: Mapping[str, Any], model: str) -> None:
        """Raises Refusal 400 for what the provider refuses."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refusal(400, "[] is too short - 'messages'", param="messages", code="invalid_value")
        for number, message in enumerate(messages):
            if not isinstance(message, dict) or not isinstance(message.get("role"), str):
                raise Refusal(400, f"Missing required parameter: 'messages[{number}].role'.",
                              param=f"messages[{number}].role", code="missing_required_parameter")  # fmt: skip

    def read(self, body: Mapping[str, Any], model: str) -> Ask:
        """The request in neutral words."""
        messages = body["messages"]
        asked = [text_of(message.get("content")) for message in messages if message["role"] == "user"]
        form = body.get("response_format") or {}
        schema = (form.get("json_schema") or {}).get("schema") if form.get("type") == "json_schema" else None
        stop = body.get("stop")
        stream = body.get("stream") is True
        return Ask(
            model=model,
            shown=str(body["model"]),
            prompt=self.prompt(body),
            question=asked[-1] if asked else "",
            stream=stream,
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            stop=tuple([stop] if isinstance(stop, str) else stop or ()),
            tools=tuple(
                Tool(tool["function"]["name"], tool["function"].get("parameters") or {})
                for tool in body.get("tools") or ()
                if "function" in tool
            ),
            force=_forced(body.get("tool_choice")),
            json=form.get("type") in ("json_object", "json_schema"),
            schema=schema,
            thinking=self.thinking(body, model),
            scope=self.scope(body),
            tier=self.tier(body),
            usage_told=not stream or self.always_usage or _include_usage(body),
        )

    def prompt(self, body: Mapping[str, Any]) -> Prompt:
        """Tools first, then the messages, as the caches see them."""
        prompt = Prompt()
        for tool in body.get("tools") or ():
            prompt.add(tool)
        if body.get("response_format"):
            prompt.add(body["response_format"])
        for message in body["messages"]:
            self.add_message(prompt, message)
        return prompt

    def add_message(self, prompt: Prompt, message: Mapping[str, Any]) -> None:
        prompt.add(_role(message) + text_of(message.get("content")) + _calls(message.get("tool_calls")))

    def thinking(self, body: Mapping[str, Any], model: str) -> str:
        return self.level(model, body.get("reasoning_effort"))

    def scope(self, body: Mapping[str, Any]) -> str:
        """What separates prompt caches, besides the model."""
        return ""

    def tier(self, body: Mapping[str, Any]) -> str:
        """The service tier that answers, empty where there is but one."""
        return ""

    # --- writing

    def said(self, turn: Turn) -> None:
        """Called once an answer is decided."""

    def headers(self, turn: Turn) -> dict[str, str]:
        return {"x-request-id": f"req_{turn.id}"}

    def usage(self, turn: Turn) -> dict[str, Any]:
        counts = turn.counts
        return {
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.completion,
            "total_tokens": counts.prompt + counts.completion,
            "prompt_tokens_details": {"cached_tokens": counts.cache_read},
            "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
        }

    def base(self, turn: Turn, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{turn.id}",
            "object": kind,
            "created": turn.created,
            "model": turn.ask.model,
            "system_fingerprint": "fp_simulated",
        }

    def finish(self, said: Said) -> str:
        return self.finishes.get(said.finish, said.finish)

    def shown_reasoning(self, turn: Turn) -> str:
        return turn.said.reasoning if self.reasoning_field else ""

    def message(self, turn: Turn) -> dict[str, Any]:
        said = turn.said
        message: dict[str, Any] = {"role": "assistant", "content": said.text}
        if said.tool_calls:
            message["content"] = said.text or None
            message["tool_calls"] = [
                {"id": f"call_{call.id}", "type": "function", "function": {"name": call.name, "arguments": call.text}}
                for call in said.tool_calls
            ]
        if self.reasoning_field and self.shown_reasoning(turn):
            message[self.reasoning_field] = self.shown_reasoning(turn)
        return message

    def completion(self, turn: Turn) -> dict[str, Any]:
        choice = {
            "index": 0,
            "message": self.message(turn),
            "logprobs": None,
            "finish_reason": self.finish(turn.said),
        }
        return {**self.base(turn, "chat.completion"), "choices": [choice], "usage": self.usage(turn)}

    def chunks(self, turn: Turn) -> Iterator[Piece]:
        """The stream: role, reasoning, text, tool calls, finish, usage, terminator."""
        base = self.base(turn, "chat.completion.chunk")
        nil = {"usage": None} if turn.ask.usage_told and not self.always_usage else {}

        def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return sse({**base, "choices": [choice], **nil, **self.chunk_extra(turn, delta), **more})

        yield Piece(chunk(self.first_delta(turn), **self.first_extra(turn)), role="start")
        said, counts = turn.said, turn.counts
        for delta, tokens in self.deltas(said, counts.reasoning, self.shown_reasoning(turn)):
            yield Piece(chunk(delta), tokens)
        yield from self.tail(turn, chunk({}, self.finish(said), **self.finish_extra(turn)))

    def first_delta(self, turn: Turn) -> dict[str, Any]:
        return {"role": "assistant", "content": ""}

    def chunk_extra(self, turn: Turn, delta: dict[str, Any]) -> dict[str, Any]:
        """More members of every chunk."""
        return {}

    def first_extra(self, turn: Turn) -> dict[str, Any]:
        return {}

    def finish_extra(self, turn: Turn) -> dict[str, Any]:
        return {}

    def tail_extra(self, turn: Turn) -> dict[str, Any]:
        """More members of the chunk that only tells the usage."""
        return {}

    def deltas(self, said: Said, reasoning_tokens: int, shown: str) -> Iterator[tuple[dict[str, Any], int]]:
        """(delta, tokens it took), thinking first. Hidden thinking takes its time before the first word."""
        if self.reasoning_field and shown:
            pieces = words(shown)
            for piece, tokens in zip(pieces, spread(pieces, reasoning_tokens), strict=True):
                yield {self.reasoning_field: piece}, tokens
            reasoning_tokens = 0
        pieces = words(said.text)
        for piece, tokens in zip(pieces, spread(pieces, _text_tokens(said)), strict=True):
            yield {"content": piece}, tokens + reasoning_tokens
            reasoning_tokens = 0
        for index, call in enumerate(said.tool_calls):
            head = {"name": call.name, "arguments": ""}
            start = {"index": index, "id": f"call_{call.id}", "type": "function", "function": head}
            yield {"tool_calls": [start]}, reasoning_tokens
            reasoning_tokens = 0
            text = call.text
            half = max(1, len(text) // 2)
            parts = [text[:half], text[half:]]
            for part, tokens in zip(parts, spread(parts, said_tokens(said, index)), strict=True):
                if part:
                    yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}, tokens

    def tail(self, turn: Turn, finish: bytes) -> Iterator[Piece]:
        yield Piece(finish, role="finish")
        if turn.ask.usage_told:
            last = {
                **self.base(turn, "chat.completion.chunk"),
                "choices": [],
                "usage": self.usage(turn),
                **self.tail_extra(turn),
            }
            yield Piece(sse(last), role="usage", tells_usage=True)
        yield Piece(DONE, role="end")

    # --- saying no

    def error_body(self, refusal: Refusal) -> dict[str, Any]:
        usual = "invalid_request_error" if refusal.status < 500 else "server_error"
        error = {
            "message": refusal.message,
            "type": _TYPES.get(refusal.status, usual),
            "param": refusal.param,
            "code": refusal.code,
        }
        return {"error": {**error, **refusal.extra}}

    def refuse(self, refusal: Refusal) -> Reply:
        headers = {"x-request-id": f"req_sim_error_{self._asked:08d}"}
        if refusal.retry_after is not None:
            headers["retry-after"] = f"{refusal.retry_after:g}"
        return whole(self.error_body(refusal), refusal.status, headers)

    def error_200(self, turn: Turn) -> Reply:
        reply = whole(self.error_body(Refusal(500, "simulated failure under status 200")), headers=self.headers(turn))
        reply.fault, reply.model = turn.fault, turn.ask.model
        return reply

    def stream_error(self, turn: Turn) -> bytes:
        return sse(self.error_body(Refusal(500, self.broken_stream(turn))))


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def sse(value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _include_usage(body: Mapping[str, Any]) -> bool:
    return (body.get("stream_options") or {}).get("include_usage") is True


def _forced(choice: Any) -> str | None:
    if isinstance(choice, dict):
        return str((choice.get("function") or {}).get("name", ""))
    return "" if choice == "required" else None


def _role(message: Mapping[str, Any]) -> str:
    return f"<{message['role']}>"


def _calls(calls: Any) -> str:
    return "".join(f"{call['function']['name']}{call['function']['arguments']}" for call in calls or ())


def _text_tokens(said: Said) -> int:
    return said.output_tokens - sum(said_tokens(said, index) for index in range(len(said.tool_calls)))


def said_tokens(said: Said, index: int) -> int:
    """Tokens of one tool call."""
    alone = Said(tool_calls=[said.tool_calls[index]])
    return alone.output_tokens
