"""Two prompts side by side: what differs in words, and a small head that says how likely they share an answer.

The head is a logistic regression over a dozen features, trained by ``scripts/train_pairs.py`` on generated pairs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from rung.semantic.lexicon import ALIKE, FILLERS, FUNCTION_WORDS, WEAK, listed
from rung.semantic.veto import Signature, signature, veto
from rung.semantic.words import misspelt, stem

_WORD = re.compile(r"(?<!\w)[A-Za-z](?:\+\+|#)(?!\w)|[^\W_][\w'’.+#-]*[^\W_]|[^\W_]|[$£€%]")
_ASKED = {
    word: kind
    for kind, words in {
        "who": "who whom whose qui", "when": "when quand", "where": "where où", "why": "why pourquoi"}.items()
    for word in words.split()
}  # fmt: skip
_QUOTED = re.compile(r'"[^"\n]{1,200}"|“[^”\n]{1,200}”|«[^»\n]{1,200}»|`[^`\n]{1,200}`')
_WHAT_TIME = re.compile(r"\b(?:what|which) (?:time|day|date)\b", re.IGNORECASE)
_MOST = 400
_LONG, _AROUND = 300, 24
"""characters from which two prompts are compared by what they do not share; and of that shared text that is kept"""

_PREPOSITIONS = listed(
    "in on at for with without under over during after before within outside inside near between among as of from "
    "while against across behind beyond per via by if when en dans pour avec sans sous pendant après avant chez par si"
)
_DETERMINERS = listed(
    "a an the my your our their his her its this that these those any all some i'm i you we they "
    "la le les un une des mon ma mes"
)


@dataclass(frozen=True, slots=True)
class Words:
    """A prompt's words for comparison. `content`: stem -> the word; `names`: stems written as names.

    `scope`: stems that say where, when, for whom or whose, as far as a preposition or a possessive tells. `quoted`:
    stems in quotation marks, names too, and for which no other word and no other spelling stands.
    """

    text: str
    signature: Signature
    plain: str
    content: dict[str, str]
    names: frozenset[str]
    scope: frozenset[str]
    asked: frozenset[str]
    function: frozenset[str]
    quoted: frozenset[str]


@lru_cache(maxsize=1024)
def words(prompt: str) -> Words:
    """What `differences` needs of a prompt; the last thousand are remembered. Looks at the first 400 words."""
    found = _WORD.findall(prompt)[:_MOST]
    lower = [word.lower().replace("’", "'").removesuffix("'s") for word in found]
    parts = [part for word in lower for part in word.split("-") if part]
    content = _counted(part for part in parts if part not in FUNCTION_WORDS and part not in WEAK)
    if not content:
        content = _counted(parts)
    asked = {_ASKED[word] for word in lower if word in _ASKED}
    if _WHAT_TIME.search(prompt):
        asked.add("when")
        for word in ("time", "day", "date"):
            content.pop(stem(word), None)
    names = frozenset(
        stem(small)
        for at, (word, small) in enumerate(zip(found, lower, strict=True))
        if (at and word[0].isupper() and not prompt.isupper()) or any(letter.isdigit() for letter in word)
    )
    quoted = frozenset(
        stem(part)
        for span in _QUOTED.findall(prompt)
        for word in _WORD.findall(span)
        for part in word.lower().split("-")
        if part
    )
    return Words(
        prompt,
        signature(prompt),
        " ".join(word for word in lower if word not in FILLERS),
        content,
        (names | quoted) & content.keys(),
        frozenset(_scope(found, lower)) & content.keys(),
        frozenset(asked),
        frozenset(word for word in lower if word in FUNCTION_WORDS and word not in FILLERS),
        quoted,
    )


def _counted(parts: Iterable[str]) -> dict[str, str]:
    """Stem -> word; a word that is said again has a mark behind its stem, so that a context does not hide it."""
    content: dict[str, str] = {}
    for part in parts:
        base = stem(part)
        while base in content:
            base += "'"
        content[base] = part
    return content


def _scope(found: list[str], lower: list[str]) -> Iterator[str]:
    inside = False
    for word, small in zip(found, lower, strict=True):
        if small in _PREPOSITIONS:
            inside = True
        elif small in FUNCTION_WORDS:
            inside = inside and small in _DETERMINERS
        elif inside or word.lower().endswith(("'s", "’s", "s'")):
            yield from (stem(part) for part in small.split("-"))


@dataclass(frozen=True, slots=True)
class Difference:
    """How two prompts differ. `features` is what the head reads; none where there is a veto."""

    veto: str
    same: bool
    features: tuple[float, ...]


def differences(one: Words, other: Words, similarity: float) -> Difference:
    """Compare two prompts; `similarity` is the cosine of their embeddings.

    Of long ones only what they do not share is compared, with a few words around it: what a long context says besides
    ("not", "large", every word of it) would hide what the questions at its end say.
    """
    if len(one.text) >= _LONG and len(other.text) >= _LONG and one.text != other.text:
        mine_only, theirs_only = _apart(one.text, other.text)
        if len(mine_only) < len(one.text):
            one, other = words(mine_only), words(theirs_only)
    why = veto(one.signature, other.signature)
    if why:
        return Difference(why, False, ())
    exact = one.quoted | other.quoted
    names = one.names | other.names | exact
    mine = _unmatched(one.content, other.content, exact, names)
    theirs = _unmatched(other.content, one.content, exact, names)
    shared = len(one.content) + len(other.content) - len(mine) - len(theirs)
    total = len(one.content) + len(other.content)
    same = one.plain == other.plain
    both = len(one.function & other.function) / max(1, len(one.function | other.function))
    named = any(word in one.names for word in mine) or any(word in other.names for word in theirs)
    features = (
        1.0,
        similarity,
        shared / total if total else float(same),
        min(3, len(mine) + len(theirs)) / 3,
        float(bool(mine) and bool(theirs)),
        float(bool(mine) != bool(theirs)),
        float(named),
        float(one.asked != other.asked),
        both,
        float(same),
        float(not mine and not theirs),
        min(1.0, math.log1p(total) / 4),
        float(not one.scope.isdisjoint(mine) or not other.scope.isdisjoint(theirs)),
    )
    return Difference(why, same, features)


def _apart(one: str, other: str) -> tuple[str, str]:
    """Both without the beginning and the end they share, but for `_AROUND` characters, to the next space."""
    shortest = min(len(one), len(other))
    begin = _shared(shortest, lambda count: one[:count] == other[:count])
    end = _shared(shortest - begin, lambda count: one[len(one) - count :] == other[len(other) - count :])
    first = one.rfind(" ", 0, max(0, begin - _AROUND)) + 1
    tail = max(0, end - _AROUND)
    tail = max(0, tail - 1 - one[len(one) - tail :].find(" ")) if tail else 0
    return one[first : len(one) - tail], other[first : len(other) - tail]


def _shared(most: int, holds: Callable[[int], bool]) -> int:
    """The largest count up to `most` for which `holds`; it holds up to there and not beyond."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _unmatched(
    mine: dict[str, str], theirs: dict[str, str], quoted: frozenset[str], names: frozenset[str]
) -> list[str]:
    left = []
    others = frozenset(theirs.values())
    for base, word in mine.items():
        if base in theirs:
            continue
        if base in quoted:
            left.append(base)
            continue
        alike = ALIKE.get(word) or ALIKE.get(base)
        if alike and not (alike.isdisjoint(others) and alike.isdisjoint(theirs)):
            continue
        if len(word) <= 3 or base in names or not _slipped(word, mine, theirs, names):
            left.append(base)
    return left


def _slipped(word: str, mine: dict[str, str], theirs: dict[str, str], names: frozenset[str]) -> bool:
    """Does one of the other's words, which is not also said here, read as this one misspelt? Names never do."""
    first, length = word[0], len(word)
    for known, other in theirs.items():
        if (
            other[0] == first
            and -3 < len(other) - length < 3
            and known not in mine
            and known not in names
            and misspelt(word, other)
        ):
            return True
    return False


WEIGHTS: tuple[float, ...] = (-0.47, 0.01, 1.25, -1.50, -1.79, -1.20, -3.47, -7.31, -1.18, 3.15, 2.52, 0.27, -0.66)
SERVED_AT = -1.5
"""the head's logit from which a pair counts as the same question where nothing has been measured yet"""


def head(difference: Difference) -> float:
    """The logit that the two share an answer; a veto is far below everything."""
    if difference.veto:
        return -20.0
    return sum(weight * value for weight, value in zip(WEIGHTS, difference.features, strict=True))
