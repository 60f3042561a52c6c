"""What structure and wording decide by themselves. Only these may say what kind of call it is *for certain*.

Each rule is a claim that its precision is .98 or better on wordings nobody tuned it to; docs/tasks.md has the
figures. A call that no rule takes is left to the learned head, whose word never opens the local rung.
"""

from __future__ import annotations

from typing import NamedTuple

from rung.ladder.task.reading import Reading


class Ruling(NamedTuple):
    task: str
    confidence: float
    why: str


_DOCUMENT = frozenset({"json", "xml", "yaml", "rows", "sql", "code", "schema"})
_CODE = frozenset({"code", "sql", "stub"})


def decide(reading: Reading) -> Ruling | None:
    """The first rule that holds, or None."""
    for rule in _RULES:
        found = rule(reading)
        if found is not None:
            return found
    return None


def _nothing(reading: Reading) -> Ruling | None:
    if "media" in reading.marks and reading.user_words < 1:
        return Ruling("other", 0.95, "no text beside the media")
    if not reading.words:
        return Ruling("other", 0.99, "no text")
    return None


def _tools(reading: Reading) -> Ruling | None:
    if reading.marks & {"tools", "tool_result"}:
        return Ruling("function_calling", 0.99, "tools in the request")
    if "functions" in reading.marks and not reading.near & {"format", "validate", "repair"}:
        return Ruling("function_calling", 0.98, "function definitions in the prompt")
    return None


def _enum(reading: Reading) -> Ruling | None:
    if "enum_mode" in reading.marks:
        return Ruling("classification", 0.98, "the answer's schema is a choice of labels")
    return None


_NOT_FORMATTING = frozenset({"extract", "classify", "translate", "analyse", "writedoc", "how", "appnoun", "chat"})


def _formatting(reading: Reading) -> Ruling | None:
    near, marks = reading.near, reading.marks
    document = marks & _DOCUMENT
    if not document:
        return None
    if "format" in near:
        act = "a layout is asked for"
    elif "validate" in near:
        act = "a validity is asked for"
    elif "convert" in near and "dataform" in near and not marks & {"stub"}:
        act = "a data format is asked for"
    elif "repair" in near and ("dataform" in near or "json" in marks) and "codenoun" not in near:
        act = "a repair is asked for"
    else:
        return None
    if near & _NOT_FORMATTING:
        return None
    first = reading.words[reading.start] if reading.words else ""
    if first in _MAKES and near & {"codenoun"}:
        return None
    if "rewrite" in near and "code" not in marks:
        return None
    return Ruling("validation_formatting", 0.99, f"{act}, and a document is there ({', '.join(sorted(document))})")


_MAKES = frozenset(
    {"write", "create", "implement", "build", "make", "generate", "develop", "design"}
    | {"ecris", "ecrire", "cree", "creer", "implemente", "developpe"}
)


def _extraction(reading: Reading) -> Ruling | None:
    near, marks = reading.near, reading.marks
    if "extract" in near and ("schema" in marks or "schema_mode" in marks) and not near & {"format", "validate"}:
        return Ruling("extraction", 0.97, "fields of a schema are to be taken from a text")
    return None


def _translation(reading: Reading) -> Ruling | None:
    near = reading.near
    if "translate" in near and "humanlang" in near and not reading.marks & _CODE:
        return Ruling("translation", 0.97, "a translation is asked for")
    return None


def _code(reading: Reading) -> Ruling | None:
    if "stub" in reading.marks and not reading.near & {"format", "validate", "repair", "convert"}:
        return Ruling("code_generation", 0.97, "a function's head and docstring without its body")
    return None


_RULES = (_nothing, _tools, _enum, _formatting, _extraction, _translation, _code)
