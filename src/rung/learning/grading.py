"""What decides whether two answers agree, and what can be seen on one before anybody knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
import orjson

from rung.ladder.task import TASKS
from rung.ladder.trust import comparator_for, compare, evidence
from rung.learning.jobs import NOTHING, Said


class Comparison(msgspec.Struct):
    """`agrees` None: nobody can say, which counts as disagreement. `comparator`: who compared."""

    agrees: bool | None
    comparator: str
    reason: str
    judge: bool = False
    """only a model could say"""


class Grader(Protocol):
    """Everything that must know what answers mean; `Comparators`, outside of tests."""

    def comparable(self, task: str, body: Mapping[str, Any], *, judged: bool) -> bool:
        """Is there a comparator for such calls? `judged`: the user has named a judge."""
        ...

    def compare(self, task: str, body: Mapping[str, Any], lower: Said, reference: Said) -> Comparison:
        """Does the lower answer agree with the reference's? May take its time: called in a thread."""
        ...

    def evidence(self, task: str, body: Mapping[str, Any], answer: Said) -> dict[str, float]:
        """Figures seen on the answer alone; a score is made of them."""
        ...


class Comparators:
    """By the comparators of `rung.ladder.trust.compare`; free text only by a judge."""

    def comparable(self, task: str, body: Mapping[str, Any], *, judged: bool) -> bool:
        # tasks that a caller made up have no cells: there would be no end of them
        return task in TASKS and (judged or comparator_for(task, body) is not None)

    def compare(self, task: str, body: Mapping[str, Any], lower: Said, reference: Said) -> Comparison:
        name = comparator_for(task, body)
        if NOTHING in (lower, reference):
            return Comparison(None, name or "none", "incomplete")
        if lower.tool_calls and reference.tool_calls:
            name = "tool_calls"
            outcome = compare(name, _calls(lower), _calls(reference))
        elif lower.tool_calls or reference.tool_calls:
            return Comparison(False, "tool_calls", "only one calls a tool")
        elif name in (None, "tool_calls"):  # tools offered, none called: two texts
            return Comparison(None, "judge", "free text", judge=True)
        else:
            outcome = compare(name, lower.text, reference.text)
        return Comparison(not outcome.disagrees, name, outcome.value)

    def evidence(self, task: str, body: Mapping[str, Any], answer: Said) -> dict[str, float]:
        return evidence(_question(body), answer.text)


def _calls(said: Said) -> str:
    return orjson.dumps([{"function": call} for call in said.tool_calls]).decode()


def _question(body: Mapping[str, Any]) -> str:
    """The text of the last message."""
    content = body["messages"][-1].get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
