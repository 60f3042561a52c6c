"""Hard vetoes: what must agree before a stored answer may be served, however alike two prompts are.

Numbers with their units and currencies, dates and weekdays, versions, negation, and which way round things go.
They are rules, never learned: a veto can only prevent a hit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from rung.semantic.lexicon import DATES, FUNCTION_WORDS, NEGATIONS, NUMBER_WORDS, OPPOSITES, UNITS, listed
from rung.semantic.programs import Program, program

_NUMBER = re.compile(r"(?<![\w.])v?\d[\d,]*(?:[.:/-]\d+)*(?![\d])")
_WORD = re.compile(r"[^\W\d_][\w'’-]*|[$£€¥₹%]|°[cf]|\d+(?:st|nd|rd|th)\b")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th|er|ème|e)\b")
_TURNS = listed("to from into than before after against via vers depuis avant après")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a prompt says that has to be the same in both. `turns`: (direction word, the word after it)."""

    numbers: tuple[str, ...]
    units: frozenset[str]
    dates: frozenset[str]
    negated: bool
    words: frozenset[str]
    polar: frozenset[str]
    turns: tuple[tuple[str, str], ...]
    program: Program | None
    key: int
    """64 bits of what must be equal: code, or numbers, units, dates and negation"""


@lru_cache(maxsize=4096)
def signature(prompt: str) -> Signature:
    """The prompt's signature. Linear in its length; the last few thousand are remembered."""
    text = prompt.lower().replace("’", "'")
    code = program(prompt)
    if code is not None:
        nothing: frozenset[str] = frozenset()
        return Signature((), nothing, nothing, False, nothing, nothing, (), code, _key(code.tokens, code.named))
    found = _WORD.findall(text)
    words = [word.removesuffix("'s") for word in found]
    numbers = [_number(one) for one in _NUMBER.findall(_ORDINAL.sub(r"\1", text))]
    numbers += [NUMBER_WORDS[part] for word in words for part in word.split("-") if part in NUMBER_WORDS]
    units = {UNITS[word] for word in words if word in UNITS}
    units |= {UNITS[unit] for unit in re.findall(r"\d\s?-?([a-z]+)\b", text) if unit in UNITS}
    numbers.sort()
    dates = {word.rstrip("s") for word in words if word in DATES}
    negated = any(word.replace("'", "") in NEGATIONS or word.endswith("n't") for word in words)
    if not numbers:
        units.clear()
    return Signature(
        numbers=tuple(numbers),
        units=frozenset(units),
        dates=frozenset(dates),
        negated=negated,
        words=frozenset(words),
        polar=frozenset(word for word in words if word in OPPOSITES),
        turns=tuple(_turns(words)),
        program=None,
        key=_key(*numbers, "/", *sorted(units), "/", *sorted(dates), "/", "not" if negated else ""),
    )


def _key(*parts: str) -> int:
    return int.from_bytes(
        blake2b("\x1f".join(parts).encode("utf-8", "replace"), digest_size=8).digest(), "little", signed=True
    )


def _number(text: str) -> str:
    plain = text.lstrip("v").replace(",", "")
    if re.fullmatch(r"\d+(\.\d+)?", plain) and not text.startswith("v"):
        return f"{float(plain):g}" if len(plain) < 16 else plain
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
    """Why these two may not share an answer: numbers, units, dates, negation, opposites, direction or code; else ""."""
    if one.program is not None or other.program is not None:
        return "" if one.program == other.program else "code"
    if one.numbers != other.numbers:
        return "numbers"
    if one.units != other.units:
        return "units"
    if one.dates != other.dates:
        return "dates"
    if one.negated != other.negated:
        return "negation"
    if _opposed(one, other):
        return "opposites"
    return "direction" if _turned(one, other) else ""


def _opposed(one: Signature, other: Signature) -> bool:
    """One says a word, the other its opposite, and neither says both."""
    mine, theirs = one.polar - other.words, other.polar - one.words
    return any(not OPPOSITES[word].isdisjoint(theirs) for word in mine)


def _turned(one: Signature, other: Signature) -> bool:
    """The same things, the other way round: from A to B against from B to A."""
    for way, thing in one.turns:
        others = {named for also, named in other.turns if also == way}
        if others and thing not in others and thing in other.words and not others.isdisjoint(one.words):
            return True
    return False
