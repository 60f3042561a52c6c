from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rung.cli.tool import command


def tool(*arguments: str, text: str | bytes = "") -> Result:
    return CliRunner().invoke(command, list(arguments), input=text)


@pytest.mark.parametrize(
    ("arguments", "text", "code", "out"),
    [
        ("json format -", "[1]", 0, "[\n  1\n]\n"),
        ("json format --indent 4 --sort-keys", '{"b":1,"a":2}', 0, '{\n    "a": 2,\n    "b": 1\n}\n'),
        ("json format --indent tab", "[1]", 0, "[\n\t1\n]\n"),
        ("json minify", "[ 1 ]", 0, "[1]\n"),
        ("json validate", "[1]", 0, "ok\n"),
        ("json validate", "[1", 1, "the document ends too early at line 1, column 2\n"),
        ("json convert --to yaml", '{"a":1}', 0, "a: 1\n"),
        ("csv convert --to json --types infer", "a\n1", 0, '[\n  {\n    "a": 1\n  }\n]\n'),
        ("python lint", "import os\n", 1, "F401 `os` imported but unused at line 1, column 8\n"),
    ],
)
def test_pipes_and_exit_codes(arguments: str, text: str, code: int, out: str) -> None:
    done = tool(*arguments.split(), text=text)
    assert (done.exit_code, done.stdout) == (code, out)


def test_what_cannot_be_done_is_told_on_stderr() -> None:
    done = tool("json", "format", text="[1")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr == "rung: the payload is not valid JSON (end)\n"
    assert json.loads(tool("json", "format", "--json", text="[1").stdout)["ok"] is None


def test_repair_tells_its_edits_beside_the_document() -> None:
    done = tool("json", "repair", text="[1,]")
    assert done.stdout == "[\n  1\n]\n"
    assert "trailing comma" in done.stderr


def test_json_output_for_programs() -> None:
    told = json.loads(tool("json", "validate", "--json", text="[1").stdout)
    assert told["ok"] is False
    assert told["findings"][0]["code"] == "end"


def test_files_and_schemas(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"type":"object"}')
    (tmp_path / "d.json").write_text("[]")
    done = tool("json", "validate", str(tmp_path / "d.json"), "--schema", str(tmp_path / "s.json"))
    assert done.exit_code == 1
    assert "is not of type 'object'" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        "json",
        "json fly",
        "cobol format",
        "python minify",
        "json convert",
        "json schema",
        "json format --indent 0",
        "json format --indent x",
        "json format /nowhere/at/all.json",
        "yaml validate --schema pyproject.toml",
    ],
)
def test_bad_usage(arguments: str) -> None:
    assert tool(*arguments.split()).exit_code == 2


def test_input_that_is_no_text_or_too_large() -> None:
    assert tool("json", "validate", text=b"\xff\xfe").exit_code == 2
    assert tool("json", "validate", text=b" " * 4_000_001).exit_code == 2
