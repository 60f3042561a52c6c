"""Find the payload of a message: fenced, tagged, quoted, or inline.

`split` cuts a message into instruction text and payloads, in order, without judging the words. What cannot be
cut in one certain way gives None, and the call declines.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

MAX_CHARS = 1_000_000
MAX_INSTRUCTION = 1_500
"""characters of instruction text; nobody asks for formatting at greater length"""


@dataclass(frozen=True, slots=True)
class Payload:
    """`language` is the fence's own word (empty if none); `fenced`: its end is certain."""

    text: str
    language: str = ""
    fenced: bool = False


Part = str | Payload

_FENCE = re.compile(
    r"(?<![`~])(?P<mark>`{3,}+|~{3,}+)[ \t]*(?P<lang>[A-Za-z0-9+_-]*)[ \t]*\r?\n"
    r"(?P<body>.*?)(?:\r?\n)?[ \t]*(?P=mark)(?!`|~)",
    re.DOTALL,
)
_ONE_LINE_FENCE = re.compile(
    r"(?P<mark>```)(?P<lang>(?:json|yaml|yml|toml|csv|xml|sql|python|py)?)(?P<body>[^`\n]+)```"
)
_TAG = re.compile(
    r"<(?P<lang>json|yaml|toml|csv|sql|python|xml|code|input|payload|document|content|text|schema|json_schema|data|"
    r"instance|snippet|query|file|config|user_input|doc|source|object|entree|donnees|requete|schéma|"
    r"schema_json)>[ \t]*\n?"
    r"(?P<body>.*?)\n?[ \t]*</(?P=lang)>",
    re.DOTALL,
)
_QUOTES = re.compile(r"(?P<mark>\"\"\"|''')[ \t]*\r?\n?(?P<lang>)(?P<body>.*?)\r?\n?[ \t]*(?P=mark)", re.DOTALL)
_RULES = re.compile(
    r"(?:^|\n)(?P<mark>-{3,}|={3,}|\*{3,})[ \t]*\n(?P<lang>)(?P<body>.*?)\n(?P=mark)[ \t]*(?=\n|$)", re.DOTALL
)
_TICKS = re.compile(r"(?P<mark>`)(?P<lang>)(?P<body>[^`\n]{2,})`")
_FENCE_WORD = re.compile(
    r"(?<!`)```(json|yaml|toml|xml|sql|python|csv|markdown)?`*(?= (?:code )?(?:block|fence))|"
    r"(?<!`)`{3}(json|yaml|sql|python)`{3}"
)
_TAG_LANGUAGES = frozenset({"json", "yaml", "toml", "csv", "sql", "python", "xml"})
_TAG_SCHEMAS = frozenset({"schema", "json_schema", "schéma", "schema_json"})
_OPEN = re.compile(r"[{\[]")
_XML = re.compile(r"<(?:\?xml|[A-Za-z_][\w.:-]*(?=[\s/>]))")
_LOOSE_JSON = re.compile(
    r"(?:[\s,:\[\]{}]++|\"(?:[^\"\\\n]|\\.)*+\"|'[^'\n]*+'|[-+.\w]++)*+(?:\"[^\"\n]*+)?\s*$", re.DOTALL
)
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


def split(text: str) -> list[Part] | None:
    """The parts of a message, or None when they cannot be told apart."""
    text = _FENCE_WORD.sub(lambda m: f"{m[1] or m[2] or ''} ", text) if "```" in text else text
    for pattern, certain in ((_FENCE, "```"), (_FENCE, "~~~"), (_ONE_LINE_FENCE, "```")):
        if certain in text and (parts := _cut(text, pattern)):
            return parts
    if "```" in text and text.find("```") < _first_bracket(text):
        return None
    if ('"""' in text or "'''" in text) and (parts := _cut(text, _QUOTES)):
        return parts
    if "</" in text and (parts := _cut(text, _TAG)):
        return parts
    if (parts := _cut(text, _RULES)) is not None:
        return parts
    return inline(text)


def _first_bracket(text: str) -> int:
    found = _OPEN.search(text)
    return found.start() if found else len(text)


def _cut(text: str, pattern: re.Pattern[str]) -> list[Part] | None:
    parts: list[Part] = []
    end = 0
    for found in pattern.finditer(text):
        language = found["lang"].lower()
        labelled = pattern is _TAG and language in _TAG_SCHEMAS
        parts.append(text[end : found.start()] + ("\nschema:" if labelled else ""))
        if pattern is _TAG:
            language = language if language in _TAG_LANGUAGES else ""
        parts.append(Payload(found["body"], language, fenced=True))
        end = found.end()
    if not parts:
        return None
    parts.append(text[end:])
    return parts


def inline(text: str) -> list[Part] | None:
    """Payloads that begin with a bracket or a tag, without a fence."""
    found = _OPEN.search(text)
    xml = _XML.search(text)
    if xml and (not found or xml.start() < found.start()):
        end = text.rfind(">") + 1
        return [text[: xml.start()], Payload(text[xml.start() : end]), text[end:]]
    if not found:
        if "`" in text:
            return _cut(text, _TICKS)
        return [text]
    parts: list[Part] = []
    at = 0
    while found:
        start = found.start()
        parts.append(text[at:start].removesuffix("`"))
        try:
            end = _DECODER.raw_decode(text, start)[1]
        except ValueError:
            broken = _broken(text, start)
            if broken is None:
                return None
            return [*parts, Payload(text[start:broken].rstrip()), text[broken:].removeprefix("`")]
        except RecursionError:
            return None
        parts.append(Payload(text[start:end]))
        at = end + text.startswith("`", end)
        found = _OPEN.search(text, at)
    parts.append(text[at:])
    return parts


def _broken(text: str, start: int) -> int | None:
    """Where a payload that is not JSON ends: at its balancing bracket, or at the end of the message."""
    depth = 0
    quote = ""
    last = -1
    i = start
    while i < len(text):
        char = text[i]
        if quote:
            if char == "\\":
                i += 1
            elif char == quote or (char == "\n"):
                quote = ""
        elif char == '"' or (char == "'" and text[i - 1] in "{[,: \n\t("):
            quote = char
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
            last = i + 1
            if depth == 0:
                return last
        i += 1
    rest = text[last:] if last > 0 else text[start:]
    blank = rest.find("\n\n")
    if blank >= 0 and rest[blank:].strip():
        return None if last < 0 else last
    if last > 0 and rest.lstrip(" \n\t")[:1] not in ("", ",", ":", '"'):
        return last
    return len(text) if _LOOSE_JSON.match(rest) and "?" not in rest.rpartition('"')[2] else None
