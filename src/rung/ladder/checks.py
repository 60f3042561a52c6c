"""Checks look at an answer without knowing the truth.

A check says PROOF (accept), NECESSARY_OK (could have rejected, did not), FAIL or UNKNOWN. "It parses" is
never more than NECESSARY_OK: see docs/glossary.md.
"""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

import msgspec
import orjson

from rung.answer import Answer
from rung.call import Call
from rung.tools import CannotAnswer, Options, Result, run


class Verdict(Enum):
    PROOF = "proof"
    NECESSARY_OK = "necessary_ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


Check = Callable[[str], Verdict]

_PYTHON = re.compile(r"^[ \t]*```(?:python3?|py)[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE | re.IGNORECASE)
_WRITES_CODE = ("code_generation", "prototyping")
"""tasks whose code is the answer; elsewhere broken code may be what was asked about"""

_BROKEN = ("invalid-syntax", "E9", "F63", "F7", "F82")
"""the linter's findings that leave no doubt: it does not parse, cannot run, or uses names nobody defines"""


class Necessary(msgspec.Struct, frozen=True):
    """What an answer to one call must pass to be one. None of it can make an answer good: it can only reject.

    `json` holds for whoever answers; `schema` (a JSON Schema) and `python` for models below the reference.
    """

    json: bool = False
    schema: dict[str, Any] | None = None
    python: bool = False

    def rejects(self, text: str, *, lower: bool) -> str:
        """The name of the first check that `text` fails; empty if it passes, or nobody can say.

        `lower`: the model stands below the reference. It then may take up to two seconds and start a linter: not for
        the event loop. What needs the ``[tools]`` extra is left out without it.
        """
        checks: list[tuple[str, Check]] = [("json", parses_as_json)] if self.json else []
        if lower and self.schema is not None:
            checks.append(("schema", partial(has_schema, orjson.dumps(self.schema).decode())))
        if lower and self.python:
            checks.append(("python", python_blocks_lint))
        return next((name for name, check in checks if check(text) is Verdict.FAIL), "")

    async def fails(self, answer: Answer, data: bytes, *, lower: bool) -> str:
        """`rejects` for an answer that has ended; `data`: its body, or all frames of its stream."""
        slow = lower and (self.schema is not None or self.python)
        if not self.json and not slow:
            return ""
        for text in _texts_to_check(answer, data):
            failed = (
                await asyncio.to_thread(self.rejects, text, lower=True) if slow else self.rejects(text, lower=False)
            )
            if failed:
                return failed
        return ""


def necessary_for(call: Call) -> Necessary | None:
    """What answers to `call` must pass, as far as its task is known; None if nothing."""
    # a check of the user's own knows more about code than a linter does
    python = call.task in _WRITES_CODE and not call.check
    if asks_json(call):
        return Necessary(json=True, schema=_schema(call.body["response_format"]), python=python)
    return Necessary(python=True) if python else None


def asks_json(call: Call) -> bool:
    wanted = call.body.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema")


def broken_json(answer: Answer, data: bytes) -> bool:
    """Is the text of an answer that has ended no JSON? `data` as for `Necessary.fails`."""
    return any(parses_as_json(text) is Verdict.FAIL for text in _texts_to_check(answer, data))


def _schema(wanted: dict[str, Any]) -> dict[str, Any] | None:
    held = wanted.get("json_schema")
    schema = held.get("schema") if wanted["type"] == "json_schema" and isinstance(held, dict) else None
    return schema if isinstance(schema, dict) else None


def parses_as_json(text: str) -> Verdict:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return Verdict.FAIL
    return Verdict.NECESSARY_OK


def has_schema(schema: str, text: str) -> Verdict:
    """UNKNOWN for a schema that cannot be evaluated."""
    return _verdict("json", "schema", text, lambda result: not result.ok, Options(schema=schema))


def python_blocks_lint(text: str) -> Verdict:
    """The fenced blocks of Python in `text`, read as one module. UNKNOWN without any."""
    blocks = [textwrap.dedent(block) for block in _PYTHON.findall(text) if not block.lstrip().startswith(">>>")]
    if not blocks:
        return Verdict.UNKNOWN
    code = "\n".join(blocks)
    if _verdict("python", "validate", code, lambda result: not result.ok) is Verdict.FAIL:
        return Verdict.FAIL
    return _verdict("python", "lint", code, lambda result: any(one.code.startswith(_BROKEN) for one in result.findings))


def _verdict(
    language: str, action: str, text: str, broken: Callable[[Result], bool], options: Options | None = None
) -> Verdict:
    try:
        result = run(language, action, text, options)
    except CannotAnswer:
        return Verdict.UNKNOWN
    return Verdict.FAIL if broken(result) else Verdict.NECESSARY_OK


class _Text(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Text | None = None
    delta: _Text | None = None
    index: int = 0


class _Reply(msgspec.Struct):
    choices: list[_Choice] = []


_decode = msgspec.json.Decoder(_Reply).decode


def _texts_to_check(answer: Answer, data: bytes) -> list[str]:
    """A tool call has no text to check, and a cut text is told by its finish reason."""
    if answer.evidence.tool_calls or answer.evidence.finish_reason != "stop":
        return []
    return texts_of(data, whole=answer.body is not None)


def texts_of(data: bytes, *, whole: bool) -> list[str]:
    """The visible text of each choice, from a completion body or from SSE frames."""
    texts: dict[int, list[str]] = {}
    payloads = [data] if whole else [line[5:] for line in data.splitlines() if line.startswith(b"data:")]
    for payload in payloads:
        for choice in _decode(payload).choices:
            part = choice.message if whole else choice.delta
            if part is not None and part.content:
                texts.setdefault(choice.index, []).append(part.content)
    return ["".join(parts) for _, parts in sorted(texts.items())]
