"""From known phrases to exactly one task, or to the reason why it is none."""

from __future__ import annotations

import re

from rung.tools.answer import Want
from rung.tools.cuts import NAMES, candidates, may_be_task, prose, short
from rung.tools.intent import LANGUAGES, LOOSE, Intent, NotATask, Reading, read, words
from rung.tools.lexicon import Feature
from rung.tools.lossless import InvalidJson, Object, parse
from rung.tools.meaning import DOCUMENTS, Said, Unclear, acts_of, decide, told_who
from rung.tools.payload import Part, Payload
from rung.tools.result import CannotAnswer, Options

_ALIASES = {"yml": "yaml", "py": "python", "python3": "python", "jsonschema": "json"}
_QUALITIES = frozenset(
    re.findall(
        r"\w+",
        """clean neat nice nicely consistent consistently standard simple concise precise accurate complete readable
        content contents contenu contenus propre lisible joli coherent precis exact exactly values tidy everything""",
    )
)
_ERROR = re.compile(r"err(?:or|eur)|fail|exception|warn|\bbug|wrong|problem|crash", re.IGNORECASE)
_EXIST = frozenset({"there", "any", "contain", "contains", "have", "has", "t", "contient", "comporte"})
"""words that ask whether an error exists, not only where"""
_MANY = frozenset({"array", "list", "objects", "tableau", "liste", "objets", "row", "line", "record"})
_VALUES = frozenset({"string", "chaine", "dict", "object", "objet", "array", "tableau"})
_TYPES = tuple(f'"{name}"' for name in ("object", "array", "string", "number", "integer", "boolean", "null"))
_SCHEMA_KEYS = frozenset(
    {"$schema", "properties", "required", "items", "enum", "anyOf", "oneOf", "allOf", "$ref", "$defs"}
)
_PLAIN = frozenset({"", "text", "txt", "plaintext", "plain"})
_COMBINATIONS: dict[frozenset[str], str] = {
    frozenset({"format"}): "format",
    frozenset({"minify"}): "minify",
    frozenset({"sort"}): "format",
    frozenset({"format", "sort"}): "format",
    frozenset({"minify", "sort"}): "minify",
    frozenset({"validate"}): "validate",
    frozenset({"against"}): "schema",
    frozenset({"against", "validate"}): "schema",
    frozenset({"repair"}): "repair",
    frozenset({"repair", "format"}): "repair",
    frozenset({"repair", "minify"}): "repair",
    frozenset({"lint"}): "lint",
    frozenset({"convert"}): "convert",
    frozenset({"convert", "sort"}): "convert",
    frozenset({"convert", "format"}): "convert",
    frozenset({"convert", "minify"}): "convert",
}


LOOKED_AT = 8_000
"""characters of a payload that is said to be broken, up to which it is parsed here (2 ms) to see whether it is"""

MAX_SYSTEM = 600
"""characters of a system prompt that is read at all"""


def understand(prompt: str, system: str = "") -> Intent | NotATask:
    """The one task a message asks for, or why it is none. Microseconds for an ordinary message.

    `system` is the system prompt, which must be understood as wholly as the message itself.
    """
    reason = "the message does not begin or end like an instruction to a tool"
    lead = words(system) if 0 < len(system) <= MAX_SYSTEM else [] if not system else None
    if lead is None:
        return NotATask("the system prompt is not understood")
    cuts = candidates(prompt) if may_be_task(prompt) else []
    for parts, certain in cuts:
        outcome = _one(parts, lead)
        if isinstance(outcome, Intent) and (certain or outcome.language in LOOSE):
            return outcome
        reason = outcome.reason if isinstance(outcome, NotATask) else "the end of the payload is not certain"
    # A system prompt that is the whole instruction leaves nothing but a payload to the message.
    if system and _is_instruction(system, lead) and not prose(prompt[:2_000]):
        whole: list[Part] = [Payload(prompt.strip("\n"))]
        # One line without brackets is as well something said to the model.
        loose = [(whole, False)] if "\n" in prompt.strip() else []
        for parts, certain in [*([] if cuts else candidates(prompt)), *loose]:
            outcome = _one(parts, lead)
            if isinstance(outcome, Intent) and (certain or outcome.language in LOOSE):
                return outcome
    return NotATask(reason)


def _is_instruction(system: str, said: list[str]) -> bool:
    if not any(name in system.lower() for name in NAMES):
        return False
    reading = read(said)
    return reading is not None and any(kind in ("act", "role") for features in reading.phrases for kind, _ in features)


def _one(parts: list[Part], lead: list[str]) -> Intent | NotATask:
    if not short(parts):
        return NotATask("the instruction is too long")
    said = [*lead, "|"] if lead else []
    payloads: list[Payload] = []
    for part in parts:
        if isinstance(part, Payload):
            payloads.append(part)
            said.append("§")
        else:
            some = words(part)
            if some is None:
                return NotATask("a character of the instruction is not understood")
            said += some
    if not payloads or not all(part.text.strip() for part in payloads):
        return NotATask("there is no payload")
    reading = read(said)
    if reading is None:
        return NotATask("a word of the instruction is not understood")
    try:
        return _resolve(reading, payloads)
    except Unclear as no:
        return NotATask(no.reason)


def _resolve(reading: Reading, payloads: list[Payload]) -> Intent:
    said = decide(reading)
    schema_at = _schema_position(reading, payloads)
    acts = acts_of(said, reading.words)
    schema = ""
    if acts == {"validate"} and len(payloads) == 2 and schema_at is not None:
        acts = {"against"}
    if "against" in acts:
        if len(payloads) != 2 or schema_at is None:
            raise Unclear("a schema and a document are needed, each labelled")
        schema = payloads[schema_at].text
        payload = payloads[1 - schema_at]
    elif len(payloads) != 1:
        raise Unclear("there is more than one payload")
    elif said.has("mark", "schema"):
        raise Unclear("a schema is mentioned, but no second payload")
    else:
        payload = payloads[0]
    language = _language(said, payload, acts)
    acts = _with_target(said, acts, language)
    _refuse_meaning(said, acts, language, reading.words, payload.text)
    action = _COMBINATIONS.get(frozenset(acts))
    if action is None:
        raise Unclear("it asks for no task of ours, or for more than one" if acts else "it asks for no task of ours")
    if not payload.fenced and language in LOOSE and _too_loose(payload.text, language):
        raise Unclear("the unfenced payload does not look like its language")
    return Intent(language, action, payload.text, _options(said, acts, language, schema), _want(said, acts, reading))


def _language(said: Said, payload: Payload, acts: set[str]) -> str:
    named = said.nouns & LANGUAGES
    fence = _ALIASES.get(payload.language, payload.language)
    if len(named) > 1:
        raise Unclear("more than one language is named")
    if fence not in LANGUAGES and fence not in _PLAIN:
        raise Unclear("the fence names a language we have no tool for")
    language = next(iter(named), "")
    if language and fence in LANGUAGES and fence != language:
        raise Unclear("the fence and the words name different languages")
    language = language or (fence if fence in LANGUAGES else "")
    if not language and (said.has("act", "pyformat") or said.values("select")):
        language = "python"
    if dialects := _dialects(said):
        if len(dialects) > 1 or acts - {"format", "validate"} or (said.values("database") and "format" in acts):
            raise Unclear("a change of SQL dialect is not a task of ours")
        said.nouns.add("query")
    if "query" in said.nouns:
        if language not in ("", "sql"):
            raise Unclear("the fence and the words name different languages")
        language = "sql"
    if not language and payload.text.lstrip()[:1] in ("{", "[") and _is_json(payload.text):
        language = "json"
        if acts == {"validate"} and not said.syntax:
            raise Unclear("what it should be valid as is not said")
    if not language and said.target == {"json"} and said.has("into", "valid"):
        language = "json"
    if not language:
        raise Unclear("the language is not said")
    if "reindent" in said.acts and language in ("python", "yaml"):
        raise Unclear("indentation means something there")
    if "lint" in acts and language in ("json", "yaml", "toml", "xml"):
        acts -= {"lint"}
        acts.add("validate")
    if "lint" in acts and language != "python":
        raise Unclear("lint is for Python")
    if "convert" in acts and not said.target | said.acts & {"pyformat"} and language in ("python", "sql"):
        raise Unclear("rewritten code may mean more than its layout")
    if said.has("verb", "make") and "pretty" in said.adjs and language == "python":
        raise Unclear("readable code may mean more than its layout")
    if "cleanup" in said.acts and language in ("python", "sql"):
        raise Unclear("a clean-up of code may mean more than its layout")
    if "pyformat" in said.acts and language != "python":
        raise Unclear("that formatter is for Python")
    if acts == {"validate"} and language in ("python", "sql") and not (named or said.syntax):
        raise Unclear("what it should be valid as is not said")
    if "correct" in said.adjs and not said.syntax and (language in ("python", "sql", "csv") or not named):
        raise Unclear("correct may mean more than its syntax")
    if language in ("python", "sql") and said.values("ask") and "lint" not in acts and not said.syntax:
        raise Unclear("errors may mean more than syntax")
    return language


def _dialects(said: Said) -> set[str]:
    return {*said.values("dialect"), *said.values("database")}


def _refuse_meaning(said: Said, acts: set[str], language: str, words: frozenset[str], text: str) -> None:
    """Words that make a question of form one of content."""
    named = said.syntax or "validate" in said.acts or said.adjs & {"valid", "broken", "parse"}
    told = named or not (said.values("ask") or "repair" in acts)
    if not told and _ERROR.search(text) and (language != "json" or _is_json(text)):
        raise Unclear("the error may be the one the payload tells of")
    faulty = "repair" in acts or "broken" in said.adjs or (bool(said.values("ask")) and not words & _EXIST)
    looked = language == "json" and len(text) <= LOOKED_AT and "against" not in acts
    if looked and faulty and not said.syntax and _is_json(text):
        raise Unclear("what is wrong with it is not its syntax")
    exact = {"exactly", "exact", "precise", "precis"}
    placed = exact if words & {"where", "line", "ligne", "ou", "position"} else set()
    if acts & {"validate", "lint", "against"} and words & _QUALITIES - placed:
        raise Unclear("more than its syntax may be meant")
    if acts & {"validate", "lint", "against"} and (
        {"for", "purpose"} & set(said.values("fill")) or "namedfile" in words
    ):
        raise Unclear("valid for a purpose may mean more than its syntax")
    if said.has("fill", "role") and said.has("verb", "ask") and not told_who(words):
        raise Unclear("what it is, is not for its syntax to say")  # "is this a valid program?"
    if language == "csv" and "object" in words and said.target == {"json"} and not words & _MANY:
        raise Unclear("rows become an array, not an object")
    if ("fill", "oneline") in said.count and "minify" not in acts:
        raise Unclear("where it goes it may have to be on one line, or escaped")
    if "minify" in acts and said.target - {"json"}:
        raise Unclear("a compact form we do not write there")
    if "repair" in acts and words & {"content", "contents", "contenu"}:
        raise Unclear("its content may be meant")
    if language in ("python", "sql") and words & _VALUES:
        raise Unclear("a value in that language may be meant, not its source")


def _is_json(text: str) -> bool:
    try:
        parse(text)
    except (InvalidJson, CannotAnswer):
        return False
    return True


def _with_target(said: Said, acts: set[str], language: str) -> set[str]:
    targets = said.target
    if len(targets) > 1:
        raise Unclear("more than one target is named")
    target = next(iter(targets), language)
    if target == language:
        if "convert" in acts:
            if not said.target and said.acts & {"format", "minify", "sort", "repair", "lint", "validate"}:
                raise Unclear("a conversion without a target, besides something else")
            acts = acts - {"convert"} | ({"repair"} if said.has("into", "valid") else set())
            if not acts and (said.values("indent") or said.has("opt", "indent")) and language in ("json", "xml"):
                acts = {"format"}  # "rewrite this with two-space indentation"
            if not acts:
                raise Unclear("a conversion to the same language")
        return acts
    named = bool(said.nouns & LANGUAGES)
    if acts <= {"convert", "format", "sort", "minify"} and (acts or named or said.has("verb", "get")):
        return (acts | {"convert"}) if target == "json" else (acts - {"format"}) | {"convert"}
    raise Unclear("a second language without a conversion")


def _too_loose(text: str, language: str) -> bool:
    if language == "yaml":
        return not any(":" in line or line.lstrip().startswith("- ") for line in text.splitlines())
    if language == "toml":
        return "=" not in text
    if language == "csv":
        return "\n" not in text
    return language == "python" and not re.search(r"[=(:\n]", text)


def _options(said: Said, acts: set[str], language: str, schema: str) -> Options:
    indents = set(said.values("indent"))
    if len(indents) > 1:
        raise Unclear("two indentations are asked for")
    indent = None
    if indents:
        wanted = indents.pop()
        indent = "\t" if wanted == "tab" else " " * int(wanted)
        if wanted != "tab" and not 1 <= int(wanted) <= 16:
            raise Unclear("an unusual indentation")
        if not acts & {"format", "sort", "repair", "convert"} or "minify" in acts:
            raise Unclear("an indentation without a format")
        if "convert" in acts and said.target - {"json"} and indent != "  ":
            raise Unclear("an indentation we do not write there")
    elif said.has("opt", "indent") and not acts & {"format", "sort", "repair", "minify"}:
        raise Unclear("an indentation without a format")
    if said.has("opt", "upper") and (language != "sql" or acts != {"format"}):
        raise Unclear("capitals for what?")
    if said.has("opt", "header") and "csv" not in (language, *said.target):
        raise Unclear("a header line without CSV")
    if said.has("opt", "alpha") and "sort" not in acts:
        raise Unclear("an order without a sort")
    if said.has("opt", "keep") and not acts & DOCUMENTS:
        raise Unclear("keep what?")
    if (said.has("opt", "text") or said.has("opt", "infer")) and "convert" not in acts:
        raise Unclear("types without a conversion")
    types = "text" if said.has("opt", "text") else "infer" if said.has("opt", "infer") else "strict"
    return Options(
        indent=indent,
        sort_keys="sort" in acts,
        minify="minify" in acts,
        to=next(iter(said.target), "") if "convert" in acts else "",
        schema=schema,
        types=types,
        dialect=next(iter(_dialects(said)), ""),
        select=tuple(said.values("select")),
    )


def _want(said: Said, acts: set[str], reading: Reading) -> Want:
    check = bool(acts & {"validate", "lint", "against"})
    fence, bare = said.has("want", "fence"), said.has("want", "nofence")
    if fence and (bare or check):
        raise Unclear("the form of the answer is not clear")
    words = _verdict_words(said, reading)
    if (said.has("want", "yesno") or words[0]) and not check:
        raise Unclear("yes or no does not fit the task")
    if said.has("opt", "tell") and ("repair" not in acts or said.has("want", "only") or said.has("want", "noprose")):
        raise Unclear("the form of the answer is not clear")
    if said.has("opt", "fields") and "against" not in acts:
        raise Unclear("which fields are valid is for a schema to say")
    if said.has("opt", "list") and not check:
        raise Unclear("a list of what?")
    languages = said.values("lang")
    if len(languages) > 1:
        raise Unclear("two languages for the answer")
    lang = languages[0] if languages else "fr" if reading.french > reading.english else "en"
    asks = "lint" if "lint" in acts else "schema" if "against" in acts else "valid"
    where = said.has("ask", "where")
    plain = not (said.adjs & {"valid", "correct"} or "validate" in said.acts or said.has("verb", "check"))
    if asks == "valid" and plain and said.has("ask", "errors") and not where:
        asks = "errors"
    located = asks == "valid" and where and plain
    if located and said.has("ask", "errors") and reading.words & _EXIST:
        asks, located = "errors", False  # "is there an error? If so, where?"
    if words[0] and (asks in ("errors", "lint") or said.has("want", "yesno")):
        raise Unclear("the form of the answer is not clear")
    if languages and acts & DOCUMENTS and not said.has("opt", "tell"):
        lang = "en"
    return Want(lang, fence, said.has("want", "yesno"), words, where, said.has("opt", "tell"), asks, located)


def _verdict_words(said: Said, reading: Reading) -> tuple[str, str]:
    """``valid or invalid``, ``true or false``: the words themselves are the answer."""
    french = reading.french > reading.english
    if said.has("want", "validword"):
        return ("valide", "invalide") if french else ("valid", "invalid")
    if said.has("want", "truefalse"):
        return ("vrai", "faux") if french else ("true", "false")
    return ("", "")


def _schema_position(reading: Reading, payloads: list[Payload]) -> int | None:
    """Which of two payloads is the schema: one labelled so (else one a sentence about it leads to) that looks it.

    None unless exactly one of the two looks like a schema.
    """
    marked: list[int] = []
    led: list[int] = []
    at = 0
    last: Feature = ("", "")
    for features in reading.phrases:
        kinds = {kind for kind, _ in features}
        if "payload" in kinds:
            if last == ("mark", "schema"):
                marked.append(at)
            elif last == ("act", "against"):
                led.append(at)
            at += 1
            last = ("", "")
        elif ("mark", "schema") in features:
            last = ("mark", "schema")
        elif ("act", "against") in features:
            last = ("act", "against")
        elif kinds & {"noun", "to", "mark"}:
            last = ("noun", "")
    found = marked or led
    if len(payloads) != 2 or not found:
        return None
    alike = [i for i, payload in enumerate(payloads) if _like_schema(payload.text)]
    return alike[0] if len(alike) == 1 and alike[0] in found else None


def _like_schema(text: str) -> bool:
    try:
        value = parse(text).value
    except (InvalidJson, CannotAnswer):
        return False
    return isinstance(value, Object) and any(
        key.strip('"') in _SCHEMA_KEYS or (key == '"type"' and item in _TYPES) for key, item in value
    )
