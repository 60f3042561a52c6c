"""The short form of ``make chaos``, and that it finds out a gateway that breaks its promises."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEED = int.from_bytes(os.urandom(2), "big")
"""another one every time; a failure tells it"""


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.chaos import chaos

    return chaos


@pytest.mark.slow
async def test_answers_cut_anywhere(chaos: ModuleType, tmp_path: Path) -> None:
    counts = await chaos.cuts(tmp_path, stride=151)
    assert sum(count for kind, count in counts.items() if kind.startswith(("cut", "error"))) > 60
    assert counts["whole"] > 60
    assert counts["pico-dollars billed"] >= counts["pico-dollars claimed"] > 0


@pytest.mark.slow
async def test_everything_fails_at_once(chaos: ModuleType, tmp_path: Path) -> None:
    try:
        counts = await chaos.storm(tmp_path, calls=300, at_once=24, seed=SEED)
    except chaos.Broken as broken:
        pytest.fail(f"seed {SEED}: {broken}")
    assert counts["whole"] > 150
    assert sum(count for kind, count in counts.items() if kind.startswith("error")) > 20
    assert counts["stored answers found again"] > 50


async def test_a_provider_dies_and_comes_back(chaos: ModuleType, tmp_path: Path) -> None:
    counts = await chaos.outage(tmp_path, calls=60)
    assert 5 <= counts["reached the dead provider"] <= 12


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
async def test_a_server_that_lies_a_name_that_is_none_a_certificate_of_the_past(
    chaos: ModuleType, tmp_path: Path
) -> None:
    counts = await chaos.wire(tmp_path)
    assert counts["error connect_failed"] >= 4
    assert counts["error connect_timeout"] == 2


async def test_a_cut_stream_taken_for_whole_is_found_out(
    chaos: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rung.providers.relay.Relay.end", lambda relay: b"")
    with pytest.raises(chaos.Broken, match="groq"):
        await chaos.cuts(tmp_path, stride=50, providers=["groq"])


async def test_a_broken_answer_in_the_cache_is_found_out(
    chaos: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chaos.room(tmp_path / "room") as there:
        await there.ask("True before", model="auto", stream=True)
        model, stream, outcome = there.asked["True before"]
        outcome.kind = "cut"
        with pytest.raises(chaos.Broken, match="is in the cache"):
            await chaos._kept(there)
        assert (model, stream) == ("auto", True)


async def test_a_charge_that_no_book_knows_is_found_out(chaos: ModuleType, tmp_path: Path) -> None:
    async with chaos.room(tmp_path / "room") as there:
        await there.ask("True once", model="auto", stream=True)
        attempts = [one for one in there.gateway.climbs[0].attempts if ":" in one.model]
        entries = there.sim.requests
        assert chaos._balance(attempts, entries)["pico-dollars claimed"] > 0
        cost = attempts[0].cost
        for wrong, message in ((cost + 1, "not in the books"), (0, "unknown cost")):
            attempts[0].cost = wrong
            with pytest.raises(chaos.Broken, match=message):
                chaos._balance(attempts, entries)


async def test_a_task_that_stays_is_found_out(chaos: ModuleType, tmp_path: Path) -> None:
    tasks: list[asyncio.Task[bool]] = []
    with pytest.raises(chaos.Broken, match="1 tasks are left"):
        async with chaos.room(tmp_path / "room"):
            tasks.append(asyncio.create_task(asyncio.Event().wait()))
    tasks[0].cancel()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'data: {"id":"1","choices":[{"delta":{"content":"groq-one"}}]}\n\n', "neither whole nor"),
        (b'data: {"id":"1","choices":[{"delta":{"content":"groq', "inside a frame"),
        (
            b'data: {"id":"1","choices":[{"delta":{"content":"groq-one"}}]}\n\n'
            b'data: {"id":"2","choices":[{"delta":{"content":" deepseek-tw\xc3\xb6"},"finish_reason":"stop"}]}\n\n'
            b"data: [DONE]\n\n",
            "several answers",
        ),
    ],
)
def test_a_wrong_stream_is_found_out(chaos: ModuleType, body: bytes, message: str) -> None:
    from benchmarks.chaos.harness import _judge

    told = {"x-rung": "cloud", "x-rung-model": "groq:m"}
    with pytest.raises(chaos.Broken, match=message):
        _judge(200, told, body, "q", True, "")


FIRST = b': keep-alive\n\ndata: {"id":"1","choices":[{"delta":{"content":"groq-one"}}]}\n\n'
OUT_OF_TIME = b'data: {"error":{"message":"too late","type":"timeout_error","code":"deadline_exceeded"}}\n\n'


def test_a_stream_begun_with_a_sign_of_life_is_held_to_the_same(chaos: ModuleType) -> None:
    from benchmarks.chaos.harness import _judge, says

    told = {"x-rung": "pending"}
    assert _judge(200, told, b": keep-alive\n\n" + OUT_OF_TIME, "q", True, "").kind == "cut"
    assert _judge(200, told, FIRST + OUT_OF_TIME, "q", True, "").provider == "groq"
    rest = says("groq", "q").removeprefix("groq-one").encode()
    last = b'data: {"id":"1","choices":[{"delta":{"content":"%b"},"finish_reason":"stop"}],"rung":{"model":"%b:m"}}\n\n'
    done = b"data: [DONE]\n\n"
    assert _judge(200, told, FIRST + last % (rest, b"groq") + done, "q", True, "").kind == "whole"
    with pytest.raises(chaos.Broken, match="deepseek said 'groq-one"):
        _judge(200, told, FIRST + last % (rest, b"deepseek") + done, "q", True, "")
    with pytest.raises(chaos.Broken, match="said 'groq-oneX'"):
        _judge(200, told, FIRST + FIRST.replace(b"groq-one", b"X") + OUT_OF_TIME, "q", True, "")
