"""What kind of call is it? Structure and wording first, then a small learned head; `other` when neither knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rung.ladder.task import head, rules
from rung.ladder.task.reading import read

TASKS = (
    "validation_formatting",
    "extraction",
    "classification",
    "analysis",
    "prototyping",
    "code_generation",
    "math",
    "knowledge_qa",
    "function_calling",
    "chat_writing",
    "translation",
    "other",
)


@dataclass(frozen=True, slots=True)
class Guess:
    """What kind of call it seems to be.

    `task`: one of `TASKS`. `confidence`: 0 to 1. `why`: a few words, none of the prompt's own beyond single words of
    a fixed vocabulary. `by_rule`: structure or wording decided; a guess of the learned head has False, and must
    never open the local rung.
    """

    task: str
    confidence: float
    why: str
    by_rule: bool


def classify(body: Mapping[str, Any]) -> Guess:
    """The kind of an OpenAI chat request. Pure and deterministic; never raises for a body of any shape.

    Only the beginning and the end of long messages are read, so the time has a bound. A message that says nothing by
    itself (``go on``) is what the turn before it was, but then no rule vouches for it.
    """
    guess = _guess(body)
    before = _turn_before(body) if guess.task == "other" else None
    if before is None:
        return guess
    earlier = _guess(before)
    return Guess(earlier.task, round(earlier.confidence * AGAIN, 3), f"as the turn before: {earlier.why}", False)


AGAIN = 0.8
"""how sure it is that a turn without a task of its own goes on with the one before"""


def _guess(body: Mapping[str, Any]) -> Guess:
    reading = read(body)
    ruled = rules.decide(reading)
    if ruled is not None:
        return Guess(ruled.task, ruled.confidence, ruled.why, True)
    task, confidence, why = head.guess(reading)
    return Guess(task, confidence, why, False)


def _turn_before(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The body as it was at the last user message but one, if there is one."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return None
    turns = [at for at, one in enumerate(messages) if isinstance(one, Mapping) and one.get("role") == "user"]
    return {**body, "messages": messages[: turns[-2] + 1]} if len(turns) > 1 else None


def warm() -> None:
    """Load words, weights and the tools' grammar now (some 80 ms), not inside the first call."""
    for text in ("hello", 'Say something of {"a": 1}'):
        classify({"messages": [{"role": "user", "content": text}]})
