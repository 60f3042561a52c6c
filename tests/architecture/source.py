"""The tree as the architecture tests read it: tracked files and parsed modules."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "rung"


@cache
def tracked() -> tuple[Path, ...]:
    """Files that git tracks and that are still there; without git (an sdist) every file of the source rooms."""
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        paths = [ROOT / name for name in listed.splitlines()]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for room in ("src", "tests", "docs", "scripts") for path in (ROOT / room).rglob("*")]
    return tuple(path for path in paths if path.is_file() and "__pycache__" not in path.parts)


@cache
def parsed() -> dict[str, ast.Module]:
    """Every module of the package: path below src/rung -> its tree."""
    return {path.relative_to(SRC).as_posix(): ast.parse(path.read_text()) for path in sorted(SRC.rglob("*.py"))}


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, Any]]:
    """(path, node) of every node of these kinds in the package."""
    for path, tree in parsed().items():
        for node in ast.walk(tree):
            if isinstance(node, kinds):
                yield path, node


def imported(node: ast.AST) -> list[str]:
    """The modules an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names] if node.module else []
    return []
