"""`rung prices`: the table with its date, and a warning once it is old."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rung.cli.prices import command, rows_now
from rung.providers import prices
from rung.providers.prices import PriceBook


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def run(*args: str, text: str = "") -> Result:
    if text:
        Path("rung.toml").write_text(text)
    return CliRunner().invoke(command, args)


def test_the_table_has_its_date_and_one_line_a_model() -> None:
    book = PriceBook.load()
    lines = run().stdout.splitlines()
    assert lines[0].startswith(f"USD per 1,000,000 tokens, prices of {book.as_of}, at ")
    assert lines[1].split()[:2] == ["model", "input"]
    assert [line.split()[0] for line in lines[2:]] == book.model_ids()


def test_one_provider_for_programs() -> None:
    told = json.loads(run("groq", "--json").stdout)
    assert told["as_of"] == str(PriceBook.load().as_of)
    assert {model["model"].partition(":")[0] for model in told["models"]} == {"groq"}
    small = next(model for model in told["models"] if model["model"].endswith("gpt-oss-20b"))
    assert (small["input"], small["cached"], small["output"], small["context"]) == (0.075, 0.0375, 0.3, 131_072)


def test_a_row_holds_at_its_time() -> None:
    book = PriceBook.load()
    (peak,) = rows_now(book, "deepseek:deepseek-flash", datetime(2026, 11, 23, 2, tzinfo=UTC))
    (quiet,) = rows_now(book, "deepseek:deepseek-flash", datetime(2026, 11, 23, 5, tzinfo=UTC))
    assert (peak["output"], quiet["output"]) == (1.2, 0.6)
    assert "x2.0 01:00-04:00 UTC Mon-Fri" in quiet["changes"]
    (unknown,) = rows_now(book, "ollama:x-cloud", datetime(2026, 11, 23, tzinfo=UTC))
    assert unknown["input"] is unknown["output"] is None


def test_own_prices_are_in_the_table() -> None:
    (line,) = run("lan", text="[prices.'lan:big']\ninput = 0.5\noutput = 1\n").stdout.splitlines()[2:]
    assert line.split() == ["lan:big", "0.5", "0.5", "0.5", "0.5", "1.0"]


def test_old_prices_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "STALE_DAYS", -(10**6))
    result = run()
    assert result.exit_code == 0
    assert "days old" in result.stderr
    assert json.loads(run("--json").stdout)["stale"] is True


def test_an_unknown_provider_is_bad_usage() -> None:
    result = run("nobody")
    assert result.exit_code == 2
    assert 'rung.toml: [prices."nobody:MODEL"]' in result.stderr


def test_a_time_of_ones_own() -> None:
    def output(at: str) -> float:
        told = json.loads(run("gemini", "--json", "--at", at).stdout)
        return next(line["output"] for line in told["models"] if line["model"] == "gemini:gemini-3.8-flash")  # type: ignore[no-any-return]

    assert (output("2026-12-31 23:59:59"), output("2027-01-01")) == (3.75, 7.5)


def test_every_state_has_its_line() -> None:
    lines = run("deepseek:deepseek-flash", "--states").stdout.splitlines()[1:]
    assert [line.split()[1:6] for line in lines[1:]] == [
        ["0.15", "0.003", "0.15", "0.15", "0.6"],
        ["0.3", "0.006", "0.3", "0.3", "1.2"],
        ["0.3", "0.006", "0.3", "0.3", "1.2"],
    ]
    assert lines[1].endswith("standard")
    assert lines[2].endswith("01:00-04:00 UTC Mon-Fri except CN public holidays")
    told = json.loads(run("anthropic", "--states", "--json").stdout)["models"]
    haiku = {line["state"]: line for line in told if line["model"] == "anthropic:claude-haiku-5-5"}
    assert haiku["standard"]["write_long"] == 0.2
    assert haiku["batch, above 100000 tokens"]["output"] == 1.25


def test_an_unknown_price_has_a_line_without_numbers() -> None:
    (line,) = json.loads(run("ollama:x-cloud", "--states", "--json").stdout)["models"]
    assert line["state"] == "unknown"
    assert line["input"] is None
    assert run("ollama:x-cloud").stdout.splitlines()[2].split() == ["ollama:x-cloud"]
