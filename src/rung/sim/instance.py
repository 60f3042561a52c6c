"""A small valid instance of a JSON Schema, for answers and tool arguments that were asked to follow one.

It knows what providers' structured outputs know: types, properties, enums, references inside the schema,
numeric and length limits. A ``pattern`` is not solved: the text is then simply one of the right length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEPTH = 24
"""a schema that refers to itself deeper than this is given null"""

_FORMATS = {
    "date": "2026-11-22",
    "date-time": "2026-11-22T12:00:00Z",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
}


def instance(schema: Mapping[str, Any], text: str = "simulated") -> Any:
    """The smallest instance: required members only, shortest lists; `text` fills free strings."""
    return _make(schema, schema, text, 0)


def _make(schema: Any, root: Mapping[str, Any], text: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > DEPTH:
        return None
    if "$ref" in schema:
        return _make(_resolve(str(schema["$ref"]), root), root, text, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for word in ("anyOf", "oneOf"):
        if schema.get(word):
            rest = {key: value for key, value in schema.items() if key != word}
            return _make({**rest, **_mapping(schema[word][0])}, root, text, depth + 1)
    if schema.get("allOf"):
        return _make(_joined(schema, root), root, text, depth + 1)
    return _typed(_type(schema), schema, root, text, depth)


def _typed(kind: str, schema: Mapping[str, Any], root: Mapping[str, Any], text: str, depth: int) -> Any:
    if kind == "object":
        properties = _mapping(schema.get("properties"))
        names = [*schema.get("required", ())]
        return {name: _make(properties.get(name, {"type": "string"}), root, text, depth + 1) for name in names}
    if kind == "array":
        fixed = schema.get("prefixItems") or []
        size = max(int(schema.get("minItems", 0)), len(fixed))
        return [
            _make(fixed[place] if place < len(fixed) else schema.get("items", {}), root, text, depth + 1)
            for place in range(size)
        ]
    if kind in ("integer", "number"):
        return _number(schema, kind == "integer")
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    value = _FORMATS.get(str(schema.get("format")), text)
    value += "." * (int(schema.get("minLength", 0)) - len(value))
    return value[: int(schema["maxLength"])] if "maxLength" in schema else value


def _number(schema: Mapping[str, Any], whole: bool) -> int | float:
    step = schema.get("multipleOf") or 1
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(schema.get("exclusiveMinimum"), int | float):
        low = schema["exclusiveMinimum"] + step
    if isinstance(schema.get("exclusiveMaximum"), int | float):
        high = schema["exclusiveMaximum"] - step
    value = step if low is None else -(-low // step) * step
    if high is not None and value > high:
        value = high // step * step if low is None else (low + high) / 2
    return int(value) if whole else value


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()  # Gemini writes types in capitals
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _resolve(ref: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in ref.removeprefix("#").strip("/").split("/"):
        if part:
            found = _mapping(found).get(part.replace("~1", "/").replace("~0", "~"))
    return found


def _joined(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    both: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        part = _mapping(_resolve(str(part["$ref"]), root) if "$ref" in _mapping(part) else part)
        properties = {**_mapping(both.get("properties")), **_mapping(part.get("properties"))}
        required = [*both.get("required", ()), *part.get("required", ())]
        both |= part
        if properties:
            both["properties"] = properties
        if required:
            both["required"] = list(dict.fromkeys(required))
    return both


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
