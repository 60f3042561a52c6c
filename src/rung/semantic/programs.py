"""Prompts that are code: one canonical form, equal for the same question and different for a changed token.

Whitespace, comment marks and quotation marks of docstrings do not matter, nor does what a defined function is
called where words describe it; inflections and function words of the description do not matter either. Every
number, string, operator and remaining word does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from rung.semantic.lexicon import FUNCTION_WORDS, NEGATIONS, OPPOSITES, listed
from rung.semantic.words import stem

_CODE = re.compile(
    r"```|>>>|^\s*(?:def|class)\s+\w+\s*[(:]|^\s*import\s+[\w.]+\s*$|^\s*from\s+[\w.]+\s+import\b"
    r"|^\s*(?:function|fn|func)\s+\w+\s*\(|^\s*(?:const|let|var)\s+\w+\s*=|^\s*#include|^\s*public\s+(?:static|class)"
    r"|\w\(\w*\)\s*[{;]|;\s*$",
    re.MULTILINE,
)
_DEFINED = re.compile(r"\b(?:def|function|fn|func)\s+([A-Za-z_]\w*)\s*[(<]")
_STRING = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"
_TOKEN = re.compile(rf"{_STRING}|\d+(?:\.\d+)?|[^\W\d]\w*|[^\s\w]")
_QUOTES = re.compile(r"\"\"\"|'''|^[ \t]*(?:#(?!include)|//)[ \t]?", re.MULTILINE)
_APOSTROPHE = re.compile(r"(?<=[a-z])'(?=(?:s|t|re|ve|ll|d|m)\b)")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_LEAST_WORDS = 4
_KEPT = listed("in on to from over than into with by for as not and or if")
"""function words that can change what code is asked for"""
_DROPPED = FUNCTION_WORDS - _KEPT - NEGATIONS


@dataclass(frozen=True, slots=True)
class Program:
    """The canonical form: a hash of the tokens without defined names; of those, `named` holds what counts.

    That is all of them where few words describe the code, else numbers and words with opposites that a name says and
    the description does not.
    """

    tokens: str
    named: str = ""


def program(prompt: str) -> Program | None:
    """The canonical form of a prompt that holds code; None for one that holds none."""
    if _CODE.search(prompt) is None:
        return None
    defined = set(_DEFINED.findall(prompt))
    text = _APOSTROPHE.sub("", _QUOTES.sub(" ", prompt))
    kept: list[str] = []
    described: list[str] = []
    for piece in _TOKEN.findall(text):
        if piece in defined:
            kept.append("@")
            continue
        if piece[0] in "\"'":
            kept.append(piece[1:-1])
            continue
        if piece[0].isalpha():
            word = piece.lower()
            if piece.islower() or piece.istitle():
                if word in _DROPPED:
                    continue
                piece = "if" if word == "whether" else stem(word)
                described.append(piece)
        elif piece in ".,:;?!`":
            continue
        kept.append(piece)
    digest = blake2b("\x1f".join(kept).encode(), digest_size=16).hexdigest()
    parts = {name: [part.lower() for part in _PART.findall(name)] for name in defined}
    if len(described) < _LEAST_WORDS:
        return Program(digest, " ".join(sorted("".join(named) for named in parts.values())))
    said = {part for named in parts.values() for part in named if part in OPPOSITES or part.isdigit()}
    telling = {part for part in said if stem(part) not in described}
    return Program(digest, " ".join(sorted(telling)))
