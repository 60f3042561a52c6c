"""Do two answers say the same? One comparator per kind of task; what cannot be compared counts as disagreement.

Disagreement is not error: the reference may be the one that is wrong. Which comparator serves a call is decided from
its task and body alone (`comparator_for`), never from the answers. Free text has none: only a judge that the user
names may compare it, and what it says is charged and labelled "judged".
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Protocol

import msgspec

from rung.ladder.trust.features import final_number
from rung.tools import CannotAnswer, run
from rung.tools.lossless import Array, InvalidJson, Object, Value, parse, text_of


class Outcome(Enum):
    AGREES = "agrees"
    DISAGREES = "disagrees"
    UNKNOWN = "unknown"
    """could not be compared"""

    @property
    def disagrees(self) -> bool:
        """The Z of the test: what is unknown counts as disagreement."""
        return self is not Outcome.AGREES


Comparator = Callable[[str, str], Outcome]
"""(answer of the lower rung, answer of the reference), both as text; symmetric"""


class Judgement(msgspec.Struct, frozen=True):
    """What a judge said, and what that cost (pico-dollars, None: unknown)."""

    outcome: Outcome
    cost: int | None
    label: str = "judged"


class Judge(Protocol):
    """A model the user named to compare free text. Never asked about private calls unless it stays here."""

    name: str
    stays_here: bool

    async def judge(self, question: str, cheap: str, reference: str) -> Judgement: ...


_BY_TASK = {
    "validation_formatting": "document",
    "extraction": "document",
    "classification": "label",
    "math": "number",
    "knowledge_qa": "label",
    "function_calling": "tool_calls",
}
_OPTIONS = re.compile(r"^[ \t]*\(?A[.):]\s.*^[ \t]*\(?B[.):]\s", re.MULTILINE | re.DOTALL)


def comparator_for(task: str, body: Mapping[str, Any]) -> str | None:
    """The name of the comparator in `COMPARATORS` for a chat call, None where only a judge or tests could tell."""
    if body.get("tools") or body.get("functions"):
        return "tool_calls"
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema"):
        return "json"
    if task == "knowledge_qa" and not _OPTIONS.search(_last_message(body)[-4000:]):
        return None  # a label is one of few; an open question's answer is free text
    return _BY_TASK.get(task)


def _last_message(body: Mapping[str, Any]) -> str:
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else {}
    content = last.get("content") if isinstance(last, dict) else None
    return content if isinstance(content, str) else ""


def compare(name: str, cheap: str, reference: str) -> Outcome:
    """By the comparator of that name. Raises KeyError for a name nobody has; whatever else fails is UNKNOWN."""
    comparator = COMPARATORS[name]
    if not cheap.strip() or not reference.strip():
        return Outcome.UNKNOWN
    try:
        return comparator(cheap, reference)
    except (CannotAnswer, InvalidJson, ValueError, RecursionError):
        return Outcome.UNKNOWN


def same_json(cheap: str, reference: str) -> Outcome:
    """Equal as JSON: members in any order, strings by what they say, numbers as written (``1.0`` is not ``1``)."""
    return _outcome(_equal(_json(cheap), _json(reference)))


def same_document(cheap: str, reference: str) -> Outcome:
    """Equal as JSON where the reference is JSON, else equal as text."""
    try:
        wanted = _json(reference)
    except (InvalidJson, CannotAnswer):
        return same_text(cheap, reference)
    return _outcome(_equal(_json(cheap), wanted))


def same_text(cheap: str, reference: str) -> Outcome:
    """Equal up to a surrounding code fence, Unicode composition and the amount of white space."""
    return _outcome(_plain(cheap) == _plain(reference))


def same_label(cheap: str, reference: str) -> Outcome:
    """The same class name or option letter. UNKNOWN where one of them is no label but a text."""
    one, two = _label(cheap), _label(reference)
    return Outcome.UNKNOWN if one is None or two is None else _outcome(one == two)


def same_number(cheap: str, reference: str) -> Outcome:
    """The same final figure: after ``####``, in ``\\boxed{}``, after "answer:", or the last one."""
    one, two = final_number(cheap), final_number(reference)
    if one is None or two is None:
        return Outcome.UNKNOWN
    return _outcome(abs(one - two) <= 1e-9 * max(1.0, abs(one), abs(two)))


def same_tool_calls(cheap: str, reference: str) -> Outcome:
    """The same calls in the same order; each text is the JSON array of an answer's ``tool_calls``.

    Ids are left aside; arguments are compared as JSON.
    """
    one, two = _calls(cheap), _calls(reference)
    if len(one) != len(two):
        return Outcome.DISAGREES
    pairs = zip(one, two, strict=True)
    return _outcome(all(mine[0] == theirs[0] and _equal(mine[1], theirs[1]) for mine, theirs in pairs))


def same_findings(cheap: str, reference: str) -> Outcome:
    """The linter says the same about the Python code of both: as many findings of each code.

    It tells whether both cleaned up alike, not whether both do the same. Starts a process: not for the event loop.
    """
    return _outcome(_findings(cheap) == _findings(reference))


def same_tests(cheap: Mapping[str, bool] | None, reference: Mapping[str, bool] | None) -> Outcome:
    """The same tests pass, by the user's own check. None, or other tests run: UNKNOWN."""
    if not cheap or not reference or cheap.keys() != reference.keys():
        return Outcome.UNKNOWN
    return _outcome(all(cheap[test] == reference[test] for test in reference))


COMPARATORS: dict[str, Comparator] = {
    "json": same_json,
    "document": same_document,
    "text": same_text,
    "label": same_label,
    "number": same_number,
    "tool_calls": same_tool_calls,
    "lint": same_findings,
}


def _outcome(same: bool) -> Outcome:
    return Outcome.AGREES if same else Outcome.DISAGREES


_FENCE = re.compile(r"\A\s*```[\w+-]*[ \t]*\n(?P<inside>.*?)\n?```\s*\Z", re.DOTALL)


def unfenced(text: str) -> str:
    """What stands in the one code fence that surrounds a text, or the text."""
    found = _FENCE.match(text)
    return found["inside"] if found and "```" not in found["inside"] else text


def _json(text: str) -> Value:
    document = parse(unfenced(text).strip())
    if document.duplicates:
        raise CannotAnswer("the JSON repeats a key in one object")
    return document.value


def _equal(one: Value, two: Value) -> bool:
    if isinstance(one, Object) and isinstance(two, Object):
        mine = {text_of(key): value for key, value in one}
        theirs = {text_of(key): value for key, value in two}
        return mine.keys() == theirs.keys() and all(_equal(mine[key], theirs[key]) for key in mine)
    if isinstance(one, Array) and isinstance(two, Array):
        return len(one) == len(two) and all(map(_equal, one, two))
    if isinstance(one, str) and isinstance(two, str):
        return one == two or (one[0] == two[0] == '"' and text_of(one) == text_of(two))
    return False


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", unfenced(text)).split())


_OPTION = re.compile(r"\A\(?([A-Ja-j])(?:[.):]|\s*\Z)")
_LEAD = re.compile(
    r"\A(?:the )?(?:(?:final|correct) )?(?:answer|label|class|category|sentiment|intent|option)\s*(?:is|[:=])[: ]*",
    re.I,
)
_LONGEST_LABEL = 80


def _label(text: str) -> str | None:
    inside = unfenced(text).strip()
    if inside.startswith("{"):
        value = _json(inside)
        if not isinstance(value, Object) or len(value) != 1 or not isinstance(value[0][1], str):
            return None
        inside = text_of(value[0][1]) if value[0][1].startswith('"') else value[0][1]
    inside = _LEAD.sub("", inside.strip().strip("*_`\"' ")).strip().strip("*_`\"' ")
    option = _OPTION.match(inside)
    if option:
        return option[1].upper()
    if not inside or len(inside) > _LONGEST_LABEL or "\n" in inside:
        return None
    return " ".join(unicodedata.normalize("NFC", inside).casefold().rstrip(".! ").replace("_", " ").split())


class _Function(msgspec.Struct):
    name: str
    arguments: Any = None


class _ToolCall(msgspec.Struct):
    function: _Function


def _calls(text: str) -> list[tuple[str, Value]]:
    try:
        calls = msgspec.json.decode(text, type=list[_ToolCall])
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    out: list[tuple[str, Value]] = []
    for call in calls:
        given = call.function.arguments
        out.append((call.function.name, _json(given if isinstance(given, str) else json.dumps(given))))
    return out


def _findings(text: str) -> Counter[str]:
    return Counter(finding.code for finding in run("python", "lint", unfenced(text)).findings)
