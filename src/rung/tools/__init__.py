"""What can be computed is never asked of a model: format, minify, sort, validate, repair, lint, convert.

    >>> from rung.tools import run, understand
    >>> task = understand('Minify this JSON: {"a": 1.0}')
    >>> run(task.language, task.action, task.text, task.options).text
    '{"a":1.0}'

`understand` says what a message asks for (or `NotATask`), `run` does it, `render` words the answer.
"""

from rung.tools.answer import Want, render
from rung.tools.intent import Intent, NotATask
from rung.tools.registry import ROWS, TOOLS, Tool, run, warm
from rung.tools.resolve import understand
from rung.tools.result import CannotAnswer, Finding, Options, Result, TooBig

__all__ = [
    "ROWS",
    "TOOLS",
    "CannotAnswer",
    "Finding",
    "Intent",
    "NotATask",
    "Options",
    "Result",
    "TooBig",
    "Tool",
    "Want",
    "render",
    "run",
    "understand",
    "warm",
]
