"""JSON Schemas as grammars: what the engine may say next, decided token by token.

llama.cpp holds the sampler to an LLGuidance grammar (https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md).
Two traps make this module necessary. A schema LLGuidance cannot compile is only logged, and the model then writes
*unconstrained*; and what llama.cpp itself makes of ``response_format`` silently leaves out keywords it does not
know. So every keyword is looked at here: it is passed on, it says nothing that narrows an answer, it is rewritten
into one that is supported, or it is named in the error.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from rung.errors import RejectedFault

FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
"""enforced (the LLGuidance of xllamacpp 2026.10 knows these); any other is an annotation, as draft 2020-12 has it"""

MAX_DEPTH = 40
MAX_REPEAT = 500
MAX_DIGITS = 6

_DRAFTS = ("https://json-schema.org/draft/", "http://json-schema.org/draft-0")

_TYPES = frozenset(("null", "boolean", "object", "array", "number", "string", "integer"))
_KEPT = frozenset(("type", "const", "enum", "required", "multipleOf"))
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "allOf", "prefixItems")
_NEVER = frozenset(
    ("not", "if", "contains", "uniqueItems", "propertyNames", "dependentRequired", "dependentSchemas", "dependencies")
)
"""narrow an answer in ways no grammar here can, unless they say nothing: see `_says_nothing`"""
_DYNAMIC = frozenset(("$dynamicRef", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems"))

_OPTIONS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""one way to write each value: fewer tokens, and no model can fill the answer with blanks"""

_FORBIDDEN_REGEX = re.compile(
    r"\\[1-9bBAzZGkKpPQE]"  # references, boundaries, classes by name
    r"|\(\?(?!:)"  # everything in (?...) but plain groups
    r"|\[\^?\]"  # ] as a class's first member
    r"|&&|--|~~"  # set operations inside a class
    r"|[*+?}]\+"  # possessive repeats
)
_REPEAT = re.compile(r"\{(\d+)(?:,(\d*))?\}")


def grammar(schema: Any, path: str) -> str:
    """The grammar of all JSON texts valid under `schema`, as llama.cpp's ``grammar`` field takes it.

    `path` says where in the request the schema stands. Raises RejectedFault (400, ``unsupported_schema``) whose
    `param` is the place of the first keyword that cannot be enforced.
    """
    rewritten = _Rewriter(schema).root(path)
    return "%llguidance {}\nstart: %json " + json.dumps({**rewritten, "x-guidance": _OPTIONS})


def wanted(body: dict[str, Any]) -> tuple[Any, str] | None:
    """The schema a call's whole answer must have, and where it stands; None if any text will do."""
    told = body.get("response_format")
    if not isinstance(told, dict):
        return None
    if told.get("type") == "json_object":
        return {"type": "object"}, "response_format"
    if told.get("type") != "json_schema":
        return None
    inner = told.get("json_schema")
    if not isinstance(inner, dict) or "schema" not in inner:
        raise _refused("json_schema must hold a schema", "response_format.json_schema")
    return inner["schema"], "response_format.json_schema.schema"


def tool_calls(tools: list[dict[str, Any]], choice: Any) -> tuple[Any, str] | None:
    """The schema of a call to one of `tools`, and its place, where `choice` (``tool_choice``) requires one of them."""
    named = choice["function"].get("name") if isinstance(choice, dict) and "function" in choice else None
    if named is None and choice != "required":
        return None
    branches = []
    for tool in tools:
        function = tool.get("function") or {}
        if named in (None, function.get("name")):
            call = {"name": {"const": function.get("name")}, "arguments": function.get("parameters") or _ANY_OBJECT}
            branches.append(
                {"type": "object", "properties": call, "required": ["name", "arguments"], "additionalProperties": False}
            )
    if not branches:
        return None
    return (branches[0] if len(branches) == 1 else {"anyOf": branches}), "tools"


_ANY_OBJECT = {"type": "object"}


class _Rewriter:
    """Walks one schema; every refusal names its place."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._refs: list[tuple[str, str]] = []

    def root(self, path: str) -> dict[str, Any]:
        if self._schema is True:
            return {}
        if not isinstance(self._schema, dict):
            raise _refused("a schema that allows nothing, or is none", path)
        out = self._node({name: value for name, value in self._schema.items() if name != "$id"}, path, 0)
        for pointer, place in self._refs:
            if not _resolves(out, pointer):
                raise _refused(f"$ref to {pointer[:60]}: only places inside this schema are followed", place)
        return out

    def _node(self, schema: Any, path: str, depth: int) -> dict[str, Any]:
        if schema is True:
            return {}
        if not isinstance(schema, dict):
            raise _refused("a schema that allows nothing, or is none", path)
        if depth > MAX_DEPTH:
            raise _refused(f"more than {MAX_DEPTH} schemas inside one another", path)
        out: dict[str, Any] = {}
        for name, value in schema.items():
            place = f"{path}.{name}"
            if name in _NEVER or name in _DYNAMIC or name in ("$id", "then", "else"):
                out |= self._narrowing(name, value, schema, place)
            elif name in _MAPS:
                out[name] = self._map(name, value, place, depth)
            elif name in _LISTS:
                out[name] = self._list(value, place, depth)
            elif name == "oneOf":
                self._one_of(out, value, schema, place, depth)
            elif name in ("items", "additionalProperties", "additionalItems"):
                out[name] = self._rest(value, place, depth)
            else:
                out |= self._plain(name, value, place)
        _check_possible(out, path)
        return out

    def _narrowing(self, name: str, value: Any, schema: dict[str, Any], place: str) -> dict[str, Any]:
        """A keyword that is enforced only where it says nothing, or the same as a supported one."""
        if _says_nothing(name, value, schema):
            return {}
        alone = not any(one in schema for one in ("allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas"))
        if name == "unevaluatedProperties" and value is False and alone:
            return {"additionalProperties": schema.get("additionalProperties", False)}
        if name == "unevaluatedItems" and value is False and alone and "contains" not in schema:
            return {"items": schema.get("items", False)}
        raise _refused(f"the keyword {name} is not supported", place)

    def _map(self, name: str, value: Any, place: str, depth: int) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _refused("must be an object", place)
        if name == "patternProperties":
            if len(value) > 1:
                raise _refused("more than one pattern is not supported", place)
            for pattern in value:
                _check_pattern(pattern, place)
        return {key: self._node(inner, f"{place}.{key}", depth + 1) for key, inner in value.items()}

    def _list(self, value: Any, place: str, depth: int) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not value:
            raise _refused("must be a list of schemas", place)
        return [self._node(inner, f"{place}[{number}]", depth + 1) for number, inner in enumerate(value)]

    def _rest(self, value: Any, place: str, depth: int) -> Any:
        if isinstance(value, bool):
            return value
        if isinstance(value, list):  # items before draft 2020-12
            return self._list(value, place, depth)
        return self._node(value, place, depth + 1)

    def _one_of(self, out: dict[str, Any], value: Any, schema: dict[str, Any], place: str, depth: int) -> None:
        """As anyOf, which is the same where no value fits two branches."""
        branches = self._list(value, place, depth)
        resolved = [self._followed(branch) for branch in branches]
        for number, branch in enumerate(resolved):
            if not all(_disjoint(branch, other) for other in resolved[number + 1 :]):
                raise _refused("oneOf is supported only where no value fits two of its branches; use anyOf", place)
        if "anyOf" in schema:
            out.setdefault("allOf", []).append({"anyOf": branches})
            if "allOf" in schema:
                raise _refused("oneOf beside anyOf and allOf is not supported", place)
        else:
            out["anyOf"] = branches

    def _followed(self, branch: dict[str, Any]) -> dict[str, Any]:
        """The schema a branch that is only a reference stands for."""
        reference = branch.get("$ref")
        target = _at(self._schema, reference) if isinstance(reference, str) else None
        return target if isinstance(target, dict) else branch

    def _plain(self, name: str, value: Any, place: str) -> dict[str, Any]:
        if name == "$ref":
            if not isinstance(value, str) or not (value == "#" or value.startswith("#/")):
                raise _refused("$ref must be a place inside this schema (#/...)", place)
            self._refs.append((value, place))
            return {name: value}
        if name == "pattern":
            _check_pattern(value, place)
            return {name: value}
        if name == "format":
            return {name: value} if value in FORMATS else {}
        if name in _COUNTS or name in _BOUNDS:
            return {name: _number(value, place)}
        if name == "type" and not all(kind in _TYPES for kind in (value if isinstance(value, list) else [value])):
            raise _refused("not a type", place)
        if name == "enum" and not (isinstance(value, list) and value):
            raise _refused("enum must be a list of values", place)
        if name == "multipleOf" and _digits(value) > MAX_DIGITS:
            raise _refused(f"a multipleOf of more than {MAX_DIGITS} digits is not supported", place)
        if name in _KEPT or (name == "$schema" and str(value).startswith(_DRAFTS)):
            return {name: value}
        return {}  # an annotation, or a word JSON Schema does not know: it narrows nothing


def _says_nothing(name: str, value: Any, schema: dict[str, Any]) -> bool:
    if name == "if":
        return "then" not in schema and "else" not in schema
    if name in ("then", "else"):
        return "if" not in schema
    if name == "contains":
        return schema.get("minContains") == 0 and "maxContains" not in schema
    if name == "uniqueItems":
        return value is False or schema.get("maxItems") in (0, 1)
    if name == "not":
        return value is False
    if name in ("unevaluatedProperties", "unevaluatedItems", "propertyNames"):
        return value is True or value == {}
    return value == {} and name.startswith("depend")


def _number(value: Any, place: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused("must be a number", place)
    return int(value) if value == int(value) else value


def _digits(value: Any) -> int:
    return len(f"{_number(value, 'multipleOf'):f}".rstrip("0").replace(".", ""))


def _check_possible(schema: dict[str, Any], path: str) -> None:
    """Refuse the plain contradictions: LLGuidance would refuse them too, but only in its log."""
    for low, high in (*zip(_COUNTS[::2], _COUNTS[1::2], strict=True), ("minimum", "maximum")):
        if low in schema and high in schema and schema[low] > schema[high]:
            raise _refused(f"{low} is greater than {high}", f"{path}.{low}")
    known = schema.get("properties", {})
    if schema.get("additionalProperties") is False and "patternProperties" not in schema:
        missing = [name for name in schema.get("required", ()) if name not in known]
        if missing:
            raise _refused(f"required and forbidden at once: {str(missing[0])[:40]}", f"{path}.required")


def _check_pattern(pattern: Any, place: str) -> None:
    """Refuse what LLGuidance's regular expressions do not have, or read otherwise than Python's."""
    if not isinstance(pattern, str):
        raise _refused("a pattern must be text", place)
    plain = re.sub(r"\\.", lambda found: found[0] if found[0][1].isalnum() else "x", pattern)
    inner = plain.removeprefix("^")
    if inner.endswith("$") and not inner.endswith("\\$"):
        inner = inner[:-1]
    anchored = plain != inner
    outside = re.sub(r"\[[^\]]*\]", "x", inner)
    repeats = [int(part) for found in _REPEAT.findall(outside) for part in found if part]
    problem = (
        _FORBIDDEN_REGEX.search(plain) is not None
        or any("[" in found[1:] for found in re.findall(r"\[[^\]]*\]", inner))
        or "^" in outside
        or "$" in outside
        or (anchored and _alternates(outside))
        or any(repeat > MAX_REPEAT for repeat in repeats)
    )
    if problem or not _compiles(pattern):
        raise _refused("this pattern is not supported (plain groups, classes, repeats; ^ first and $ last only)", place)


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _alternates(pattern: str) -> bool:
    """Is there a ``|`` outside all groups?"""
    depth = 0
    for char in pattern:
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            return True
    return False


def _disjoint(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Is it plain that no value fits both?"""
    values, others = _values(one), _values(other)
    if values is not None and others is not None:
        return not values & others
    kinds, others_kinds = _kinds(one), _kinds(other)
    if kinds is not None and others_kinds is not None and not kinds & others_kinds:
        return True
    if kinds != {"object"} or others_kinds != {"object"}:
        return False
    shared = set(one.get("required", ())) & set(other.get("required", ()))
    mine, theirs = one.get("properties", {}), other.get("properties", {})
    return any(
        isinstance(mine.get(name), dict) and isinstance(theirs.get(name), dict) and _disjoint(mine[name], theirs[name])
        for name in shared
    )


def _values(schema: dict[str, Any]) -> set[str] | None:
    listed = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(listed, list) or any(isinstance(value, float | list | dict) for value in listed):
        return None
    return {json.dumps(value) for value in listed}


def _kinds(schema: dict[str, Any]) -> set[str] | None:
    kinds = schema.get("type")
    if kinds is None:
        return None
    listed = {kinds} if isinstance(kinds, str) else set(kinds)
    return listed | {"integer", "number"} if listed & {"integer", "number"} else listed


def _at(schema: Any, pointer: str) -> Any:
    """What a JSON pointer (``#/...``) names, None if nothing."""
    for step in pointer.removeprefix("#").split("/")[1:]:
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(schema, list) and key.isdigit() and int(key) < len(schema):
            schema = schema[int(key)]
        elif isinstance(schema, dict) and key in schema:
            schema = schema[key]
        else:
            return None
    return schema


def _resolves(schema: Any, pointer: str) -> bool:
    """Does the pointer name a schema, one that does not only refer on in a circle?"""
    seen = set()
    while pointer not in seen:
        seen.add(pointer)
        target = _at(schema, pointer)
        if not isinstance(target, dict | bool):
            return False
        if not isinstance(target, dict) or "$ref" not in target:
            return True
        pointer = target["$ref"]
    return False


def _refused(why: str, place: str) -> RejectedFault:
    return RejectedFault(f"{place}: {why}", code="unsupported_schema", param=place)
