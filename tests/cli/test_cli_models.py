"""``rung models`` with a catalogue of two small made-up files."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from rung.cli import models as cli
from rung.errors import ModelFileError
from rung.local import catalogue, fit
from rung.local.catalogue import Row
from rung.local.hardware import Hardware
from rung.sim import simulator

BIG, SMALL = b"big" * 1000, b"small"
MiB = 1024 * 1024


def a_row(name: str, content: bytes, layers: int) -> Row:
    return Row(
        name=name,
        title=name.title(),
        license="MIT",
        file=name.replace(":", "-") + ".gguf",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        default=True,
        layers=layers,
        kv_heads=2,
        head_dim=64,
        q4_k_bytes=0,
        read_bytes=0,
        kinds={},
        context_length=4096,
        vocabulary=0,
    )


ROWS = (a_row("toy:big", BIG, 64), a_row("toy:small", SMALL, 2))


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "rows", lambda: ROWS)
    monkeypatch.setattr(fit, "rows", lambda: ROWS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the test's RUNG_HOME keeps models."""
    folder = tmp_path / "rung" / "models"
    folder.mkdir(parents=True)
    return folder


def free(monkeypatch: pytest.MonkeyPatch, mib: int) -> None:
    monkeypatch.setattr(cli.hardware, "look", lambda: Hardware(4, 64 * 1024 * MiB, mib * MiB))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.command, arguments)


def told(*arguments: str) -> Any:
    return orjson.loads(run(*arguments, "--json").stdout)


def test_list_says_what_is_here_and_what_would_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 700)
    (folder / "toy-small.gguf").write_bytes(SMALL)
    big, small = told("list")["models"]
    assert (big["name"], big["state"], big["fits"], big["path"]) == ("toy:big", "absent", False, None)
    assert (small["state"], small["fits"], small["path"]) == ("unverified", True, str(folder / "toy-small.gguf"))
    lines = run("list").stdout.splitlines()
    assert lines[1].split() == ["toy:big", "0", "MiB", "292", "MiB", "no", "absent"]
    assert "700 MiB of memory are free" in lines[-1]


def test_pull_takes_what_is_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 4000)
    (folder / "toy-big.gguf").write_bytes(BIG)
    done = run("pull", "toy:big")
    assert done.exit_code == 0
    assert "toy:big is here and verified" in done.stdout
    assert told("pull", "toy:big")["state"] == "ready"


def test_pull_default_keeps_the_smaller_one_that_is_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 4000)
    (folder / "toy-small.gguf").write_bytes(SMALL)
    assert told("pull", "default")["name"] == "toy:small"


@pytest.mark.parametrize(("mib", "reason"), [(4000, "toy:big could not be fetched"), (100, "toy:small needs 168 MiB")])
def test_without_any_model_only_if_fits_is_content(monkeypatch: pytest.MonkeyPatch, mib: int, reason: str) -> None:
    free(monkeypatch, mib)
    done = run("pull", "default", "--if-fits")
    assert done.exit_code == 0
    assert reason in done.stderr
    assert reason in told("pull", "default", "--if-fits")["reason"]
    failed = run("pull", "default")
    assert isinstance(failed.exception, ModelFileError)
    assert reason in failed.exception.message


def test_a_model_that_does_not_fit_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 700)
    failed = run("pull", "toy:big")
    assert isinstance(failed.exception, ModelFileError)
    assert "needs 292 MiB of memory and 512 to spare; 700 are free" in failed.exception.message


@pytest.mark.parametrize("words", [("pull", "gpt"), ("rm", "gpt"), ("verify", "gpt")])
def test_an_unknown_model_is_bad_usage(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert "toy:big, toy:small" in done.stderr


def test_verify_and_its_exit_codes(folder: Path) -> None:
    assert "no model is here" in run("verify").stdout
    (folder / "toy-big.gguf").write_bytes(BIG)
    assert run("verify").stdout == "toy:big: good\n"
    (folder / "toy-small.gguf").write_bytes(SMALL[::-1])
    done = run("verify")
    assert done.exit_code == 1
    assert "toy:small: its sha256 is wrong" in done.stdout
    assert told("verify", "toy:big") == {"ok": True, "models": {"toy:big": None}}


def test_rm_and_its_exit_codes(folder: Path) -> None:
    path = folder / "toy-big.gguf"
    path.write_bytes(BIG)
    assert run("rm", "toy:big").exit_code == 0
    assert not path.exists()
    assert run("rm", "toy:big").exit_code == 1
    assert told("rm", "toy:big") == {"ok": False, "name": "toy:big"}


def test_progress_without_a_terminal_is_a_line_a_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    tell = cli.progress_for("toy")
    for here in range(0, 1001, 25):
        tell(here, 1000)
    assert capsys.readouterr().err.splitlines() == [f"toy: {tenth * 10} %" for tenth in range(11)]


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    tell = cli.progress_for("toy")
    tell(MiB, 2 * MiB)
    tell(2 * MiB, 2 * MiB)
    err = capsys.readouterr().err
    assert f"\rtoy [{'#' * 15:<30}]  50% of 2 MiB" in err
    assert err.endswith("100% of 2 MiB\n")


MOVED = a_row("toy:small", b"newer", 2)


@pytest.fixture
def outdated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """`toy:small` is here and verified, and the catalogue has moved on; -> the files that were tried."""
    (folder / "toy-small.gguf").write_bytes(SMALL)
    assert run("verify").exit_code == 0
    monkeypatch.setattr(catalogue, "rows", lambda: (MOVED,))
    tried: list[Path] = []
    monkeypatch.setattr(cli, "_try", tried.append)

    def pulled(model: Row, models_dir: Path, **told: Any) -> Path:
        path = models_dir / model.file
        path.write_bytes(b"newer")
        return path

    monkeypatch.setattr(cli.files, "pull", pulled)
    return tried


def test_update_says_what_is_up_to_date(folder: Path) -> None:
    assert run("update").stdout == "no model is here; get one with: rung models pull default\n"
    (folder / "toy-small.gguf").write_bytes(SMALL)
    assert run("update").stdout == f"toy:small: up to date ({ROWS[1].sha256[:8]})\n"
    absent = run("update", "toy:big")
    assert (absent.exit_code, absent.stdout) == (1, "toy:big: it is not here; get it with: rung models pull toy:big\n")


def test_update_only_checks_if_it_is_told_so(folder: Path, outdated: list[Path]) -> None:
    one = told("update", "--check")["models"]["toy:small"]
    assert (one["state"], one["sha256"], one["available"]) == ("outdated", ROWS[1].sha256, MOVED.sha256)
    assert [path.name for path in folder.glob("*.gguf")] == ["toy-small.gguf"]
    assert outdated == []
    assert told("list")["models"][0]["state"] == "older"
    assert run("verify").stdout == "toy:small: good\n"


def test_update_tries_switches_and_goes_back(folder: Path, outdated: list[Path]) -> None:
    done = run("update")
    assert done.exit_code == 0
    assert done.stdout == (
        f"toy:small: {MOVED.sha256[:8]} serves from the next start on ({ROWS[1].sha256[:8]} is kept; back: --back)\n"
    )
    assert [path.name for path in outdated] == [f"toy-small.{MOVED.sha256[:8]}.gguf"]
    assert told("update")["models"]["toy:small"]["state"] == "current"
    assert told("list")["models"][0]["state"] == "ready"
    assert told("update", "--back")["models"]["toy:small"] == {
        "state": "back",
        "sha256": ROWS[1].sha256,
        "message": f"{ROWS[1].sha256[:8]} serves again from the next start on",
    }


def test_a_failed_trial_is_exit_1_and_changes_nothing(
    folder: Path, outdated: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path) -> None:
        raise ModelFileError("it will not load")

    monkeypatch.setattr(cli, "_try", fails)
    done = run("update")
    assert done.exit_code == 1
    assert "was removed, for it failed its trial (it will not load); the old one serves on" in done.stdout
    assert [path.name for path in folder.glob("*.gguf")] == ["toy-small.gguf"]
    assert run("update", "--back").exit_code == 1


async def ollama_pulls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, scenario: Any = None) -> Result:
    """``rung models pull ollama:NAME`` with the simulated Ollama running."""
    async with simulator(scenario) as sim:
        file = tmp_path / "rung.toml"
        await asyncio.to_thread(file.write_text, f'[providers.ollama]\nbase_url = "{sim.root("ollama")}"\n')
        monkeypatch.setenv("RUNG_CONFIG", str(file))
        return await asyncio.to_thread(run, "pull", f"ollama:{name}")


NEW = {"ollama": {"models": {"new:1b": {"installed": False, "size": 2_000_000}}}}


async def test_ollama_pulls_through_us_with_progress(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = await ollama_pulls(monkeypatch, tmp_path, "new:1b", NEW)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("new:1b is with Ollama (")
    assert done.stderr.splitlines()[-1] == "new:1b: 100 %"


async def test_what_ollama_cannot_pull_is_told_in_its_own_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = await ollama_pulls(monkeypatch, tmp_path, "nobody:1b")
    assert isinstance(done.exception, ModelFileError)
    assert done.exception.message == ("Ollama could not pull nobody:1b: pull model manifest: file does not exist")


async def test_a_model_larger_than_all_memory_is_refused_before_it_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cli.hardware, "look", lambda: Hardware(4, 3 * MiB, MiB))
    done = await ollama_pulls(monkeypatch, tmp_path, "new:1b", NEW)
    assert isinstance(done.exception, ModelFileError)
    assert "new:1b has 4 MiB, this machine 3 MiB of memory" in done.exception.message


async def test_a_cloud_model_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = await ollama_pulls(monkeypatch, tmp_path, "gpt-oss:120b-cloud")
    assert "it runs on another machine: it counts as a cloud model, and no private call goes to it" in done.stdout


def test_without_ollama_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    done = run("pull", "ollama:phi4")
    assert isinstance(done.exception, ModelFileError)
    assert "Ollama at 127.0.0.1:9 cannot be asked" in done.exception.message
    assert done.exception.message.endswith("start it with: ollama serve")
