"""Checks look at an answer without knowing the truth.

A check says PROOF (accept), NECESSARY_OK (could have rejected, did not), FAIL or UNKNOWN. "It parses" is
never more than NECESSARY_OK: see docs/glossary.md.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import msgspec
import orjson

from rung.call import Call


class Verdict(Enum):
    PROOF = "proof"
    NECESSARY_OK = "necessary_ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


Check = Callable[[str], Verdict]


def check_for(call: Call) -> tuple[str, Check] | None:
    """The check this call's whole text needs, with its name, or None.

    Only JSON answers have one so far: where JSON was asked for, text that does not parse is no answer.
    """
    wanted = call.body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema"):
        return "json", parses_as_json
    return None


def parses_as_json(text: str) -> Verdict:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return Verdict.FAIL
    return Verdict.NECESSARY_OK


class _Text(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Text | None = None
    delta: _Text | None = None
    index: int = 0


class _Reply(msgspec.Struct):
    choices: list[_Choice] = []


_decode = msgspec.json.Decoder(_Reply).decode


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
