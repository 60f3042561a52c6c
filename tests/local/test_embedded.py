"""The embedded engine as a backend: idle, crashes seen early, memory pressure, files that are wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from local_fakes import child, gguf, lives

from rung.errors import EngineFault, ModelFileError
from rung.local.embedded import Embedded
from rung.local.engine import Engine
from rung.local.memory import Guard
from rung.local.pulse import Pulse
from rung.local.speculate import Drafted
from rung.local.tuning import Tuning
from rung.providers.local import adapter_for
from rung.rungs.local import LocalRung
from rung.testing import make_call
from rung.wire.client import Client

MiB = 1024 * 1024
MakeBackend = Callable[..., Embedded]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.aclose()


@pytest.fixture
async def make(tmp_path: Path, client: Client) -> AsyncIterator[MakeBackend]:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf())
    made: list[Embedded] = []

    def make(mode: str = "good", **told: Any) -> Embedded:
        engine = Engine(path, alias="tiny", threads=1, delays=(0.0,), command=child(tmp_path, mode))
        made.append(Embedded(engine, on_death=client.sever, **told))
        return made[-1]

    yield make
    for backend in made:
        await backend.stop()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 (processes set no event)
            await asyncio.sleep(0.005)


async def test_an_idle_model_is_unloaded_and_comes_back(make: MakeBackend, client: Client, tmp_path: Path) -> None:
    backend = make(idle_unload=0.05)
    await backend.start()
    await until(lambda: backend.health.state == "ready" and not backend.health.loaded)
    assert backend.health.detail == "unloaded after 0.05 s without a call; the next one loads it"
    await until(lambda: backend.engine.pid is None)
    await LocalRung(backend, adapter_for(backend, client)).attempt(make_call(private=True))
    assert lives(tmp_path) == 2


async def test_a_model_that_answers_is_not_idle(make: MakeBackend) -> None:
    backend = make(idle_unload=0.02)
    await backend.start()
    assert await backend.ready(20)
    with await backend.desk.acquire(1) or pytest.fail("no slot"):
        await asyncio.sleep(0.06)
        assert backend.health.up
    await until(lambda: not backend.health.loaded)


async def test_a_dying_engine_is_noticed_before_its_sockets_break(
    make: MakeBackend, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make()
    await backend.start()
    assert await backend.ready(20)
    looks = count()
    monkeypatch.setattr(Pulse, "stopped", lambda pulse: next(looks) == 5)
    with pytest.raises(EngineFault):  # the child sleeps a minute: nothing but the pulse can have ended the call
        await LocalRung(backend, adapter_for(backend, client)).attempt(make_call("slow"))
    assert (backend.health.state, backend.origin) == ("failing", None)


def test_a_pulse_feels_an_end_and_lets_go() -> None:
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        pulse = Pulse(process.pid)
        assert not pulse.stopped()
        os.kill(process.pid, signal.SIGKILL)
    assert pulse.stopped()
    pulse.close()
    pulse.close()
    assert not pulse.stopped()
    assert not Pulse(process.pid).stopped()  # nothing to feel


async def test_a_file_that_is_another_one_is_not_loaded(make: MakeBackend, tmp_path: Path) -> None:
    def identify() -> str:
        raise ModelFileError("tiny.gguf is damaged or another file")

    backend = make(identify=identify)
    await backend.start()
    assert not await backend.ready(20)
    assert (backend.health.state, backend.health.detail) == ("gone", "tiny.gguf is damaged or another file")
    assert not (tmp_path / "lives").exists()


class Memory:
    """What the guard is told."""

    def __init__(self) -> None:
        self.free, self.stalled = 4096 * MiB, 0.0

    def guard(self, backend: Embedded) -> Guard:
        return Guard(backend, 256 * MiB, free=lambda: self.free, stalled=lambda: self.stalled)


async def test_memory_pressure_unloads_and_room_lets_it_load_again(make: MakeBackend) -> None:
    backend, memory = make(), Memory()
    guard = memory.guard(backend)
    await backend.start()
    assert await backend.ready(20)
    await guard.look()
    assert backend.health.up
    memory.free = 200 * MiB
    await guard.look()
    assert (backend.health.state, backend.health.detail) == (
        "gone",
        "memory pressure: 200 MiB are free, 256 must be",
    )
    await until(lambda: backend.engine.pid is None)
    assert not await backend.ready(5)  # nothing loads it while it would not fit
    await until(lambda: backend.engine.state == "stopped")
    memory.free = 270 * MiB  # less than the model and the margin need
    await guard.look()
    assert backend.health.state == "gone"
    memory.free = 4096 * MiB
    while backend.health.state == "gone":
        await guard.look()
    assert backend.health.detail == "there is room again; the next call loads it"
    assert await backend.ready(20)


async def test_calls_under_way_may_end_unless_memory_is_nearly_out(make: MakeBackend) -> None:
    backend, memory = make(), Memory()
    guard = memory.guard(backend)
    await backend.start()
    assert await backend.ready(20)
    ticket = await backend.desk.acquire(1)
    assert ticket
    memory.free = 200 * MiB
    await guard.look()
    await asyncio.sleep(0)
    assert (backend.health.state, backend.engine.state) == ("gone", "ready")
    memory.free = 100 * MiB
    await guard.look()
    await until(lambda: backend.engine.pid is None)


async def test_pressure_that_passes_before_the_unload_is_forgotten(make: MakeBackend) -> None:
    backend, memory = make(), Memory()
    guard = memory.guard(backend)
    await backend.start()
    assert await backend.ready(20)
    with await backend.desk.acquire(1) or pytest.fail("no slot"):
        memory.stalled = 0.5
        await guard.look()
        assert backend.health.detail == "memory pressure: the machine stood still 50% of the time"
        memory.stalled = 0.0
        await guard.look()
    assert backend.health.up


async def test_pressure_does_not_revive_what_is_gone_for_another_reason(make: MakeBackend) -> None:
    backend, memory = make("complains"), Memory()
    guard = memory.guard(backend)
    await backend.start()
    assert not await backend.ready(20)
    why = backend.health.detail
    memory.free = MiB
    await guard.look()
    memory.free = 4096 * MiB
    await guard.look()
    assert (backend.health.state, backend.health.detail) == ("gone", why)


async def test_drafts_that_do_not_pay_are_left_out_once_nobody_is_answered(make: MakeBackend, tmp_path: Path) -> None:
    backend = make()
    await backend.start()
    assert await backend.ready(20)
    assert backend.engine.tuning.drafts is not None
    for drafts in (0, 80):
        for _ in range(5):
            backend.gauge.add("other", Drafted(100, 1000.0 if drafts else 900.0, drafts, drafts))
    with await backend.desk.acquire(1) or pytest.fail("no slot"):
        assert lives(tmp_path) == 1
    await until(lambda: lives(tmp_path) == 2)
    assert await backend.ready(20)
    assert backend.engine.tuning.drafts is None
    with await backend.desk.acquire(1) or pytest.fail("no slot"):
        pass
    assert backend.health.up  # once is enough


async def test_heads_are_kept_for_weights_that_are_known(make: MakeBackend, tmp_path: Path) -> None:
    for identify, known in ((lambda: "sha", True), (str, False)):
        backend = make(identify=identify)
        backend.engine.tuning = Tuning(heads=tmp_path)
        await backend.start()
        assert await backend.ready(20)
        assert (backend.heads is not None) == known
