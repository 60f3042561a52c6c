"""Hard vetoes: what must agree before a stored answer may be served, however alike two prompts are.

Numbers with their units and currencies, dates and weekdays, versions, negation, and which way round things go.
They are rules, never learned: a veto can only prevent a hit.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from rung.semantic.lexicon import DATES, FUNCTION_WORDS, NEGATIONS, NUMBER_WORDS, OPPOSITES, UNITS, listed
from rung.semantic.phrasing import Phrasing, contradiction, phrasing
from rung.semantic.programs import Program, program

_TOKEN = re.compile(
    r"v?\d[\d,]*(?:[.:/]\d+)*(?:st|nd|rd|th|er|ème)?(?![^\W_])|\d[\d,]*(?:\.\d+)?(?=[^\W\d])|[^\W\d_][\w'-]*|[$£€¥₹%]|°[cf]"
)
_ORDINAL = re.compile(r"(?:st|nd|rd|th|er|ème)$")
_SIGNS = frozenset("$£€¥₹")
_TURNS = listed("to from into than before after against via vers depuis avant après")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a prompt says that has to be the same in both. `turns`: (direction word, the word after it)."""

    numbers: tuple[str, ...]
    units: frozenset[tuple[str, str]]
    dates: frozenset[str]
    negated: int
    """how often: a prompt may hold one "not" with and one without the other's"""
    words: frozenset[str]
    polar: tuple[str, ...]
    """words that have an opposite, as often as they occur"""
    turns: tuple[tuple[str, str], ...]
    phrasing: Phrasing
    program: Program | None
    key: int
    """64 bits of what must be equal: code, or numbers, units, dates and negation"""


@lru_cache(maxsize=1024)
def signature(prompt: str) -> Signature:
    """The prompt's signature. Linear in its length; the last thousand are remembered."""
    text = prompt.lower().replace("’", "'")
    code = program(prompt)
    if code is not None:
        nothing: frozenset[str] = frozenset()
        return Signature((), frozenset(), nothing, 0, nothing, (), (), Phrasing(), code, _key(code.tokens, code.named))
    words = [word.removesuffix("'s") for word in _TOKEN.findall(text)]
    numbers, units = _numbers(words)
    dates = {word.rstrip("s") for word in words if word in DATES}
    negated = sum(_negates(word) for word in words)
    return Signature(
        numbers=tuple(numbers),
        units=frozenset(units),
        dates=frozenset(dates),
        negated=negated,
        words=frozenset(words),
        polar=tuple(word for word in words if word in OPPOSITES),
        turns=tuple(_turns(words)),
        phrasing=phrasing(prompt, words),
        program=None,
        key=_key(*numbers, "/", *sorted(dates), "/", "not" * negated),
    )


def _negates(word: str) -> bool:
    return word.replace("'", "") in NEGATIONS or word.endswith("n't") or word.startswith("non-")


def _numbers(words: list[str]) -> tuple[list[str], set[tuple[str, str]]]:
    """The numbers, sorted, and those that have a unit beside them: after them, or a currency's sign before."""
    numbers: list[str] = []
    units: set[tuple[str, str]] = set()
    for at, word in enumerate(words):
        if word[0].isdigit() or (word[0] == "v" and word[1:2].isdigit()):
            number: str | None = _number(word)
            after = words[at + 1] if at + 1 < len(words) else ""
        else:
            first, _, after = word.partition("-")
            number = NUMBER_WORDS.get(first)
            after = after or (words[at + 1] if at + 1 < len(words) else "")
        if number is None:
            continue
        numbers.append(number)
        unit = UNITS.get(after.lstrip("-").partition("-")[0])
        if unit is None and at and words[at - 1] in _SIGNS:
            unit = UNITS[words[at - 1]]
        if unit is not None:
            units.add((number, unit))
    numbers.sort()
    return numbers, units


def _key(*parts: str) -> int:
    return int.from_bytes(
        blake2b("\x1f".join(parts).encode("utf-8", "replace"), digest_size=8).digest(), "little", signed=True
    )


def _number(text: str) -> str:
    plain = _ORDINAL.sub("", text).lstrip("v").replace(",", "")
    if re.fullmatch(r"\d+(\.\d+)?", plain) and not text.startswith("v"):
        whole, _, part = plain.partition(".")
        part = part.rstrip("0")
        return (whole.lstrip("0") or "0") + ("." + part if part else "")
    return plain


def _turns(words: list[str]) -> list[tuple[str, str]]:
    found = []
    for at, word in enumerate(words[:-1]):
        if word in _TURNS:
            following = next((one for one in words[at + 1 : at + 4] if one not in FUNCTION_WORDS), None)
            if following is not None:
                found.append((word, following))
    return found


def veto(one: Signature, other: Signature) -> str:
    """Why these two may not share an answer; "" where nothing speaks against it.

    Code, numbers, units, dates, negation, opposites, direction, signs, modals or tense.
    """
    if one.program is not None or other.program is not None:
        return "" if one.program == other.program else "code"
    if one.numbers != other.numbers:
        return "numbers"
    if one.units != other.units and _mismeasured(one, other):
        return "units"
    if one.dates != other.dates:
        return "dates"
    if one.negated != other.negated:
        return "negation"
    if _opposed(one, other):
        return "opposites"
    return "direction" if _turned(one, other) else contradiction(one.phrasing, other.phrasing)


def _mismeasured(one: Signature, other: Signature) -> bool:
    """A number has a unit in both, and not the same."""
    for number, unit in one.units:
        theirs = {named for also, named in other.units if also == number}
        if theirs and unit not in theirs:
            return True
    return False


def _opposed(one: Signature, other: Signature) -> bool:
    """One says a word more often than the other, which says its opposite more often."""
    mine, theirs = Counter(one.polar) - Counter(other.polar), Counter(other.polar) - Counter(one.polar)
    return any(not OPPOSITES[word].isdisjoint(theirs) for word in mine)


def _turned(one: Signature, other: Signature) -> bool:
    """The same things, the other way round: from A to B against from B to A."""
    for way, thing in one.turns:
        others = {named for also, named in other.turns if also == way}
        if others and thing not in others and thing in other.words and not others.isdisjoint(one.words):
            return True
    return False
