"""docs/configuration.md is the schema's own words, and its examples load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from config_files import settings

from rung.config.describe import TABLES, keys, markdown

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_lists_every_key_as_the_schema_has_it() -> None:
    listed = PAGE.read_text().partition("<!-- keys -->\n")[2]
    # To bring the page up to date: rung config keys --markdown
    assert listed == markdown()


def test_every_key_says_what_it_means() -> None:
    listed = list(keys())
    assert len({(key.table, key.name) for key in listed}) == len(listed)
    assert all(key.doc for key in listed)
    assert {key.table for key in listed} == set(TABLES)


def test_the_defaults_shown_are_the_defaults(tmp_path: Path) -> None:
    """A file that says every default gives the settings of no file."""
    plain = settings(tmp_path).shown()
    text = ""
    for table in dict.fromkeys(key.table for key in keys()):
        if "." not in table:
            text += f"[{table}]\n"
            text += "".join(f"{key.name} = {key.default}\n" for key in keys() if key.table == table and key.default)
    shown = settings(tmp_path, text).shown()
    assert text.count("\n") > 40
    assert shown == {**plain, "source": str(tmp_path / "rung.toml")}


EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_load(tmp_path: Path, number: int) -> None:
    keys = {f"{name}_API_KEY": "k" for name in ("GROQ", "DEEPSEEK", "OPENAI")}
    found = settings(tmp_path, EXAMPLES[number], {**keys, "LAN_KEY": "k", "RUNG_KEYS": "k"})
    # One that chooses nothing among the three is told so; nothing else is wrong with any.
    assert [warning for warning in found.warnings if not warning.startswith("several providers")] == []


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4
