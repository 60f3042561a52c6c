"""Files over 400 lines and functions over 60 (docstring not counted) in src/, and a list that may only shrink.

    python scripts/size_report.py            report; exit 1 on a new or grown offender, or a stale entry
    python scripts/size_report.py --shrink   write smaller figures into size_allowed.json, and drop what fits now

An entry of size_allowed.json is ``"path" or "path:qualified.name": {"lines": N, "why": "..."}``. A new one is
written by hand, with its reason, and reviewed like code.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILE_LINES = 400
FUNCTION_LINES = 60
ROOT = Path(__file__).resolve().parents[1]
ALLOWED = ROOT / "scripts" / "size_allowed.json"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def body_lines(function: Function) -> int:
    """Lines from ``def`` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        first = function.body[0]
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Every function under `node` with its qualified name, nested ones too."""
    for child in ast.iter_child_nodes(node):
        name = prefix
        if isinstance(child, Function | ast.ClassDef):
            name = f"{prefix}.{child.name}" if prefix else child.name
            if isinstance(child, Function):
                yield name, child
        yield from functions(child, name)


def offenders(root: Path) -> dict[str, int]:
    """Everything in ``root/src`` over its limit: key -> lines."""
    found: dict[str, int] = {}
    for path in sorted((root / "src").rglob("*.py")):
        text = path.read_text()
        key = path.relative_to(root).as_posix()
        lines = len(text.splitlines())
        if lines > FILE_LINES:
            found[key] = lines
        for name, function in functions(ast.parse(text)):
            if (size := body_lines(function)) > FUNCTION_LINES:
                found[f"{key}:{name}"] = max(size, found.get(f"{key}:{name}", 0))
    return found


def problems(found: Mapping[str, int], allowed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What keeps the list from only shrinking, one line each."""
    told = []
    for key, lines in found.items():
        limit = FUNCTION_LINES if ":" in key else FILE_LINES
        if key not in allowed:
            told.append(f"{key}: {lines} lines, the limit is {limit}: split it, or say why in size_allowed.json")
        elif lines > allowed[key]["lines"]:
            told.append(f"{key}: grew from {allowed[key]['lines']} to {lines} lines")
        elif lines < allowed[key]["lines"]:
            told.append(f"{key}: shrank to {lines} lines; run scripts/size_report.py --shrink")
    told += [f"{key}: within the limit now; run scripts/size_report.py --shrink" for key in allowed if key not in found]
    told += [f"{key}: no reason given" for key, entry in allowed.items() if not entry.get("why")]
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shrink", action="store_true", help="lower the allowed figures to today's")
    shrink = parser.parse_args().shrink
    found, allowed = offenders(ROOT), json.loads(ALLOWED.read_text())
    if shrink:
        allowed = {
            key: {**entry, "lines": min(entry["lines"], found[key])} for key, entry in allowed.items() if key in found
        }
        ALLOWED.write_text(json.dumps(allowed, indent=2) + "\n")
    told = problems(found, allowed)
    print("\n".join(told) or f"sizes: {len(found)} over the limit, all of them accounted for")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
