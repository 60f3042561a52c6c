"""Python: syntax by the compiler, lint and format by ruff.

Nothing is ever run or imported: `compile` makes code and drops it, ruff reads standard input. The code
reaches ruff by standard input only, with fixed arguments and ``--isolated``, so neither a request nor a
stray configuration file decides what it does.
"""

from __future__ import annotations

import ast
import io
import json
import subprocess
import tokenize
import warnings
from typing import Any

from rung.tools.extras import load
from rung.tools.result import CannotAnswer, Finding, Options, Result

MAX_CHARS = 200_000
RUFF_SECONDS = 2.0
LINT_RULES = ("E4", "E7", "E9", "F")
"""what ``lint`` reports: ruff's long-standing default set (import and statement style, syntax, pyflakes)"""
_SELECTABLE = frozenset({"F401", "F811", "F821", "F841"})


def validate(text: str, options: Options) -> Result:
    """`ok` if this interpreter's compiler takes the text as a module, with the place of the first fault."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<payload>", "exec", dont_inherit=True)
    except SyntaxError as error:
        message = error.msg or "invalid syntax"
        return Result(ok=False, findings=(Finding(message, error.lineno or 1, error.offset or 1, "syntax"),))
    except (ValueError, MemoryError, OverflowError):
        raise CannotAnswer("the compiler refuses to read this payload") from None
    return Result(ok=True)


def lint(text: str, options: Options) -> Result:
    """Ruff's findings under `LINT_RULES`, or only those of `options.select`. `ok` when there are none."""
    rules = [rule for rule in options.select if rule in _SELECTABLE] or list(LINT_RULES)
    out = _ruff("check", "--quiet", "--output-format=json", "--exit-zero", f"--select={','.join(rules)}", text=text)
    findings = tuple(_finding(found) for found in json.loads(out))
    if options.select:
        findings = tuple(one for one in findings if one.code in options.select or one.code == "invalid-syntax")
        if any(one.code == "invalid-syntax" for one in findings):
            raise CannotAnswer("the code does not parse")
    return Result(ok=not findings, findings=findings)


def _finding(found: dict[str, Any]) -> Finding:
    at = found.get("location") or {}
    return Finding(found["message"], at.get("row", 0), at.get("column", 0), found.get("code") or "invalid-syntax")


def format_(text: str, options: Options) -> Result:
    """`ruff format` with its own style (Black's, PEP 8 compatible), 88 columns, `options.indent` honoured.

    Proved by comparing syntax trees and comments of both texts.
    """
    if options.sort_keys or options.minify:
        raise CannotAnswer("Python has no such format")
    config = "" if options.indent is None else _indent_config(options.indent)
    made = _ruff("format", "--quiet", *(["--config", config] if config else []), text=text).rstrip("\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            same = _tree(text) == _tree(made) and _comments(text) == _comments(made)
    except (SyntaxError, ValueError, MemoryError):
        raise CannotAnswer("the code does not parse") from None
    if not same:
        raise CannotAnswer("the result could not be proved equal to the input")
    return Result(made, "python")


def _indent_config(indent: str) -> str:
    return 'format.indent-style = "tab"' if indent == "\t" else f"indent-width = {len(indent)}"


def _tree(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        # ruff normalises docstring indentation, which is inside a string's value.
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                first.value.value = "\n".join(line.strip() for line in first.value.value.strip().splitlines())
        if isinstance(node, ast.Delete):  # del (a, b) and del a, b are one statement to ruff
            node.targets = [
                part for one in node.targets for part in (one.elts if isinstance(one, ast.Tuple) else [one])
            ]
    return ast.dump(tree)


def _comments(text: str) -> list[str]:
    """Comment texts in any order: a formatter may move one past a bracket, never drop or change it."""

    found = tokenize.generate_tokens(io.StringIO(text).readline)
    return sorted(one.string.lstrip("#").strip() for one in found if one.type == tokenize.COMMENT)


def _ruff(*arguments: str, text: str) -> str:
    binary = load("ruff").find_ruff_bin()
    command = [binary, arguments[0], "--isolated", "--no-cache", *arguments[1:], "-"]
    try:
        done = subprocess.run(  # noqa: S603  fixed arguments; the payload goes by stdin
            command, input=text.encode(), capture_output=True, timeout=RUFF_SECONDS, check=False
        )
    except UnicodeEncodeError:
        raise CannotAnswer("the payload is not text") from None
    except subprocess.TimeoutExpired:
        raise CannotAnswer("ruff took too long") from None
    except OSError:
        raise CannotAnswer("ruff could not be started") from None
    if done.returncode != 0:
        raise CannotAnswer("ruff could not read the code")
    return done.stdout.decode()
