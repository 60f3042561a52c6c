"""Every sentence of the report is in French too, with the same places, and the catalogue holds nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import rung
from rung.report import page, render
from rung.report.conclude import KINDS
from rung.report.figures import UNKNOWN, Basis
from rung.report.french import SENTENCES
from rung.report.table import ROWS
from rung.report.words import ENGLISH, LANGUAGES, Words
from rung.web import pages

ROOM = Path(rung.__file__).parent
FRENCH = Words("fr")


def said(tree: ast.AST) -> Iterator[str]:
    """The sentences that are handed to a `say` as they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("say", "self.say"):
            asked = node.args[0]
            for part in (asked.body, asked.orelse) if isinstance(asked, ast.IfExp) else (asked,):
                if isinstance(part, ast.Constant):
                    yield part.value


def sentences() -> set[str]:
    files = [*(ROOM / "report").glob("*.py"), ROOM / "verdicts.py", ROOM / "cli/verdict.py", ROOM / "cli/recorded.py"]
    found = {told for file in files for told in said(ast.parse(file.read_text()))}
    found |= {*KINDS.values(), *page._SHORT.values(), *ROWS, *render.MARGINS, UNKNOWN.text}
    found |= {render.ADDS, render.OTHERWISE, render.MACHINES, render.UPKEEP}
    found |= {basis for basis in get_args(Basis) if render.MARKS[basis]}
    found |= set(render.PARTS.values())
    return found - {"", "?"}


def test_the_catalogue_is_whole() -> None:
    assert len(sentences()) > 100
    assert sentences() - set(SENTENCES) == set()
    assert set(SENTENCES) - sentences() == set()


@pytest.mark.parametrize("english", SENTENCES)
def test_the_same_places(english: str) -> None:
    assert sorted(re.findall(r"{\d}", english)) == sorted(re.findall(r"{\d}", SENTENCES[english]))


def test_the_page_and_the_report_speak_the_same_languages() -> None:
    assert LANGUAGES == pages.LANGUAGES


def test_figures() -> None:
    assert (ENGLISH.number(1234567.25, ",.1f"), FRENCH.number(1234567.25, ",.1f")) == (
        "1,234,567.2",
        "1\u202f234\u202f567,2",
    )
    assert (ENGLISH.percent(0.125, 1), FRENCH.percent(0.125, 1)) == ("12.5%", "12,5\u00a0%")
    assert (ENGLISH.usd(0.0000568123), FRENCH.usd(0.0000568123)) == ("0.0000568 USD", "0,0000568 USD")
    assert [ENGLISH.short(value) for value in (0.0, 22.5, 999.4, 1234.5, -0.25)] == [
        "0",
        "22.5",
        "999",
        "1,234",
        "-0.25",
    ]


def test_sentences() -> None:
    assert FRENCH("{0} days", "6,0") == "6,0 jours"
    assert FRENCH("{0}: does not fit", "9 MiB") == "9 MiB\u00a0: ne tient pas", "no line ends before a colon"
    assert FRENCH("replay:{x}") == ENGLISH("replay:{x}") == "replay:{x}", "a name nobody knows stays as it is"
