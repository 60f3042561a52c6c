"""Importing rung is cheap and silent: nothing heavy, nothing from the network, nothing written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    *("aiohttp", "defusedxml", "httpx", "json_repair", "jsonschema", "numpy", "openai", "pydantic", "requests"),
    *("ruamel.yaml", "sqlglot", "starlette", "unittest", "urllib.request", "uvicorn", "xllamacpp", "xml.sax"),
}

WATCH = """
import sys
touched = []
def watch(event, args):
    if event.startswith(("socket.", "subprocess.", "urllib.")) or event in ("os.system", "os.mkdir", "sqlite3.connect"):
        touched.append(event)
    elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        touched.append(f"write {args[0]}")
sys.addaudithook(watch)
"""


def python(code: str, home: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        capture_output=True,
        text=True,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = python("import rung, sys; print(*sys.modules)", tmp_path).split()
    assert sorted(HEAVY & set(loaded)) == []


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = """
import sys
sys.argv = ["rung", "--help"]
from rung.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("\\nloaded:", *sys.modules)
"""
    shown, _, loaded = python(code, tmp_path).partition("\nloaded:")
    assert "serve" in shown
    assert sorted(HEAVY & set(loaded.split())) == []


@pytest.mark.parametrize("module", ["rung", "rung.gateway", "rung.cli.main"])
def test_import_touches_nothing(module: str, tmp_path: Path) -> None:
    assert python(f"{WATCH}import {module}\nprint(*touched)", tmp_path).split() == []
    assert list(tmp_path.iterdir()) == []
