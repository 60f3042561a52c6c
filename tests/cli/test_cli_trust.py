"""`rung trust` shows cells from the store's file, says in words what is missing, and leaves orders there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from rung.cli.trust import command, signed
from rung.errors import RungError
from rung.ladder.trust import Cell, CellKey, Rules
from rung.learning.keys import cell_id, template
from rung.store import trust as store
from rung.store.db import open_database
from rung.store.migrations import TRUST

RULES = Rules(sessions=1)


def a_cell(task: str, model: str, limit: float = 0.2, *, simulated: bool = False) -> Cell:
    around = template("openai:big", simulated=simulated)
    return Cell.new(CellKey(task, "local", model, "abc", around, "all", limit), RULES)


def taught(cell: Cell, count: int, wrong: int = 0) -> Cell:
    for number in range(count):
        cell.observe(0.5, number < wrong, cell.coin(0.5), session=str(number), fingerprint=str(number))
    return cell


@pytest.fixture
def kept(tmp_path: Path) -> dict[str, str]:
    """Three cells in the file of this home: open, in shadow, and one that can never open; their ids by task."""
    cells = [
        taught(a_cell("extraction", "local:small", simulated=True), 40),
        taught(a_cell("math", "local:small"), 5),
        taught(a_cell("classification", "local:small", 0.05), 60, 30),
    ]
    cells[0].answered(10)
    cells[0].account(saved=3_000_000, spent=1_000_000)
    kept = {cell.key.task: cell_id(cell.key) for cell in cells}
    path = tmp_path / "rung" / "trust.sqlite3"
    with closing(open_database(path, TRUST)) as db:
        for cell in cells:
            name = cell_id(cell.key)
            for sql, values in (
                store.save_cell(name, msgspec.json.encode(cell), 1.0),
                store.save_change(name, "opened (evidence), epoch 1", time.time()),
                store.save_feedback(f"r-{name}", "t", "wrong", False, name, 1.0),
            ):
                db.execute(sql, values)
        label = store.Label(
            *(kept["math"], 1, 1.0, "shadow", "r", b"s", b"f", 1.0, 0.5, False, "judged by openai:big", "", 5, "{}")
        )
        for sql, values in (
            store.save_label(label),
            store.reserve("s", store.today(time.time()), 2_000_000),
            store.save_cell("broken", b"{}", 1.0),
        ):
            db.execute(sql, values)
    return kept


def run(*args: str) -> Result:
    return CliRunner().invoke(command, args)


def test_the_table(kept: dict[str, str]) -> None:
    lines = run().stdout.splitlines()
    assert lines[0].split()[:5] == ["cell", "task", "model", "limit", "state"]
    opened, unsure, shadow = lines[1:4]
    assert opened.split()[:6] == [kept["extraction"], "extraction", "local:small", "(simulated)", "20%", "open"]
    assert "40 answers" in opened
    assert "100%" in opened
    assert "$0.000002" in opened
    assert (kept["classification"] in unsure, "50.0%" in unsure) == (True, True)
    assert "5 calls" in shadow
    assert "math (judged)" in shadow
    assert "comparing cost $0.000002 of $0.5 today; 0 comparisons wait" in lines


def test_the_table_for_a_program(kept: dict[str, str]) -> None:
    told = json.loads(run("--json").stdout)
    first = told["cells"][0]
    assert (first["cell"], first["state"], first["labels"], first["share"]) == (kept["extraction"], "open", 40, 1.0)
    assert (first["denominator"], first["disagreement"], first["threshold"]) == (40, 0.0, 0.0)
    assert 0 < first["upper"] < 0.2
    assert (first["net_pico"], first["simulated"], first["reference"]) == (2_000_000, True, "openai:big")
    assert (first["feedback_right"], first["feedback_wrong"]) == (0, 1)
    assert (told["spent_today_pico"], told["daily_pico"], told["orders"]) == (2_000_000, 500_000_000_000, [])


def test_explain_says_what_is_missing(kept: dict[str, str]) -> None:
    text = run("explain", kept["math"][:6]).stdout
    assert text.startswith("math on local:small, held against openai:big.")
    assert "about 10 more labels" in text
    assert "0 right, 1 wrong" in text
    assert "1 of its labels are judged" in text
    assert "opened (evidence), epoch 1" in text


def test_explain_says_what_can_never_be(kept: dict[str, str]) -> None:
    told = json.loads(run("explain", kept["classification"], "--json").stdout)
    assert "not at this rate" in " ".join(told["words"])
    assert "Even a perfect selector would have to send at least" in " ".join(told["words"])
    assert told["labels_missing"] is None
    assert told["changes"][0]["what"] == "opened (evidence), epoch 1"


@pytest.mark.parametrize("action", ["reset", "pin", "close"])
def test_orders_lie_in_the_file_until_a_gateway_takes_them(kept: dict[str, str], tmp_path: Path, action: str) -> None:
    result = run(action, kept["math"])
    assert result.exit_code == 0
    assert kept["math"] in result.stdout
    assert f"told, not yet taken: {action} {kept['math']}" in run().stdout
    assert json.loads(run(action, kept["math"], "--json").stdout) == {"cell": kept["math"], "action": action}
    orders = store.read(tmp_path / "rung" / "trust.sqlite3", 1.0).orders
    assert [(order.cell, order.action) for order in orders] == [(kept["math"], action)] * 2


def test_a_cell_nobody_knows(kept: dict[str, str]) -> None:
    error = run("explain", "zz").exception
    assert isinstance(error, RungError)
    assert "rung trust lists them" in error.message
    error = run("close", "").exception
    assert isinstance(error, RungError)


def test_nothing_yet() -> None:
    result = run()
    assert result.exit_code == 0
    assert "cells appear with calls to 'auto'" in result.stdout
    assert "there is no reference" in result.stdout
    assert json.loads(run("--json").stdout)["cells"] == []


def test_signed() -> None:
    assert (signed(10**12), signed(-(10**12))) == ("$1.000000", "-$1.000000")


def test_the_demo_shows_a_cell_that_opens_and_one_that_stays_shut(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "rung", "trust", "demo", "--calls", "130"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    last = {line.split()[1]: line for line in lines[-20:] if "here:gpt-6-luna (simulated)  10%" in line}
    assert "open" in last["extraction"]
    assert "shadow" in last["math"]
    assert any("Even a perfect selector" in line for line in lines)
    assert "trust.judge" in lines[-1]
