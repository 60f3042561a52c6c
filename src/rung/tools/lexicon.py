"""The words the grammar knows, English and French, and what each phrase says.

They are data, in ``words/en.txt`` and ``words/fr.txt``: a line ``feature=value``, then its phrases, indented, one a
line. ``{a,b}`` expands (``{, x}`` is optional), ``#`` stands for a number. Words are written as
`rung.tools.intent.words` reads them: lower case, no accents, apostrophes and hyphens as spaces. A phrase
that is not there makes the whole call decline, so a missing word costs a call a slower answer, and a wrong
one a wrong answer: add phrases freely to a feature they belong to, and new features only with a test.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TypeAlias

Feature: TypeAlias = tuple[str, str]
Trie: TypeAlias = "dict[str, Trie | list[Feature]]"
_WORD = re.compile(r"[a-z]+|[0-9]+|#")


@cache
def trie() -> Trie:
    """Both languages as one trie of words; the leaves (key ``""``) hold (feature, value)."""
    root: Trie = {}
    for file in sorted((Path(__file__).parent / "words").glob("*.txt")):
        feature: Feature = ("", "")
        for line in file.read_text("utf-8").splitlines():
            if line.startswith("    "):
                for words in expand(line):
                    _add(root, _WORD.findall(words), feature)
            elif line and not line.startswith("#"):
                kind, _, value = line.partition("=")
                feature = (kind, value)
    return root


def _add(root: Trie, words: list[str], feature: Feature) -> None:
    if not words:
        return
    node = root
    for word in words:
        below = node.setdefault(word, {})
        assert isinstance(below, dict)
        node = below
    leaf = node.setdefault("", [])
    assert isinstance(leaf, list)
    if feature not in leaf:
        leaf.append(feature)


def expand(phrase: str) -> list[str]:
    """Every reading of ``{a,b}`` alternatives, which may nest; ``{, x}`` is an optional word."""
    start = phrase.find("{")
    if start < 0:
        return [phrase.strip()]
    depth, choices, at = 0, [], start + 1
    for end in range(start, len(phrase)):
        char = phrase[end]
        depth += (char == "{") - (char == "}")
        if (char == "," and depth == 1) or depth == 0:
            choices.append(phrase[at:end])
            at = end + 1
        if depth == 0:
            break
    return [whole for choice in choices for whole in expand(phrase[:start] + choice + phrase[at:])]
