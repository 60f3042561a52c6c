"""What a model said and its provider could not parse, made an answer after all, where that can be checked.

Groq answers 400 with the raw text (`failed_generation`) when a tool call or a JSON answer did not parse, often
for a missing bracket. The text is repaired (json-repair, the ``[tools]`` extra) and accepted only if nothing but
punctuation changed and it is valid against what was asked for. https://console.groq.com/docs/tool-use
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from rung.tools.registry import run
from rung.tools.result import CannotAnswer, Options

MAX_CHARS = 32_000

_DIALECT = re.compile(r"\s*(?:<function=)?([\w.-]+)\s*[=>]?\s*(\{.*\})\s*", re.DOTALL)
"""one call as Llama writes it, up to ``</function>``; the beginning may be missing"""
_FENCE = re.compile(r"\s*```(?:json)?\s*(.*?)\s*```\s*", re.DOTALL)


class _Error(msgspec.Struct):
    code: str | None = None
    failed_generation: str | None = None


class _Reply(msgspec.Struct):
    error: _Error


_decode = msgspec.json.Decoder(_Reply).decode


@dataclass(frozen=True, slots=True)
class Rescued:
    """`text`, or tool `calls` as (name, arguments as JSON text); `edits`: what the repair changed."""

    text: str
    calls: tuple[tuple[str, str], ...]
    edits: tuple[str, ...]


def rescue(body: dict[str, Any], error_body: bytes) -> Rescued | None:
    """The answer to the chat `body` that an error body holds; None if there is none. May take milliseconds."""
    if b"failed_generation" not in error_body:
        return None
    try:
        error = _decode(error_body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    text = error.failed_generation or ""
    if not text.strip() or len(text) > MAX_CHARS:
        return None
    try:
        if error.code == "json_validate_failed":
            return _json(body, text)
        if error.code == "tool_use_failed":
            return _calls(body, text)
    except CannotAnswer:
        pass
    return None


def _json(body: dict[str, Any], text: str) -> Rescued | None:
    wanted = body.get("response_format")
    if not isinstance(wanted, dict):
        return None
    schema: Any = {"type": "object"}
    if isinstance(named := wanted.get("json_schema"), dict) and isinstance(named.get("schema"), dict):
        schema = named["schema"]
    repaired, edits = _repaired(_unfenced(text), schema)
    return Rescued(repaired, (), (*_told("an answer that is not the JSON asked for"), *edits))


def _calls(body: dict[str, Any], text: str) -> Rescued | None:
    schemas = _schemas(body)
    calls: list[tuple[str, str]] = []
    edits: list[str] = []
    for name, arguments in _pieces(text):
        if name not in schemas:
            return None
        repaired, changed = _repaired(arguments, schemas[name])
        calls.append((name, orjson.dumps(orjson.loads(repaired)).decode()))
        edits += changed
    if not calls:
        return None
    return Rescued("", tuple(calls), (*_told("a tool call that did not parse"), *edits))


def _told(what: str) -> tuple[str, ...]:
    return (f"the provider gave up on {what}; its text was read here",)


def _schemas(body: dict[str, Any]) -> dict[str, Any]:
    """The tools of the call: name -> schema of the arguments."""
    found: dict[str, Any] = {}
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            found[function["name"]] = function.get("parameters") or {"type": "object"}
    return found


def _pieces(text: str) -> list[tuple[str, str]]:
    """(name, arguments) of each call: in a model's own dialect, or as JSON objects."""
    if "</function>" in text or text.lstrip().startswith("<function="):
        found = [_DIALECT.fullmatch(piece) for piece in text.split("</function>") if piece.strip()]
        return [(one[1], one[2]) for one in found if one is not None] if all(found) else []
    repaired = run("json", "repair", _unfenced(text)).text
    told = orjson.loads(repaired)
    if isinstance(told, dict) and isinstance(told.get("tool_calls"), list):
        told = told["tool_calls"]
    calls = []
    for one in told if isinstance(told, list) else [told]:
        function = one.get("function", one) if isinstance(one, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return []
        arguments = function.get("arguments", function.get("parameters", {}))
        calls.append((function["name"], arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()))
    return calls


def _unfenced(text: str) -> str:
    fenced = _FENCE.fullmatch(text)
    return fenced[1] if fenced else text


def _repaired(text: str, schema: Any) -> tuple[str, tuple[str, ...]]:
    """Valid JSON under `schema`, and what was changed. Raises CannotAnswer."""
    made = run("json", "repair", text)
    verdict = run("json", "schema", made.text, Options(schema=orjson.dumps(schema).decode()))
    if not verdict.ok:
        raise CannotAnswer("it is not what was asked for")
    return made.text, made.edits
