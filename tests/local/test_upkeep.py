from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from rung.local import upkeep
from rung.local.health import STOPPED, Health
from rung.local.upkeep import Day, Watch, kept, note, peak_of

TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ("loading ready failing ready", ["crashes", "restarts"]),
        ("loading ready failing failing ready", ["crashes", "restarts"]),  # it begins to end, then it has ended
        ("loading ready failing loading ready", ["crashes", "restarts"]),  # another program's engine
        ("loading failing gone", ["crashes", "losses"]),
        ("loading gone", ["losses"]),
        ("loading ready gone loading gone loading gone loading ready", ["losses"]),  # looked for again and again
        ("loading ready gone ready", ["losses"]),  # no memory, then room again
        ("loading ready ready loading ready", []),  # unloaded when idle, loaded again
        ("loading ready stopped", []),
        ("stopped", []),
    ],
)
def test_what_is_counted(told: str, counted: list[str]) -> None:
    watch, found = Watch(), []
    for word in told.split():
        found.append(watch("gone", STOPPED) if word == "stopped" else watch(word, "why"))  # type: ignore[arg-type]
    assert [what for what in found if what is not None] == counted


def test_counts_survive_and_are_by_day(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    note(folder, "small", today=TODAY - timedelta(days=9))
    for what in ("crashes", "crashes", "restarts"):
        note(folder, "small", what, today=TODAY - timedelta(days=3))  # type: ignore[arg-type]
    note(folder, "small", "updates", today=TODAY)
    mine = kept(folder)["small"]
    assert mine.since == "2026-11-13"
    assert mine.total() == Day(crashes=2, restarts=1, updates=1)
    assert mine.total(datetime(2026, 11, 20, tzinfo=UTC).timestamp()) == Day(updates=1)
    assert [path.name for path in folder.iterdir()] == ["upkeep.json"]


def test_it_stays_small(tmp_path: Path) -> None:
    for back in range(500, -1, -100):
        note(tmp_path, "old", "crashes", today=TODAY - timedelta(days=back))
    assert len(kept(tmp_path)["old"].days) == 4, "a year is kept"
    for number in range(upkeep._MOST + 5):
        note(tmp_path, f"m{number}", today=TODAY)
    assert len(kept(tmp_path)) == upkeep._MOST
    assert "m104" in kept(tmp_path)


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    note(tmp_path, "small", peak=100, today=TODAY)
    before = (tmp_path / "upkeep.json").stat()
    note(tmp_path, "small", peak=50, today=TODAY)
    assert (tmp_path / "upkeep.json").stat().st_ino == before.st_ino
    assert kept(tmp_path)["small"].peak == 100


def test_damage_and_a_dead_disk_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "upkeep.json").write_bytes(b"\xff{")
    assert kept(tmp_path) == {}
    note(tmp_path, "small", "crashes")
    assert kept(tmp_path)["small"].total(time.time() - 86400 * 2) == Day(crashes=1)
    (tmp_path / "file").write_bytes(b"")
    note(tmp_path / "file" / "models", "small", "crashes")
    assert kept(tmp_path / "file" / "models") == {}


def test_the_most_memory_of_a_process() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("there is no /proc here")
    assert peak_of(os.getpid()) > 1_000_000
    assert peak_of(2**22 + 1) == 0


async def test_health_tells_everybody() -> None:
    told: list[tuple[str, str]] = []
    health = Health(lambda: False, lambda state, detail: told.append(("first", state)))
    health.listen(lambda state, detail: told.append(("second", state)))
    await asyncio.sleep(0)
    health.become("loading")
    assert told == [("first", "loading"), ("second", "loading")]
