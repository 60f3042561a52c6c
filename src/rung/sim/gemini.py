"""Gemini: ``generateContent`` and its stream, token counts, cached contents, under ``/v1`` and ``/v1beta``.

Proto JSON: a request may spell every field in camelCase or snake_case, also mixed. Facts: the provider's
documentation and the google-genai SDK.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from rung.sim import faults
from rung.sim.answers import Ask, Said, Tool
from rung.sim.cached_contents import CachedContents
from rung.sim.exchange import Piece, Refusal, Reply, Request, Turn, spread, whole, words
from rung.sim.prompt import Prompt
from rung.sim.provider import Provider, World

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TYPE = "type.googleapis.com/google.rpc."
_FINISH = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "blocked_answer": "SAFETY",
}
_CALL = re.compile(
    r"/(?P<version>v1|v1beta)/models/(?P<model>[^:/]+):(?P<verb>generateContent|streamGenerateContent|countTokens)"
)
_OPAQUE = ("args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema")
"""members whose inside is the caller's own: names in there are not respelt"""


def camel(value: Any) -> Any:
    """`value` with every proto field in camelCase, whichever spelling came."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for name, inner in value.items():
        key = re.sub(r"_([a-z])", lambda found: found[1].upper(), name)
        out[key] = inner if key in _OPAQUE else camel(inner)
    return out


class Gemini(Provider):
    name = "gemini"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.contents = CachedContents(world.clock)

    def key(self, request: Request) -> str | None:
        return request.headers.get("x-goog-api-key") or request.query.get("key")

    def authorise(self, request: Request) -> None:
        if self.row.key is not None and self.key(request) != self.row.key:
            raise Refusal(400, "API key not valid. Please pass a valid API key.", code="API_KEY_INVALID")

    def route(self, request: Request) -> Reply:
        found = _CALL.fullmatch(request.path)
        if found is not None and request.method == "POST":
            body = camel(request.json())
            if found["verb"] == "countTokens":
                return self._count(body, found["model"])
            return self._generate(body, found["model"], found["verb"], request.query.get("alt") == "sse")
        version, _, rest = request.path.removeprefix("/").partition("/")
        if version in ("v1", "v1beta"):
            if rest.partition("/")[0] == "cachedContents":
                body = camel(request.json()) if request.method in ("POST", "PATCH") else {}
                return whole(self._contents(request, rest.partition("/")[2], body))
            if rest == "models" and request.method == "GET":
                return whole({"models": [self._model_row(name) for name in self.models]})
            if rest.startswith("models/") and request.method == "GET":
                return whole(self._model_row(self.resolve(rest.removeprefix("models/"))))
        return super().route(request)

    def unknown_model(self, model: str) -> Refusal:
        return Refusal(404, f"models/{model} is not found for API version v1beta, or is not supported for "
                       "generateContent. Call ListModels to see the list of available models.")  # fmt: skip

    def _model_row(self, name: str) -> dict[str, Any]:
        context = self.world.prices.context(f"gemini:{name}") or 1_048_576
        return {
            "name": f"models/{name}",
            "version": "simulated",
            "displayName": name,
            "inputTokenLimit": context,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens", "createCachedContent"],
        }

    def _contents(self, request: Request, rest: str, body: Mapping[str, Any]) -> Any:
        if request.method == "POST":
            model = self.resolve(str(body.get("model", "")).removeprefix("models/"))
            return self.contents.create(model, body, self._prompt(body).tokens, body.get("displayName"))
        return self.contents.manage(request.method, f"cachedContents/{rest}" if rest else "", body)

    def _count(self, body: Mapping[str, Any], model: str) -> Reply:
        self.resolve(model)
        tokens = self._prompt(body.get("generateContentRequest") or body).tokens
        return whole({"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]})

    def _generate(self, body: Mapping[str, Any], asked: str, verb: str, sse: bool) -> Reply:
        model = self.resolve(asked)
        self._validate(body, model)
        stream = verb == "streamGenerateContent"
        turn = self.begin(self._read(body, model, stream))
        if isinstance(turn.fault, faults.Error200):
            reply = self.refuse(Refusal(500, "simulated failure under status 200"))
            reply.status, reply.fault, reply.model = 200, turn.fault, model
            return reply
        if not stream:
            return whole(self._response(turn, self._parts(turn), last=True), headers=self._headers(turn), turn=turn)
        pieces = self._events(turn) if sse else _array(self._chunks(turn))
        kind = "text/event-stream" if sse else "application/json"
        error = orjson.dumps(self._error(Refusal(503, self.broken_stream(turn))))
        return Reply(
            200, pieces, self._headers(turn), kind, True, turn, turn.fault, model, keepalive=b"\r\n", error_piece=error
        )

    # --- reading

    def _validate(self, body: Mapping[str, Any], model: str) -> None:
        contents = body.get("contents")
        if not isinstance(contents, list) or not contents:
            raise Refusal(400, "* GenerateContentRequest.contents: contents is not specified")
        thinking = (body.get("generationConfig") or {}).get("thinkingConfig") or {}
        if "thinkingLevel" in thinking and "thinkingBudget" in thinking:
            raise Refusal(400, "You can only set only one of thinking budget and thinking level.")
        names: dict[str, str] = {}
        for place, content in enumerate(contents):
            for part in content.get("parts") or ():
                call, response = part.get("functionCall"), part.get("functionResponse")
                if call is not None:
                    names[str(call.get("id"))] = str(call.get("name"))
                if response is not None and names.get(str(response.get("id"))) != response.get("name"):
                    raise Refusal(
                        400, f"contents[{place}]: function response must have the id and the name of its call"
                    )
            if self.setting(model, "signatures"):
                self._signed(content, place)

    def _signed(self, content: Mapping[str, Any], place: int) -> None:
        """The first call of a model's turn must carry its signature back."""
        calls = [part for part in content.get("parts") or () if "functionCall" in part]
        if calls and not calls[0].get("thoughtSignature"):
            name = calls[0]["functionCall"].get("name")
            raise Refusal(
                400,
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                f"work correctly. Additional data, function call `{name}`, position {place + 1}.",
            )

    def _read(self, body: Mapping[str, Any], model: str, stream: bool) -> Ask:
        config = body.get("generationConfig") or {}
        asked = [_text(content) for content in body["contents"] if content.get("role", "user") == "user"]
        calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
        allowed = calling.get("allowedFunctionNames") or [""]
        schema = config.get("responseJsonSchema") or config.get("responseSchema")
        return Ask(
            model=model,
            shown=model,
            prompt=self._prompt(body),
            question=asked[-1] if asked else "",
            stream=stream,
            max_tokens=config.get("maxOutputTokens"),
            stop=tuple(config.get("stopSequences") or ()),
            tools=tuple(
                Tool(one["name"], one.get("parametersJsonSchema") or one.get("parameters") or {})
                for tool in body.get("tools") or ()
                for one in tool.get("functionDeclarations") or ()
            ),
            force=allowed[0] if calling.get("mode") == "ANY" else None,
            json=config.get("responseMimeType") == "application/json",
            schema=schema,
            thinking=self._thinking(config.get("thinkingConfig") or {}, model),
            explicit=self._explicit(body, model),
            tier=str(body.get("serviceTier") or "standard").lower(),
            extra={"thoughts": bool((config.get("thinkingConfig") or {}).get("includeThoughts"))},
        )

    def _thinking(self, config: Mapping[str, Any], model: str) -> str:
        budget = config.get("thinkingBudget")
        if budget is not None:
            return "off" if budget == 0 else self.level(model, None)
        level = config.get("thinkingLevel")
        return self.level(model, None if level in (None, "THINKING_LEVEL_UNSPECIFIED") else str(level).lower())

    def bad_level(self, model: str, wanted: str, levels: list[str]) -> Refusal:
        return Refusal(400, f"Thinking level {wanted.upper()} is not supported for this model. Please retry with "
                       "other thinking level.")  # fmt: skip

    def _explicit(self, body: Mapping[str, Any], model: str) -> int:
        name = body.get("cachedContent")
        if name is None:
            return 0
        if any(body.get(field) for field in ("systemInstruction", "tools", "toolConfig")):
            raise Refusal(400, "CachedContent can not be used with GenerateContent request setting system_instruction, "
                          "tools or tool_config. Proposed fix: move those values to CachedContent.")  # fmt: skip
        return self.contents.tokens(str(name), model)

    def _prompt(self, body: Mapping[str, Any]) -> Prompt:
        prompt = Prompt()
        for tool in body.get("tools") or ():
            prompt.add(tool)
        if body.get("systemInstruction"):
            prompt.add(_text(body["systemInstruction"]))
        for content in body.get("contents") or ():
            role = f"<{content.get('role') or 'user'}>"
            for part in content.get("parts") or ():
                prompt.add(role + _part(part))
                role = ""
        return prompt

    # --- writing

    def _headers(self, turn: Turn) -> dict[str, str]:
        return {
            "server-timing": f"gfet4t7; dur={round(turn.first_token * 1000)}",
            "x-gemini-service-tier": turn.ask.tier,
        }

    def _parts(self, turn: Turn) -> list[dict[str, Any]]:
        said = turn.said
        parts: list[dict[str, Any]] = []
        if said.reasoning and turn.ask.extra["thoughts"]:
            parts.append({"text": said.reasoning, "thought": True})
        if said.text:
            parts.append({"text": said.text})
        parts += self._calls(turn)
        return parts

    def _calls(self, turn: Turn) -> list[dict[str, Any]]:
        """Parallel calls: only the first is signed."""
        parts: list[dict[str, Any]] = []
        for number, call in enumerate(turn.said.tool_calls):
            part: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
            if not number:
                part["thoughtSignature"] = _signature(turn)
            parts.append(part)
        return parts

    def _usage(self, turn: Turn) -> dict[str, Any]:
        counts = turn.counts
        text = turn.said.output_tokens
        usage: dict[str, Any] = {
            "promptTokenCount": counts.prompt,
            "totalTokenCount": counts.prompt + counts.completion,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": counts.prompt}],
            "serviceTier": turn.ask.tier,
        }
        if text:
            usage["candidatesTokenCount"] = text
        if counts.reasoning:
            usage["thoughtsTokenCount"] = counts.reasoning
        if counts.cache_read:
            usage["cachedContentTokenCount"] = counts.cache_read
            usage["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": counts.cache_read}]
        return usage

    def _response(self, turn: Turn, parts: list[dict[str, Any]], *, last: bool) -> dict[str, Any]:
        out: dict[str, Any] = {}
        reason = getattr(turn.fault, "reason", "SAFETY")
        if turn.said.finish == "blocked_prompt":
            out["promptFeedback"] = {"blockReason": reason}
        else:
            candidate: dict[str, Any] = {"index": 0, "content": {"role": "model"}}
            if parts:
                candidate["content"]["parts"] = parts
            if turn.said.finish == "blocked_answer":
                del candidate["content"]
            if last:
                candidate["finishReason"] = self._finish(turn.said, reason)
            out["candidates"] = [candidate]
        out["usageMetadata"] = self._usage(turn)
        return {**out, "modelVersion": turn.ask.model, "responseId": turn.id}

    def _finish(self, said: Said, reason: str) -> str:
        return reason if said.finish == "blocked_answer" else _FINISH.get(said.finish, said.finish)

    def _chunks(self, turn: Turn) -> Iterator[tuple[bytes, int, str]]:
        """(response, tokens, role) of each chunk; the signature comes last, with an empty text."""
        said = turn.said
        if said.finish in ("blocked_prompt", "blocked_answer") or not (self._parts(turn)):
            yield orjson.dumps(self._response(turn, [], last=True)), turn.counts.reasoning, "finish"
            return
        thoughts = turn.counts.reasoning
        if said.reasoning and turn.ask.extra["thoughts"]:
            yield (
                orjson.dumps(self._response(turn, [{"text": said.reasoning, "thought": True}], last=False)),
                thoughts,
                "content",
            )
            thoughts = 0
        pieces = _bundles(words(said.text))
        for piece, tokens in zip(pieces, spread(pieces, said.output_tokens), strict=True):
            yield orjson.dumps(self._response(turn, [{"text": piece}], last=False)), tokens + thoughts, "content"
            thoughts = 0
        for part in self._calls(turn):
            yield orjson.dumps(self._response(turn, [part], last=False)), thoughts, "content"
            thoughts = 0
        signed = [] if said.tool_calls else [{"text": "", "thoughtSignature": _signature(turn)}]
        yield orjson.dumps(self._response(turn, signed, last=True)), 0, "finish"

    def _events(self, turn: Turn) -> Iterator[Piece]:
        """Server-sent events, ended by CRLF pairs; there is no terminator."""
        for data, tokens, role in self._chunks(turn):
            yield Piece(b"data: " + data + b"\r\n\r\n", tokens, role, tells_usage=role == "finish")

    # --- saying no

    def usual(self, fault: faults.Status) -> str:
        if fault.status == 429:
            return "You exceeded your current quota, please check your plan and billing details."
        if fault.status == 402:
            return "Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing."
        if fault.status == 503:
            return "The model is overloaded. Please try again later."
        return super().usual(fault)

    def _error(self, refusal: Refusal) -> dict[str, Any]:
        status = refusal.code if refusal.code in _STATUS.values() else _STATUS.get(refusal.status, "UNKNOWN")
        details: list[dict[str, Any]] = []
        if refusal.code is not None and status != refusal.code:
            details.append({"@type": f"{_TYPE}ErrorInfo", "reason": refusal.code, "domain": "googleapis.com"})
        if refusal.status == 429:
            quota = {
                "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
                "quotaId": "simulated",
            }
            details.append({"@type": f"{_TYPE}QuotaFailure", "violations": [quota]})
            wait = 37 if refusal.retry_after is None else refusal.retry_after
            details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{wait:.9g}s"})
        error: dict[str, Any] = {"code": refusal.status, "message": refusal.message, "status": status}
        return {"error": {**error, "details": details} if details else error}

    def refuse(self, refusal: Refusal) -> Reply:
        return whole(self._error(refusal), refusal.status)

    def too_long(self, ask: Ask, context: int) -> Refusal:
        return Refusal(500, "An internal error has occurred. Please retry or report it.")

    def limited(self, ask: Ask, what: str, wait: float) -> Refusal:
        return Refusal(429, f"You exceeded your current quota: {what}.", retry_after=wait)


def _signature(turn: Turn) -> str:
    return base64.b64encode(f"simulated signature {turn.number}".encode()).decode()


def _text(content: Mapping[str, Any] | str) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or "") for part in content.get("parts") or ())


def _part(part: Mapping[str, Any]) -> str:
    if "text" in part:
        return str(part["text"])
    return orjson.dumps({key: value for key, value in part.items() if key != "thoughtSignature"}).decode()


def _bundles(pieces: list[str], size: int = 6) -> list[str]:
    """Gemini streams several words a chunk."""
    return ["".join(pieces[start : start + size]) for start in range(0, len(pieces), size)]


def _array(chunks: Iterator[tuple[bytes, int, str]]) -> Iterator[Piece]:
    """Without ``alt=sse`` the stream is one JSON array."""
    for number, (data, tokens, role) in enumerate(chunks):
        yield Piece((b",\r\n" if number else b"[") + data, tokens, role, tells_usage=role == "finish")
    yield Piece(b"\n]\n", role="end")
