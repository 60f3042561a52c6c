"""Where rung keeps its files, per platform."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rung.config import paths


def test_rung_home_wins() -> None:
    found = paths({"RUNG_HOME": "/r", "XDG_DATA_HOME": "/x", "HOME": "/h"})
    assert found.home == Path("/r")
    assert {found.models, found.ledger, found.cache, found.config} == {
        Path("/r/models"),
        Path("/r/ledger.sqlite3"),
        Path("/r/cache.sqlite3"),
        Path("/r/rung.toml"),
    }


def test_a_relative_rung_home_starts_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths({"RUNG_HOME": "data"}).home == tmp_path / "data"


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"HOME": "/h"}, "/h/.local/share/rung"),
        ("linux", {"HOME": "/h", "RUNG_HOME": ""}, "/h/.local/share/rung"),
        ("linux", {"HOME": "/h", "XDG_DATA_HOME": "/x"}, "/x/rung"),
        ("linux", {"HOME": "/h", "XDG_DATA_HOME": "relative"}, "/h/.local/share/rung"),
        ("darwin", {"HOME": "/h"}, "/h/Library/Application Support/rung"),
        ("win32", {"USERPROFILE": "/u"}, "/u/AppData/Local/rung"),
        ("win32", {"USERPROFILE": "/u", "LOCALAPPDATA": "/l"}, "/l/rung"),
    ],
)
def test_the_home_of_each_platform(
    monkeypatch: pytest.MonkeyPatch, platform: str, environ: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert paths(environ).home == Path(expected)
