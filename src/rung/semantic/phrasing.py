"""What the same words can say by their order and by signs: who does what to whom, ``must`` or ``can``, ``<`` or ``>``.

A hit needs that neither question contradicts the other in these. Rules, never learned: they can only prevent a hit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rung.semantic.lexicon import FUNCTION_WORDS, listed
from rung.semantic.words import stem

_SIGN = re.compile(
    r"(?<![\w.])\.{1,2}/(?=\w)"  # ./x, ../x
    r"|\$[?#!@*$]"
    r"|(?<!\S)![^\S\n]|!="
    r"|(?<![:/\w*])[<>=&|*/+~^]+(?![/\w*]|\*)|(?<=[\w\s)])[<>=&|*/+~^]+(?=[\s(\d])|(?<=\w)[<>=]+(?=\w)"
)
"""operators in a sentence: not the slash of ``and/or`` or of an address, nor a list's star"""
_OF_SIGNS = frozenset("<>=&|*/+~^$!")

_PERSONS = {"me": "i", "us": "we", "him": "he", "her": "she", "them": "they", "moi": "je"}
_SUBJECTS = frozenset(_PERSONS.values())
_ARTICLES = listed(
    "a an the my our your their his its this that these those le la les l un une des mon ma mes ce cette"
)
_JOINS = listed("and or vs versus et ou")
"""what stands on both sides of these may change places"""
_GREETINGS = listed("hi hello hey good morning please bonjour salut bonsoir est que")
_MODALS = {
    **dict.fromkeys(listed("must shall faut dois doit"), "must"),
    **dict.fromkeys(listed("should ought devrais faudrait"), "should"),
    **dict.fromkeys(listed("can could may might peut puis peux"), "may"),
}
_YOU = listed("you tu vous")
_FUTURE, _PAST = listed("will shall"), listed("did was were had")
_MOST_WORDS = 60
"""longer prompts are not read for who does what: their words occur twice"""


@dataclass(frozen=True, slots=True)
class Phrasing:
    """`signs`: operators, sorted; `modal`: ``must``, ``should``, ``may`` where the question begins with it;
    `tense`: ``past``, ``future``; `before`: the word in front of each word that occurs once, articles left out.
    """

    signs: tuple[str, ...] = ()
    modal: str = ""
    tense: str = ""
    before: tuple[tuple[str, str], ...] = ()


def phrasing(prompt: str, words: list[str]) -> Phrasing:
    """`words`: the prompt's, in order and lower case."""
    return Phrasing(
        () if _OF_SIGNS.isdisjoint(prompt) else tuple(sorted(_SIGN.findall(prompt))),
        _modal(words),
        "future" if not _FUTURE.isdisjoint(words) else "past" if not _PAST.isdisjoint(words) else "",
        _before(words) if len(words) <= _MOST_WORDS else (),
    )


def contradiction(one: Phrasing, other: Phrasing) -> str:
    """Which of these two say different things; "" if none do."""
    if one.signs and other.signs and one.signs != other.signs:
        return "signs"
    if one.modal and other.modal and one.modal != other.modal:
        return "modal"
    if one.tense and other.tense and one.tense != other.tense:
        return "tense"
    return "direction" if one.before != other.before and _exchanged(dict(one.before), dict(other.before)) else ""


def _modal(words: list[str]) -> str:
    for at, said in enumerate(words[:4]):
        word, _, behind = said.partition("-")
        if word in _MODALS:
            whom = behind or "".join(words[at + 1 : at + 2])
            return "" if whom in _YOU else _MODALS[word]  # "can you tell me"
        if word not in _GREETINGS:
            return ""
    return ""


def _before(words: list[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    twice: set[str] = set()
    before = ""
    for said in words:
        if said in _ARTICLES:
            continue
        word = stem(_PERSONS.get(said, said))
        if word in found:
            twice.add(word)
        found[word] = before
        before = word
    return tuple(
        (word, behind)
        for word, behind in found.items()
        if word not in twice and behind not in _JOINS and (word not in FUNCTION_WORDS or word in _SUBJECTS)
    )


def _exchanged(one: dict[str, str], other: dict[str, str]) -> bool:
    """Each of two words stands behind what the other stood behind: ``A sees B``, ``B sees A``."""
    moved = [word for word, behind in one.items() if other.get(word, behind) != behind]
    for at, first in enumerate(moved):
        for second in moved[at + 1 :]:
            swap = {first: second, second: first}
            behind_first, behind_second = one[first], one[second]
            if other[first] == swap.get(behind_second, behind_second) and (
                other[second] == swap.get(behind_first, behind_first)
            ):
                return True
    return False
