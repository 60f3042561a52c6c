"""What a call asks of the tools, or why it is not theirs: a small grammar that must account for every word.

Reading goes in three steps: `payload.split` cuts instruction from payload, `read` turns the instruction into
known phrases (any unknown word ends it), and `rung.tools.resolve` decides whether together they say exactly
one thing. Nothing is guessed: what is left over, negated, quoted or ambiguous is not a task.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from rung.tools.answer import Want
from rung.tools.lexicon import Feature, Node, root, vocabulary
from rung.tools.payload import MAX_CHARS, MAX_INSTRUCTION, Part, Payload, split
from rung.tools.result import Options

LANGUAGES = frozenset({"json", "python", "sql", "yaml", "toml", "xml", "csv"})
LOOSE = frozenset({"python", "sql", "yaml", "toml", "csv"})
"""languages whose unfenced payload has no bracket to begin at"""


@dataclass(frozen=True, slots=True)
class NotATask:
    reason: str


@dataclass(frozen=True, slots=True)
class Intent:
    language: str
    action: str
    text: str
    options: Options = field(default_factory=Options)
    want: Want = field(default_factory=Want)


@dataclass(slots=True)
class Reading:
    """An instruction wholly read: its phrases in order (each with every feature it may have)."""

    phrases: list[list[Feature]] = field(default_factory=list)
    question: bool = False
    words: frozenset[str] = frozenset()
    french: int = 0
    english: int = 0


_WORD = re.compile(r"[a-z]+|[0-9]+|[?§]|[^a-z0-9?§]")
_STOPS = frozenset(".,:;!…\n")
"""no phrase reaches across these"""
_QUIET = frozenset(" \t\r()-–—_*/=&+#👍🙏🙂😊")
_ARROW = re.compile(r"[-=]+>|→|⇒")
_QUOTED = re.compile(r"[\"“”«'‘]\s?(yes|no|oui|non|true|false|vrai|faux|valide?|invalide?)\s?[\"“”»'’]")
_APOSTROPHE = re.compile(r"(?<=[a-z])['’](?=[a-z])")
_NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "six": 6,
    "eight": 8,
    "un": 1,
    "deux": 2,
    "trois": 3,
    "quatre": 4,
    "huit": 8,
}
_BETWEEN = frozenset({"a", "an", "the", "un", "une", "du", "le", "valid", "valide", "clean", "proper", "plain"})
_FRENCH = frozenset(
    re.findall(
        r"\w+",
        """
    ce cet cette le la les du des en est sont mets moi que qui sur avec sans par tu vous peux pouvez un une et
    mon ma formate formater valide verifie corrige convertis transforme repare minifie trie espaces stp svp
    merci bonjour salut uniquement vers cles indente erreur erreurs syntaxe passe
    """,
    )
)
_ENGLISH = frozenset(
    re.findall(
        r"\w+",
        """
    this the is are to it my please can you with only into of that and fix format validate check valid convert
    json's return give answer minify sort keys spaces thanks hi hello does below following
    """,
    )
)


def fold(text: str) -> str:
    """Lower case, without accents, ligatures opened."""
    text = text.lower()
    if text.isascii():
        return text
    text = unicodedata.normalize("NFD", text.replace("œ", "oe").replace("\u00a0", " ").replace("\u202f", " "))
    return "".join(char for char in text if not unicodedata.combining(char))


def words(text: str) -> list[str] | None:
    """The words of an instruction, or None at the first character that has no place in one."""
    out: list[str] = []
    folded = _APOSTROPHE.sub(" ", _ARROW.sub(" to ", _QUOTED.sub(r"\1", fold(text))))
    for found in _WORD.findall(folded):
        if found in _STOPS:
            out.append("|")
        elif found in _QUIET:
            continue
        elif not ("a" <= found[0] <= "z" or found[0].isdigit() or found in "?§"):
            return None
        else:
            out.append(found)
    return out


def read(said: list[str]) -> Reading | None:
    """Every word as part of a known phrase (the longest that fits), or None."""
    reading = Reading(words=frozenset(said))
    start = root()
    i = 0
    pending = False
    while i < len(said):
        word = said[i]
        if word == "|":
            i += 1
            continue
        if word == "?":
            reading.question = True
            i += 1
            continue
        if word == "§":
            reading.phrases.append([("payload", "")])
            pending = False
            i += 1
            continue
        end, leaf, number = _longest(start, said, i)
        if not leaf or ("no", "") in leaf:
            return None
        if leaf[0][0] == "label" and end < len(said) and said[end] not in ("|", "§"):
            return None
        features = [(kind, number if value == "#" else value) for kind, value in leaf]
        if pending and any(kind == "noun" and value in LANGUAGES for kind, value in features):
            features = [("to", value) for kind, value in features if kind == "noun"]
        if ("noun", "version") in features and reading.phrases and reading.phrases[-1][0][0] == "noun":
            reading.phrases[-1] = [("to", value) for _, value in reading.phrases[-1] if value in LANGUAGES] or [
                ("fill", "")
            ]
        elif ("adj", "valid") in features and (pending or _is_target(reading)):
            features = [("into", "valid")]
        reading.phrases.append(features)
        if any(kind == "prep" for kind, _ in leaf):
            pending = True
        elif not (word in _BETWEEN or {("adj", "small"), ("adj", "pretty"), ("adj", "valid")} & set(leaf)):
            pending = False
        for each in said[i:end]:
            reading.french += each in _FRENCH
            reading.english += each in _ENGLISH
        i = end
    return reading


def _is_target(reading: Reading) -> bool:
    return bool(reading.phrases) and reading.phrases[-1][0][0] == "to"


def _longest(node: Node, said: list[str], at: int) -> tuple[int, list[Feature], str]:
    """End of the longest phrase that begins at `at`, its features, and the number it holds."""
    best: tuple[int, list[Feature], str] = (at, [], "")
    paths: list[tuple[Node, int, str]] = [(node, at, "")]
    while paths:
        node, i, number = paths.pop()
        if node.leaf and i > best[0]:
            best = (i, node.leaf, number)
        if i == len(said):
            continue
        word = said[i]
        if word.isdigit() or word in _NUMBERS:
            below = node.get("#")
            if below is not None:
                paths.append((below, i + 1, str(_NUMBERS.get(word, word))))
        below = node.get(word)
        if below is not None:
            paths.append((below, i + 1, number))
    return best


_HEAD = re.compile(r"\s*([^\W\d_]+)")
_LINE = re.compile(r"[^\n]*\S")


def may_be_task(text: str) -> bool:
    """A cheap look at the first and the last line: False for almost every ordinary message, in microseconds."""
    found = _HEAD.match(text)
    if found:
        first = _LINE.match(text[:200].lstrip())
        return found is not None and first is not None and _starts_known(first[0])
    head = text[:400].lstrip()[:1]
    if head not in ("{", "[", "<", "`", "~", '"', "'", "-", "=", "*"):
        return False
    last = text[-400:].rstrip().rpartition("\n")[2][-200:]
    if last[:1] in ("`", "}", "]", "<", "~"):
        return len(text) < MAX_CHARS
    return any(_starts_known(piece) for piece in (last, re.split(r"[}\]>`]", last)[-1]))


def _starts_known(line: str) -> bool:
    """Whether the first words of a line could begin an instruction."""
    known = 0
    for word in _WORD.findall(_APOSTROPHE.sub(" ", fold(line[:120]))):
        if word in _QUIET or word in _STOPS:
            continue
        if word == "?":
            return True
        if not (word in vocabulary() or word in _NUMBERS or word.isdigit()):
            return known > 0 and not word.isalpha()
        known += 1
        if known == 8:
            return True
    return True


def candidates(text: str) -> list[tuple[list[Part], bool]]:
    """Ways to cut a message, and whether the payload's end is certain (else only for `LOOSE` languages)."""
    out: list[tuple[list[Part], bool]] = []
    parts = split(text)
    if parts is not None:
        out.append((parts, True))
    fenced = parts is not None and any(isinstance(part, Payload) and part.fenced for part in parts)
    if not fenced and (_LOOSE_NAME.search(text[:600]) or _LOOSE_NAME.search(text[-400:])):
        out += [(cut, False) for cut in (_after_head(text), _before_tail(text)) if cut is not None]
    return out


_LOOSE_NAME = re.compile(r"\b(?:python|py|sql|ya?ml|toml|csv|query|requ[eê]te)", re.IGNORECASE)
_BOUNDARY = re.compile(r"[:?.\n]")


def _after_head(text: str) -> list[Part] | None:
    """Instruction, then a payload in a loose language to the end of the message."""
    best = None
    for found in _BOUNDARY.finditer(text[:600]):
        said = words(text[: found.end()])
        if said is None or read(said) is None:
            if best is not None:
                break
            continue
        if text[found.end() :].strip():
            best = found.end()
    if best is None:
        return None
    body = text[best:].strip("\n")
    return None if _prose(body) else [text[:best], Payload(body if "\n" in body else body.strip())]


def _before_tail(text: str) -> list[Part] | None:
    """A payload in a loose language, then the instruction as the last paragraph or line."""
    stripped = text.rstrip()
    for mark in ("\n\n", "\n"):
        body, found, tail = stripped.rpartition(mark)
        if not found or not body.strip() or len(tail) > 400:
            continue
        said = words(tail)
        if said is not None and read(said) is not None and not _prose(body):
            return [Payload(body.strip("\n")), tail]
    return None


_SENTENCE = re.compile(r"^\s*[^\W\d_][^=:{}()\[\]<>;\"#]*\s\S+\s[^=:{}()\[\]<>;\"#]*[.?!]\s*$", re.MULTILINE)
_PLEA = re.compile(
    r"^\s*(?:please|also|then|and|now|finally|explain|translate|summari[sz]e|tell|give|count|what|why|how|who|if|"
    r"puis|ensuite|aussi|et|explique|traduis|dis|donne|compte|que|quel|quelle|pourquoi|comment|qui|si)\b"
    r"(?![ \t]*[=(:.])[^\n]*$",
    re.MULTILINE | re.IGNORECASE,
)


def _prose(body: str) -> bool:
    """Whether an unfenced payload holds a line that reads like more instruction."""
    if _SENTENCE.search(body):
        return True
    return any(not found[0].rstrip().endswith(":") for found in _PLEA.finditer(body))


def short(parts: list[Part]) -> bool:
    return sum(len(part) for part in parts if isinstance(part, str)) <= MAX_INSTRUCTION
