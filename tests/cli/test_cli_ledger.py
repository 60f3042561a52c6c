"""`rung ledger` tells what was asked, who answered and what it cost; an unknown price is never 0."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rung.cli import ledger as ledger_module
from rung.cli.ledger import command, dollars, seconds, way
from rung.errors import StoreError
from rung.store.ledger import ClimbRow, Ledger
from rung.store.writer import Writer

ATTEMPTS = (
    b'[{"rung":"exact","outcome":"declined","reason":"miss: x"},{"rung":"cloud","outcome":"answered","reason":""}]'
)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A ledger of three climbs: answered, of unknown price, failed."""
    path = tmp_path / "rung" / "ledger.sqlite3"
    writer = Writer()
    ledger = Ledger(path, writer, store_text=True)
    now = time.time()
    ledger.record(
        ClimbRow(
            request_id="one",
            started_at=now - 7200,
            outcome="answered",
            rung="cloud",
            model="groq:m",
            total_ms=12.0,
            input_tokens=10,
            cache_read_tokens=2,
            cache_write_tokens=0,
            output_tokens=3,
            reasoning_tokens=1,
            cost_pico=1_500_000,
            attempts=ATTEMPTS,
            fingerprint=b"\xff" * 16,
            request_text=b'{"a":1}',
        )
    )
    ledger.record(
        ClimbRow(request_id="two", started_at=now - 60, outcome="answered", rung="cloud", model="groq:m", total_ms=8.0)
    )
    ledger.record(
        ClimbRow(
            request_id="three", started_at=now, outcome="failed", status=503, private=True, total_ms=1.0, cost_pico=0
        )
    )
    assert writer.close()
    return path


def run(*args: str) -> Result:
    return CliRunner().invoke(command, args)


def test_tail_for_a_person(filled: Path) -> None:
    result = run("tail", "--file", str(filled))

    one, two, three = result.stdout.splitlines()
    assert "cloud groq:m" in one
    assert "12+4 tok" in one
    assert "$0.000002" in one
    assert "exact=declined:miss, cloud=answered" in one
    assert "$ unknown" in two
    assert "503" in three
    assert three.endswith(" private")


def test_tail_for_a_program_finds_the_configured_ledger(filled: Path) -> None:
    result = run("tail", "-n", "3", "--json")

    assert result.exit_code == 0, result.output
    one = json.loads(result.stdout.splitlines()[0])
    assert (one["request_id"], one["fingerprint"], one["request_text"]) == ("one", "ff" * 16, '{"a":1}')
    assert (one["private"], one["attempts"][1]["rung"], one["cost_pico"]) == (False, "cloud", 1_500_000)


def test_following_ends_with_ctrl_c(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **options: object) -> object:
        assert options == {"follow": True}
        yield from rows(*args)
        raise KeyboardInterrupt

    rows = ledger_module.tail
    monkeypatch.setattr(ledger_module, "tail", interrupted)

    result = run("tail", "-f", "-n", "1")

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1


def test_totals_for_a_person(filled: Path) -> None:
    lines = run("totals").stdout.splitlines()

    assert lines[0].split() == ["rung", "model", "calls", "answered", "input", "cached", "output", "mean", "ms", "cost"]
    assert lines[1].split() == ["cloud", "groq:m", "2", "2", "12", "2", "4", "10.0", "$0.000002", "+", "1", "unknown"]
    assert lines[2].split() == ["(none)", "1", "0", "0", "0", "0", "-", "$0.000000"]


def test_totals_since(filled: Path) -> None:
    told = json.loads(run("totals", "--since", "1h", "--json").stdout)

    assert told["since"] == "1h"
    assert [(total["rung"], total["calls"]) for total in told["totals"]] == [("", 1), ("cloud", 1)]
    assert run("totals", "--since", "0s").stdout == "no climbs in the last 0s\n"


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90), ("15m", 900), ("24h", 86400), ("7d", 604800), ("2w", 1209600)]
)
def test_time_spans(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "1y", "99999999999h"])
def test_what_is_no_time_span_is_bad_usage(text: str) -> None:
    result = run("totals", "--since", text, "--file", "x")

    assert result.exit_code == 2
    assert "try 90s" in result.stderr


def test_no_ledger_yet(tmp_path: Path) -> None:
    for args in (("tail",), ("totals",)):
        error = run(*args, "--file", str(tmp_path / "none.sqlite3")).exception
        assert isinstance(error, StoreError)
        assert "rung serve" in error.message


def test_dollars() -> None:
    assert (dollars(0), dollars(None), dollars(10**12)) == ("$0.000000", "$ unknown", "$1.000000")


def test_way_without_attempts() -> None:
    assert way("[]") == ""
