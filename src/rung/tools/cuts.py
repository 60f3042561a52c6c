"""Where a message's instruction ends and its payload begins, for payloads that no bracket or fence marks too.

`may_be_task` is the look every call pays for; `candidates` are the ways to cut a message that has passed it.
"""

from __future__ import annotations

import re

from rung.tools.intent import readable
from rung.tools.payload import MAX_INSTRUCTION, Part, Payload, split

_HEAD = re.compile(r"\s*(?=[^\W\d_])((?:[^:;{\[<`.?!\n]|\.(?=\w))*)")
_MAKES = re.compile(
    r"\s*(?:please\s+)?(?:write|create|generate|implement|build|[ée]cris|cr[ée]e|g[ée]n[èe]re)\s+(?:me\s+|moi\s+|-moi\s+)?"
    r"(?:an?|une?)\s+(?:[\w#+-]+\s+){0,2}"
    r"(?:function|script|program|class|method|module|test|story|poem|essay|fonction|programme|classe|m[ée]thode|po[èe]me)\b",
    re.IGNORECASE,
)
"""the most usual wish that begins with words of the grammar and is none of its tasks"""

_TAIL = re.compile(r"((?:[^:;}\]>`.?!\n]|\.(?=\w))+)[\s.:?!]*$")


def may_be_task(text: str) -> bool:
    """Whether the first or the last sentence reads as instruction: False for almost every ordinary message, in
    microseconds, however long it is."""
    if _MAKES.match(text):
        return False
    found = _HEAD.match(text[:400])
    tail = text[-400:].rstrip().rpartition("\n")[2][-300:]
    if found:
        return _opens(found[1]) or (len(tail) < len(text) and _names(tail, LOOSE_NAMES) and _closes(tail))
    if text[:400].lstrip()[:1] not in ("{", "[", "<", "`", "~", '"', "'", "-", "=", "*", "#"):
        return False
    if tail[-1:] in ("`", "}", "]", ">", "~"):
        return len(text) < MAX_SILENT
    return _closes(tail)


MAX_SILENT = 4_000
"""characters of a message that neither begins nor ends with words: its instruction, if any, is in its middle"""


def _closes(tail: str) -> bool:
    found = _TAIL.search(tail)
    return found is None or _opens(found[1])


def _opens(sentence: str) -> bool:
    return readable(sentence) or ('"' in sentence and readable(sentence.partition('"')[0]))


def _names(text: str, names: tuple[str, ...]) -> bool:
    text = text.lower()
    return any(name in text for name in names)


LOOSE_NAMES = ("python", "py", "sql", "yaml", "yml", "toml", "csv", "query", "requete", "requête")
NAMES = (*LOOSE_NAMES, "json", "xml")


def candidates(text: str) -> list[tuple[list[Part], bool]]:
    """Ways to cut a message, and whether the payload's end is certain (else only for `LOOSE` languages)."""
    out: list[tuple[list[Part], bool]] = []
    parts = split(text)
    if parts is not None:
        out.append((parts, True))
    fenced = parts is not None and any(isinstance(part, Payload) and part.fenced for part in parts)
    if not fenced and (_names(text[:600], LOOSE_NAMES) or _names(text[-400:], LOOSE_NAMES)):
        out += [(cut, False) for cut in (_after_head(text), _before_tail(text)) if cut is not None]
    return out


_BOUNDARY = re.compile(r"[:?.]")


def _after_head(text: str) -> list[Part] | None:
    """Instruction, then a payload in a loose language to the end of the message.

    Whole lines are instruction as long as they can be read as one. Behind a colon or a blank line only labels are
    (``Input:``), else YAML's ``config:`` or a CSV's ``key,value`` would be read as words.
    """
    at = 0
    led = False  # a colon or a blank line has announced the payload
    while at < min(len(text), MAX_INSTRUCTION):
        line, _, rest = text[at:].partition("\n")
        end = at + len(line) + 1
        if not line.strip():
            led = led or bool(text[:at].strip())
        elif led and not (line.rstrip().endswith((":", ".")) and rest[:1] not in (" ", "\t")):
            break
        elif not readable(line):
            at = at or _inside(line)
            break
        else:
            led = line.rstrip().endswith(":")
        at = end
    body = text[at:].strip("\n")
    if not text[:at].strip() or not body.strip() or prose(body):
        return None
    return [text[:at], Payload(body if "\n" in body else body.strip())]


def _inside(line: str) -> int:
    """Where the instruction ends that shares the message's first line with the payload."""
    best = 0
    for found in _BOUNDARY.finditer(line[:600]):
        if not readable(line[: found.end()]):
            break
        best = found.end()
    return best


def _before_tail(text: str) -> list[Part] | None:
    """A payload in a loose language, then the instruction as the last paragraph or line; perhaps a label first."""
    stripped = text.strip()
    label, _, rest = stripped.partition("\n")
    if label.endswith(":") and rest[:1] not in (" ", "\t") and rest.strip() and readable(label):
        stripped = rest.strip("\n")
    else:
        label = ""
    for mark in ("\n\n", "\n"):
        body, found, tail = stripped.rpartition(mark)
        if not found or not body.strip() or len(tail) > 400:
            continue
        if readable(tail) and not prose(body):
            return [label, Payload(body.strip("\n")), tail]
    return None


_SENTENCE = re.compile(r"[ \t]*[^\W\d_][^=:{}()\[\]<>;\"#]*[.?!][ \t]*$")
_FIRST_WORD = re.compile(r"[ \t]*([^\W\d_]+)\b(?![ \t]*[=(:.])")
_PLEAS = frozenset(
    re.findall(
        r"\w+",
        """please also then now finally explain translate summarise summarize tell give count what why how who
        puis ensuite aussi explique traduis dis donne compte que quel quelle pourquoi comment qui""",
    )
)
_JOINS = frozenset({"and", "if", "or", "when", "et", "si"})
_COMPARES = re.compile(r"[=<>(:]|\b(?:is|in|like|between)\b", re.IGNORECASE)


def prose(body: str) -> bool:
    """Whether an unfenced payload holds a line that reads like more instruction. Linear in its length."""
    for line in body.splitlines():
        end = line.rstrip()[-1:]
        found = _FIRST_WORD.match(line)
        if found and end != ":":
            word = found[1].lower()
            # ``and`` and ``if`` begin lines of SQL and Python too, with a comparison or a colon behind them.
            if word in _PLEAS or (word in _JOINS and not _COMPARES.search(line)):
                return True
        if end in (".", "?", "!") and len(line.split()) > 2 and _SENTENCE.match(line):
            return True
    return False


def short(parts: list[Part]) -> bool:
    return sum(len(part) for part in parts if isinstance(part, str)) <= MAX_INSTRUCTION
