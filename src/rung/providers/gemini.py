"""Gemini's own API: ``generateContent`` and ``streamGenerateContent``.

What its OpenAI-compatible API loses, this keeps: thought signatures, cached tokens, why nothing came. An
answer ends with a finish reason and the end of the body; there is no other terminator. Blocked prompts and
filtered or empty candidates come as 200 and are faults here. Shapes: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from rung.answer import Evidence, Usage
from rung.call import Call
from rung.errors import CredentialFault, Fault, MissingModelFault
from rung.providers.chat_request import Asked, read, rejected
from rung.providers.chat_wire import require_noise, tier_of
from rung.providers.chat_writer import ChatWriter
from rung.providers.endpoint import Endpoint
from rung.providers.gemini_request import write
from rung.providers.memory import CallMemory
from rung.providers.native import Headers, Native, Reader
from rung.wire.client import Client, Deadlines
from rung.wire.sse import Frame

_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
_FILTERED = frozenset(
    (
        *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "ESCALATION", "MODEL_ARMOR"),
        *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
    )
)
CACHE_GONE = "cached_content_gone"
"""code of the fault where a request names a cache object that is not there (any more)"""

_OWN = ("google", "include_reasoning", "service_tier")
_TIERS = ("standard", "flex", "priority")


class _Call(msgspec.Struct):
    id: str | None = None
    name: str = ""
    args: dict[str, Any] | None = None


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _Call | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    index: int | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Counts(msgspec.Struct, rename="camel"):
    prompt_token_count: int = 0
    cached_content_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    service_tier: str | None = None

    def read(self) -> Usage:
        """The prompt count includes what was cached; the candidates exclude the thoughts."""
        prompt = self.prompt_token_count + self.tool_use_prompt_token_count
        cached = min(self.cached_content_token_count, prompt)
        return Usage(
            prompt - cached,
            cached,
            0,
            self.candidates_token_count,
            self.thoughts_token_count,
            service_tier=tier_of(self.service_tier),
        )


class _Reply(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Counts | None = None
    model_version: str = ""
    error: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Reply)


class Gemini(Native):
    """Gemini over one `Endpoint` whose base is the host, without a version."""

    def __init__(self, endpoint: Endpoint, client: Client, *, version: str = "v1beta") -> None:
        super().__init__(endpoint, client)
        self._version = version
        self._signatures = CallMemory()

    def read_request(self, call: Call, model: str) -> Asked:
        strip = self.endpoint.strip.union(self.rules.of(model).strip)
        return read(call.body, self.endpoint.name, strip, _OWN)

    def request(self, call: Call, model: str, asked: Asked) -> tuple[str, dict[str, Any]]:
        name = self.endpoint.name
        if not model.replace("-", "").replace(".", "").replace("_", "").isalnum():
            raise rejected(name, "has no model of that name", "model")
        body = write(
            asked,
            self.rules.of(model),
            _google(call.body),
            name,
            lambda call_id: self.remembered(call.tenant, call_id),
        )
        tier = call.body.get("service_tier")
        if tier in _TIERS:
            body["serviceTier"] = tier
        elif tier not in (None, "auto", "default"):
            asked.stripped.append("service_tier")
        method = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
        return f"/{self._version}/models/{model}:{method}", body

    def reader(self, call: Call, writer: ChatWriter, evidence: Evidence) -> Reader:
        return _Reader(self, call, writer, evidence)

    def remember(self, call: Call, call_id: str, signature: str) -> None:
        """Keep the signature of a tool call for a client that will not send it back."""
        self._signatures.put(call.tenant, call_id, signature)

    def remembered(self, tenant: str, call_id: str) -> str | None:
        """The signature of a tool call of this tenant, if it was kept."""
        signature = self._signatures.get(tenant, call_id)
        return signature if isinstance(signature, str) else None

    async def manage(self, method: str, path: str, body: bytes, deadlines: Deadlines, *, private: bool) -> bytes:
        """One request about what the account holds; -> the answer's body. Raises Fault, PrivacyError."""
        end = self.endpoint
        target = f"{end.base_path}/{self._version}{path}"
        response = await self._client.fetch(end.origin, method, target, end.headers, body, deadlines, private=private)
        if response.status != 200:
            raise self.fault(response.status, response.headers, response.body)
        return response.body

    def fault(self, status: int, headers: Headers, body: bytes) -> Fault:
        """google.rpc errors: the reason and the delay are in the details."""
        fault = super().fault(status, headers, body)
        error = error_of(body)
        name = self.endpoint.name
        details = [one for one in error.get("details") or () if isinstance(one, dict)]
        reasons = {one.get("reason") for one in details}
        if status == 403 and "CachedContent" in str(error.get("message")):
            # told so for an object that has expired, too: no fault of the key
            return MissingModelFault(f"{name} does not hold that cached content", provider=name, code=CACHE_GONE)
        if "API_KEY_INVALID" in reasons:
            return CredentialFault(f"{name} refused its key; check it", provider=name)
        if status == 400 and error.get("status") == "FAILED_PRECONDITION":
            return CredentialFault(f"{name} does not serve this account; turn on billing", provider=name)
        for one in details:
            delay = str(one.get("retryDelay") or "")
            if delay.endswith("s") and fault.retry_after is None:
                try:
                    fault.retry_after = max(float(delay[:-1]), 0.0)
                except ValueError:
                    pass
        return fault


def error_of(body: bytes) -> dict[str, Any]:
    """The ``error`` object of a body, which may be wrapped in a list; empty if there is none."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(told, list) and told:
        told = told[0]
    error = told.get("error") if isinstance(told, dict) else None
    return error if isinstance(error, dict) else {}


def _google(body: dict[str, Any]) -> dict[str, Any]:
    """Google's own members, where Google's and the OpenAI SDK's habits put them."""
    extra = body.get("extra_body")
    own = body.get("google") or (extra.get("google") if isinstance(extra, dict) else None)
    told = dict(own) if isinstance(own, dict) else {}
    if body.get("include_reasoning") is True:
        told.setdefault("thinking_config", {"includeThoughts": True})
    return told


class _Reader(Reader):
    """Reads GenerateContentResponse objects: one, or one a frame."""

    def __init__(self, gemini: Gemini, call: Call, writer: ChatWriter, evidence: Evidence) -> None:
        super().__init__(gemini.endpoint.name, writer, evidence)
        self._gemini = gemini
        self._call = call
        self._blocked = ""
        self._calls = 0

    def whole(self, body: bytes) -> None:
        self._take(body)
        self.rest(b"")

    def frame(self, frame: Frame) -> bool:
        if frame.data is None:
            self._raw(frame.raw)
            return False
        self._take(frame.data)
        return True

    def rest(self, pending: bytes) -> None:
        if pending.strip():
            self._raw(pending + b"\n")
        if self._blocked:
            self.bad(f"blocked the prompt ({self._blocked})", "content_filter")
        self.ended = self.writer.finished

    def _raw(self, text: bytes) -> None:
        """An error in the middle of a stream is bare JSON, without ``data:``."""
        if text.lstrip()[:1] in (b"{", b"[") and (error := error_of(text)):
            raise self._fault(error)
        require_noise(text, self.provider)

    def _fault(self, error: dict[str, Any]) -> Fault:
        code = error.get("code")
        status = code if isinstance(code, int) and 400 <= code <= 599 else 500
        return self._gemini.fault(status, (), orjson.dumps({"error": error}))

    def _take(self, data: bytes) -> None:
        told = self.decode(_decoder, data)
        if told.error is not None:
            raise self._fault(told.error)
        self.model_version(told.model_version)
        if told.usage_metadata is not None:
            self.usage = told.usage_metadata.read()
        if told.prompt_feedback is not None and told.prompt_feedback.block_reason:
            self._blocked = _word(told.prompt_feedback.block_reason)
        for candidate in told.candidates or ():
            self._candidate(candidate)

    def _candidate(self, candidate: _Candidate) -> None:
        index = candidate.index or 0
        for part in (candidate.content and candidate.content.parts) or ():
            self._part(part, index)
        reason = candidate.finish_reason
        if not reason:
            return
        if reason in _FILTERED:
            self.writer.finish("content_filter", index)
        elif reason not in _FINISH:
            self.bad(f"gave up on its answer ({_word(reason)})", _word(reason).lower())
        elif reason == "STOP" and self.writer.has_calls(index):
            self.writer.finish("tool_calls", index)
        else:
            self.writer.finish(_FINISH[reason], index)

    def _part(self, part: _Part, index: int) -> None:
        signature = part.thought_signature
        extra = {"extra_content": {"google": {"thought_signature": signature}}} if signature else None
        if (call := part.function_call) is not None:
            self._calls += 1
            call_id = call.id or f"call_{self._call.request_id}_{self._calls}"
            self.writer.tool_call(call_id, call.name, orjson.dumps(call.args or {}).decode(), index, extra)
            if signature:
                self._gemini.remember(self._call, call_id, signature)
            return
        if part.text:
            say = self.writer.reasoning if part.thought else self.writer.text
            say(part.text, index)
        if extra is not None:
            self.writer.attach(extra, index)


def _word(text: str) -> str:
    """A constant of theirs, bounded, safe to repeat."""
    return text[:40] if text.replace("_", "").isalnum() else "OTHER"
