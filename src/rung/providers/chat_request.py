"""An OpenAI-shaped request, read whole and typed, for adapters that must write another shape.

Adapters of OpenAI-compatible servers never need this: there the bytes pass through.
Shapes: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import orjson

from rung.errors import RejectedFault

NEUTRAL = frozenset(
    (
        *("model", "messages", "stream", "stream_options", "rung", "extra_body", "extra_headers"),
        *("user", "safety_identifier", "metadata", "store", "prediction"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
    )
)
"""fields that say nothing about the answer, or are hints: leaving them out is no loss to tell"""

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.+-]+=[^;,]*)*);base64,", re.IGNORECASE)


def rejected(provider: str, message: str, param: str | None = None) -> RejectedFault:
    """What this provider cannot be asked at all; another model may."""
    return RejectedFault(f"{provider} {message}", provider=provider, code="unsupported_by_provider", param=param)


# ---- the wire, typed; unknown members are ignored ----


class TextPart(msgspec.Struct, tag_field="type", tag="text"):
    text: str
    cache_control: dict[str, Any] | None = None


class _Url(msgspec.Struct):
    url: str


class ImagePart(msgspec.Struct, tag_field="type", tag="image_url"):
    image_url: _Url | str
    cache_control: dict[str, Any] | None = None

    @property
    def url(self) -> str:
        return self.image_url if isinstance(self.image_url, str) else self.image_url.url


class _Audio(msgspec.Struct):
    data: str
    format: str


class AudioPart(msgspec.Struct, tag_field="type", tag="input_audio"):
    input_audio: _Audio


class _File(msgspec.Struct):
    file_data: str | None = None
    filename: str | None = None


class FilePart(msgspec.Struct, tag_field="type", tag="file"):
    file: _File
    cache_control: dict[str, Any] | None = None


class _RefusalPart(msgspec.Struct, tag_field="type", tag="refusal"):
    refusal: str


Part = TextPart | ImagePart | AudioPart | FilePart


class _Function(msgspec.Struct):
    name: str
    arguments: str | dict[str, Any] | None = None


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str = ""
    extra_content: dict[str, Any] | None = None


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart | ImagePart | AudioPart | FilePart | _RefusalPart] | None = None
    name: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking_blocks: list[dict[str, Any]] | None = None
    extra_content: dict[str, Any] | None = None
    cache_control: dict[str, Any] | None = None


class _Declared(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None


class _Tool(msgspec.Struct):
    function: _Declared
    type: Literal["function"] = "function"
    cache_control: dict[str, Any] | None = None


class _Name(msgspec.Struct):
    name: str


class _Named(msgspec.Struct):
    function: _Name


class _Allowed(msgspec.Struct):
    mode: Literal["auto", "required"] = "auto"
    tools: list[_Named] = []


class _ToolChoice(msgspec.Struct):
    function: _Name | None = None
    allowed_tools: _Allowed | None = None


class _JsonSchema(msgspec.Struct):
    schema: dict[str, Any] | None = None
    name: str = ""


class _Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None


class _Body(msgspec.Struct):
    messages: list[_Message]
    tools: list[_Tool] | None = None
    functions: list[_Declared] | None = None
    tool_choice: _ToolChoice | Literal["none", "auto", "required"] | None = None
    function_call: _Name | Literal["none", "auto"] | None = None
    response_format: _Format | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: str | None = None
    parallel_tool_calls: bool | None = None
    n: int | None = None
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


# ---- what adapters work with ----


@dataclass(slots=True)
class CallMade:
    """A tool call of the model in the history. `arguments` is always an object."""

    id: str
    name: str
    arguments: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)
    """its `extra_content`, where providers keep what they want back"""


@dataclass(slots=True)
class Said:
    """A turn of the user or of the model. `path` names its place in the request."""

    role: Literal["user", "assistant"]
    parts: list[Part]
    path: str
    calls: list[CallMade] = field(default_factory=list)
    reasoning: str = ""
    thinking_blocks: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Returned:
    """The result of one tool call."""

    call_id: str
    name: str
    parts: list[Part]
    path: str
    cache_control: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


@dataclass(slots=True)
class Function:
    """A tool the model may call. `schema` is None if it takes nothing."""

    name: str
    description: str
    schema: dict[str, Any] | None
    strict: bool
    cache_control: dict[str, Any] | None


@dataclass(slots=True)
class Choice:
    """Which tools may be called. `mode`: auto, none or required; `names` narrows it."""

    mode: Literal["auto", "none", "required"]
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Asked:
    """The request. `format`: "" for free text, ``json``, or ``schema`` with `schema` set."""

    system: list[TextPart]
    turns: list[Said | Returned]
    functions: list[Function]
    choice: Choice | None
    parallel: bool | None
    format: Literal["", "json", "schema"]
    schema: dict[str, Any] | None
    stop: list[str]
    max_tokens: int | None
    effort: str | None
    n: int
    seed: int | None
    sampling: dict[str, float]
    """temperature, top_p, top_k: those that were given and are not stripped"""
    stripped: list[str]


def read(body: dict[str, Any], provider: str, strip: Collection[str], own: Collection[str] = ()) -> Asked:
    """Read a chat body whose fields in `strip` the model rejects; the adapter itself reads those in `own`.

    Raises RejectedFault, with the path of the field, for what no translation knows.
    """
    try:
        told = msgspec.convert(body, _Body)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        param = path.strip("`").lstrip(".") or None
        raise rejected(provider, f"cannot be asked this: {text}{f' at {param}' if param else ''}", param) from None
    known = {*_Body.__struct_fields__, *NEUTRAL, *own}
    stripped = [name for name in body if name in strip or name not in known]
    gone = frozenset(stripped)
    system, turns = _turns(told.messages, provider)
    sampling = {name: getattr(told, name) for name in ("temperature", "top_p", "top_k") if name not in gone}
    wanted = told.response_format if "response_format" not in gone else None
    schema = wanted.json_schema.schema if wanted and wanted.json_schema else None
    stop = [told.stop] if isinstance(told.stop, str) else told.stop or []
    return Asked(
        system=system,
        turns=turns,
        functions=_functions(told),
        choice=_choice(told),
        parallel=told.parallel_tool_calls if "parallel_tool_calls" not in gone else None,
        format="" if wanted is None or wanted.type == "text" else "json" if schema is None else "schema",
        schema=schema,
        stop=[] if "stop" in gone else stop,
        max_tokens=told.max_completion_tokens or told.max_tokens,
        effort=None if "reasoning_effort" in gone else told.reasoning_effort,
        n=1 if "n" in gone else told.n or 1,
        seed=None if "seed" in gone else told.seed,
        sampling={name: value for name, value in sampling.items() if value is not None},
        stripped=stripped,
    )


def _turns(messages: list[_Message], provider: str) -> tuple[list[TextPart], list[Said | Returned]]:
    system: list[TextPart] = []
    turns: list[Said | Returned] = []
    names: dict[str, str] = {}
    for place, message in enumerate(messages):
        path = f"messages[{place}]"
        parts = _parts(message)
        if message.role in ("system", "developer"):
            texts = [part for part in parts if isinstance(part, TextPart)]
            if len(texts) < len(parts):
                raise rejected(provider, "takes only text in a system message", path)
            system += texts
        elif message.role in ("tool", "function"):
            call_id = message.tool_call_id or _legacy_id(message.name or "", provider, path)
            name = names.get(call_id) or message.name
            if not name:
                raise rejected(provider, "is given a tool result whose call is not in the history", path)
            turns.append(Returned(call_id, name, parts, path, message.cache_control))
        else:
            said = Said("user" if message.role == "user" else "assistant", parts, path)
            if said.role == "assistant":
                said.calls = _calls(message, provider, path)
                names |= {call.id: call.name for call in said.calls}
                said.reasoning = message.reasoning_content or message.reasoning or ""
                said.thinking_blocks = message.thinking_blocks or []
                said.extra = message.extra_content or {}
            turns.append(said)
    return system, turns


def _parts(message: _Message) -> list[Part]:
    content = message.content
    if content is None:
        return [TextPart(message.refusal)] if message.refusal else []
    if isinstance(content, str):
        return [TextPart(content, message.cache_control)] if content else []
    parts = [TextPart(part.refusal) if isinstance(part, _RefusalPart) else part for part in content]
    return [part for part in parts if not (isinstance(part, TextPart) and not part.text)]


def _calls(message: _Message, provider: str, path: str) -> list[CallMade]:
    calls = [
        CallMade(
            call.id or _legacy_id(call.function.name, provider, path),
            call.function.name,
            arguments_of(call.function.arguments),
            call.extra_content or {},
        )
        for call in message.tool_calls or ()
    ]
    if message.function_call is not None:
        name = message.function_call.name
        calls.append(CallMade(_legacy_id(name, provider, path), name, arguments_of(message.function_call.arguments)))
    return calls


def _legacy_id(name: str, provider: str, path: str) -> str:
    """The id of a call made in the old `function_call` style, which pairs call and result by name."""
    if not name:
        raise rejected(provider, "is given a tool call or result without a name or an id", path)
    return f"call_{name}"


def arguments_of(text: str | dict[str, Any] | None) -> dict[str, Any]:
    """A call's arguments as an object; what a model wrote that is none is kept under ``invalid_arguments``."""
    if isinstance(text, dict):
        return text
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {"invalid_arguments": text}


def _functions(told: _Body) -> list[Function]:
    listed = [(tool.function, tool.cache_control) for tool in told.tools or ()]
    listed += [(function, None) for function in told.functions or ()]
    return [
        Function(
            function.name,
            function.description or "",
            function.parameters or None,
            bool(function.strict),
            function.cache_control or cache_control,
        )
        for function, cache_control in listed
    ]


def _choice(told: _Body) -> Choice | None:
    choice = told.tool_choice
    if isinstance(choice, str):
        return Choice(choice)
    if choice is not None and choice.function is not None:
        return Choice("required", [choice.function.name])
    if choice is not None and choice.allowed_tools is not None:
        allowed = choice.allowed_tools
        return Choice(allowed.mode, [tool.function.name for tool in allowed.tools])
    old = told.function_call
    if isinstance(old, str):
        return Choice(old)
    return Choice("required", [old.name]) if old is not None else None


def data_url(url: str) -> tuple[str, str] | None:
    """-> (media type, base64 text) of a data URL, None if it is another kind of URL."""
    match = _DATA_URL.match(url)
    return (match[1] or "text/plain", url[match.end() :]) if match else None
