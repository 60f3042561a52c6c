"""Extraction, field by field: what a schema leaves no choice about is not written by the model.

A flat object whose members are all required has the same names, quotes and commas in every answer, two thirds of its
tokens. llama.cpp takes no tokens for granted where a grammar leaves only one, so each would cost a step of the model.
Instead the answer is begun for it up to where a value is due, which is read at once like a prompt, and the model
writes the value.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

MAX_FIELDS = 40
_PIECES = 8
"""times a text may go on after an escaped quote"""

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
_NOTES = frozenset(("title", "description"))
_FIELD_WORDS = _NOTES | {"type", "enum"}
_OBJECT_WORDS = _NOTES | {"type", "properties", "required", "additionalProperties", "$schema", "$id"}
_ALONE = ("tools", "functions", "logprobs", "logit_bias", "stop", "frequency_penalty", "presence_penalty")
"""parameters that mean something for a whole answer"""


class Field(msgspec.Struct, frozen=True):
    """One member: its name, its type (``string``, ``integer``, ``number``, ``boolean``), and the values it may have
    (none named: any of the type)."""

    name: str
    kind: str
    values: tuple[Any, ...] = ()

    @property
    def opening(self) -> str:
        """What stands before the value."""
        return json.dumps(self.name, ensure_ascii=False) + (': "' if self.kind == "string" else ": ")

    @property
    def ends(self) -> list[str]:
        """What ends a value while it is written."""
        return ['"'] if self.kind == "string" else [",", "}", "\n"]


def read(body: dict[str, Any]) -> tuple[Field, ...] | None:
    """The members of the object a call's answer must be, in order; None if there is more to decide than values."""
    told = body.get("response_format")
    inner = told.get("json_schema") if isinstance(told, dict) else None
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if not isinstance(schema, dict) or any(body.get(name) for name in _ALONE) or set(schema) - _OBJECT_WORDS:
        return None
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list) or schema.get("type") != "object":
        return None
    if not 2 <= len(properties) <= MAX_FIELDS or sorted(properties) != sorted(map(str, required)):
        return None
    if not isinstance(schema.get("additionalProperties", False), bool):
        return None
    fields = [_field(name, one) for name, one in properties.items()]
    whole = tuple(field for field in fields if field is not None)
    return whole if len(whole) == len(fields) else None


def _field(name: str, schema: Any) -> Field | None:
    if not isinstance(schema, dict) or set(schema) - _FIELD_WORDS:
        return None
    kind, values = schema.get("type"), schema.get("enum")
    if not isinstance(kind, str) or kind not in _TYPES or not (values is None or (values and isinstance(values, list))):
        return None
    return Field(name, kind, tuple(values or ()))


class Form:
    """An answer that is being filled in. While `due` is not None, ask for what comes after `text` and `add` it."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self._left = list(fields)
        self._done: list[str] = []
        self._value = ""
        self._pieces = 0

    @property
    def due(self) -> Field | None:
        """The member whose value is wanted next; None once the object is whole."""
        return self._left[0] if self._left else None

    @property
    def text(self) -> str:
        """The answer so far."""
        begun = "{" + ", ".join(self._done)
        if not self._left:
            return begun + "}"
        return begun + (", " if self._done else "") + self._left[0].opening + self._value

    def add(self, said: str) -> bool:
        """Take what the model wrote up to an end of the value. -> False if that is no such value: give it up."""
        field = self._left[0]
        self._value += said
        if field.kind == "string" and _escapes(self._value):
            self._value += '"'
            self._pieces += 1
            return self._pieces <= _PIECES
        written = f'"{self._value}"' if field.kind == "string" else self._value.strip()
        try:
            value = json.loads(written, parse_constant=_refuse)
        except ValueError:
            return False
        right = isinstance(value, _TYPES[field.kind]) and (field.kind == "boolean" or not isinstance(value, bool))
        if not right or (field.values and value not in field.values):
            return False
        self._done.append(f"{json.dumps(field.name, ensure_ascii=False)}: {written}")
        self._left.pop(0)
        self._value, self._pieces = "", 0
        return True


def _escapes(text: str) -> bool:
    """Does `text` end in a backslash that stands before the quote?"""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _refuse(name: str) -> None:
    raise ValueError(name)
