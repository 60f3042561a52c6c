"""The tools: one row each. A new tool is one file and one row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rung.tools import json_
from rung.tools.result import CannotAnswer, Options, Result


@dataclass(frozen=True, slots=True)
class Tool:
    """`run` is pure: text and options in, Result out, CannotAnswer when it cannot.

    `limit`: payload characters beyond which it declines. `heavy`: runs in a thread at any size (it spawns a
    process, or its library is slow); others move to a thread above `INLINE_CHARS`.
    """

    language: str
    action: str
    run: Callable[[str, Options], Result]
    limit: int = 1_000_000
    heavy: bool = False


INLINE_CHARS = 8_192
"""payload characters up to which a light tool may run on the event loop (about 2 ms of work)"""

ROWS: tuple[Tool, ...] = (
    Tool("json", "format", json_.format_),
    Tool("json", "minify", json_.minify),
    Tool("json", "validate", json_.validate),
)

TOOLS: dict[tuple[str, str], Tool] = {(row.language, row.action): row for row in ROWS}


def run(language: str, action: str, text: str, options: Options | None = None) -> Result:
    """Run one tool. Raises CannotAnswer (unknown tool, over a limit, no proof, library missing)."""
    tool = TOOLS.get((language, action))
    if tool is None:
        raise CannotAnswer(f"there is no tool to {action} {language}")
    if len(text) > tool.limit:
        raise CannotAnswer(f"the payload has more than {tool.limit} characters")
    try:
        return tool.run(text, options or Options())
    except RecursionError:
        raise CannotAnswer("the payload is nested too deep") from None
