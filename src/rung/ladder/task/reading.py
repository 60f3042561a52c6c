"""What a chat body says, as words and marks of structure: the bounded, linear first look of the classifier.

Payloads (fences, JSON, tagged or quoted text) are lifted out, so that the words left are mostly the instruction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rung.ladder.task import structure
from rung.ladder.task.lexicon import LONGEST, WORD, lexicon, phrase_starts
from rung.tools.intent import fold

HEAD_CHARS = 1_500
TAIL_CHARS = 800
"""of a long message only its beginning and its end are read: that is where people say what they want"""
SYSTEM_CHARS = 900
MAX_WORDS = 240
LEAD_WORDS = 30
TAIL_WORDS = 24
MAX_PARTS = 64
MAX_SCHEMA_NODES = 60


_POLITE = frozenset(
    re.findall(
        r"\w+",
        """
        please kindly hi hello hey bonjour salut bonsoir coucou dear team can could would you i d like want need to we
        the so ok okay now just help me peux tu pourrais pouvez pourriez vous veuillez merci de stp svp s il te plait j
        aimerais je voudrais veux ai besoin peut on q question task instruction instructions user prompt your is
        """,
    )
)


@dataclass(slots=True)
class Reading:
    """`words`: the instruction's, folded, payloads shown as §. `ideas`: idea of words.txt -> where it first stands."""

    words: list[str] = field(default_factory=list)
    ideas: dict[str, int] = field(default_factory=dict)
    near: set[str] = field(default_factory=set)
    """ideas where instructions stand: the message's first and last words, and the system prompt"""
    told: set[str] = field(default_factory=set)
    """ideas of the system prompt"""
    marks: set[str] = field(default_factory=set)
    start: int = 0
    user_from: int = 0
    """where in `words` the user's own message begins (behind the system prompt)"""
    user_words: int = 0
    user: str = ""
    system: str = ""


def read(body: Mapping[str, Any]) -> Reading:
    """Read the last user message with what stands around it. Time is bounded whatever the body's size."""
    reading = Reading()
    system, user, kinds = _texts(body)
    reading.marks |= kinds
    reading.user, reading.system = user, system
    _parameters(body, reading.marks)
    said = structure.lift(_bounded(user), reading.marks)
    if system:
        reading.marks.add("system")
        lifted = structure.lift(system, reading.marks)
        if structure.LANGUAGE_PAIR.search(lifted[:300]):
            reading.marks.add("langpair")
        reading.marks |= {"system:" + name for name in structure.choices(lifted)}
        before = WORD.findall(fold(lifted))[:120]
        reading.user_from = len(before)
        reading.words = before
    words = WORD.findall(fold(said))
    if len(words) > MAX_WORDS:
        words = words[: MAX_WORDS - 80] + words[-80:]
    reading.user_words = len(words)
    reading.words = reading.words + words
    _find_ideas(reading)
    structure.describe(said, words, reading.marks)
    return reading


def _texts(body: Mapping[str, Any]) -> tuple[str, str, set[str]]:
    messages = body.get("messages")
    kinds: set[str] = set()
    system, user = "", ""
    if not isinstance(messages, list):
        return system, user, kinds
    for message in messages[:2]:
        if isinstance(message, Mapping) and message.get("role") in ("system", "developer"):
            system += _text(message.get("content"), kinds)[:SYSTEM_CHARS] + "\n"
    for message in reversed(messages[-MAX_PARTS:]):
        if not isinstance(message, Mapping):
            continue
        role = message.get("role")
        if role == "tool":
            kinds.add("tool_result")
        elif role == "user":
            user = _text(message.get("content"), kinds)
            break
    return system.strip(), user, kinds


def _text(content: Any, kinds: set[str]) -> str:
    if isinstance(content, str):
        return content
    pieces: list[str] = []
    for part in content[:MAX_PARTS] if isinstance(content, list) else ():
        if isinstance(part, Mapping):
            if isinstance(part.get("text"), str):
                pieces.append(part["text"])
            else:
                kinds.add("media")
    return "\n".join(pieces)


def _bounded(text: str) -> str:
    text = text.strip()
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return f"{text[:HEAD_CHARS]}\n\n{text[-TAIL_CHARS:]}"


def _parameters(body: Mapping[str, Any], marks: set[str]) -> None:
    """Marks from what stands beside the messages."""
    tools = body.get("tools") or body.get("functions")
    choice = body.get("tool_choice", body.get("function_call"))
    if isinstance(tools, list) and tools and choice != "none":
        marks.add("tools")
        if choice == "required" or isinstance(choice, Mapping):
            marks.add("tool_forced")
    wanted = body.get("response_format")
    if not isinstance(wanted, Mapping):
        return
    if wanted.get("type") == "json_object":
        marks.add("json_mode")
    held = wanted.get("json_schema", wanted.get("schema"))
    if isinstance(held, Mapping):
        marks.add("schema_mode")
        fields = list(_fields(held.get("schema", held)))
        if (
            fields
            and all("enum" in one or one.get("type") in ("boolean", "number") for one in fields)
            and any("enum" in one for one in fields)
        ):
            marks.add("enum_mode")


def _fields(schema: Any) -> Iterator[Mapping[str, Any]]:
    """The leaves of a schema's properties, at most `MAX_SCHEMA_NODES`."""
    waiting, seen = [schema], 0
    while waiting and seen < MAX_SCHEMA_NODES:
        node = waiting.pop()
        seen += 1
        if not isinstance(node, Mapping):
            continue
        if isinstance(node.get("properties"), Mapping):
            waiting += list(node["properties"].values())[:MAX_SCHEMA_NODES]
        elif "items" in node:
            waiting.append(node["items"])
        else:
            yield node


def _find_ideas(reading: Reading) -> None:
    """Ideas of words and phrases, the longest phrase first; where the instruction begins."""
    words, known, ideas = reading.words, lexicon(), reading.ideas
    starts = phrase_starts()
    lead, tail = reading.user_from + LEAD_WORDS, len(words) - TAIL_WORDS
    for at, word in enumerate(words):
        found = None
        if word in starts:
            for size in range(LONGEST, 1, -1):
                found = known.get(" ".join(words[at : at + size]))
                if found is not None:
                    break
        if found is None:
            found = known.get(word)
        if found is not None:
            for idea in found:
                ideas.setdefault(idea, at)
            if at < lead or at >= tail:
                reading.near.update(found)
            if at < reading.user_from:
                reading.told.update(found)
    begin = reading.user_from
    while begin < min(len(words), reading.user_from + 12) and words[begin] in _POLITE:
        begin += 1
    reading.start = begin if begin < len(words) else reading.user_from
