"""A good change is taken, a bad one refused, a half-written file waited for."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from rung.config import Settings, Watcher, load
from rung.errors import ConfigError


class Desk:
    """A watcher on a directory, what it handed on and what it refused."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "rung.toml"
        self.ticks = 0
        self.changed: list[Settings] = []
        self.refused: list[ConfigError] = []

    async def start(self, text: str | None, environ: dict[str, str] | None = None) -> Desk:
        if text is not None:
            self.write(text)
        environ = {"HOME": str(self.folder / "home"), **(environ or {})}
        loaded = await asyncio.to_thread(load, environ, cwd=self.folder)
        self.watcher = Watcher(
            loaded, environ, cwd=self.folder, changed=self.changed.append, refused=self.refused.append
        )
        return self

    def write(self, text: str) -> None:
        self.file.write_text(text)
        # Every write has a time of its own, however coarse the clock of the file system is.
        self.ticks += 1
        os.utime(self.file, ns=(self.ticks * 10**9, self.ticks * 10**9))

    async def look(self, times: int = 2) -> None:
        for _ in range(times):
            await self.watcher.poll()


def port(number: int) -> str:
    return f"[server]\nport = {number}\n"


async def test_a_change_is_taken_once(tmp_path: Path) -> None:
    desk = await Desk(tmp_path).start(port(1))
    await desk.look()
    assert desk.changed == []
    desk.write(port(2))
    await desk.look(4)
    assert [settings.server.port for settings in desk.changed] == [2]
    assert desk.watcher.settings is desk.changed[0]
    assert desk.refused == []


async def test_a_change_that_changes_nothing_is_not_handed_on(tmp_path: Path) -> None:
    desk = await Desk(tmp_path).start(port(1))
    await desk.look()
    desk.write("# a comment\n" + port(1))
    await desk.look()
    assert desk.changed == desk.refused == []


async def test_a_change_before_the_first_look_is_taken(tmp_path: Path) -> None:
    desk = await Desk(tmp_path).start(port(1))
    desk.file.write_text(port(9))
    await desk.look()
    assert [settings.server.port for settings in desk.changed] == [9]


async def test_a_file_that_still_changes_is_waited_for(tmp_path: Path) -> None:
    desk = await Desk(tmp_path).start(port(1))
    desk.write("[server]\n")
    await desk.look(1)
    desk.write(port(3))
    await desk.look(1)
    assert desk.changed == []
    await desk.look(1)
    assert [settings.server.port for settings in desk.changed] == [3]


async def test_a_bad_file_is_refused_once_and_the_old_settings_stay(tmp_path: Path) -> None:
    desk = await Desk(tmp_path).start(port(1))
    desk.write("[server]\nport = 'x'\n")
    await desk.look(4)
    assert desk.changed == []
    assert [error.problems for error in desk.refused] == [
        ("rung.toml:2: server.port must be a whole number, not a text",)
    ]
    assert desk.watcher.settings.server.port == 1
    desk.write(port(4))
    await desk.look()
    assert desk.watcher.settings.server.port == 4


async def test_a_file_that_is_gone_does_not_open_the_door(tmp_path: Path) -> None:
    desk = await Desk(tmp_path).start("[server]\nkeys = ['a']\n")
    desk.file.unlink()
    await desk.look(3)
    assert desk.changed == []
    assert [error.problems for error in desk.refused] == [
        (f"{desk.file}: the file is gone; the settings stay as they were",)
    ]
    assert len(desk.watcher.settings.server.keys) == 1
    desk.write("[server]\nkeys = ['a', 'b']\n")
    await desk.look()
    assert len(desk.watcher.settings.server.keys) == 2


async def test_a_file_that_appears_is_taken(tmp_path: Path) -> None:
    desk = await Desk(tmp_path).start(None)
    await desk.look()
    desk.write(port(5))
    await desk.look()
    assert [settings.source for settings in desk.changed] == [desk.file]


async def test_the_environment_is_the_one_of_the_start(tmp_path: Path) -> None:
    desk = await Desk(tmp_path).start(port(1), {"GROQ_API_KEY": "a"})
    desk.write(port(2))
    await desk.look()
    assert list(desk.changed[0].providers) == ["groq"]


async def test_it_looks_until_it_is_cancelled(tmp_path: Path) -> None:
    desk = await Desk(tmp_path).start(port(1))
    taken = asyncio.Event()
    desk.watcher._changed = lambda settings: taken.set()
    desk.write(port(2))
    running = asyncio.create_task(desk.watcher.run(every=0.001))
    await asyncio.wait_for(taken.wait(), 30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
