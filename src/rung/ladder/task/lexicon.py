"""The ideas of words.txt: phrase -> what it says about the kind of call."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from rung.tools.intent import fold

LONGEST = 4
"""words in the longest phrase"""
WORD = re.compile(r"[a-z]+(?:\+\+|#(?![a-z0-9]))?|[0-9]+|[?§]")


@cache
def lexicon() -> dict[str, tuple[str, ...]]:
    """Phrase -> its ideas, from words.txt."""
    found: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "words.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            idea, phrases = line.split(":", 1)
            for phrase in phrases.split(","):
                key = " ".join(WORD.findall(fold(phrase)))
                if key and idea not in found.setdefault(key, []):
                    found[key].append(idea)
    for key in [key for key, ideas in found.items() if "humanlang" in ideas]:
        for before in _TO_LANGUAGE:
            found.setdefault(f"{before} {key}", list(found[key])).append("tolang")
    for form in _FORMS:
        for before in _TO_FORM:
            found.setdefault(f"{before} {form}", ["dataform"]).append("toform")
        for after in _FORM_OF:
            found.setdefault(f"{form} {after}", ["dataform"]).append("toform")
    return {key: tuple(dict.fromkeys(ideas)) for key, ideas in found.items()}


_FORMS = ("json", "yaml", "yml", "toml", "csv", "xml")
_TO_FORM = ("to", "into", "in", "as", "as a", "en", "vers", "to a", "as an")
_FORM_OF = ("version", "equivalent", "form", "for this", "from this", "output")
_TO_LANGUAGE = ("to", "into", "in", "en", "vers l", "vers le", "from", "du", "de l", "version")


@cache
def phrase_starts() -> frozenset[str]:
    """First words of the phrases of more than one word."""
    return frozenset(key.split(" ", 1)[0] for key in lexicon() if " " in key)
