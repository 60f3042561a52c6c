from __future__ import annotations

from pathlib import Path

import pytest

from rung.errors import StoreError
from rung.store.ledger import ClimbRow, Ledger
from rung.store.ledger_read import climbs, kinds
from rung.store.writer import Writer


def test_climbs_and_what_they_have_in_common(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger(path, Writer(), clock=lambda: 100.0)
    ledger.write([ClimbRow(f"r{n}", float(n), rung="tool" if n % 2 else "cloud", cost_pico=n) for n in range(10)])
    ledger.close()
    told = dict(kinds(path, ["rung"]))
    assert sorted(told.values()) == ["cloud", "tool"]
    found = sorted((request, told[kind], cost) for kind, request, cost in climbs(path, ["request_id", "cost_pico"]))
    assert found == sorted((f"r{n}", "tool" if n % 2 else "cloud", n) for n in range(10))
    assert [row[1] for row in climbs(path, ["request_id"], since=8.0)] == ["r8", "r9"]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        list(climbs(tmp_path / "none.sqlite3", ["request_id"]))
    with pytest.raises(ValueError, match="word"):
        list(climbs(tmp_path / "none.sqlite3", ["1; DROP TABLE rows"]))
