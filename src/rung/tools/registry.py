"""The tools: one row each. A new tool is one file and one row here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from rung.tools import json_, python, repair, schema, sql, toml_, values, xml_, yaml_
from rung.tools.extras import load
from rung.tools.result import CannotAnswer, Options, Result


@dataclass(frozen=True, slots=True)
class Tool:
    """`run` is pure: text and options in, Result out, CannotAnswer when it cannot.

    `inline`: payload characters up to which it may run on the event loop (about 2 ms of work); above, and
    always when 0 (it spawns a process), it belongs in a thread.
    """

    language: str
    action: str
    run: Callable[[str, Options], Result]
    inline: int = 8_000
    needs: tuple[str, ...] = ()
    """modules of the ``[tools]`` extra; loading them takes 20 to 400 ms once"""

    @property
    def ready(self) -> bool:
        """Whether nothing has to be loaded first."""
        return all(name in sys.modules for name in self.needs)


# sqlglot loads each dialect's module at its first use.
_SQL = ("sqlglot", *(f"sqlglot.dialects.{name}" for name in sql.DIALECTS if name))

ROWS: tuple[Tool, ...] = (
    Tool("json", "format", json_.format_),
    Tool("json", "minify", json_.minify),
    Tool("json", "validate", json_.validate),
    Tool("json", "schema", schema.against_schema, inline=2_000, needs=("jsonschema", "referencing")),
    Tool("json", "repair", repair.repair, inline=1_000, needs=("json_repair",)),
    Tool("json", "convert", values.converter("json"), inline=500, needs=("ruamel.yaml",)),
    Tool("yaml", "format", yaml_.format_, inline=200, needs=("ruamel.yaml",)),
    Tool("yaml", "validate", yaml_.validate, inline=300, needs=("ruamel.yaml",)),
    Tool("yaml", "convert", values.converter("yaml"), inline=300, needs=("ruamel.yaml",)),
    Tool("toml", "format", toml_.format_),
    Tool("toml", "validate", toml_.validate),
    Tool("toml", "convert", values.converter("toml"), inline=1_000, needs=("ruamel.yaml",)),
    Tool("csv", "convert", values.converter("csv"), inline=1_000, needs=("ruamel.yaml",)),
    Tool("xml", "format", xml_.format_, needs=("defusedxml.ElementTree", "defusedxml.common")),
    Tool("xml", "validate", xml_.validate, needs=("defusedxml.ElementTree", "defusedxml.common")),
    Tool("python", "validate", python.validate),
    Tool("python", "format", python.format_, inline=0, needs=("ruff",)),
    Tool("python", "lint", python.lint, inline=0, needs=("ruff",)),
    Tool("sql", "format", sql.format_, inline=500, needs=_SQL),
    Tool("sql", "validate", sql.validate, inline=500, needs=_SQL),
)

TOOLS: dict[tuple[str, str], Tool] = {(row.language, row.action): row for row in ROWS}


def run(language: str, action: str, text: str, options: Options | None = None) -> Result:
    """Run one tool. Raises CannotAnswer (unknown tool, over a limit, no proof, library missing)."""
    tool = TOOLS.get((language, action))
    if tool is None:
        raise CannotAnswer(f"there is no tool to {action} {language}")
    try:
        return tool.run(text, options or Options())
    except RecursionError:
        raise CannotAnswer("the payload is nested too deep") from None


def warm() -> list[str]:
    """Load every library now (about 0.4 s once) and return the names of those that are not installed."""
    missing: list[str] = []
    for name in sorted({name for row in ROWS for name in row.needs}):
        try:
            load(name)
        except CannotAnswer:
            missing.append(name)
    return missing
