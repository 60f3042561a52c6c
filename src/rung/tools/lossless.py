"""JSON without loss: a scanner that keeps every lexeme, a writer, and the comparison that is the proof.

Values are kept as written: ``1.0``, ``1e3``, ``-0``, ``12345678901234567890`` and ``"\\u00e9"`` stay as they
are. The grammar is RFC 8259 (https://www.rfc-editor.org/rfc/rfc8259), whole and nothing more.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TypeAlias

from rung.tools.result import CannotAnswer, Finding, TooBig, place

MAX_DEPTH = 200
MAX_CHARS = 1_000_000

_TOKEN = re.compile(
    r"[ \t\n\r]*+(?:([{}\[\],:])"
    r'|("(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")'
    r"|(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null)(?![0-9A-Za-z_.+-]))"
)
_LEXEME = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\],:]|[^\s{}\[\],:"]++')
_SPACE = re.compile(r"[ \t\n\r]*")


class Object(list["tuple[str, Value]"]):
    """An object's members in order: (key lexeme, value)."""


class Array(list["Value"]):
    """An array's items."""


Value: TypeAlias = "str | Object | Array"
"""A scalar is its lexeme."""


class InvalidJson(ValueError):
    """Not JSON. `finding` says why and where."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass(slots=True)
class Document:
    value: Value
    duplicates: list[str]
    """key lexemes that occur twice in one object"""


_MESSAGES: dict[str, tuple[str, str]] = {
    "empty": ("the document is empty", "le document est vide"),
    "value": ("expected a value", "valeur attendue"),
    "key": ("expected a key in double quotes", "clé entre guillemets doubles attendue"),
    "colon": ("expected ':' after the key", "« : » attendu après la clé"),
    "object-next": ("expected ',' or '}'", "« , » ou « } » attendu"),
    "array-next": ("expected ',' or ']'", "« , » ou « ] » attendu"),
    "trailing-comma": ("trailing comma", "virgule en trop"),
    "extra": ("extra text after the end of the document", "texte en trop après la fin du document"),
    "end": ("the document ends too early", "le document se termine trop tôt"),
    "single-quote": ("strings need double quotes, not single quotes", "guillemets doubles attendus, pas simples"),
    "open-string": ("the string is not closed", "la chaîne n'est pas fermée"),
    "control": ("raw control character in a string", "caractère de contrôle brut dans une chaîne"),
    "escape": ("invalid escape in a string", "échappement invalide dans une chaîne"),
    "number": ("invalid number", "nombre invalide"),
    "comment": ("comments are not allowed", "les commentaires ne sont pas permis"),
    "word": ("unknown word", "mot inconnu"),
    "bom": ("byte order mark before the document", "marque d'ordre des octets avant le document"),
}


def _fault(code: str, text: str, offset: int, end: int = 0) -> InvalidJson:
    en, fr = _MESSAGES[code]
    line, column = place(text, offset)
    last = place(text, end) if end else (0, 0)
    return InvalidJson(Finding(en, line, column, code, fr, *last))


_BAD_START = {"'": "single-quote", "/": "comment", "#": "comment", "\ufeff": "bom"}


def _why(text: str, pos: int, expected: str) -> InvalidJson:
    """The most telling fault at a place where no token could be read or the wrong one was."""
    expected = expected.removeprefix("first-")
    if pos >= len(text):
        return _fault("end" if text.strip() else "empty", text, max(len(text) - 1, 0))
    char = text[pos]
    if char in _BAD_START:
        return _fault(_BAD_START[char], text, pos)
    if char == '"' and not _TOKEN.match(text, pos):
        return _bad_string(text, pos)
    if expected == "value" and (char in "+-." or char.isdigit()) and not _TOKEN.match(text, pos):
        return _fault("number", text, pos)
    if expected == "value" and (char.isalpha() or char in "_$"):
        return _fault("word", text, pos)
    return _fault(expected, text, pos)


def _bad_string(text: str, pos: int) -> InvalidJson:
    i = pos + 1
    while i < len(text):
        char = text[i]
        if char == "\\":
            if not re.compile(r'["\\/bfnrt]|u[0-9a-fA-F]{4}').match(text, i + 1):
                return _fault("escape", text, i)
            i += 1
        elif char < " ":
            return _fault("open-string" if char == "\n" else "control", text, pos if char == "\n" else i)
        elif char == '"':
            break
        i += 1
    return _fault("open-string", text, pos)


_ALLOWED = {
    "value": '"0{[',
    "first-value": '"0{[]',
    "key": '"',
    "first-key": '"}',
    "colon": ":",
    "object-next": ",}",
    "array-next": ",]",
    "extra": "",
}
"""per state, the kinds of token that may come: ``"`` a string, ``0`` another scalar, or the mark itself"""


def parse(text: str, *, max_depth: int = MAX_DEPTH, max_chars: int = MAX_CHARS) -> Document:
    """Read one JSON document.

    Raises InvalidJson with the place of the first fault, TooBig beyond `max_depth` levels or `max_chars`.
    """
    if len(text) > max_chars:
        raise TooBig(f"the JSON has more than {max_chars} characters")
    document = Document("", [])
    root = Array()
    stack: list[Object | Array] = [root]
    keys: list[set[str]] = [set()]
    key, state, pos, comma = "", "value", 0, 0
    match = _TOKEN.match
    while token := match(text, pos):
        group = token.lastindex or 0
        lexeme = token[group]
        kind = lexeme if group == 1 else '"' if group == 2 else "0"
        if kind not in _ALLOWED[state]:
            raise _wrong(text, token.start(group), state, kind, comma)
        pos = token.end()
        if kind == ",":
            comma = pos - 1
            state = "key" if state == "object-next" else "value"
            continue
        if kind == ":":
            state = "value"
            continue
        if kind == '"' and state in ("key", "first-key"):
            key, state = lexeme, "colon"
            plain = key if "\\" not in key else quote(text_of(key))
            if plain in keys[-1]:
                document.duplicates.append(key)
            keys[-1].add(plain)
            continue
        if kind in "}]":
            stack.pop()
            keys.pop()
        else:
            value: Value = lexeme if kind in '"0' else Object() if kind == "{" else Array()
            _put(stack[-1], key, value)
            if not isinstance(value, str):
                stack.append(value)
                keys.append(set())
                if len(stack) > max_depth + 1:
                    raise TooBig(f"the JSON is nested more than {max_depth} levels deep")
                state = "first-key" if kind == "{" else "first-value"
                continue
        state = "extra" if len(stack) == 1 else "object-next" if isinstance(stack[-1], Object) else "array-next"
    found = _SPACE.match(text, pos)
    start = found.end() if found else pos
    if state != "extra" or start < len(text):
        raise _why(text, start, state)
    document.value = root[0]
    return document


def _put(parent: Object | Array, key: str, value: Value) -> None:
    if isinstance(parent, Object):
        parent.append((key, value))
    else:
        parent.append(value)


def _wrong(text: str, start: int, state: str, kind: str, comma: int) -> InvalidJson:
    """The fault of a token that may not stand where it does."""
    after_comma = comma and not text[comma + 1 : start].strip()
    if after_comma and (state, kind) in (("key", "}"), ("value", "]")):
        return _fault("trailing-comma", text, comma, start)
    return _fault(state.removeprefix("first-"), text, start)


def quote(text: str) -> str:
    """A string as a JSON lexeme, non-ASCII kept."""
    return json.dumps(text, ensure_ascii=False)


def write(value: Value, indent: str | None) -> str:
    """The document as text: `indent` per level, or on one line without spaces when None."""
    out: list[str] = []
    _write(value, indent, "\n", out)
    return "".join(out)


def _write(value: Value, indent: str | None, newline: str, out: list[str]) -> None:
    if isinstance(value, str):
        out.append(value)
        return
    opened, closed = ("{", "}") if isinstance(value, Object) else ("[", "]")
    if not value:
        out.append(opened + closed)
        return
    inner = "" if indent is None else newline + indent
    colon = ":" if indent is None else ": "
    out.append(opened)
    for i, item in enumerate(value):
        out.append("," + inner if i else inner)
        if isinstance(item, tuple):
            out.append(item[0] + colon)
            item = item[1]
        _write(item, indent, "" if indent is None else inner, out)
    out.append(closed if indent is None else newline + closed)


def text_of(lexeme: str) -> str:
    """The string a string lexeme stands for."""
    return str(json.loads(lexeme))


def sort_keys(value: Value) -> Value:
    """The same value with every object's members in the order of their keys (by code point)."""
    if isinstance(value, Object):
        return Object(sorted(((k, sort_keys(v)) for k, v in value), key=lambda member: text_of(member[0])))
    if isinstance(value, Array):
        return Array(sort_keys(item) for item in value)
    return value


def tokens(text: str) -> list[str]:
    """Every lexeme of a JSON text in order, spaces left out. Reads what `parse` has accepted."""
    return _LEXEME.findall(text)


def same_members(one: Value, two: Value) -> bool:
    """Equality by lexeme, the order of an object's members aside."""
    if isinstance(one, Object) and isinstance(two, Object):
        if len(one) != len(two):
            return False
        other = dict(two)
        return all(key in other and same_members(value, other[key]) for key, value in one)
    if isinstance(one, Array) and isinstance(two, Array):
        return len(one) == len(two) and all(map(same_members, one, two))
    return isinstance(one, str) and one == two


def require_unique_keys(document: Document) -> Value:
    """The value; CannotAnswer when a key occurs twice (readers disagree on which one counts)."""
    if document.duplicates:
        raise CannotAnswer("the JSON repeats a key in one object")
    return document.value
