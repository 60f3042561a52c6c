"""OpenAI: chat completions with obfuscation, cache writes and Go-duration limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rung.sim.chat import Chat, text_of
from rung.sim.exchange import Refusal, Turn
from rung.sim.limits import go_duration
from rung.sim.prompt import Prompt
from rung.sim.scenario import CacheRule

_TTL = {"30m": 1800.0, "12h": 43_200.0}
_SPENT = (
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
)
_CODES = {429: "rate_limit_exceeded", 503: "server_is_overloaded", 401: "invalid_api_key"}


class OpenAI(Chat):
    name = "openai"
    embedding_size = 256

    def add_message(self, prompt: Prompt, message: Mapping[str, Any]) -> None:
        """Each part is a segment of its own, with or without a ``prompt_cache_breakpoint``."""
        content = message.get("content")
        parts = content if isinstance(content, list) else []
        if not parts or message.get("tool_calls"):
            super().add_message(prompt, message)
            return
        prompt.add(f"<{message['role']}>")
        for part in parts:
            mark = part.get("prompt_cache_breakpoint")
            prompt.add(text_of([part]), mark=None if mark is None else _TTL.get(mark.get("ttl"), _TTL["30m"]))

    def scope(self, body: Mapping[str, Any]) -> str:
        parts = [str(body.get(name, "")) for name in ("prompt_cache_key", "reasoning_effort", "verbosity")]
        return "/".join(parts)

    def tier(self, body: Mapping[str, Any]) -> str:
        asked = str(body.get("service_tier") or "auto")
        return "default" if asked == "auto" else asked

    def headers(self, turn: Turn) -> dict[str, str]:
        return {
            **super().headers(turn),
            "openai-processing-ms": str(round(turn.first_token * 1000)),
            "openai-version": "2020-10-01",
            **self.limit_headers(),
        }

    def limit_headers(self) -> dict[str, str]:
        told = {}
        for what, bucket in (("requests", self.limits.requests), ("tokens", self.limits.tokens)):
            if bucket.size:
                told[f"x-ratelimit-limit-{what}"] = str(bucket.size)
                told[f"x-ratelimit-remaining-{what}"] = str(bucket.remaining)
                told[f"x-ratelimit-reset-{what}"] = go_duration(bucket.reset)
        return told

    def usage(self, turn: Turn) -> dict[str, Any]:
        usage = super().usage(turn)
        counts = turn.counts
        rule: CacheRule = self.setting(turn.ask.model, "cache") or CacheRule()
        if rule.write_counted:
            usage["prompt_tokens_details"]["cache_write_tokens"] = counts.cache_write + counts.cache_write_long
        usage["completion_tokens_details"] |= {"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
        return usage

    def message(self, turn: Turn) -> dict[str, Any]:
        return {**super().message(turn), "refusal": None, "annotations": []}

    def first_delta(self, turn: Turn) -> dict[str, Any]:
        return {**super().first_delta(turn), "refusal": None}

    def chunk_extra(self, turn: Turn, delta: dict[str, Any]) -> dict[str, Any]:
        """Padding that hides the length of the text, on by default."""
        size = 16 - len(str(delta.get("content") or "")) % 16
        return {"service_tier": turn.ask.tier, "obfuscation": "x" * size}

    def tail_extra(self, turn: Turn) -> dict[str, Any]:
        return {"service_tier": turn.ask.tier}

    def completion(self, turn: Turn) -> dict[str, Any]:
        return {**super().completion(turn), "service_tier": turn.ask.tier}

    def refuse(self, refusal: Refusal) -> Any:
        if refusal.code is None:
            refusal.code = _CODES.get(refusal.status)
        if refusal.code in _SPENT:
            refusal.extra = {"type": "insufficient_quota", **refusal.extra}
        reply = super().refuse(refusal)
        reply.headers = {**reply.headers, **self.limit_headers()}
        return reply
