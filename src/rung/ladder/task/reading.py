"""What a chat body says, as words and marks of structure: the bounded, linear first look of the classifier.

Payloads (fences, JSON, tagged or quoted text) are lifted out, so that the words left are mostly the instruction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rung.tools.intent import fold

HEAD_CHARS = 1_800
TAIL_CHARS = 900
"""of a long message only its beginning and its end are read: that is where people say what they want"""
SYSTEM_CHARS = 900
MAX_WORDS = 260
LEAD_WORDS = 30
TAIL_WORDS = 24
MAX_PARTS = 64
MAX_SCHEMA_NODES = 60

_WORD = re.compile(r"[a-z]+(?:\+\+|#(?![a-z0-9]))?|[0-9]+|[?§]")
_PHRASE_WORDS = 4

_FENCE = re.compile(r"(?:```|~~~)[ \t]*([\w+#.-]*)[^\n`~]*\n(.*?)(?:\n[ \t]*(?:```|~~~)|\Z)", re.DOTALL)
_TICKED = re.compile(r"`{1,3}([^`\n]{2,400})`{1,3}")
_TAG = re.compile(r"<([A-Za-z][\w-]{1,24})>\s*(.*?)\s*</\1>", re.DOTALL)
_QUOTED = re.compile(r'"""(.*?)"""|“([^“”]{40,1500})”|"([^"\n]{40,})"|«([^«»]{40,1500})»', re.DOTALL)
_RULED = re.compile(r"^[ \t]*(?:-{3,}|={3,}|\*{3,}|#{3,}|<{3,}|>{3,})[ \t]*$", re.MULTILINE)
_JSON_START = re.compile(r"""[{\[](?=\s*(?:["'{\[\]}\d]|[A-Za-z_]\w*"?\s*:|true|false|null))""")
_BRACKET = re.compile(r"[{}\[\]]")
_CODE_LINE = re.compile(
    r"^[ \t]*(?:def \w+\(|async def |class \w+[:({]|import \w|from [\w.]+ import|#include|public |private |static |"
    r"func |fn \w|function \w*\(|const \w+ ?=|let \w+ ?=|var \w+ ?=|package \w|SELECT\s|INSERT INTO|UPDATE \w+ SET|"
    r"CREATE TABLE|ALTER TABLE|#!/|return\b.*[;)]?$|for \(|if \(|while \(|print\(|<\?php|using namespace|int main)",
    re.MULTILINE | re.IGNORECASE,
)
_STUB = re.compile(r"def \w+\([^)]*\)[^:\n]*:\s*(?:\"\"\"|''')", re.DOTALL)
_SQL = re.compile(r"\bselect\b[^;]{1,200}\bfrom\b", re.IGNORECASE | re.DOTALL)
_PARAMETERS = re.compile(r'"(?:parameters|arguments|input_schema|args)"\s*:')
_NAME = re.compile(r'"name"\s*:\s*"')
_SCHEMA = re.compile(r'"(?:\$schema|properties|additionalProperties|\$defs)"\s*:')
_SIGNATURES = re.compile(
    r"^[ \t]*(?:[-*\d.]+[ \t]*)?`?[a-z_][\w.]*\([\w, :=\[\]'\"|]*\)`?\s*(?:->|[-:–—])", re.MULTILINE
)
_OPTIONS = re.compile(
    r"(?:^|\n)[ \t]*(?:\(?[A-Ea-e][.)]|[A-E]:)[ \t]*\S[^\n]*\n[ \t]*(?:\(?[B-Eb-e][.)]|[B-E]:)[ \t]*\S"
)
_LATEX = re.compile(
    r"\\(?:frac|sqrt|begin|text|angle|triangle|cdot|le|ge|ne|sum|int|pi|theta|left|overline|mathbf)\b|\$[^$\n]{1,80}\$"
)
_STDIN = re.compile(
    r"\b(?:Sample Input|Input Format|Constraints|Input:|-----Input-----|Example 1:|Examples?:\s*\n+\s*Input)",
    re.MULTILINE,
)
_BULLET = re.compile(r"^[ \t]*(?:[-*•]|\d{1,2}[.)])[ \t]+\S", re.MULTILINE)
_CHECKBOX = re.compile(r"^[ \t]*[-*][ \t]*\[[ xX]?\]", re.MULTILINE)
_HEADING = re.compile(r"^#{1,4} \S", re.MULTILINE)
_BLANK = re.compile(r"_{2,}|\s_\s")
_ROWS = re.compile(
    r"^[^,;\t|\n]{0,60}(?:[,;\t|][^,;\t|\n]{0,60}){2,}\n[^,;\t|\n]{0,60}(?:[,;\t|][^,;\t|\n]{0,60}){2,}$", re.MULTILINE
)
_YAML = re.compile(r"^[ \t]*[\w-]+:(?:[ \t]\S[^\n]*)?\n(?:[ \t]*(?:- )?[\w-]+:[^\n]*\n?){2,}", re.MULTILINE)
_PAIRS = re.compile(r"(?:^[^,;\t\s]+[,;\t][^,;\t\s]+$\n?){3,}", re.MULTILINE)
_TOML = re.compile(
    r"^[ \t]*[\w.-]+[ \t]*=[ \t]*[\"'\d\[tf{][^\n]*\n(?:[ \t]*(?:[\w.-]+[ \t]*=|\[)|\s*\n)", re.MULTILINE
)
_NAMES_A_FORM = re.compile(r"\b(?:ya?ml|toml|csv|ini)\b", re.IGNORECASE)
_TOML_BLOCK = re.compile(r"(?:^[ \t]*(?:\[[\w.\" -]+\]|[\w.-]+[ \t]*=[^\n]*)[ \t]*(?:\n\s*|\Z)){2,}", re.MULTILINE)
_YAML_BLOCK = re.compile(
    r"(?:^[ \t]*(?:- )?[\w.-]+:(?:[ \t][^\n]{0,80})?(?:\n|\Z)|^[ \t]+- [^\n]*(?:\n|\Z)){2,}", re.MULTILINE
)
_ROWS_BLOCK = re.compile(r"(?:^[^\s,;][^,;\n]{0,60}[,;]\S[^\n]*(?:\n|\Z)){2,}", re.MULTILINE)
_LANGUAGE_PAIR = re.compile(
    r"\b(?:en|fr|de|es|it|pt|nl|ru|zh|ja|pl)\s*(?:->|→|=>|>|2|to|vers)\s*(?:en|fr|de|es|it|pt|nl|ru|zh|ja|pl)\b",
    re.IGNORECASE,
)
_ARITHMETIC = re.compile(r"[\d\s+*/^().,=?x×÷%-]{3,}$")
_SIGNATURE_LINE = re.compile(
    r"(?:function|tool|fn|api|endpoint|outil|fonction)s?\s*\d*\s*[:=-]\s*`?[a-z_][\w.]*\(", re.IGNORECASE
)
_CHOICE = {
    "either": re.compile(r"\b(?:or|ou|vs)\b[^?.:\n]{1,40}[?:]", re.IGNORECASE),
    "slashes": re.compile(r"\w ?[/|] ?[\w-]{1,24} ?[/|] ?\w"),
    "named": re.compile(
        r"[:=] ?(?:[\w'-]{2,20}(?: [\w'-]{2,20})?, ?){1,12}(?:or |ou |and |et )?[\w'-]{2,20}(?: [\w'-]{2,20})?[.\n?]"
    ),
    "capitals": re.compile(r"\b[A-Z][A-Z_]{2,30},? (?:or |ou |and )?[A-Z][A-Z_]{2}"),
    "quote": re.compile(r"[\"“«'‘][^\"“”«»\n]{8,}[\"”»'’]"),
}
"""ways to name labels or fields, and a short quotation"""
_CAPITALISED = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
_WH = frozenset(
    {"who", "whom", "whose", "whos", "what", "when", "where", "which", "why", "how"}
    | {
        "qui",
        "quel",
        "quelle",
        "quels",
        "quelles",
        "quand",
        "ou",
        "combien",
        "pourquoi",
        "comment",
        "lequel",
        "laquelle",
    }
)
_BRACKETED = re.compile(r"[(\[{]([^()\[\]{}\n]{3,160})[)\]}]")
_MARKUP = re.compile(r"<\?xml|<(?!https?:)([A-Za-z][\w:.-]*)(?:\s[^<>]*)?>[^<]*<")
_LABEL = re.compile(
    r"^(?:text|input|message|review|document|context|passage|comment|tweet|ticket|source|texte|avis|phrase|sentence|utterance|query)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_OTHER_SCRIPT = re.compile(r"[\u0370-\u1fff\u3040-\u9fff\uac00-\ud7af]{2}")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_CALL_FORM = re.compile(r"^[a-z_][\w.]*\([^()\n]*\)\s*$", re.IGNORECASE)
_POLITE = frozenset(
    re.findall(
        r"\w+",
        """
        please kindly hi hello hey bonjour salut bonsoir coucou dear team can could would you i d like want need to we
        the so ok okay now just help me peux tu pourrais pouvez pourriez vous veuillez merci de stp svp s il te plait j
        aimerais je voudrais veux ai besoin peut on q question task instruction instructions user prompt your is
        """,
    )
)


@dataclass(slots=True)
class Reading:
    """`words`: the instruction's, folded, payloads shown as §. `ideas`: idea of words.txt -> where it first stands."""

    words: list[str] = field(default_factory=list)
    ideas: dict[str, int] = field(default_factory=dict)
    near: set[str] = field(default_factory=set)
    """ideas where instructions stand: the message's first and last words, and the system prompt"""
    told: set[str] = field(default_factory=set)
    """ideas of the system prompt"""
    marks: set[str] = field(default_factory=set)
    start: int = 0
    user_from: int = 0
    """where in `words` the user's own message begins (behind the system prompt)"""
    user_words: int = 0
    user: str = ""
    system: str = ""


def read(body: Mapping[str, Any]) -> Reading:
    """Read the last user message with what stands around it. Time is bounded whatever the body's size."""
    reading = Reading()
    system, user, kinds = _texts(body)
    reading.marks |= kinds
    reading.user, reading.system = user, system
    _parameters(body, reading.marks)
    said = _lift(_bounded(user), reading.marks)
    if system:
        reading.marks.add("system")
        lifted = _lift(system, reading.marks)
        if _LANGUAGE_PAIR.search(lifted[:300]):
            reading.marks.add("langpair")
        reading.marks |= {"system:" + name for name in _choices(lifted)}
        before = _WORD.findall(fold(lifted))[:120]
        reading.user_from = len(before)
        reading.words = before
    words = _WORD.findall(fold(said))
    if len(words) > MAX_WORDS:
        words = words[: MAX_WORDS - 80] + words[-80:]
    reading.user_words = len(words)
    reading.words = reading.words + words
    _find_ideas(reading)
    _count(said, words, reading.marks)
    return reading


def _texts(body: Mapping[str, Any]) -> tuple[str, str, set[str]]:
    messages = body.get("messages")
    kinds: set[str] = set()
    system, user = "", ""
    if not isinstance(messages, list):
        return system, user, kinds
    for message in messages[:2]:
        if isinstance(message, Mapping) and message.get("role") in ("system", "developer"):
            system += _text(message.get("content"), kinds)[:SYSTEM_CHARS] + "\n"
    for message in reversed(messages[-MAX_PARTS:]):
        if not isinstance(message, Mapping):
            continue
        role = message.get("role")
        if role == "tool":
            kinds.add("tool_result")
        elif role == "user":
            user = _text(message.get("content"), kinds)
            break
    return system.strip(), user, kinds


def _text(content: Any, kinds: set[str]) -> str:
    if isinstance(content, str):
        return content
    pieces: list[str] = []
    for part in content[:MAX_PARTS] if isinstance(content, list) else ():
        if isinstance(part, Mapping):
            if isinstance(part.get("text"), str):
                pieces.append(part["text"])
            else:
                kinds.add("media")
    return "\n".join(pieces)


def _bounded(text: str) -> str:
    text = text.strip()
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return f"{text[:HEAD_CHARS]}\n\n{text[-TAIL_CHARS:]}"


def _parameters(body: Mapping[str, Any], marks: set[str]) -> None:
    """Marks from what stands beside the messages."""
    tools = body.get("tools") or body.get("functions")
    choice = body.get("tool_choice", body.get("function_call"))
    if isinstance(tools, list) and tools and choice != "none":
        marks.add("tools")
        if choice == "required" or isinstance(choice, Mapping):
            marks.add("tool_forced")
    wanted = body.get("response_format")
    if not isinstance(wanted, Mapping):
        return
    if wanted.get("type") == "json_object":
        marks.add("json_mode")
    held = wanted.get("json_schema", wanted.get("schema"))
    if isinstance(held, Mapping):
        marks.add("schema_mode")
        fields = list(_fields(held.get("schema", held)))
        if (
            fields
            and all("enum" in one or one.get("type") in ("boolean", "number") for one in fields)
            and any("enum" in one for one in fields)
        ):
            marks.add("enum_mode")


def _fields(schema: Any) -> Iterator[Mapping[str, Any]]:
    """The leaves of a schema's properties, at most `MAX_SCHEMA_NODES`."""
    waiting, seen = [schema], 0
    while waiting and seen < MAX_SCHEMA_NODES:
        node = waiting.pop()
        seen += 1
        if not isinstance(node, Mapping):
            continue
        if isinstance(node.get("properties"), Mapping):
            waiting += list(node["properties"].values())[:MAX_SCHEMA_NODES]
        elif "items" in node:
            waiting.append(node["items"])
        else:
            yield node


_FENCE_KIND = {
    **dict.fromkeys(("json", "jsonc", "json5", "jsonl", "ndjson"), "json"),
    **dict.fromkeys(("yaml", "yml"), "yaml"),
    **dict.fromkeys(("xml", "html", "svg"), "xml"),
    **dict.fromkeys(("csv", "tsv"), "rows"),
    **dict.fromkeys(("toml", "ini", "env", "properties"), "toml"),
    **dict.fromkeys(("text", "txt", "plain", "plaintext", "md", "markdown", "log", "console", "output"), "fenced_text"),
    "sql": "sql",
}


def _lift(text: str, marks: set[str]) -> str:
    """The text with its payloads replaced by §, and what they are added to `marks`."""

    def fenced(found: re.Match[str]) -> str:
        marks.add("fence")
        language = found[1].lower()
        if language:
            marks.add(f"fence:{language[:12]}")
            marks.add(_FENCE_KIND.get(language, "code"))
        _look(found[2], marks)
        return " § \n"

    def tagged(found: re.Match[str]) -> str:
        marks.add("tag")
        _look(found[2], marks)
        return f" {found[1]} § \n"

    def quoted(found: re.Match[str]) -> str:
        marks.add("quoted")
        _look(found[0], marks)
        return " § "

    if "```" in text or "~~~" in text:
        text = _FENCE.sub(fenced, text)
    if "`" in text:
        text = _TICKED.sub(_ticked(marks), text)
    if "\n" in text and _NAMES_A_FORM.search(text):
        for kind, pattern in (("toml", _TOML_BLOCK), ("yaml", _YAML_BLOCK), ("rows", _ROWS_BLOCK)):
            text, cut = pattern.subn("\n § \n", text)
            if cut:
                marks.update((kind, "payload"))
    code = _CODE_LINE.search(text)
    if code is not None:
        marks.add("code")
        if not text[: code.start()].strip():
            marks.add("code_first")
        if _STUB.search(text):
            marks.add("stub")
    if '"""' in text or '"' in text or "“" in text or "«" in text:
        if _JSON_START.search(text):
            text = _lift_json(text, marks)
        text = _QUOTED.sub(quoted, text)
    elif "{" in text or "[" in text:
        text = _lift_json(text, marks)
    if "</" in text:
        text = _TAG.sub(tagged, text)
    return text


def _ticked(marks: set[str]) -> Any:
    def replace(found: re.Match[str]) -> str:
        inner = found[1]
        if inner[:1] in "{[<" or len(inner) > 60:
            _look(inner, marks)
            return " § "
        return f" {inner} "

    return replace


def _lift_json(text: str, marks: set[str]) -> str:
    out: list[str] = []
    at = 0
    for _ in range(8):
        start = _JSON_START.search(text, at)
        if start is None:
            break
        depth, end = 0, -1
        for found in _BRACKET.finditer(text, start.start()):
            depth += 1 if found[0] in "{[" else -1
            if depth == 0:
                end = found.end()
                break
        if end < 0:  # broken or cut: to the end of its paragraph
            gap = text.find("\n\n", start.start())
            end = gap if gap >= 0 else len(text)
        piece = text[start.start() : end]
        if len(piece) < 12 and ":" not in piece:
            out.append(text[at:end])
        else:
            _look(piece, marks)
            out.append(text[at : start.start()] + " § ")
        at = end
    out.append(text[at:])
    return "".join(out)


def _look(payload: str, marks: set[str]) -> None:
    """What a payload is."""
    marks.add("payload")
    begin = payload.lstrip()[:1]
    if begin in ("{", "["):
        if _NAME.search(payload) and _PARAMETERS.search(payload):
            marks.add("functions")
        elif _SCHEMA.search(payload):
            marks.add("schema")
            if '"enum"' in payload:
                marks.add("enum")
        if '"' in payload or ":" in payload or "," in payload:
            marks.add("json")
    elif begin == "<" and _MARKUP.search(payload):
        marks.add("xml")
    if _CODE_LINE.search(payload):
        marks.add("code")
        if _STUB.search(payload):
            marks.add("stub")
    elif _YAML.search(payload):
        marks.add("yaml")
    elif _ROWS.search(payload) or _PAIRS.search(payload):
        marks.add("rows")
    elif "=" in payload and _TOML.search(payload):
        marks.add("toml")


def _count(said: str, words: list[str], marks: set[str]) -> None:
    """Marks of the message's own text, outside its payloads."""
    if "\n" in said:
        for name, pattern in _LINES.items():
            if pattern.search(said):
                marks.add(name)
        if _RULED.search(said):
            marks.add("ruled")
        if "=" in said and _TOML.search(said):
            marks.add("toml")
    if ("\\" in said or "$" in said) and (latex := len(_LATEX.findall(said))):
        marks.add("latex" if latex > 1 or "\\" in said else "latex1")
    if "<" in said and _MARKUP.search(said):
        marks.add("xml")
    if "(" in said and _CALL_FORM.match(said):
        marks.add("call_form")
    if "_" in said and _BLANK.search(said):
        marks.add("blank")
    if _SQL.search(said):
        marks.add("sql")
    marks |= _choices(said)
    if _LANGUAGE_PAIR.search(said[:300]):
        marks.add("langpair")
    if _ARITHMETIC.match(said):
        marks.add("arithmetic")
    if "(" in said and _SIGNATURE_LINE.search(said):
        marks.add("signatures")
    numbers = len(_NUMBER.findall(said))
    marks.add("numbers:" + ("0" if not numbers else "1" if numbers == 1 else "2" if numbers < 4 else "many"))
    if "pairs" in marks:
        marks.add("rows")
    long = len(words)
    marks.add("long:" + next(name for limit, name in _LENGTHS if long < limit))
    if words and words[0] in _WH:
        marks.add("wh_first")
    elif not _WH.isdisjoint(words[:60]):
        marks.add("wh_inside")
    if said.islower():
        marks.add("lower")
    if (names := len(_CAPITALISED.findall(said[:600]))) > 1:
        marks.add("names" if names < 5 else "names:many")
    if said.rstrip()[-1:] == "?":
        marks.add("asks")
    if not said.isascii() and _OTHER_SCRIPT.search(said):
        marks.add("script")


def _choices(text: str) -> set[str]:
    found = {name for name, pattern in _CHOICE.items() if pattern.search(text)}
    if any("," in inner or "/" in inner or "|" in inner for inner in _BRACKETED.findall(text)):
        found.add("listed")
    return found


_LINES = {
    "options": _OPTIONS,
    "stdin": _STDIN,
    "bullets": _BULLET,
    "checkbox": _CHECKBOX,
    "heading": _HEADING,
    "rows": _ROWS,
    "pairs": _PAIRS,
    "yaml": _YAML,
    "labelled": _LABEL,
    "signatures": _SIGNATURES,
}
_LENGTHS = ((1, "0"), (4, "3"), (10, "9"), (20, "19"), (40, "39"), (80, "79"), (160, "159"), (100_000, "more"))


def _find_ideas(reading: Reading) -> None:
    """Ideas of words and phrases, the longest phrase first; where the instruction begins."""
    words, known, ideas = reading.words, lexicon(), reading.ideas
    starts = phrase_starts()
    lead, tail = reading.user_from + LEAD_WORDS, len(words) - TAIL_WORDS
    for at, word in enumerate(words):
        found = None
        if word in starts:
            for size in range(_PHRASE_WORDS, 1, -1):
                found = known.get(" ".join(words[at : at + size]))
                if found is not None:
                    break
        if found is None:
            found = known.get(word)
        if found is not None:
            for idea in found:
                ideas.setdefault(idea, at)
            if at < lead or at >= tail:
                reading.near.update(found)
            if at < reading.user_from:
                reading.told.update(found)
    begin = reading.user_from
    while begin < min(len(words), reading.user_from + 12) and words[begin] in _POLITE:
        begin += 1
    reading.start = begin if begin < len(words) else reading.user_from


@cache
def lexicon() -> dict[str, tuple[str, ...]]:
    """Phrase -> its ideas, from words.txt."""
    found: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "words.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            idea, phrases = line.split(":", 1)
            for phrase in phrases.split(","):
                key = " ".join(_WORD.findall(fold(phrase)))
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
