"""The habits of the house, read from the source itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from source import ROOT, SRC, imported, nodes, parsed, tracked

READS_ENVIRONMENT = ("config", "cli/")
"""config.py (or the room config/) and the command line; everybody else gets plain arguments."""

LAZY_IMPORTS = {
    "aiohttp": "the [proxy] extra",
    "yarl": "the [proxy] extra, with aiohttp",
    "onnxruntime": "the [minilm] extra: 68 MB of native code",
    "tokenizers": "the [semantic] extra",
    "usearch": "the [semantic] extra: native code that only large caches load",
    "xllamacpp": "the [local] extra: 100 MB of native code that only the child process loads",
    "sqlglot": "the [tools] extra",
    "json_repair": "the [tools] extra",
    "jsonschema": "the [tools] extra",
    "referencing": "the [tools] extra, with jsonschema",
    "ruamel": "the [tools] extra",
    "defusedxml": "the [tools] extra",
}
"""What may be imported inside a function outside cli/, and why: heavy, optional, or both."""

OPENS_CONNECTIONS = (
    "socket",
    "ssl",
    "http.client",
    "urllib.request",
    "ftplib",
    "smtplib",
    "requests",
    "httpx",
    "aiohttp",
)
MAY_OPEN_CONNECTIONS = ("wire/", "doors/", "cli/", "sim/", "local/pull.py", "local/remote.py")
"""One room carries calls to the outside, so one room has to be right about privacy. Doors only listen; a model is
pulled, or its header read, by a command, which no call can start."""


def test_imports_lie_lower() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_only_config_and_cli_read_the_environment() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, node in nodes(ast.Attribute)
        if isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in {("os", "environ"), ("os", "getenv"), ("os", "environb")}
        and not path.startswith(READS_ENVIRONMENT)
    ]
    found += [
        f"{path}: {name}"
        for path, node in nodes(ast.ImportFrom)
        for name in imported(node)
        if name in {"os.environ", "os.getenv"}
    ]
    assert found == []


def test_no_junk_drawers() -> None:
    assert [path for path in parsed() if re.search(r"(^|[/_])(utils?|helpers?|common|misc)(\.py$|/)", path)] == []


def test_imports_stand_at_the_top() -> None:
    """Inside a function only heavy extras may be imported; the command line starts fast by importing late."""
    found = [
        f"{path}:{statement.lineno} {name}"
        for path, function in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if not path.startswith("cli/")
        for statement in ast.walk(function)
        for name in imported(statement)
        if name.partition(".")[0] not in LAZY_IMPORTS
    ]
    assert found == []


def test_one_room_talks_to_the_outside() -> None:
    found = [
        f"{path}:{node.lineno} {name}"
        for path, node in nodes(ast.Import, ast.ImportFrom)
        if not path.startswith(MAY_OPEN_CONNECTIONS)
        for name in imported(node)
        if any(name == opener or name.startswith(f"{opener}.") for opener in OPENS_CONNECTIONS)
    ]
    assert found == []


def test_every_except_names_what_it_catches() -> None:
    found = [f"{p}:{n.lineno}" for p, n in nodes(ast.ExceptHandler) if not n.type]
    assert found == []


def test_nothing_is_left_unfinished() -> None:
    unfinished = re.compile(r"NotImplementedError|\bTODO\b|\bFIXME\b|\bXXX\b|\bstub\b")
    found = [
        f"{path}:{number}"
        for path in parsed()
        for number, line in enumerate((SRC / path).read_text().splitlines(), 1)
        if unfinished.search(line)
    ]
    assert found == []


# spelled in pieces, so that this file does not find itself
MACHINE = re.compile("/(?:" + "|".join(("work", "farm", "root")) + ")/" + r"|index[-_]url\s*[=:]|registry\s*=\s*http")


def test_no_registry_and_no_path_of_somebodys_machine() -> None:
    found = []
    for path in tracked():
        if path.stat().st_size > 400_000:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path}:{number}" for number, line in enumerate(text.splitlines(), 1) if MACHINE.search(line)]
    assert found == []


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "Makefile"])
def test_the_papers_are_there(name: str) -> None:
    assert (ROOT / name).is_file()


def test_tests_mirror_the_rooms() -> None:
    """A folder of tests is a room, or one of the few that test the whole house."""
    rooms = {path.name for path in SRC.iterdir() if path.is_dir()}
    whole = {"architecture", "contracts", "properties", "floor", "gateway", "config", "end_to_end", "chaos"}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders - rooms - whole == set()


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
