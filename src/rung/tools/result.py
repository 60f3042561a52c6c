"""What every tool takes and gives back."""

from __future__ import annotations

from dataclasses import dataclass


class CannotAnswer(Exception):
    """A tool's no: the payload is over a limit, no proof is possible, or the library is not installed.

    Not a fault: the call goes to the next rung. `reason` holds no payload text.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TooBig(CannotAnswer):
    """A limit on size, depth, work or expansion was met."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the work is to be done; a tool reads what concerns it.

    `indent` is one level's text (``"  "``, ``"\\t"``), None for the language's own habit. `width` is unused by
    JSON. `to` names the target language of a conversion, `schema` holds a JSON Schema's text, `types`
    says how CSV cells become JSON: ``strict`` (decline if a column looks like numbers or booleans),
    ``text`` (all strings) or ``infer``. `select` narrows lint rules to these codes (prefixes), `dialect`
    SQL to one of `sql.DIALECTS`.
    """

    indent: str | None = None
    sort_keys: bool = False
    minify: bool = False
    to: str = ""
    schema: str = ""
    types: str = "strict"
    select: tuple[str, ...] = ()
    dialect: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `line` and `column` count from 1 (0: the tool gave no place); `fr` is the same in French."""

    message: str
    line: int = 0
    column: int = 0
    code: str = ""
    fr: str = ""
    end_line: int = 0
    """where a two-place finding ends (a trailing comma and its bracket); 0 when there is one place"""
    end_column: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """A tool's answer.

    `text`: the document made, empty for a verdict. `language`: its language, for a fence. `proved`: the text
    was compared token by token with the input, or the findings are the tool's own. `ok`: the verdict of a
    check, None where a document was asked for. `edits`: what a repair changed.
    """

    text: str = ""
    language: str = ""
    proved: bool = True
    ok: bool | None = None
    findings: tuple[Finding, ...] = ()
    edits: tuple[str, ...] = ()


def place(text: str, offset: int) -> tuple[int, int]:
    """Line and column (from 1) of `offset` in `text`; a column counts characters."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def limited(text: str, limit: int) -> str:
    """`text`, or TooBig when it has more than `limit` characters."""
    if len(text) > limit:
        raise TooBig(f"the payload has more than {limit} characters")
    return text
