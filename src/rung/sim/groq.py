"""Groq: OpenAI's chat, with its own refusals, limits, ``x_groq`` and reasoning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rung.completion import DONE
from rung.sim import faults
from rung.sim.answers import Ask
from rung.sim.chat import Chat, sse
from rung.sim.exchange import Piece, Refusal, Reply, Turn
from rung.sim.limits import go_duration

_REFUSED = ("logprobs", "top_logprobs", "logit_bias")
_MESSAGE = {"role", "content", "tool_calls", "tool_call_id", "reasoning", "refusal", "function_call"}
_TYPES = {401: "invalid_request_error", 429: "tokens", 498: "capacity_exceeded", 500: "internal_server_error",
          503: "service_unavailable"}  # fmt: skip
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded", 498: "capacity_exceeded"}


class Groq(Chat):
    name = "groq"
    reasoning_field = "reasoning"
    always_usage = True

    def inner(self, path: str) -> str:
        return path.removeprefix("/openai/v1")

    def model_row(self, name: str) -> dict[str, Any]:
        row = {**super().model_row(name), "active": True}
        context = self.world.prices.context(f"groq:{name}")
        price = self.world.prices.price(f"groq:{name}")
        if context:
            row |= {"context_window": context, "context_length": context}
        if price is not None:
            rates = price.rates(self.world.clock.at())
            picos = {"prompt": rates.input, "completion": rates.output, "input_cache_read": rates.cache_read}
            row["pricing"] = {name: f"{pico / 1e12:.12f}".rstrip("0") for name, pico in picos.items()}
        return row

    def validate(self, body: Mapping[str, Any], model: str) -> None:
        super().validate(body, model)
        for name in _REFUSED:
            if body.get(name):
                raise Refusal(400, f"property '{name}' is unsupported", param=name)
        if body.get("n") not in (None, 1):
            raise Refusal(400, "'n' : number must be at most 1", param="n")
        for number, message in enumerate(body["messages"]):
            for name in message.keys() - _MESSAGE:
                raise Refusal(400, f"'messages.{number}' : property '{name}' is unsupported")
        form = (body.get("response_format") or {}).get("type")
        asks_json = form in ("json_object", "json_schema")
        if body.get("reasoning_format") is not None and body.get("include_reasoning") is not None:
            raise Refusal(400, "reasoning_format and include_reasoning cannot be used together")
        if body.get("reasoning_format") == "raw" and (asks_json or body.get("tools")):
            raise Refusal(400, "reasoning_format raw cannot be used with JSON mode or tools", param="reasoning_format")
        if form == "json_schema":
            self._schema(body, model)

    def _schema(self, body: Mapping[str, Any], model: str) -> None:
        if body.get("tools"):
            raise Refusal(400, "json_schema response format cannot be used with tools", param="response_format")
        told = body["response_format"].get("json_schema") or {}
        if not told.get("strict"):
            return
        if not self.setting(model, "levels") == ["low", "medium", "high"]:
            raise Refusal(400, "This model does not support strict structured outputs", param="response_format")
        problem = _strict(told.get("schema") or {}, "schema")
        if problem:
            raise Refusal(400, f"invalid JSON schema for response_format: {problem}", param="response_format")

    def read(self, body: Mapping[str, Any], model: str) -> Ask:
        ask = super().read(body, model)
        ask.extra = {
            "format": body.get("reasoning_format") or ("parsed" if body.get("include_reasoning", True) else "hidden"),
            "seed": body.get("seed"),
        }
        return ask

    def tier(self, body: Mapping[str, Any]) -> str:
        asked = str(body.get("service_tier") or "auto")
        return "on_demand" if asked == "auto" else asked

    def scope(self, body: Mapping[str, Any]) -> str:
        return str(body.get("tool_choice", ""))

    def shown_reasoning(self, turn: Turn) -> str:
        return turn.said.reasoning if turn.ask.extra["format"] == "parsed" else ""

    def message(self, turn: Turn) -> dict[str, Any]:
        message = super().message(turn)
        if turn.ask.extra["format"] == "raw" and turn.said.reasoning:
            message["content"] = f"<think>\n{turn.said.reasoning}\n</think>\n{turn.said.text}"
        return message

    def usage(self, turn: Turn) -> dict[str, Any]:
        counts = turn.counts
        prompt_time = turn.first_token / 2
        completion_time = counts.completion * turn.token_time
        return {
            "queue_time": turn.first_token - prompt_time,
            "prompt_time": prompt_time,
            "completion_time": completion_time,
            "total_time": prompt_time + completion_time,
            **super().usage(turn),
        }

    def completion(self, turn: Turn) -> dict[str, Any]:
        told = {"id": f"req_{turn.id}", "seed": turn.ask.extra["seed"]}
        return {**super().completion(turn), "service_tier": turn.ask.tier, "x_groq": told}

    def first_extra(self, turn: Turn) -> dict[str, Any]:
        return {"x_groq": {"id": f"req_{turn.id}", "seed": turn.ask.extra["seed"]}}

    def finish_extra(self, turn: Turn) -> dict[str, Any]:
        usage = self.usage(turn)
        return {"x_groq": {"id": f"req_{turn.id}", "usage": usage}, "usage": usage}

    def tail(self, turn: Turn, finish: bytes) -> Iterator[Piece]:
        yield Piece(finish, role="finish", tells_usage=True)
        yield Piece(DONE, role="end")

    def stream_error(self, turn: Turn) -> bytes:
        base = self.base(turn, "chat.completion.chunk")
        return sse({**base, "choices": [], "x_groq": {"id": f"req_{turn.id}", "error": self.broken_stream(turn)}})

    def headers(self, turn: Turn) -> dict[str, str]:
        return {**super().headers(turn), "x-groq-region": "sim", **self.limit_headers()}

    def limit_headers(self) -> dict[str, str]:
        """Requests are per day, tokens per minute; resets are Go durations."""
        told = {}
        for what, bucket in (("requests", self.limits.requests), ("tokens", self.limits.tokens)):
            if bucket.size:
                told[f"x-ratelimit-limit-{what}"] = str(bucket.size)
                told[f"x-ratelimit-remaining-{what}"] = str(bucket.remaining)
                told[f"x-ratelimit-reset-{what}"] = go_duration(bucket.reset)
        return told

    def too_long(self, ask: Ask, context: int) -> Refusal:
        told = f"Request too large for model `{ask.model}`: Limit {context}, Requested {ask.prompt.tokens}"
        return Refusal(413, told, code="request_too_large")

    def limited(self, ask: Ask, what: str, wait: float) -> Refusal:
        bucket = self.limits.tokens if what == "tokens" else self.limits.requests
        wanted = ask.prompt.tokens if what == "tokens" else 1
        short = "tokens per minute (TPM)" if what == "tokens" else "requests per day (RPD)"
        message = (
            f"Rate limit reached for model `{ask.model}` in organization `org_sim` on {short}: "
            f"Limit {bucket.size}, Used {round(bucket.used)}, Requested {wanted}. "
            f"Please try again in {go_duration(wait)}."
        )
        return Refusal(429, message, code="rate_limit_exceeded", retry_after=wait, extra={"type": what})

    def usual(self, fault: faults.Status) -> str:
        if fault.status != 429:
            return super().usual(fault)
        told = "Rate limit reached in organization `org_sim` on tokens per minute (TPM)"
        wait = go_duration(fault.retry_after or 5.289)
        return f"{told}: Limit 8000, Used 7800, Requested 906. Please try again in {wait}."

    def refuse(self, refusal: Refusal) -> Reply:
        if refusal.code is None:
            refusal.code = _CODES.get(refusal.status)
        refusal.extra = {"type": _TYPES.get(refusal.status, "invalid_request_error"), **refusal.extra}
        reply = super().refuse(refusal)
        reply.headers = {**reply.headers, "x-groq-region": "sim", **self.limit_headers()}
        return reply


def _strict(schema: Any, where: str) -> str | None:
    """Why a schema cannot be used with ``strict``, or None."""
    if not isinstance(schema, dict):
        return None
    if schema.get("type") == "object":
        properties = schema.get("properties") or {}
        if schema.get("additionalProperties") is not False:
            return f"`additionalProperties:false` must be set on `{where}`"
        if set(schema.get("required", ())) != set(properties):
            return f"`required` must list every property of `{where}`"
        for name, inner in properties.items():
            if problem := _strict(inner, f"{where}.{name}"):
                return problem
    return _strict(schema.get("items"), f"{where}.items")
