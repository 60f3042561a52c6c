"""What structure and wording decide by themselves. Only these may say what kind of call it is *for certain*.

Each rule is a claim that its precision is .98 or better on wordings nobody tuned it to; docs/tasks.md has the
figures. A call that no rule takes is left to the learned head, whose word never opens the local rung.
"""

from __future__ import annotations

from typing import NamedTuple

from rung.ladder.task.reading import Reading
from rung.tools import NotATask, understand


class Ruling(NamedTuple):
    task: str
    confidence: float
    why: str


_DOCUMENT = frozenset({"json", "xml", "yaml", "toml", "rows", "sql", "code", "schema"})
_CODE = frozenset({"code", "sql", "bodiless"})


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
    if not reading.words and not reading.marks & {"script", "arithmetic"} and "payload" not in reading.marks:
        return Ruling("other", 0.99, "no text")
    return None


def _tools(reading: Reading) -> Ruling | None:
    if reading.marks & {"tools", "tool_result"}:
        return Ruling("function_calling", 0.99, "tools in the request")
    if "functions" in reading.marks and not reading.near & {"format", "validate", "repair", "layout", "validity"}:
        return Ruling("function_calling", 0.98, "function definitions in the prompt")
    return None


def _enum(reading: Reading) -> Ruling | None:
    if "enum_mode" in reading.marks:
        return Ruling("classification", 0.98, "the answer's schema is a choice of labels")
    return None


_STRONG = {"layout": "a layout", "validity": "a check of validity"}
_WEAK = frozenset({"format", "validate", "repair", "convert", "toform"})
_OTHER_WORK = frozenset({"translate", "classify", "extract", "analyse", "writedoc", "appnoun", "rewrite", "math"})
"""ideas beside which a weak word (``check``, ``convert``, ``fix``) may mean something else than the document's form"""


def may_be_formatting(reading: Reading) -> bool:
    """Whether form or validity is spoken of at all, and of something that has one."""
    return bool(reading.marks & (_DOCUMENT | {"payload"}) and (reading.near & _STRONG.keys() or reading.near & _WEAK))


def _formatting(reading: Reading) -> Ruling | None:
    """A document is there, and its form or validity is all that is asked about."""
    near, marks = reading.near, reading.marks
    document = marks & _DOCUMENT
    if not document or "options" in marks or ("code_first" in marks and "bodiless" in marks):
        return None
    first = reading.words[reading.start] if reading.words else ""
    if (first in _MAKES and near & {"codenoun", "appnoun", "writedoc", "schemanoun"}) or near & {
        "constructs",
        "how",
        "more",
    }:
        return None
    strong = near & _STRONG.keys()
    forms = _FORM_WORDS.intersection(reading.words)
    if strong and not near & {"extract"} and not ("translate" in near and "tolang" in near):
        act = " and ".join(_STRONG[idea] for idea in sorted(strong))
    elif near & {"toform", "convert"} and len(forms) > 1 and not near & (_OTHER_WORK - {"translate", "rewrite"}):
        act = "another data format"
    elif near & _OTHER_WORK:
        return None
    elif near & {"format", "validate"} and near & {"dataform", "codelang"}:
        act = "a layout or a check"
    elif "repair" in near and "dataform" in near and "codenoun" not in near:
        act = "a repair"
    else:
        return None
    kinds = ", ".join(sorted(document))
    return Ruling("validation_formatting", 0.99, f"{act} is asked for, and a document is there: {kinds}")


_FORM_WORDS = frozenset({"json", "yaml", "yml", "toml", "csv", "xml"})
_MADE = frozenset({"codenoun", "appnoun", "writedoc", "schemanoun"})
_MAKES = frozenset(
    {"write", "create", "implement", "build", "make", "generate", "develop", "design"}
    | {"ecris", "ecrire", "cree", "creer", "implemente", "developpe"}
)


def _tool_task(reading: Reading) -> Ruling | None:
    """What the tools' grammar reads as one of their tasks, to the last word."""
    if not reading.marks & (_DOCUMENT | {"payload"}) or len(reading.user) > TOOL_CHARS:
        return None
    task = understand(reading.user, reading.system)
    if isinstance(task, NotATask):
        return None
    return Ruling("validation_formatting", 0.99, f"a task of the tools: {task.language} {task.action}")


TOOL_CHARS = 1_500
"""longer messages are left to the other rules: the grammar's payloads must be parsed"""


def _extraction(reading: Reading) -> Ruling | None:
    """Fields of a schema, or what a system prompt names, from a text."""
    near, marks, told = reading.near, reading.marks, reading.told
    if "extract" not in near or near & {"format", "validate", "layout", "validity", "constructs"}:
        return None
    if marks & {"schema", "schema_mode"}:
        return Ruling("extraction", 0.97, "fields of a schema are to be taken from a text")
    if (
        "extract" in told
        and told & {"fieldnoun", "entity", "jsonout"}
        and not told & {"classify", "translate", "analyse"}
    ):
        return Ruling("extraction", 0.97, "the system prompt names what is to be taken from the message")
    return None


_LABELS = frozenset({"listed", "named", "slashes", "either", "capitals"})
_GIVEN = frozenset({"quote", "quoted", "payload", "labelled", "system"})
_NOT_LABELLING = frozenset(
    {"extract", "constructs", "codenoun", "layout", "validity", "format", "validate", "toform", "analyse", "translate"}
    | {"math", "rewrite", "appnoun", "writedoc", "passageq", "mc", "how", "puzzle"}
)


def _labelling(reading: Reading) -> Ruling | None:
    """Labels are named, and a text to put under them is given."""
    near, marks = reading.near, reading.marks
    named = marks & _LABELS or {mark for mark in marks if mark.startswith("system:")}
    if "classify" not in near or not named or not marks & _GIVEN or marks & {"options", "numbers:many", "code"}:
        return None
    if near & _NOT_LABELLING:
        return None
    return Ruling("classification", 0.97, "labels are named, and a text to put under them is given")


def _translation(reading: Reading) -> Ruling | None:
    near = reading.near
    if near & {"classify", "rewrite", "math", "extract", "analyse", "mc"}:
        return None
    if "translate" in near and "tolang" in near and not reading.marks & (_CODE | {"options"}):
        return Ruling("translation", 0.97, "a translation into or out of a language is asked for")
    return None


def _code(reading: Reading) -> Ruling | None:
    if "bodiless" in reading.marks and "code_first" in reading.marks:
        return Ruling("code_generation", 0.97, "a function's head and docstring without its body")
    return None


_RULES = (_nothing, _tools, _enum, _formatting, _tool_task, _extraction, _labelling, _translation, _code)
