"""Sizes may only go down: the ratchet itself, and today's tree against it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import size_report


def tree(root: Path, text: str) -> Path:
    (root / "src").mkdir()
    (root / "src" / "room.py").write_text(text)
    return root


def function(lines: int, docstring: int = 0) -> str:
    doc = ['    """' + "\n" * docstring + '    """'] if docstring else []
    return (
        "\n".join(["class A:", "  def f():", *(f"    {line}" for line in doc), *["        pass"] * (lines - 1)]) + "\n"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = 1\n" * 400, {}),
        ("x = 1\n" * 401, {"src/room.py": 401}),
        (function(60), {}),
        (function(61), {"src/room.py:A.f": 61}),
        (function(60, docstring=20), {}),
        (function(61, docstring=20), {"src/room.py:A.f": 61}),
    ],
)
def test_what_is_over_the_limit(tmp_path: Path, text: str, found: dict[str, int]) -> None:
    assert size_report.offenders(tree(tmp_path, text)) == found


@pytest.mark.parametrize(
    ("found", "allowed", "said"),
    [
        ({"a.py": 401}, {}, "the limit is 400"),
        ({"a.py:f": 61}, {}, "the limit is 60"),
        ({"a.py": 501}, {"a.py": {"lines": 500, "why": "one table"}}, "grew from 500 to 501"),
        ({"a.py": 450}, {"a.py": {"lines": 500, "why": "one table"}}, "shrank to 450"),
        ({}, {"a.py": {"lines": 500, "why": "one table"}}, "within the limit now"),
        ({"a.py": 500}, {"a.py": {"lines": 500}}, "no reason given"),
    ],
)
def test_the_list_may_only_shrink(found: dict[str, int], allowed: dict[str, dict[str, object]], said: str) -> None:
    (told,) = size_report.problems(found, allowed)
    assert said in told


def test_a_listed_offender_passes() -> None:
    assert size_report.problems({"a.py": 500}, {"a.py": {"lines": 500, "why": "one table"}}) == []


def test_this_tree() -> None:
    allowed = json.loads(size_report.ALLOWED.read_text())
    assert size_report.problems(size_report.offenders(size_report.ROOT), allowed) == []
