"""The words the grammar knows, English and French, and what each phrase says.

They are data, in ``words/en.txt`` and ``words/fr.txt``: a line ``feature=value``, then its phrases, indented, one a
line. ``{a,b}`` expands (``{, x}`` is optional), ``#`` stands for a number. Words are written as
`rung.tools.intent.words` reads them: lower case, no accents, apostrophes and hyphens as spaces. A phrase
that is not there makes the whole call decline, so a missing word costs a call a slower answer, and a wrong
one a wrong answer: add phrases freely to a feature they belong to, and new features only with a test.

What people say around a task (where the payload is from, what it is for) has no closed vocabulary. ``*`` stands
for any one word but those under ``never``, and a heading says where such phrases may stand: ``fill= ^``
begins its sentence, ``$`` ends at a stop, ``@`` also ends at a stop and follows a noun or a sentence that asks nothing.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Set
from functools import cache
from pathlib import Path
from typing import TypeAlias

Feature: TypeAlias = tuple[str, str]
Placed: TypeAlias = tuple[Feature, str]
"""a feature, and where its phrase may stand: some of ``^$@``"""

MOST_NODES = 20_000
"""nodes kept; beyond it they are made anew when they are needed again"""

_GLUED = re.compile(r"([a-z]*)\{([^{}]*)\}([a-z]*)")
"""alternatives that may touch a word: ``wrap{ped,}``, ``{re,}format``, ``indent{, size,ation}``"""

_TOKEN = re.compile(r"[a-z]+|[0-9]+|[*#{},]")


class Lexicon:
    """All phrases as one automaton. A phrase with alternatives is kept as it is written, not written out: the
    150,000 readings take 36 MB as a tree, and a call needs few of them. Sets of places in the phrases become
    nodes when a reader first comes by (the lazy subset construction; Thompson 1968, doi:10.1145/363347.363387).
    """

    def __init__(self) -> None:
        self._spelled = [""]
        self._number = {"": 0}  # of a word in that list
        self._word = array("H")  # per place: the number of the word it waits for, 0 if none
        self._next = array("i")  # the place after that word
        # Places reached from a place without a word, as chains: a list for each place took 4 MB.
        self._chain = array("i")  # per place: the first link of its chain, -1 if none
        self._to = array("i")  # per link: a place
        self._more = array("i")  # per link: the next one
        self._feature: dict[int, Placed] = {}  # what a phrase says that ends at a place
        self._starts: list[int] = []
        self._nodes: dict[frozenset[int], Node] = {}

    def add(self, phrase: str, feature: Feature, where: str = "") -> None:
        """One line of a word file."""
        tokens = _TOKEN.findall(_GLUED.sub(_unglue, phrase))
        start = self._place()
        end, read = self._sequence(tokens, 0, start)
        assert read == len(tokens), phrase
        self._feature[end] = (feature, where)
        self._starts.append(start)

    def root(self) -> Node:
        return self._node(self._closure(self._starts))

    def words(self) -> frozenset[str]:
        """Every word that occurs in a phrase."""
        return frozenset(self._spelled) - {"", "*", "#"}

    def node(self, places: frozenset[int]) -> Node:
        found = self._nodes.get(places)
        if found is None:
            if len(self._nodes) >= MOST_NODES:
                self._nodes.clear()
            found = self._nodes[places] = self._node(places)
        return found

    def _node(self, places: Set[int]) -> Node:
        ends = sorted(place for place in places if place in self._feature)
        by_word: dict[str, array[int]] = {}
        for place in places:
            if self._word[place]:
                by_word.setdefault(self._spelled[self._word[place]], array("i")).append(self._next[place])
        return Node(self, by_word, list(dict.fromkeys(self._feature[place] for place in ends)))

    def after(self, places: Iterable[int]) -> Node:
        return self.node(frozenset(self._closure(places)))

    def _place(self) -> int:
        self._word.append(0)
        self._next.append(-1)
        self._chain.append(-1)
        return len(self._word) - 1

    def _link(self, place: int, to: int) -> None:
        self._to.append(to)
        self._more.append(self._chain[place])
        self._chain[place] = len(self._to) - 1

    def _sequence(self, tokens: list[str], at: int, place: int) -> tuple[int, int]:
        """Words and alternatives from `at` to the end, a comma or a brace -> (place behind them, how far read)."""
        while at < len(tokens) and tokens[at] not in (",", "}"):
            after = self._place()
            if tokens[at] == "{":
                at = self._choices(tokens, at + 1, place, after)
            else:
                waiting = place
                if self._word[place]:  # it waits for another word already
                    waiting = self._place()
                    self._link(place, waiting)
                number = self._number.setdefault(tokens[at], len(self._spelled))
                if number == len(self._spelled):
                    self._spelled.append(tokens[at])
                self._word[waiting], self._next[waiting] = number, after
                at += 1
            place = after
        return place, at

    def _choices(self, tokens: list[str], at: int, place: int, after: int) -> int:
        """Alternatives from behind a brace to behind its partner."""
        while True:
            begin = self._place()
            self._link(place, begin)
            end, at = self._sequence(tokens, at, begin)
            self._link(end, after)
            at += 1
            if tokens[at - 1] == "}":
                return at

    def _closure(self, places: Iterable[int]) -> set[int]:
        found: set[int] = set()
        waiting = list(places)
        while waiting:
            place = waiting.pop()
            if place not in found:
                found.add(place)
                link = self._chain[place]
                while link >= 0:
                    waiting.append(self._to[link])
                    link = self._more[link]
        return found


class Node:
    """Where a reader stands after some words. `leaf`: what the phrases say that end here."""

    __slots__ = ("_below", "_by_word", "_lexicon", "leaf")

    def __init__(self, lexicon: Lexicon, by_word: dict[str, array[int]], leaf: list[Placed]) -> None:
        self._lexicon = lexicon
        self._by_word = by_word
        self._below: dict[str, Node] = {}
        self.leaf = leaf

    def get(self, word: str, wild: bool = False) -> Node | None:
        """One word further, or None if no phrase goes on with it. `wild`: whether a ``*`` may stand for the word."""
        if wild and "*" in self._by_word:
            key = "*" + word if word in self._by_word else "*"  # never a key per word of a message
        elif word in self._by_word:
            key = word
        else:
            return None
        below = self._below.get(key)
        if below is None:
            named = self._by_word[word] if key != "*" else ()
            below = self._below[key] = self._lexicon.after([*named, *(self._by_word["*"] if key[0] == "*" else ())])
        return below


def _unglue(found: re.Match[str]) -> str:
    """``wrap{ped,}`` as ``{wrapped,wrap}``."""
    before, choices, behind = found.groups()
    return "{" + ",".join(before + choice + behind for choice in choices.split(",")) + "}"


@cache
def root() -> Node:
    """Where every phrase of both languages begins."""
    return _lexicon().root()


@cache
def vocabulary() -> frozenset[str]:
    """Every word of every phrase."""
    return _lexicon().words()


@cache
def never() -> frozenset[str]:
    """Words no ``*`` stands for: what negates, joins, limits or asks."""
    return frozenset(word for phrase, kind, _, _ in _lines() if kind == "never" for word in phrase.split())


@cache
def _lexicon() -> Lexicon:
    lexicon = Lexicon()
    for phrase, kind, value, where in _lines():
        if kind != "never":
            lexicon.add(phrase, (kind, value), where)
    return lexicon


def _lines() -> Iterator[tuple[str, str, str, str]]:
    """Every phrase with its heading: kind, value, place."""
    for file in sorted((Path(__file__).parent / "words").glob("*.txt")):
        kind = value = where = ""
        for line in file.read_text("utf-8").splitlines():
            if line.startswith("    "):
                yield line, kind, value, where
            elif line and not line.startswith("#"):
                heading, _, where = line.partition(" ")
                kind, _, value = heading.partition("=")
