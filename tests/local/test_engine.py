from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from local_fakes import child, gguf, gone, lives

from rung.errors import ConnectFault, Fault, ModelFileError
from rung.local.engine import Engine
from rung.wire.client import Client, Deadlines

MakeEngine = Callable[..., Engine]


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf())
    return path


@pytest.fixture
async def make(tmp_path: Path, model_file: Path) -> AsyncIterator[MakeEngine]:
    """Engines over the fake child, stopped when the test ends. `seen`: the states they went through."""
    made: list[Engine] = []

    def make(mode: str = "good", **told: Any) -> Engine:
        told = {"alias": "tiny", "threads": 1, "delays": (0.0,), "command": child(tmp_path, mode), **told}
        made.append(Engine(model_file, **told))
        return made[-1]

    yield make
    for engine in made:
        await engine.stop()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.aclose()


async def ask(client: Client, engine: Engine) -> Any:
    assert engine.origin is not None
    return orjson.loads((await client.fetch(engine.origin, "GET", "/", b"", b"", Deadlines(), private=True)).body)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 (processes set no event)
            await asyncio.sleep(0.005)


async def test_loads_in_the_background_and_says_when_it_is_ready(make: MakeEngine) -> None:
    seen: list[str] = []
    engine = make(on_change=lambda state, detail: seen.append(state))
    assert engine.state == "stopped"
    await engine.start()
    assert engine.state == "loading"
    assert engine.origin is None
    assert await engine.ready(20)
    assert engine.origin is not None
    assert engine.origin.is_loopback
    assert seen == ["loading", "ready"]


async def test_the_configuration_and_the_key_travel_by_pipe_only(make: MakeEngine, client: Client) -> None:
    engine = make(context=777, slots=2)
    await engine.start()
    assert await engine.ready(20)
    answer = await ask(client, engine)
    told = answer["told"]
    assert told["model"] == str(engine.model_path)
    assert (told["alias"], told["threads"], told["context"], told["slots"]) == ("tiny", 1, 777, 2)
    assert told["api_key"] == engine.api_key
    assert len(engine.api_key) >= 32
    assert engine.api_key not in repr([answer["argv"], answer["environ"]])
    assert str(engine.model_path) not in repr(answer["argv"])


async def test_starting_twice_starts_one_child(make: MakeEngine, tmp_path: Path) -> None:
    engine = make()
    await asyncio.gather(engine.start(), engine.start())
    await engine.start()
    assert await engine.ready(20)
    assert lives(tmp_path) == 1


async def test_a_missing_file_is_told_before_anything_is_started(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "none.gguf", alias="x", threads=1, command=child(tmp_path))
    with pytest.raises(ModelFileError, match=r"missing.*rung models pull"):
        await engine.start()
    assert engine.state == "failed"
    assert "missing" in engine.detail
    assert not (tmp_path / "lives").exists()


@pytest.fixture
def cut_file(model_file: Path) -> Path:
    model_file.write_bytes(gguf()[:-1])
    return model_file


async def test_a_truncated_file_is_told_before_anything_is_started(make: MakeEngine, cut_file: Path) -> None:
    with pytest.raises(ModelFileError, match="cut off"):
        await make().start()


async def test_what_the_child_complains_about_is_final(make: MakeEngine, tmp_path: Path) -> None:
    engine = make("complains", delays=(0.0, 0.0))
    await engine.start()
    assert not await engine.ready(20)
    assert (engine.state, engine.detail) == ("failed", "an unknown tensor")
    assert lives(tmp_path) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"])
async def test_a_killed_child_breaks_its_calls_and_comes_back(make: MakeEngine, client: Client) -> None:
    engine = make()
    await engine.start()
    assert await engine.ready(20)
    origin, key, pid = engine.origin, engine.api_key, engine.pid
    assert origin is not None
    assert pid is not None
    response = await client.send(origin, "GET", "/hold", b"", b"", Deadlines())
    blocks = aiter(response.blocks())
    await anext(blocks)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Fault):
        await anext(blocks)
    assert await engine.lost(origin, 20)
    assert engine.state == "restarting"
    assert "killed" in engine.detail
    assert await engine.ready(20)
    assert engine.pid != pid
    assert engine.api_key != key
    assert (await ask(client, engine))["told"]["api_key"] == engine.api_key
    with pytest.raises(ConnectFault):
        await client.fetch(origin, "GET", "/", b"", b"", Deadlines())


async def test_a_crash_loop_is_given_up_and_can_be_started_again(make: MakeEngine, tmp_path: Path) -> None:
    engine = make("crashes", delays=(0.0, 0.0))
    await engine.start()
    assert not await engine.ready(20)
    assert engine.state == "failed"
    assert "exit code 3" in engine.detail
    assert "2 times in a row; is tiny.gguf whole? `rung models verify` tells" in engine.detail
    assert lives(tmp_path) == 2
    await engine.start()
    assert engine.state == "loading"
    assert not await engine.ready(20)
    assert lives(tmp_path) == 4


@pytest.mark.parametrize(("steady", "survives"), [(0.0, True), (3600.0, False)])
async def test_crashes_are_forgotten_after_a_steady_life(make: MakeEngine, steady: float, survives: bool) -> None:
    engine = make(delays=(0.0,), steady=steady)
    await engine.start()
    for _ in range(3):
        if await engine.ready(20):
            assert engine.pid is not None
            origin = engine.origin
            os.kill(engine.pid, signal.SIGKILL)
            assert await engine.lost(origin, 20)
    assert await engine.ready(20) is survives


async def test_a_load_that_takes_too_long_is_killed(make: MakeEngine) -> None:
    engine = make("hangs", load_deadline=0.3, delays=())
    await engine.start()
    await until(lambda: engine.pid is not None)
    pid = engine.pid
    assert not await engine.ready(20)
    assert "did not load within 0.3 s" in engine.detail
    assert pid is not None
    assert gone(pid)


async def test_an_announcement_that_is_none_counts_as_a_crash(make: MakeEngine) -> None:
    engine = make("babbles", delays=())
    await engine.start()
    assert not await engine.ready(20)
    assert (engine.state, "something else" in engine.detail) == ("failed", True)


async def test_a_child_that_cannot_be_started(make: MakeEngine, tmp_path: Path) -> None:
    engine = make(command=(str(tmp_path / "nowhere"),), delays=())
    await engine.start()
    assert not await engine.ready(20)
    assert "could not be started" in engine.detail


async def test_waiting_for_ready_has_a_limit(make: MakeEngine) -> None:
    engine = make("hangs")
    await engine.start()
    assert not await engine.ready(0.01)
    assert engine.state == "loading"


@pytest.mark.parametrize("anyio_backend", ["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"])
async def test_stop_ends_the_child_whatever_it_does(make: MakeEngine) -> None:
    for mode in ("good", "hangs"):
        engine = make(mode)
        await engine.start()
        await until(lambda engine=engine: engine.pid is not None)  # type: ignore[misc]
        pid = engine.pid
        assert pid is not None
        await engine.stop()
        await engine.stop()
        assert gone(pid)
        assert (engine.state, engine.origin, engine.pid) == ("stopped", None, None)


async def test_who_stops_it_second_waits_as_well(make: MakeEngine) -> None:
    engine = make()
    await engine.start()
    assert await engine.ready(20)
    pid = engine.pid
    assert pid is not None
    first = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)  # it has begun
    await engine.stop()
    assert gone(pid)
    await first


async def test_a_chatty_child_neither_blocks_nor_fills_memory(make: MakeEngine) -> None:
    engine = make("noisy")
    await engine.start()
    assert await engine.ready(20)
    await until(lambda: len(engine.log) == 40)
    assert set(engine.log) == {"chatter"}


PARENT = """
import asyncio, sys
from pathlib import Path
from rung.local.engine import Engine

async def main():
    engine = Engine(Path(sys.argv[1]), alias="x", threads=1, command=sys.argv[2:])
    await engine.start()
    await engine.ready(20)
    print(engine.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_killed_gateway_leaves_no_orphan(tmp_path: Path, model_file: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(model_file), *child(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
        parent.wait()

    async def wait() -> None:
        await until(lambda: gone(pid))

    asyncio.run(wait())


async def test_a_stop_while_the_process_is_being_started_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, begun, made = asyncio.create_subprocess_exec, asyncio.Event(), list[asyncio.subprocess.Process]()

    async def slowly(*command: str, **more: Any) -> asyncio.subprocess.Process:
        begun.set()
        await asyncio.sleep(0.01)
        made.append(await real(*command, **more))
        return made[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf())
    engine = Engine(path, alias="tiny", threads=1, command=child(tmp_path))
    await engine.start()
    await begun.wait()
    await engine.stop()
    assert engine.state == "stopped"
    assert [process.returncode for process in made] == [-9]
