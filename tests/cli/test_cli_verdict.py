"""``rung verdict`` from made-up ledgers with known truth, through files and the command line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from rung import verdicts
from rung.cli import verdict as cli
from rung.local import upkeep
from rung.local.hardware import Hardware
from rung.local.predict import Probe
from rung.store.ledger import ClimbRow, Ledger
from rung.store.writer import Writer

REFERENCE, LOCAL = "groq:openai/gpt-oss-120b", "local:qwen2.5-coder-1.5b"
GiB = 1024**3
CALLS, DAYS = 600, 6
SHARE = 0.5
"""of extraction calls, which are half of all"""


def cell(**told: Any) -> dict[str, Any]:
    usual = {
        "task": "extraction", "rung": "local", "model": LOCAL, "limit": 0.05, "state": "open", "labels": 4000,
        "denominator": 2000, "disagreement": 0.01, "upper": 0.02, "share": SHARE, "labels_missing": 0,
    }  # fmt: skip
    return {**usual, **told}


def attempt(rung: str, model: str, *, ms: float, cost: int, outcome: str = "answered") -> dict[str, Any]:
    return {
        "rung": rung,
        "model": model,
        "outcome": outcome,
        "reason": "",
        "ms": ms,
        "usage": None,
        "cost": cost,
        "edits": 0,
    }


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """-> make(cost, ...): write a ledger of that world and ask for its verdict."""
    monkeypatch.setenv("RUNG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(cli, "look", lambda: Hardware(4, 16 * GiB, 12 * GiB))
    monkeypatch.setattr(verdicts, "look", lambda: Hardware(4, 16 * GiB, 12 * GiB))
    monkeypatch.setattr(verdicts, "probe", lambda threads, seconds: Probe(threads, 30e9, 850e6 * threads))
    (tmp_path / "rung.toml").write_text(f'[ladder]\nreference = "{REFERENCE}"\n[providers.groq]\nkey = "k"\n')

    def make(
        *args: str, cost: float = 0.05, calls: int = CALLS, cells: tuple = (cell(),), local_ms: float = 900.0,
        private: int = 0, shadow: float = 0.0,
    ) -> Result:  # fmt: skip
        monkeypatch.setattr(cli, "cells", lambda path: list(cells))
        path = tmp_path / "world.sqlite3"
        path.unlink(missing_ok=True)
        ledger, now, pico = Ledger(path, Writer()), time.time(), round(cost * 1e12)
        rows = []
        for number in range(calls):
            local = number % 4 == 0
            one = (
                attempt("local", LOCAL, ms=local_ms, cost=0)
                if local
                else attempt("cloud", REFERENCE, ms=700.0, cost=pico)
            )
            rows.append(
                ClimbRow(
                    f"r{number}", now - DAYS * 86400 * (1 - number / calls), total_ms=one["ms"], cost_pico=one["cost"],
                    input_tokens=300, output_tokens=60, reasoning_tokens=0, cache_read_tokens=0, cache_write_tokens=0,
                    attempts=orjson.dumps([one]), task="extraction" if number % 2 == 0 else "analysis",
                    private=number < private, rung=one["rung"], model=one["model"],
                )
            )  # fmt: skip
        if shadow:
            paid = attempt("cloud", REFERENCE, ms=700.0, cost=round(shadow * 1e12))
            rows.append(
                ClimbRow("s", now - 60, cost_pico=paid["cost"], attempts=orjson.dumps([paid]), purpose="shadow",
                         rung="cloud", model=REFERENCE)
            )  # fmt: skip
        ledger.write(rows)
        ledger.close()
        told = ["--file", str(path), "--config", str(tmp_path / "rung.toml"), *args]
        return CliRunner().invoke(cli.command, told, catch_exceptions=False)

    return make


def test_a_world_where_it_pays_by_hand(world) -> None:
    told = orjson.loads(world("--json", shadow=0.3).output)
    end = told["conclusion"]
    energy = 0.9 * 35 / 3.6e6 * 0.30
    fixed = 0.3 / told["days"] + 10 / 60 * 60 / 30
    net = CALLS / told["days"] * 0.25 * (0.05 - energy) - fixed
    assert end["kind"] == "adopt"
    assert end["net_per_day"]["value"] == pytest.approx(net, rel=1e-6)
    assert end["at_calls_per_day"] == pytest.approx(fixed / (0.25 * (0.05 - energy)), rel=1e-6)
    assert told["bill"]["parts"] == {"answers": 450 * 5 * 10**10, "shadow": 3 * 10**11}
    assert told["bill"]["total"] == 450 * 5 * 10**10 + 3 * 10**11
    assert told["bill"]["random_disagreement"]["value"] == pytest.approx(0.25 * 0.01)
    (mine,) = (one for one in told["columns"] if one["name"] == LOCAL)
    assert mine["figures"]["latency p50"]["basis"] == "measured"
    assert mine["figures"]["latency p50"]["value"] == pytest.approx(900, rel=0.02)
    assert mine["figures"]["quality"]["value"] == pytest.approx(0.01)
    (local,) = (one for one in told["margins"] if one["rung"] == "local")
    assert local["calls"] == 150
    assert local["money"]["value"] == pytest.approx(1000 * 150 * 0.05 / 600)
    assert local["seconds"]["value"] == pytest.approx(1000 * 150 * (0.7 - 0.9) / 600)


@pytest.mark.parametrize(
    "factor",
    [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.3, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 6, 8, 12, 20, 50, 100],
)
def test_worlds_around_the_break_even(world, factor: float) -> None:
    even = 10 / 60 * 60 / 30 / (CALLS / DAYS * 0.25) + 0.9 * 35 / 3.6e6 * 0.30
    kind = orjson.loads(world("--json", cost=even * factor).output)["conclusion"]["kind"]
    assert kind in (("adopt",) if factor > 1 else ("defer", "fast_cloud"))


def test_the_other_conclusions(world) -> None:
    def kind(*args: str, **told: Any) -> str:
        return orjson.loads(world("--json", *args, **told).output)["conclusion"]["kind"]

    assert kind(cost=1e-4, private=5) == "fallback"
    assert kind(local_ms=9000.0) == "fast_cloud"
    assert kind("--what-if", "hardware=4c/2GB") == "fast_cloud"
    assert kind("--what-if", "traffic*100", cost=1e-3) == "adopt"
    assert kind("--what-if", "price.groq*100", cost=1e-3) == "adopt"
    assert kind(cost=3e-3) == "defer"


def test_what_is_assumed_of_upkeep_is_said_where_it_decides(world) -> None:
    def end(*args: str, **told: Any) -> dict[str, Any]:
        return orjson.loads(world("--json", *args, **told).output)["conclusion"]

    gross = CALLS / DAYS * 0.25 * 1e-3  # what it saves a day, energy apart
    told = end(cost=1e-3, local_ms=0.001)
    assert told["kind"] == "fast_cloud"
    assert told["without_upkeep"] == "adopt"
    assert told["at_upkeep_minutes"] == pytest.approx(gross * 30, rel=5e-3)
    assert (
        "Without the 10 minutes of upkeep a month (0.333 USD a day), which are assumed, the conclusion would be: "
        in (told["text"])
    )
    assert "less than 0.75 minutes of upkeep a month" in told["opposite"]
    free = end("--upkeep-minutes", "0", cost=1e-3, local_ms=0.001)
    assert (free["kind"], free["without_upkeep"]) == ("adopt", "adopt")
    assert "assumed" not in free["text"]
    same = end(cost=0.05)
    assert same["without_upkeep"] == same["kind"] == "adopt"
    assert "without them the conclusion would be the same" in same["text"]


def test_at_other_prices_upkeep_and_machines(world) -> None:
    told = orjson.loads(world("--json", cost=1e-3, local_ms=3000.0).output)
    assert told["conclusion"]["kind"] == "fast_cloud", "it is too slow here"
    by_upkeep = dict(told["by_upkeep"])
    assert set(by_upkeep) == {0, 1, 3, 10, 30, 100}
    assert {one["machine"] for one in told["by_machine"]} == set(verdicts.MACHINES)
    fast = next(one for one in told["by_machine"] if one["machine"] == "16c/64GB/RTX4090")
    assert fast["fits"]
    assert fast["seconds"] < 1
    assert len(told["sensitivity"]) == 49
    assert ("defer" if fast["kind"] == "defer" else "fast_cloud") == fast["kind"]
    free = orjson.loads(world("--json", "--upkeep-minutes", "0", cost=1e-3, local_ms=3000.0).output)
    assert next(one for one in free["by_machine"] if one["machine"] == "16c/64GB/RTX4090")["kind"] == "adopt"


def test_each_rung_at_the_margin_of_each_task(world) -> None:
    told = orjson.loads(world("--json").output)
    tasks = {task["task"]: task for task in told["tasks"]}
    (mine,) = tasks["extraction"]["margins"]
    assert (mine["rung"], mine["calls"], mine["asked"]) == ("local", 150, 150)
    assert mine["money"]["value"] == pytest.approx(1000 * 150 * 0.05 / 300), "of the task's own 300 calls"
    assert mine["errors"]["value"] == pytest.approx(1000 * 150 * 0.01 / 300)
    assert tasks["analysis"]["margins"] == []


def test_what_the_local_model_asked_of_its_keeper(world, tmp_path: Path) -> None:
    def row(name: str) -> dict[str, Any]:
        told = orjson.loads(world("--json").output)
        return next(one["figures"][name] for one in told["columns"] if one["name"] == LOCAL)

    assert row("upkeep")["text"] == "failed answers: 0"
    assert row("memory")["basis"] == "predicted"
    for what in ("crashes", "crashes", "restarts", "updates"):
        upkeep.note(tmp_path / "models", LOCAL.partition(":")[2], what, peak=1024**3)
    told = row("upkeep")
    assert told["basis"] == "measured"
    assert told["text"].startswith(
        "crashes: 2, came back by itself: 1, given up: 0, updates: 1; failed answers: 0 (since"
    )
    assert (row("memory")["text"], row("memory")["basis"]) == ("1,024 MiB", "measured")


def test_in_french(world, tmp_path: Path) -> None:
    told = world("--language", "fr", "--html", str(tmp_path / "page.html")).output
    assert told.startswith(f"600 appels en 6,0 jours\u00a0; {LOCAL} face à {REFERENCE}")
    assert "ADOPTER LE MODÈLE LOCAL\u00a0: Il économise " in told
    assert "latence p50" in told
    english = ("measured", " calls", "the ", "upkeep", "saves")
    assert not [word for word in english if word in told]
    page = (tmp_path / "page.html").read_text()
    assert '<html lang="fr">' in page
    assert not [word for word in english if word in page.partition("<main>")[2]]
    assert world("--language", "fr", "--markdown").output.startswith("# Adopter le modèle local\n")
    assert orjson.loads(world("--language", "fr", "--json").output)["conclusion"]["kind"] == "adopt"


def test_too_little_is_said_with_a_number(world) -> None:
    told = world(calls=50)
    assert told.exit_code == 1
    assert "Not enough yet: 150 more calls (50 so far)." in told.output
    learning = cell(state="shadow", share=0.0, labels=20, labels_missing=45)
    told = world(cells=(learning,))
    assert "analysis (300): no lower model has been compared" in told.output
    assert f"{LOCAL}: 45 more comparisons until it may be trusted" in told.output
    told = world(cells=(), cost=0.5)
    assert told.exit_code == 1
    assert "65 more calls, with trust learning" in told.output


def test_as_text_markdown_and_a_page(world, tmp_path: Path) -> None:
    told = world().output
    assert told.startswith(f"600 calls in 6.0 days; {LOCAL} against {REFERENCE}")
    assert "ADOPT THE LOCAL MODEL" in told
    assert "22.5 USD" in told
    assert world("--markdown").output.startswith("# Adopt the local model\n")
    world("--html", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert len(page) < 100_000
    assert "http" not in page
    assert "<script" not in page


def test_from_a_traffic_file_and_from_nothing(world, tmp_path: Path) -> None:
    asked = [{"messages": [{"role": "user", "content": f"Why is {n} prime?"}]} for n in range(250)]
    asked += [{"messages": [{"role": "user", "content": "Minify this JSON: [1, 2]"}]}] * 50
    traffic = tmp_path / "traffic.jsonl"
    traffic.write_bytes(b"\n".join(orjson.dumps(one) for one in asked))
    told = orjson.loads(world("--json", str(traffic)).output)
    assert told["calls"] == 300
    assert told["labels"][0].startswith("predicted from traffic.jsonl")
    (tools,) = (one for one in told["columns"] if one["name"] == "tools + caches")
    assert tools["calls"] == 50
    empty = CliRunner().invoke(cli.command, ["--file", str(tmp_path / "none"), "--config", str(tmp_path / "rung.toml")])
    assert empty.exit_code == 1
    assert "Not enough yet: 200 more calls (0 so far)." in empty.output


@pytest.mark.parametrize(
    ("args", "message"),
    [(["--what-if", "faster"], "is none of"), (["--since", "soon"], "is no time span"), (["--limit", "2"], "range")],
)
def test_mistakes(world, args: list[str], message: str) -> None:
    told = world(*args)
    assert told.exit_code == 2
    assert message in told.output
