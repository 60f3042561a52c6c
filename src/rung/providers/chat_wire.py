"""Reading the few fields of OpenAI-shaped answers that rung needs; everything else stays bytes.

Typed partial decoding (msgspec) costs about as much as finding the fields by hand and refuses wrong types.
Error bodies: protocols of Groq, DeepSeek and OpenAI, https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import astuple

from rung.answer import Usage
from rung.errors import (
    BadAnswerFault,
    CredentialFault,
    Fault,
    MissingModelFault,
    RateLimitFault,
    RejectedFault,
    ServerFault,
    TimeoutFault,
)
from rung.providers.prices import STANDARD


class _WriteDetails(msgspec.Struct):
    ttl_12h_tokens: int | None = None


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_tokens_details: _WriteDetails | None = None


class _CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct, gc=False):
    """OpenAI's `usage`, with DeepSeek's two extra counts."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    service_tier: str | None = None
    """of the reply around it, see `Usage.service_tier`"""


class _Text(msgspec.Struct, gc=False):
    """A `message` or a `delta`."""

    content: Any = None
    tool_calls: list[Any] | None = None
    function_call: Any = None
    refusal: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    audio: Any = None


class _Choice(msgspec.Struct, gc=False):
    message: _Text | None = None
    delta: _Text | None = None
    finish_reason: str | None = None


class _ErrorMember(msgspec.Struct):
    message: Any = None
    code: Any = None
    type: Any = None
    status_code: Any = None


class _XGroq(msgspec.Struct):
    """Groq's extra member: usage at the end of a stream, an error in its middle."""

    usage: WireUsage | None = None
    error: str | None = None


class _Reply(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: WireUsage | None = None
    model: str | None = None
    error: _ErrorMember | str | None = None
    x_groq: _XGroq | None = None
    service_tier: str | None = None


_decode = msgspec.json.Decoder(_Reply).decode


class Said(msgspec.Struct, gc=False):
    """What was learnt from a ``chat.completion`` or a ``chat.completion.chunk``."""

    choices: bool
    content: bool
    """an answer, or reasoning"""
    answer: bool
    """something that can be the answer; reasoning alone is none"""
    blank: bool
    """its answer is nothing but white space"""
    tool_calls: bool
    finish_reason: str | None
    """one for all choices: the first that is not ``stop``, so that a cut one is never stored"""
    usage: WireUsage | None
    model: str


def _checked(reply: _Reply, name: str) -> None:
    """Raise the error inside a 200; put where they belong the members that a provider keeps elsewhere."""
    if reply.error is not None:
        raise _inner_fault(reply.error, name)
    if reply.x_groq is not None:
        if reply.x_groq.error:
            raise _inner_fault(reply.x_groq.error, name)
        if reply.usage is None and reply.x_groq.usage is not None and reply.x_groq.usage.prompt_tokens is not None:
            reply.usage = reply.x_groq.usage
    if reply.usage is not None and reply.service_tier is not None:
        reply.usage.service_tier = reply.service_tier


def _inner_fault(error: _ErrorMember | str, name: str) -> Fault:
    """An error inside a 200."""
    if isinstance(error, str):
        text, code = error, ""
    else:
        text, code = str(error.message or error.code or error.type), str(error.code or "")
        for status in (error.status_code, error.code):
            if isinstance(status, int) and 400 <= status <= 599:
                return fault_from(status, (), msgspec.json.encode({"error": error}), name)
    told = f"{name} reported an error inside its answer: {_short(text)}"
    return ServerFault(told, provider=name, code=_word(code))


def read_whole(body: bytes, name: str) -> Said:
    """Raises BadAnswerFault or ServerFault if `body` is no completion."""
    said = read_chunk(body, name, whole=True)
    if not said.choices:
        raise BadAnswerFault(f"{name} answered without choices", provider=name, code="empty_answer")
    return said


WORDS = Said(True, True, True, False, False, None, None, "")
"""a chunk that brings some text and nothing else"""


def read_chunk(payload: bytes, name: str, *, whole: bool = False) -> Said:
    """`WORDS` itself for most chunks. Raises BadAnswerFault or ServerFault if `payload` is no chunk (`whole`: no
    completion)."""
    try:
        reply = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadAnswerFault(f"{name} sent something that is not a chat completion", provider=name) from None
    if not whole and _only_words(reply):
        return WORDS
    _checked(reply, name)
    if whole and _only_text(reply):
        return Said(True, True, True, False, False, "stop", reply.usage, reply.model or "")
    answer = reasons = tool_calls = False
    blank = True
    finish: str | None = None
    for choice in reply.choices or ():
        if (reason := choice.finish_reason) is not None and (finish is None or finish == "stop"):
            finish = reason
        text = choice.message if whole else choice.delta
        if text is None:
            continue
        if told := text.content:
            answer = True
            blank = blank and isinstance(told, str) and told.isspace()
        elif text.reasoning_content or text.reasoning:
            reasons = True
        if text.tool_calls or text.function_call:
            answer = tool_calls = True
            blank = False
        elif text.refusal or text.audio:
            answer, blank = True, False
    if finish is not None and finish in _BROKEN:
        raise ServerFault(f"{name} broke off its answer ({finish})", provider=name, code=finish)
    content = answer or reasons
    return Said(bool(reply.choices), content, answer, blank, tool_calls, finish, reply.usage, reply.model or "")


def _only_words(reply: _Reply) -> bool:
    """Is it the usual chunk? If in doubt no: looking closer says the same."""
    choices = reply.choices
    if choices is None or len(choices) != 1 or reply.usage or reply.error is not None or reply.x_groq:
        return False
    choice = choices[0]
    delta = choice.delta
    if delta is None or choice.finish_reason is not None or not delta.content:
        return False
    text, *others = astuple(delta)
    return others == _NOTHING_ELSE and type(text) is str and not text.isspace()


_NOTHING_ELSE = [None] * (len(_Text.__struct_fields__) - 1)


def _only_text(reply: _Reply) -> bool:
    """Is it the usual whole answer: one choice that says something, and has said all of it?"""
    choices = reply.choices
    if choices is None or len(choices) != 1:
        return False
    text = choices[0].message
    if text is None or choices[0].finish_reason != "stop" or text.tool_calls or text.function_call:
        return False
    told = text.content
    return type(told) is str and told != "" and not told.isspace()


_BROKEN = ("insufficient_system_resource", "error")
"""finish reasons that say the provider itself gave up"""


def read_usage(wire: WireUsage) -> Usage:
    """OpenAI's inclusive counts into rung's disjoint ones."""
    cached = written = long = 0
    if (details := wire.prompt_tokens_details) is not None:
        cached = details.cached_tokens or 0
        written = details.cache_write_tokens or 0
        if details.cache_write_tokens_details is not None:
            long = min(details.cache_write_tokens_details.ttl_12h_tokens or 0, written)
    if not cached and wire.prompt_cache_hit_tokens:
        cached = wire.prompt_cache_hit_tokens
    prompt = wire.prompt_tokens or 0
    completion = wire.completion_tokens or 0
    reasoning = 0
    if wire.completion_tokens_details is not None:
        reasoning = min(wire.completion_tokens_details.reasoning_tokens or 0, completion)
    rest = max(prompt - cached - written, 0)
    tier = tier_of(wire.service_tier) if wire.service_tier else ""
    return Usage(rest, cached, written - long, completion - reasoning, reasoning, long, tier)


def tier_of(name: str | None) -> str:
    """`Usage.service_tier` of what a provider calls it; empty for the ordinary one, under whatever name."""
    if not name or name in STANDARD:
        return ""
    name = name.lower()
    return "" if name in STANDARD else name


_NOISE = re.compile(rb"(?:(?::[^\r\n]*+|(?:event|id|retry)(?::[^\r\n]*+)?+)?+(?:\r\n?+|\n))*+")  # never goes back

SIMULATED = (b"x-rung-simulated", b"true")
"""the response header of `rung sim`"""


def require_noise(raw: bytes, name: str) -> None:
    """A frame without data may hold comments and fields nobody needs here. Raises BadAnswerFault for anything
    else, bytes that are no UTF-8 included: it may have swallowed the beginning of a frame that had data."""
    if not _NOISE.fullmatch(raw) or not _is_text(raw):
        raise BadAnswerFault(f"{name}'s stream holds something that is no event", provider=name)


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def wants_json(body: dict[str, Any]) -> bool:
    """Does a chat body ask for an answer in JSON?"""
    wanted = body.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema")


_SPENT = {
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
}
_DELAY = re.compile(r"try again in ((?:\d+h)?(?:\d+m(?!s))?(?:[\d.]+m?s)?)", re.IGNORECASE)
_PIECE = re.compile(r"([\d.]+)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SECRET = re.compile(r"\b(?:sk|gsk|key|pk|xai|AIza)[-_][\w*-]{6,}", re.IGNORECASE)


def _short(text: str) -> str:
    """A provider's message, made safe to repeat: no key fragments, one line, bounded."""
    return _SECRET.sub("***", " ".join(text.split()))[:300]


def retry_after(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """Seconds from a ``Retry-After`` header (RFC 9110 §10.2.3; the HTTP-date form is not used by providers)."""
    for name, value in headers:
        if name == b"retry-after":
            try:
                return max(float(value), 0.0)
            except ValueError:
                return None
    return None


def _delay(headers: Iterable[tuple[bytes, bytes]], message: str) -> float | None:
    told = retry_after(headers)
    return _told_delay(message) if told is None else told


def _told_delay(message: str) -> float | None:
    """Seconds from ``try again in 1m2.5s`` (a Go duration), where a provider says it only in words."""
    found = _DELAY.search(message)
    if found is None or not found[1]:
        return None
    return sum(float(number.strip(".") or 0) * _SECONDS[unit] for number, unit in _PIECE.findall(found[1]))


def fault_from(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, name: str) -> Fault:
    """An HTTP error of a provider as a fault, by status and by the code in its body, never by its prose."""
    message = code = kind = ""
    try:
        error = _decode(body).error
        if isinstance(error, str):
            message = error
        elif error is not None:
            message, code, kind = (str(part or "") for part in (error.message, error.code, error.type))
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    told = f"{name} answered {status}: {_short(message)}" if message else f"{name} answered {status}"
    if status in (401, 402, 403) or code in _SPENT or kind == "insufficient_quota":
        advice = "its credit is used up" if status == 402 or code in _SPENT else "check its key"
        return CredentialFault(f"{told} ({advice})", provider=name)
    if status == 404:
        return MissingModelFault(told, provider=name)
    if status == 408:
        return TimeoutFault(told, provider=name)
    if status == 429:
        return RateLimitFault(told, provider=name, retry_after=_delay(headers, message))
    if status >= 500 or status == 498:
        return ServerFault(told, provider=name, code=_word(code), retry_after=_delay(headers, message))
    if 300 <= status < 400:
        return BadAnswerFault(f"{told}: redirects are not followed; set base_url to where it points", provider=name)
    return RejectedFault(told, provider=name, status=status if status in (400, 413, 422) else 400, code=_word(code))


def _word(code: str) -> str | None:
    """A provider's error code, if it is a word: llama-server repeats the status there."""
    return code if _WORD.fullmatch(code) and not code.isdigit() else None
