"""What stands in a message besides words: payloads and their kinds, lists of choices, formulas, marks of length.

Every pattern is linear on hostile text, or bounded in its repeats; tests/ladder/test_task.py holds them to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

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
_BODILESS = re.compile(r"def \w+\([^)]*\)[^:\n]*:\s*(?:\"\"\"|''')", re.DOTALL)
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
_FORMS = ("yaml", "yml", "toml", "csv", "ini")
"""only where one of these is named are unfenced lines of it looked for"""
_TOML_BLOCK = re.compile(r"(?:^[ \t]*(?:\[[\w.\" -]+\]|[\w.-]+[ \t]*=[^\n]*)[ \t]*(?:\n\s*|\Z)){2,}", re.MULTILINE)
_YAML_BLOCK = re.compile(
    r"(?:^[ \t]*(?:- )?[\w.-]+:(?:[ \t][^\n]{0,80})?(?:\n|\Z)|^[ \t]+- [^\n]*(?:\n|\Z)){2,}", re.MULTILINE
)
_ROWS_BLOCK = re.compile(r"(?:^[^\s,;][^,;\n]{0,60}[,;]\S[^\n]*(?:\n|\Z)){2,}", re.MULTILINE)
LANGUAGE_PAIR = re.compile(
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


_FENCE_KIND = {
    **dict.fromkeys(("json", "jsonc", "json5", "jsonl", "ndjson"), "json"),
    **dict.fromkeys(("yaml", "yml"), "yaml"),
    **dict.fromkeys(("xml", "html", "svg"), "xml"),
    **dict.fromkeys(("csv", "tsv"), "rows"),
    **dict.fromkeys(("toml", "ini", "env", "properties"), "toml"),
    **dict.fromkeys(("text", "txt", "plain", "plaintext", "md", "markdown", "log", "console", "output"), "fenced_text"),
    "sql": "sql",
}


def lift(text: str, marks: set[str]) -> str:
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
    if "\n" in text and any(form in text.lower() for form in _FORMS):
        for kind, pattern in (("toml", _TOML_BLOCK), ("yaml", _YAML_BLOCK), ("rows", _ROWS_BLOCK)):
            text, cut = pattern.subn("\n § \n", text)
            if cut:
                marks.update((kind, "payload"))
    code = _CODE_LINE.search(text)
    if code is not None:
        marks.add("code")
        if not text[: code.start()].strip():
            marks.add("code_first")
        if _BODILESS.search(text):
            marks.add("bodiless")
    if '"""' in text or '"' in text or "“" in text or "«" in text:
        if _JSON_START.search(text):
            text = _lift_json(text, marks)
        text = _QUOTED.sub(quoted, text)
    elif "{" in text or "[" in text:
        text = _lift_json(text, marks)
    if "</" in text:
        text = _TAG.sub(tagged, text)
    return text


def _ticked(marks: set[str]) -> Callable[[re.Match[str]], str]:
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
        if _BODILESS.search(payload):
            marks.add("bodiless")
    elif _YAML.search(payload):
        marks.add("yaml")
    elif _ROWS.search(payload) or _PAIRS.search(payload):
        marks.add("rows")
    elif "=" in payload and _TOML.search(payload):
        marks.add("toml")


ENDS = 1_000
"""of the text outside payloads so much is searched for choices, signatures and queries"""


def describe(said: str, words: list[str], marks: set[str]) -> None:
    """Marks of the message's own text, outside its payloads."""
    ends = said if len(said) <= ENDS else f"{said[: ENDS // 2]}\n{said[-ENDS // 2 :]}"
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
    if "elect" in ends.lower() and _SQL.search(ends):
        marks.add("sql")
    marks |= choices(ends)
    if LANGUAGE_PAIR.search(said[:300]):
        marks.add("langpair")
    if _ARITHMETIC.match(said):
        marks.add("arithmetic")
    if "(" in ends and _SIGNATURE_LINE.search(ends):
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


def choices(text: str) -> set[str]:
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
