"""JSON repair, by json-repair (https://github.com/mangiucugna/json_repair), held to what can be checked.

A repair has no proof. It is accepted only if every word and number of the input is still there, in order, and
nothing was added but punctuation; what changed is told as edits. Valid input comes back as it was.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

from rung.tools import json_, lossless
from rung.tools.extras import load
from rung.tools.result import CannotAnswer, Finding, Options, Result, place

MAX_CHARS = 32_000
MAX_DIFF_TOKENS = 4_000
"""beyond this the edits are told as a count: the comparison is quadratic at worst"""
MAX_EDITS = 20

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_PIECE = re.compile(r"\w+|[^\w\s]")
_LITERALS = {"True": "true", "False": "false", "None": "null"}
_GUESSES = re.compile(r"undefined|nan|[+-]?infinity|t|tr|tru|f|fa|fal|fals|n|nu|nul|nil", re.IGNORECASE)


def repair(text: str, options: Options) -> Result:
    """Make broken JSON valid, formatted as asked (default: two spaces, unless the input was valid already).

    Raises CannotAnswer when the result would drop, invent or guess anything but punctuation and literals.
    """
    if len(text) > MAX_CHARS:
        raise CannotAnswer(f"the payload has more than {MAX_CHARS} characters")
    fault = _first_fault(text)
    if fault is None:
        asked = options.indent is not None or options.sort_keys or options.minify
        return replace(json_.format_(text, options), proved=True) if asked else Result(text.strip(), "json")
    _limit_depth(text)
    module = load("json_repair")
    value = module.repair_json(text, return_objects=True, skip_json_loads=True)
    if not isinstance(value, dict | list) or not value:
        raise CannotAnswer("nothing could be repaired")
    bare = _COMMENT.sub(lambda found: found[1] or " ", text)
    lexemes = _lossless(value, bare)
    flat = lossless.write(lexemes, None)
    _require_same_words(bare, flat)
    if flat.count('""') > bare.count('""') + bare.count("''"):
        raise CannotAnswer("the repair would have to invent a value")
    made = json_.format_(flat, options)
    return Result(made.text, "json", proved=False, edits=_edits(fault, text, flat))


def _first_fault(text: str) -> Finding | None:
    try:
        lossless.parse(text)
    except lossless.InvalidJson as error:
        return error.finding
    return None


def _limit_depth(text: str) -> None:
    if text.count("[") + text.count("{") > lossless.MAX_DEPTH * 20 and re.search(r"(?:[\[{]\s*){200}", text):
        raise CannotAnswer("the payload is nested too deep")


def _lossless(value: Any, source: str) -> lossless.Value:
    """The repaired value with its numbers as the source wrote them."""
    numbers = set(_NUMBER.findall(source))

    def walk(node: Any) -> lossless.Value:
        if isinstance(node, dict):
            return lossless.Object((json.dumps(str(key), ensure_ascii=False), walk(item)) for key, item in node.items())
        if isinstance(node, list):
            return lossless.Array(walk(item) for item in node)
        if isinstance(node, bool) or node is None:
            return json.dumps(node)
        if isinstance(node, str):
            if node[-1:] in ("'", '"', ",") or (_GUESSES.fullmatch(node) and not _quoted(node, source)):
                raise CannotAnswer("the repair would have to guess a value")
            return json.dumps(node, ensure_ascii=False)
        same = [lexeme for lexeme in numbers if _equal(lexeme, node)]
        if not same:
            raise CannotAnswer("the repair would change a number")
        return repr(node) if repr(node) in same else min(same)

    return walk(value)


def _quoted(text: str, source: str) -> bool:
    return f'"{text}"' in source or f"'{text}'" in source


def _equal(lexeme: str, number: int | float) -> bool:
    if isinstance(number, int):
        return lexeme == str(number)
    return float(lexeme) == number and not lexeme.lstrip("-").isdigit()


def _words(text: str) -> list[str]:
    # Escapes are letters in one text and characters in the other: they are read before comparing.
    read = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    read = re.sub(r"\\[bfnrt]", " ", read)
    return [_LITERALS.get(word, word) for word in re.findall(r"\w+", read)]


def _require_same_words(before: str, after: str) -> None:
    if _words(before) != _words(after):
        raise CannotAnswer("the repair would drop or invent content")


def _edits(fault: Finding, before: str, after: str) -> tuple[str, ...]:
    first = f"first fault: {fault.message} (line {fault.line}, column {fault.column})"
    old = [(found[0], found.start()) for found in _PIECE.finditer(before)]
    new = _PIECE.findall(after)
    if len(old) > MAX_DIFF_TOKENS:
        return (first, "the document was rewritten")
    out: list[str] = []
    for kind, i, j, k, m in SequenceMatcher(None, [piece for piece, _ in old], new, autojunk=True).get_opcodes():
        if kind == "equal":
            continue
        gone = " ".join(piece for piece, _ in old[i:j])[:40]
        come = " ".join(new[k:m])[:40]
        at = place(before, old[i][1]) if i < len(old) else None
        where = f"line {at[0]}, column {at[1]}" if at else "the end"
        out.append(
            f"replaced {gone} with {come} at {where}"
            if gone and come
            else f"removed {gone} at {where}"
            if gone
            else f"added {come} {'before ' if at else 'at '}{where}"
        )
    rest = len(out) - MAX_EDITS
    return (first, *out[:MAX_EDITS], *([f"and {rest} more"] if rest > 0 else []))
