"""From known phrases to exactly one task, or to the reason why it is none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rung.tools.answer import Want
from rung.tools.intent import LANGUAGES, LOOSE, Intent, NotATask, Reading, candidates, may_be_task, read, short, words
from rung.tools.lexicon import Feature
from rung.tools.lossless import InvalidJson, Object, parse
from rung.tools.payload import Part, Payload
from rung.tools.result import CannotAnswer, Options

_ALIASES = {"yml": "yaml", "py": "python", "python3": "python", "jsonschema": "json"}
_SYNTAX_WORDS = frozenset({"syntax", "syntaxe", "syntactically", "syntaxiquement", "parse", "parses", "parsing"})
_TYPES = tuple(f'"{name}"' for name in ("object", "array", "string", "number", "integer", "boolean", "null"))
_INDENT_WORDS = frozenset({"indentation", "indent", "indente", "indenter", "indentez"})
_SCHEMA_KEYS = frozenset(
    {"$schema", "properties", "required", "items", "enum", "anyOf", "oneOf", "allOf", "$ref", "$defs"}
)
_PLAIN = frozenset({"", "text", "txt", "plaintext", "plain"})
_DOCUMENTS = frozenset({"format", "minify", "sort", "repair", "convert"})
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
    frozenset({"repair", "sort"}): "repair",
    frozenset({"lint"}): "lint",
    frozenset({"convert"}): "convert",
    frozenset({"convert", "sort"}): "convert",
    frozenset({"convert", "format"}): "convert",
    frozenset({"convert", "minify"}): "convert",
}


class _No(Exception):
    def __init__(self, reason: str) -> None:
        self.reason = reason


@dataclass(slots=True)
class _Said:
    """The features of a reading, ambiguous phrases decided."""

    count: Counter[Feature] = field(default_factory=Counter)
    acts: set[str] = field(default_factory=set)
    adjs: set[str] = field(default_factory=set)
    nouns: set[str] = field(default_factory=set)
    target: set[str] = field(default_factory=set)
    question: bool = False
    syntax: bool = False
    """syntax itself is named"""

    def has(self, kind: str, value: str) -> bool:
        return (kind, value) in self.count

    def values(self, kind: str) -> list[str]:
        return [value for have, value in self.count if have == kind]


def understand(prompt: str, system: str = "") -> Intent | NotATask:
    """The one task a message asks for, or why it is none. Microseconds for an ordinary message.

    `system` is the system prompt, which must be understood as wholly as the message itself.
    """
    if not may_be_task(prompt):
        return NotATask("the message does not begin or end like an instruction to a tool")
    lead = words(system) if system else []
    if lead is None or len(system) > 600:
        return NotATask("the system prompt is not understood")
    reason = "the payload cannot be told from the instruction"
    for parts, certain in candidates(prompt):
        outcome = _one(parts, lead)
        if isinstance(outcome, Intent) and (certain or outcome.language in LOOSE):
            return outcome
        reason = outcome.reason if isinstance(outcome, NotATask) else "the end of the payload is not certain"
    return NotATask(reason)


def _one(parts: list[Part], lead: list[str]) -> Intent | NotATask:
    if not short(parts):
        return NotATask("the instruction is too long")
    said = list(lead)
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
    except _No as no:
        return NotATask(no.reason)


def _resolve(reading: Reading, payloads: list[Payload]) -> Intent:
    said = _decide(reading)
    schema_at = _schema_position(reading, payloads)
    acts = _acts(said, reading.words)
    schema = ""
    if acts == {"validate"} and len(payloads) == 2 and schema_at is not None:
        acts = {"against"}
    if "against" in acts:
        if len(payloads) != 2 or schema_at is None:
            raise _No("a schema and a document are needed, each labelled")
        schema = payloads[schema_at].text
        payload = payloads[1 - schema_at]
    elif len(payloads) != 1:
        raise _No("there is more than one payload")
    elif said.has("mark", "schema"):
        raise _No("a schema is mentioned, but no second payload")
    else:
        payload = payloads[0]
    language = _language(said, payload, acts)
    acts = _with_target(said, acts, language)
    action = _COMBINATIONS.get(frozenset(acts))
    if action is None:
        raise _No("it asks for no task of ours, or for more than one" if acts else "it asks for no task of ours")
    if not payload.fenced and language in LOOSE and _too_loose(payload.text, language):
        raise _No("the unfenced payload does not look like its language")
    return Intent(language, action, payload.text, _options(said, acts, schema), _want(said, acts, reading))


def _decide(reading: Reading) -> _Said:
    said = _Said(question=reading.question, syntax=bool(reading.words & _SYNTAX_WORDS))
    sure = [features[0] for features in reading.phrases if len(features) == 1]
    hard = {
        value
        for kind, value in sure
        if kind in ("act", "verb") and value not in ("ask", "check", "get", "make", "sort")
    }
    asked = ("verb", "ask") in sure or reading.question
    described = ("verb", "get") in sure or ("verb", "make") in sure or bool(hard)
    for features in reading.phrases:
        said.count[_pick(features, asked, described)] += 1
    said.acts = set(said.values("act"))
    said.adjs = set(said.values("adj"))
    said.nouns = set(said.values("noun"))
    said.target = set(said.values("to"))
    said.nouns |= {value for kind, value in said.count if kind == "in"}
    meant = hard & {"convert", "format"} or ("verb", "get") in said.count
    if said.target and not (said.nouns & LANGUAGES) and not meant:
        # "parsed as JSON", "errors in JSON": the only language named is the payload's own.
        said.nouns, said.target = said.nouns | said.target, set()
    if len(said.target) == 1 and len(said.nouns & LANGUAGES) == 2:
        said.nouns -= said.target  # "JSON to YAML; output only the YAML"
    return said


def _pick(features: list[Feature], asked: bool, described: bool) -> Feature:
    """One meaning for a phrase that has several (``correct`` the verb and the adjective)."""
    if len(features) == 1:
        return features[0]
    acts = [one for one in features if one[0] == "act"]
    adjs = [one for one in features if one[0] == "adj"]
    if acts and adjs:
        return adjs[0] if described or (asked and adjs[0][1] in ("valid", "correct")) else acts[0]
    if len(acts) > 1:
        raise _No("a word has two meanings here")
    return next((one for one in features if one[0] != "fill"), features[0])


def _acts(said: _Said, reading_words: frozenset[str]) -> set[str]:
    """What is asked for, adjectives and questions included; raises _No where they contradict."""
    acts = set(said.acts)
    if said.has("verb", "sort") or said.has("obj", "keys"):
        if not (said.has("obj", "keys") and said.has("verb", "sort")) and "sort" not in acts:
            raise _No("only keys can be sorted")
        acts.add("sort")
    for role in said.values("role"):
        if said.has("verb", "get") or said.has("verb", "ask"):
            raise _No("a tool is asked for, not its work")
        acts.add(role)
    if said.values("sort"):
        acts.add("sort")
    if said.has("verb", "convert"):
        acts.add("convert")
    if not acts and said.values("indent") and reading_words & _INDENT_WORDS:
        acts.add("format")
    if "reindent" in acts:
        acts = acts - {"reindent"} | {"format"}
    if "pyformat" in acts:
        acts = acts - {"pyformat"} | {"format"}
    if said.values("select"):
        acts.add("lint")
    _apply_adjectives(said, acts)
    _apply_questions(said, acts)
    _refuse_questions(said, acts)
    return acts


def _refuse_questions(said: _Said, acts: set[str]) -> None:
    """``Is it sorted?``, ``check the formatting``, ``give me the sorted keys`` ask about a form, not for it."""
    made = acts & _DOCUMENTS
    if made and said.has("verb", "ask") and not said.adjs & {"broken", "unpretty"}:
        raise _No("a question about its form, not a task")
    if made and (said.has("verb", "check") or said.has("verb", "analyse")):
        raise _No("a check of its form is not a task of ours")
    if acts == {"sort"} and said.has("verb", "get") and not said.values("sort"):
        raise _No("the keys may be asked for, not the document")
    if said.has("verb", "analyse") and "lint" not in acts:
        raise _No("an analysis is not a task of ours")


def _apply_adjectives(said: _Said, acts: set[str]) -> None:
    made = said.has("verb", "make")
    got = said.has("verb", "get") or bool(said.target) or "convert" in acts or said.has("noun", "version")
    for adj in said.adjs:
        if adj == "line" or (adj == "small" and (made or got or acts & {"format", "minify"})):
            acts.discard("format")
            acts.add("minify")
            if not said.target:
                acts.discard("convert")
        elif adj == "many" or (adj == "pretty" and (made or got or acts & {"format", "repair", "sort"})):
            acts.add("format")
        elif (adj == "valid" and made and not acts) or (adj == "fixed" and (got or "repair" in acts)):
            acts.add("repair")
        elif adj in ("valid", "correct"):
            _valid(said, acts)
        elif adj == "parse":
            if not acts & {"convert"} and not said.target:
                _valid(said, acts)
        elif adj == "broken":
            asked = said.values("ask") or (said.adjs & {"valid"} and said.has("verb", "ask"))
            if "repair" not in acts and not asked:
                raise _No("broken is said, but not what to do")
        elif adj == "unpretty":
            if "format" not in acts:
                raise _No("an adjective without a task")
        elif adj == "converted":
            acts.add("convert")
        else:
            raise _No("an adjective without a task")
    if made and not said.adjs:
        raise _No("make what?")


def _valid(said: _Said, acts: set[str]) -> None:
    if acts & {"repair"}:
        return
    if acts - {"validate", "against"}:
        raise _No("validity is asked for together with something else")
    asked = said.has("verb", "ask") or said.has("verb", "check")
    if said.has("verb", "get") and not asked and not acts:
        raise _No("something valid is asked for, not whether it is")
    if said.question or asked or acts:
        acts.add("validate") if "against" not in acts else None
    else:
        raise _No("validity is stated, not asked")


def _apply_questions(said: _Said, acts: set[str]) -> None:
    if said.has("ask", "data") and "against" not in acts:
        raise _No("the data itself may be meant")
    asked = [value for value in said.values("ask") if value != "data"]
    if asked == ["errors"] and "repair" in acts and not said.has("verb", "ask"):
        return  # "it has errors, fix it"
    if asked:
        if acts - {"validate", "lint", "against"}:
            raise _No("errors are asked for together with something else")
        if not acts:
            acts.add("validate")
    if not acts and said.has("verb", "check") and said.nouns & {"json", "yaml", "toml", "xml"}:
        acts.add("validate")


def _language(said: _Said, payload: Payload, acts: set[str]) -> str:
    named = said.nouns & LANGUAGES
    fence = _ALIASES.get(payload.language, payload.language)
    if len(named) > 1:
        raise _No("more than one language is named")
    if fence not in LANGUAGES and fence not in _PLAIN:
        raise _No("the fence names a language we have no tool for")
    language = next(iter(named), "")
    if language and fence in LANGUAGES and fence != language:
        raise _No("the fence and the words name different languages")
    language = language or (fence if fence in LANGUAGES else "")
    if not language and (said.has("act", "pyformat") or said.values("select")):
        language = "python"
    if "query" in said.nouns:
        if language not in ("", "sql"):
            raise _No("the fence and the words name different languages")
        language = "sql"
    if not language and payload.text.lstrip()[:1] in ("{", "[") and _is_json(payload.text):
        language = "json"
        if acts == {"validate"} and not said.syntax:
            raise _No("what it should be valid as is not said")
    if not language and said.target == {"json"} and said.has("into", "valid"):
        language = "json"
    if not language:
        raise _No("the language is not said")
    if "reindent" in said.acts and language in ("python", "yaml"):
        raise _No("indentation means something there")
    if "lint" in acts and language == "json":
        acts -= {"lint"}
        acts.add("validate")
    if "lint" in acts and language != "python":
        raise _No("lint is for Python")
    if "pyformat" in said.acts and language != "python":
        raise _No("that formatter is for Python")
    if "correct" in said.adjs and not said.syntax and (language in ("python", "sql", "csv") or not named):
        raise _No("correct may mean more than its syntax")
    if language in ("python", "sql") and said.values("ask") and "lint" not in acts and not said.syntax:
        raise _No("errors may mean more than syntax")
    return language


def _is_json(text: str) -> bool:
    try:
        parse(text)
    except (InvalidJson, CannotAnswer):
        return False
    return True


def _with_target(said: _Said, acts: set[str], language: str) -> set[str]:
    targets = said.target
    if len(targets) > 1:
        raise _No("more than one target is named")
    target = next(iter(targets), language)
    if target == language:
        if "convert" in acts:
            acts = acts - {"convert"} | ({"repair"} if said.has("into", "valid") else set())
            if not acts:
                raise _No("a conversion to the same language")
        return acts
    named = bool(said.nouns & LANGUAGES)
    if acts <= {"convert", "format", "sort", "minify"} and (acts or named or said.has("verb", "get")):
        return (acts | {"convert"}) if target == "json" else (acts - {"format"}) | {"convert"}
    raise _No("a second language without a conversion")


def _too_loose(text: str, language: str) -> bool:
    if language == "yaml":
        return not any(":" in line or line.lstrip().startswith("- ") for line in text.splitlines())
    if language == "toml":
        return "=" not in text
    if language == "csv":
        return "\n" not in text
    return False


def _options(said: _Said, acts: set[str], schema: str) -> Options:
    indents = set(said.values("indent"))
    if len(indents) > 1:
        raise _No("two indentations are asked for")
    indent = None
    if indents:
        wanted = indents.pop()
        indent = "\t" if wanted == "tab" else " " * int(wanted)
        if wanted != "tab" and not 1 <= int(wanted) <= 16:
            raise _No("an unusual indentation")
        if not acts & {"format", "sort", "repair", "convert"} or "minify" in acts:
            raise _No("an indentation without a format")
    elif said.has("opt", "indent") and not acts & {"format", "sort", "repair", "minify"}:
        raise _No("an indentation without a format")
    if said.has("opt", "alpha") and "sort" not in acts:
        raise _No("an order without a sort")
    if said.has("opt", "keep") and not acts & _DOCUMENTS:
        raise _No("keep what?")
    if (said.has("opt", "text") or said.has("opt", "infer")) and "convert" not in acts:
        raise _No("types without a conversion")
    types = "text" if said.has("opt", "text") else "infer" if said.has("opt", "infer") else "strict"
    return Options(
        indent=indent,
        sort_keys="sort" in acts,
        minify="minify" in acts,
        to=next(iter(said.target), "") if "convert" in acts else "",
        schema=schema,
        types=types,
        select=tuple(said.values("select")),
    )


def _want(said: _Said, acts: set[str], reading: Reading) -> Want:
    check = bool(acts & {"validate", "lint", "against"})
    fence, bare = said.has("want", "fence"), said.has("want", "nofence")
    if fence and (bare or check):
        raise _No("the form of the answer is not clear")
    words = _verdict_words(said, reading)
    if (said.has("want", "yesno") or words[0]) and not check:
        raise _No("yes or no does not fit the task")
    if said.has("opt", "tell") and ("repair" not in acts or said.has("want", "only") or said.has("want", "noprose")):
        raise _No("the form of the answer is not clear")
    if said.has("opt", "list") and not (acts & {"lint", "validate"}):
        raise _No("a list of what?")
    languages = said.values("lang")
    if len(languages) > 1:
        raise _No("two languages for the answer")
    lang = languages[0] if languages else "fr" if reading.french > reading.english else "en"
    asks = "lint" if "lint" in acts else "schema" if "against" in acts else "valid"
    where = said.has("ask", "where")
    plain = not (said.adjs & {"valid", "correct"} or "validate" in said.acts or said.has("verb", "check"))
    if asks == "valid" and plain and said.has("ask", "errors") and not where:
        asks = "errors"
    located = asks == "valid" and where and plain
    if words[0] and (asks in ("errors", "lint") or said.has("want", "yesno")):
        raise _No("the form of the answer is not clear")
    if languages and acts & _DOCUMENTS and not said.has("opt", "tell"):
        lang = "en"
    return Want(lang, fence, said.has("want", "yesno"), words, where, said.has("opt", "tell"), asks, located)


def _verdict_words(said: _Said, reading: Reading) -> tuple[str, str]:
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
