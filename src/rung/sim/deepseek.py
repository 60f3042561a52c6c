"""DeepSeek: thinking by default, reasoning that must come back, hit and miss counts, prefix completion, FIM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rung.completion import DONE
from rung.sim import faults
from rung.sim.answers import Ask
from rung.sim.chat import Chat, text_of
from rung.sim.exchange import Piece, Refusal, Reply, Request, Turn, whole
from rung.sim.prompt import Prompt
from rung.sim.scenario import CacheRule

_EFFORTS = {"minimal": "low", "medium": "high", "xhigh": "high", "ultra": "max"}
_MESSAGES = {402: "Insufficient Balance", 503: "Service is too busy. We advise users to temporarily switch to "
             "alternative LLM API service providers."}  # fmt: skip
_FIM_TOKENS = 4096


class DeepSeek(Chat):
    name = "deepseek"
    reasoning_field = "reasoning_content"

    def inner(self, path: str) -> str:
        for prefix in ("/v1", "/beta"):
            path = path.removeprefix(prefix)
        return path

    def route(self, request: Request) -> Reply:
        if request.path == "/user/balance" and request.method == "GET":
            money = {"currency": "USD", "total_balance": "10.00", "granted_balance": "0.00"}
            money["topped_up_balance"] = "10.00"
            return whole({"is_available": True, "balance_infos": [money]})
        if request.path == "/beta/completions" and request.method == "POST":
            return self._fim(request)
        return super().route(request)

    def chat(self, request: Request) -> Reply:
        messages = request.json().get("messages")
        last = messages[-1] if isinstance(messages, list) and messages else None
        if isinstance(last, dict) and last.get("prefix"):
            if last.get("role") != "assistant":
                raise Refusal(400, "the message with prefix must be the last one, from the assistant")
            if not request.path.startswith("/beta/"):
                raise Refusal(400, "prefix completion is a beta feature: use the base_url that ends in /beta")
        return super().chat(request)

    def validate(self, body: Mapping[str, Any], model: str) -> None:
        super().validate(body, model)
        form = (body.get("response_format") or {}).get("type")
        if form == "json_schema":
            raise Refusal(400, "This response_format type is unavailable now", param="response_format")
        said = " ".join(text_of(message.get("content")) for message in body["messages"])
        if form == "json_object" and "json" not in said.lower():
            raise Refusal(400, "Prompt must contain the word 'json' in some form to use 'response_format' of type "
                          "'json_object'.", param="response_format")  # fmt: skip
        if self.thinking(body, model) == "off":
            return
        for message in body["messages"]:
            if message["role"] == "assistant" and message.get("tool_calls") and "reasoning_content" not in message:
                raise Refusal(400, "The reasoning_content in the thinking mode must be passed back to the API.")

    def read(self, body: Mapping[str, Any], model: str) -> Ask:
        ask = super().read(body, model)
        last = body["messages"][-1]
        if last.get("prefix"):
            ask.prefix = text_of(last.get("content"))
        return ask

    def thinking(self, body: Mapping[str, Any], model: str) -> str:
        kind = (body.get("thinking") or {}).get("type")
        if kind == "disabled":
            return "off"
        effort = body.get("reasoning_effort")
        return self.level(model, None if effort is None else _EFFORTS.get(effort, effort))

    def scope(self, body: Mapping[str, Any]) -> str:
        return str(body.get("user_id") or "")

    def add_message(self, prompt: Prompt, message: Mapping[str, Any]) -> None:
        # Thinking counts as prompt only where it must come back: with tool calls.
        if message.get("tool_calls"):
            prompt.add(str(message.get("reasoning_content") or ""))
        super().add_message(prompt, message)

    def said(self, turn: Turn) -> None:
        rule: CacheRule = self.setting(turn.ask.model, "cache") or CacheRule()
        full = Prompt(list(turn.ask.prompt.segments), turn.ask.prompt.tokens)
        self.add_message(full, self.message(turn))
        self.cache.answered(rule, f"{turn.ask.model}\0{turn.ask.scope}", full)

    def headers(self, turn: Turn) -> dict[str, str]:
        return {"x-ds-trace-id": turn.id, "x-deepseek-request-id": turn.id}

    def usage(self, turn: Turn) -> dict[str, Any]:
        counts = turn.counts
        return {
            **super().usage(turn),
            "prompt_cache_hit_tokens": counts.cache_read,
            "prompt_cache_miss_tokens": counts.prompt - counts.cache_read,
        }

    def finish_extra(self, turn: Turn) -> dict[str, Any]:
        """Streamed usage sits on the finish chunk of one answer and on a chunk of its own in the next."""
        return {"usage": self.usage(turn)} if turn.ask.usage_told and turn.number % 2 else {}

    def tail(self, turn: Turn, finish: bytes) -> Iterator[Piece]:
        if turn.ask.usage_told and turn.number % 2:
            yield Piece(finish, role="finish", tells_usage=True)
            yield Piece(DONE, role="end")
        else:
            yield from super().tail(turn, finish)

    def first_delta(self, turn: Turn) -> dict[str, Any]:
        if turn.ask.thinking == "off":
            return super().first_delta(turn)
        return {"role": "assistant", "content": None, "reasoning_content": ""}

    def usual(self, fault: faults.Status) -> str:
        return _MESSAGES.get(fault.status) or super().usual(fault)

    def refuse(self, refusal: Refusal) -> Reply:
        refusal.code = refusal.code or "invalid_request_error"
        reply = super().refuse(refusal)
        reply.headers = {**reply.headers, "x-deepseek-request-id": f"sim_error_{self._asked:08d}"}
        return reply

    def unknown_model(self, model: str) -> Refusal:
        return Refusal(400, "Model Not Exist")

    def _fim(self, request: Request) -> Reply:
        """Fill in the middle: no thinking, at most 4096 tokens."""
        body = request.json()
        model = self.resolve(body.get("model"))
        limit = body.get("max_tokens") or _FIM_TOKENS
        if limit > _FIM_TOKENS:
            raise Refusal(400, f"max_tokens must be at most {_FIM_TOKENS}", param="max_tokens")
        prompt = Prompt()
        prompt.add(str(body.get("prompt", "")))
        prompt.add(str(body.get("suffix") or ""))
        turn = self.begin(Ask(model, prompt, str(body.get("prompt", "")), shown=model, max_tokens=limit))
        choice = {"index": 0, "text": turn.said.text, "finish_reason": self.finish(turn.said), "logprobs": None}
        told = {**self.base(turn, "text_completion"), "choices": [choice], "usage": self.usage(turn)}
        return whole(told, headers=self.headers(turn), turn=turn)
