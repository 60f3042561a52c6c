"""`rung config` tells what is wrong and what holds, and never a secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rung.cli.config import command
from rung.errors import ConfigError

GROQ = {"GROQ_API_KEY": "sekrit"}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def run(*args: str, text: str = "", environ: dict[str, str] | None = None) -> Result:
    if text:
        Path("rung.toml").write_text(text)
    return CliRunner().invoke(command, args, env=environ)


def test_check_of_a_good_file() -> None:
    result = run("check", text="[server]\nport = 1\n", environ=GROQ)
    assert result.exit_code == 0
    assert "rung.toml: good. Providers: groq. Reference: groq:openai/gpt-oss-120b" in result.stdout
    assert result.stderr == ""


def test_check_suggests_lines_that_load() -> None:
    environ = {**GROQ, "OPENAI_API_KEY": "sekrit"}
    result = run("check", environ=environ)
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: several providers are switched on")
    again = run("check", text=result.stdout, environ=environ)
    assert (again.exit_code, again.stderr) == (0, "")


def test_check_of_a_bad_file() -> None:
    text = "[server]\nprot = 1\nport = 'x'\n"
    result = run("check", text=text)
    assert isinstance(result.exception, ConfigError)
    assert len(result.exception.problems) == 2
    told = run("check", "--json", text=text)
    assert told.exit_code == 2
    assert json.loads(told.stdout)["ok"] is False
    assert json.loads(told.stdout)["problems"] == list(result.exception.problems)


def test_check_for_programs() -> None:
    told = json.loads(run("check", "--json", environ={**GROQ, "GEMINI_API_KEY": "sekrit"}).stdout)
    assert (told["ok"], told["problems"], told["source"], len(told["warnings"])) == (True, [], None, 1)


def test_a_named_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[server]\nport = 5\n")
    told = json.loads(run("show", "--json", "--config", str(tmp_path / "a.toml")).stdout)
    assert told["server"]["port"] == 5
    assert told["source"] == str(tmp_path / "a.toml")


@pytest.mark.parametrize("args", [("show",), ("show", "--json"), ("check",), ("check", "--json")])
def test_no_secret_is_printed(args: tuple[str, ...]) -> None:
    text = "[server]\nkeys = ['sekrit']\n[providers.groq]\nkey = 'sekrit'\nheaders = { a = 'sekrit' }\n"
    result = run(*args, text=text, environ={"RUNG_KEYS": "sekrit2", "HTTPS_PROXY": "http://u:sekrit@p"})
    assert result.exit_code == 0
    assert "sekrit" not in result.output
    if args[0] == "show":
        assert result.output.count("***") == 5


def test_show_prints_every_section() -> None:
    shown = run("show", environ=GROQ).stdout
    for line in ("[server]", "port = 7864", "[exact]", "ttl = 86400.0", "[providers.groq]", 'key = "***"'):
        assert f"\n{line}\n" in shown


def test_keys_lists_the_schema() -> None:
    assert "[exact]\nenabled = true" in run("keys").stdout
    listed = json.loads(run("keys", "--json").stdout)
    assert {"table": "server", "key": "port", "default": "7864", "doc": "port; 0 takes a free one"} in listed
    assert "| `port` | `7864` |" in run("keys", "--markdown").stdout
