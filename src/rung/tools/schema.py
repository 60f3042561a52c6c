"""Validation against a JSON Schema given in the call, by jsonschema; local ``$ref`` only.

The schema comes from a stranger too: it may hold a regular expression that never ends, or references that
branch without end. Patterns are read before they are run, and every keyword evaluated is counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from rung.tools import lossless
from rung.tools.extras import load
from rung.tools.result import CannotAnswer, Finding, Options, Result, TooBig

MAX_CHARS = 64_000
MAX_STEPS = 50_000
"""keyword evaluations; an ordinary validation needs a few dozen"""
MAX_DEPTH = 60
"""keywords inside one another, a reference that leads back to itself included; each takes several Python frames, and
the validator's Rust parts panic where Python's own recursion limit is met inside them"""
MAX_ERRORS = 20
MAX_UNIQUE_ITEMS = 500
# Safe: no group is repeated, and no two unbounded repeats follow each other closely enough to backtrack badly.
_RISKY = re.compile(r"\)[*+{]|\\[1-9]|\(\?(?!:)")
_UNBOUNDED = re.compile(r"(?<!\\)[*+]|\{\d*,\}|\{\d{3,}")


def against_schema(text: str, options: Options) -> Result:
    """Whether the JSON in `text` is valid under the schema in `options.schema`, with up to 20 errors.

    Raises CannotAnswer for a schema that is not one, refers elsewhere, or costs too much to evaluate.
    """
    if len(text) > MAX_CHARS or len(options.schema) > MAX_CHARS:
        raise TooBig(f"the payload or the schema has more than {MAX_CHARS} characters")
    try:
        document = lossless.parse(text)
    except lossless.InvalidJson as error:
        return Result(ok=False, findings=(error.finding,))
    lossless.require_unique_keys(document)
    schema = _read_schema(options.schema)
    instance = _python(text)
    jsonschema = load("jsonschema")
    referencing = load("referencing")
    cls = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        cls.check_schema(schema)
        counted = _counted(jsonschema, cls)(schema, registry=referencing.Registry())
        found = list(islice(counted.iter_errors(instance), MAX_ERRORS))
    except (jsonschema.exceptions.SchemaError, re.error):
        raise CannotAnswer("the schema is not a valid JSON Schema") from None
    except (referencing.exceptions.Unresolvable, jsonschema.exceptions.UnknownType):
        raise CannotAnswer("the schema refers to something that is not in it") from None
    findings = tuple(_finding(error) for error in found)
    return Result(ok=not found, findings=findings)


def _python(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise TooBig("a number of the document is too long to compare") from None


def _read_schema(text: str) -> Any:
    try:
        document = lossless.parse(text)
    except lossless.InvalidJson:
        raise CannotAnswer("the schema is not valid JSON") from None
    lossless.require_unique_keys(document)
    schema = _python(text)
    if not isinstance(schema, dict | bool):
        raise CannotAnswer("the schema is not a JSON object")
    _check_schema(schema)
    return schema


def _check_schema(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _check_schema(item)
        return
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(value, str) and not value.startswith("#"):
            raise CannotAnswer("the schema refers to another document")
        if key == "pattern" and isinstance(value, str):
            _check_pattern(value)
        if key == "patternProperties" and isinstance(value, dict):
            for pattern in value:
                _check_pattern(pattern)
        _check_schema(value)


def _check_pattern(pattern: str) -> None:
    if len(pattern) > 200 or _RISKY.search(pattern) or len(_UNBOUNDED.findall(pattern)) > 2:
        raise CannotAnswer("a pattern of the schema could take too long")


def _counted(jsonschema: Any, cls: Any) -> Any:
    steps = depth = 0

    def count(function: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        def keyword(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            nonlocal steps, depth
            steps += 1
            if depth >= MAX_DEPTH:
                raise TooBig("the schema leads too deep")
            if steps > MAX_STEPS:
                raise TooBig("the schema takes too many steps to evaluate")
            if function.__name__ == "uniqueItems" and isinstance(instance, list) and len(instance) > MAX_UNIQUE_ITEMS:
                raise TooBig("uniqueItems on a very long array")
            depth += 1
            try:
                yield from function(validator, value, instance, schema) or ()
            finally:
                depth -= 1

        return keyword

    return jsonschema.validators.extend(cls, {name: count(function) for name, function in cls.VALIDATORS.items()})


def _finding(error: Any) -> Finding:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    message = error.message if len(error.message) <= 200 else error.message[:197] + "..."
    return Finding(f"{message} (at ${path})", code="schema", fr=f"{message} (en ${path})")
