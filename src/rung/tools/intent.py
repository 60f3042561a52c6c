"""What a call asks of the tools, or why it is not theirs: a small grammar that must account for every word.

Reading goes in three steps: `cuts.candidates` cuts instruction from payload, `read` turns the instruction into
known phrases (any unknown word ends it), and `rung.tools.resolve` decides whether together they say exactly
one thing. Nothing is guessed: what is left over, negated, quoted or ambiguous is not a task.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from rung.tools.answer import Want
from rung.tools.lexicon import Feature, Node, never, root
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
_QUOTE_SIGNS = frozenset("\"“”«»'‘’")
_ARROW_SIGNS = frozenset(">→⇒")
_FILE = re.compile(r"\b[\w.-]+\.(json|yaml|toml|csv|xml|sql)\b")
_FROM_TO = re.compile(r"\b(json|yaml|yml|toml|csv)2(json|yaml|yml|toml|csv)\b")
_SETTING = re.compile(r"\b(indent|indentation|indent size|tab size|sort keys)\s*[:=]\s*(?=\w)")
_CALLS = re.compile(r"\b(json|orjson|yaml|toml|tomllib|ast)\.(parse|loads?|dumps?|stringify)\b")
_NAMING = frozenset({"act", "adj", "ask", "fill"})
"""kinds whose phrases name the payload's language when they hold one (``fix the JSON errors``)"""
_ALIKE = frozenset({"style", "literals", "litteraux", "like"})
"""words that only compare with a language: ``python style quotes``"""
_APOSTROPHE = re.compile(r"(?<=[a-z])['’](?=[a-z])")
_TOLD = re.compile(
    r"[\"“«'‘](?:expecting|expected|unexpected|unterminated|invalid|extra data|\w+error|parse error)"
    r"[^\"'“”«»\n]{0,80}[\"”»'’]"
)
"""a parser's message, quoted: what is wrong in somebody's words, not an instruction"""
_CONTRACTIONS = {
    word.replace(" ", ""): word.split()
    for word in """don t,doesn t,isn t,won t,can t,i m,i ve,i d like,what s,where s,there s,that s,couldn t,didn t,
    wouldn t,aren t,j ai,c est,s il,syntax error,parse error""".replace("\n    ", "").split(",")
} | {"jsondecodeerror": ["parse", "error"]}
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
    pourquoi ne se pas il elle ils quel quelle ou ligne lignes fichier requete ces ses leur aux donnees tous toutes
    nous notre votre si dis indique mon ma formate formater valide verifie corrige convertis transforme repare
    minifie trie espaces stp svp merci bonjour salut uniquement vers cles indente erreur erreurs syntaxe passe
    """,
    )
)
_ENGLISH = frozenset(
    re.findall(
        r"\w+",
        """
    this the is are to it my please can you with only into of that and fix format validate check valid convert
    return give answer minify sort keys spaces thanks hi hello does below following
    """,
    )
)


_OFTEN = re.findall(
    r"\w+",
    """json yaml python format formatted validate valid minify indent indentation pretty please syntax convert
    formater indenter valider convertir""",
)
_REAL_WORDS = frozenset({"covert", "formated", "void", "vali", "formatter"})


def _typos() -> dict[str, str]:
    """The commonest slips of the words most written here: two letters swapped, one doubled or left out."""
    out: dict[str, str] = {}
    for word in _OFTEN:
        for i in range(1, len(word) - 1):
            out[word[:i] + word[i + 1] + word[i] + word[i + 2 :]] = word
            if len(word) > 4:
                out[word[:i] + word[i] + word[i:]] = out[word[:i] + word[i + 1 :]] = word
    return {slip: word for slip, word in out.items() if slip not in _REAL_WORDS}


_TYPOS = _typos() | {"jsno": "json", "josn": "json", "indention": "indentation", "formated": "formatted"}


_PARTICIPLE = re.compile(r"\b((?:re)?format|(?:re)?indent|minifi|compact|compress|condens|r[eé]par|corrig)é(?:e?s)?\b")


def fold(text: str) -> str:
    """Lower case, without accents, ligatures opened. ``formaté`` becomes ``formatee``, not the order ``formate``."""
    text = text.lower()
    if text.isascii():
        return text
    text = _PARTICIPLE.sub(r"\1ee", text)
    text = unicodedata.normalize("NFD", text.replace("œ", "oe").replace("\u00a0", " ").replace("\u202f", " "))
    return "".join(char for char in text if not unicodedata.combining(char))


def words(text: str) -> list[str] | None:
    """The words of an instruction, or None at the first character that has no place in one."""
    out: list[str] = []
    folded = fold(text)
    # Most messages have none of these signs, and every call pays for this reading.
    if not _QUOTE_SIGNS.isdisjoint(folded):
        folded = _TOLD.sub(" error ", _QUOTED.sub(r"\1", folded))
    if "." in folded:
        folded = _FILE.sub(r"\1 namedfile", _CALLS.sub(r"\1 \2", folded))
    if ":" in folded or "=" in folded:
        folded = _SETTING.sub(r"\1 ", folded)
    if "2" in folded:
        folded = _FROM_TO.sub(r"\1 to \2", folded)
    if not _ARROW_SIGNS.isdisjoint(folded):
        folded = _ARROW.sub(" to ", folded)
    if "'" in folded or "’" in folded:
        folded = _APOSTROPHE.sub(" ", folded)
    for found in _WORD.findall(folded):
        if found in _STOPS:
            out.append("|")
        elif found in _QUIET:
            continue
        elif not ("a" <= found[0] <= "z" or found[0].isdigit() or found in "?§"):
            return None
        elif found in _CONTRACTIONS:
            out += _CONTRACTIONS[found]
        else:
            out.append(_TYPOS.get(found, found))
    return out


def read(said: list[str]) -> Reading | None:
    """Every word as part of a known phrase, longest first, or None."""
    cut = _cut(said)
    if cut is None:
        return None
    reading = Reading(words=frozenset(said))
    pending = False
    for at, end, leaf, number in cut:
        if not leaf:
            reading.question |= said[at] == "?"
            if said[at] == "§":
                reading.phrases.append([("payload", "")])
                pending = False
            continue
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
        named = LANGUAGES.intersection(said[at:end])
        if named and features[0][0] in _NAMING and not _ALIKE.intersection(said[at:end]):
            reading.phrases += [[("noun", name)] for name in named]
        if any(kind == "prep" for kind, _ in leaf):
            pending = True
        elif not (said[at] in _BETWEEN or {("adj", "small"), ("adj", "pretty"), ("adj", "valid")} & set(leaf)):
            pending = False
        for each in said[at:end]:
            reading.french += each in _FRENCH
            reading.english += each in _ENGLISH
    return reading


Segment = tuple[int, int, list[Feature], str]
"""where a phrase begins and ends, what it says (nothing: a stop or a payload), the number in it"""


def _cut(said: list[str]) -> list[Segment] | None:
    """The instruction cut into phrases: the longest that fits, shorter ones where that leads nowhere."""
    start = root()
    path: list[Segment] = []
    untried: list[list[Segment]] = []
    dead: set[int] = set()
    at = 0
    while at < len(said):
        if said[at] in "|?§":
            options: list[Segment] = [(at, at + 1, [], "")]
        else:
            options = _phrases(start, said, at, _before(path))
            if options and ("no", "") in options[-1][2]:
                return None
        options = [one for one in options if one[1] not in dead]
        while not options:  # back to the last phrase with a shorter reading
            dead.add(at)
            if not path:
                return None
            at = path.pop()[0]
            options = [one for one in untried.pop() if one[1] not in dead]
        path.append(options.pop())
        untried.append(options)
        at = path[-1][1]
    return path


def _is_target(reading: Reading) -> bool:
    return bool(reading.phrases) and reading.phrases[-1][0][0] == "to"


_JOINS = frozenset({"and", "so", "but", "please", "et", "donc", "mais"})
"""words that end a sentence about the task as a stop does"""
_ENDS = frozenset("$@")


def _before(path: list[Segment]) -> frozenset[str]:
    """Which places of `lexicon` are open behind these phrases."""
    kinds: set[str] = set()
    last = ""
    for _, _, leaf, _ in reversed(path):
        if not leaf:
            break
        kinds |= {kind for kind, _ in leaf}
        last = last or leaf[0][0]
    begins = frozenset("^") if kinds <= {"fill"} else frozenset()
    follows = frozenset("@") if last in ("noun", "to") or not kinds & {"act", "verb", "obj"} else frozenset()
    return begins | follows | {"$"}


def _phrases(node: Node, said: list[str], at: int, before: frozenset[str]) -> list[Segment]:
    """Every phrase that begins at `at`, the longest last."""
    found: dict[int, Segment] = {}
    paths: list[tuple[Node, int, str]] = [(node, at, "")]
    while paths:
        node, i, number = paths.pop()
        if node.leaf:
            stops = i == len(said) or said[i] in "|?§"
            joins = not stops and said[i] in _JOINS
            leaf = [
                feature
                for feature, where in node.leaf
                if not where
                or (before.issuperset(where) and (stops or _ENDS.isdisjoint(where) or (joins and where != "$")))
            ]
            if leaf and (leaf[0][0] != "label" or i == len(said) or said[i] in "|§"):
                known = found.get(i, (at, i, [], ""))  # a number is also a word: "one line"
                found[i] = (at, i, known[2] + [one for one in leaf if one not in known[2]], known[3] or number)
        if i == len(said):
            continue
        word = said[i]
        if word.isdigit() or word in _NUMBERS:
            below = node.get("#")
            if below is not None:
                paths.append((below, i + 1, str(_NUMBERS.get(word, word))))
        below = node.get(word, wild=word.isalpha() and word not in never())
        if below is not None:
            paths.append((below, i + 1, number))
    return [found[end] for end in sorted(found)]


def readable(sentence: str) -> bool:
    """Whether a piece of text is nothing but known phrases."""
    said = words(sentence)
    return said is not None and read(said) is not None
