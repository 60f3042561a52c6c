"""Tool calls of models that write them as text.

Qwen2.5-Coder is told of tools by its template but answers with a fenced or bare JSON object
``{"name": ..., "arguments": {...}}``, or several, instead of the ``<tool_call>`` tags llama.cpp looks for.
A text that is nothing but such objects, each naming a tool of the call and holding the arguments that tool
requires, is a tool call; any other text stays a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

_FENCE = re.compile(r"```(?:json|tool_call)?\s*(.*?)\s*```", re.DOTALL)
_TAG = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


def read_tool_calls(text: str, tools: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """The calls `text` consists of, as ``{"name", "arguments"}`` with arguments as JSON text; None if it is prose."""
    known = {tool["function"]["name"]: tool["function"] for tool in tools if isinstance(tool.get("function"), dict)}
    calls: list[dict[str, Any]] = []
    for piece in _pieces(text.strip()):
        try:
            told = orjson.loads(piece)
        except orjson.JSONDecodeError:
            return None
        for one in told if isinstance(told, list) else [told]:
            function = known.get(one.get("name")) if isinstance(one, dict) else None
            if function is None or not _suits(one.get("arguments", {}), function.get("parameters") or {}):
                return None
            calls.append({"name": one["name"], "arguments": orjson.dumps(one.get("arguments", {})).decode()})
    return calls or None


def _pieces(text: str) -> list[str]:
    """The JSON texts `text` is made of; the text itself if nothing wraps it."""
    for wrap in (_TAG, _FENCE):
        found = wrap.findall(text)
        if found:
            return found if not wrap.sub("", text).strip() else [text]
    return [text]


def _suits(arguments: Any, schema: dict[str, Any]) -> bool:
    """Are the required arguments there, of the declared type and among the declared values, and none unknown?"""
    if not isinstance(arguments, dict):
        return False
    properties = schema.get("properties") or {}
    if any(name not in arguments for name in schema.get("required") or ()):
        return False
    if schema.get("additionalProperties") is not True and any(name not in properties for name in arguments):
        return False
    return all(_is_a(value, properties.get(name, {})) for name, value in arguments.items())


def _is_a(value: Any, schema: Any) -> bool:
    if not isinstance(schema, dict):
        return True
    if "enum" in schema and value not in schema["enum"]:
        return False
    wanted = schema.get("type")
    kinds = wanted if isinstance(wanted, list) else [wanted]
    known = [_KINDS[kind] for kind in kinds if kind in _KINDS]
    return not known or any(is_kind(value) for is_kind in known)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _number(value) and value == int(value),
    "number": _number,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}
