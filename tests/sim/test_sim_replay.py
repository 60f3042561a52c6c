"""Recorded traffic replayed against simulated providers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from rung import config
from rung.cli import replay as cli
from rung.errors import InvalidRequestError
from rung.gateway import Gateway
from rung.replay import Replay, finished, ladder, names, runs
from rung.report.compare import compare
from rung.report.importers import Recorded
from rung.sim import RealClock, simulator

TOML = """
[local]
enabled = false
[ledger]
store_text = true
[ladder]
reference = "groq:openai/gpt-oss-120b"
[providers.groq]
base_url = "{groq}"
models.strong = "openai/gpt-oss-120b"
[providers.deepseek]
base_url = "{deepseek}"
models.strong = "deepseek-flash"
"""


def asked(count: int) -> list[Recorded]:
    told = [f"Question {number}" for number in range(count - 1)] + ["Minify this JSON: [1, 2]"]
    return [Recorded({"messages": [{"role": "user", "content": text}], "max_tokens": 50}) for text in told]


@pytest.fixture
def there(tmp_path: Path):
    """-> async with there() as (gateway, simulator, path of the ledger)."""

    @asynccontextmanager
    async def start():
        async with simulator({"groq": {}, "deepseek": {}}, seed=1, clock=RealClock(speed=1000)) as sim:
            path = tmp_path / "rung.toml"
            await asyncio.to_thread(path.write_text, TOML.format(groq=sim.url("groq"), deepseek=sim.url("deepseek")))
            environ = {"RUNG_HOME": str(tmp_path), "HOME": str(tmp_path)}
            settings = await asyncio.to_thread(config.load, environ, path, cwd=tmp_path)
            async with Gateway(settings) as gateway:
                yield gateway, sim, settings.ledger.path

    return start


async def test_a_run_lands_in_the_ledger_and_is_resumed(there) -> None:
    async with there() as (gateway, sim, ledger):
        rungs = ladder(gateway, ["tool", "exact", "groq"])
        first = await Replay(gateway, rungs, "one").run(iter(asked(5)), {})
        assert (first.done, first.failed, first.unknown) == (5, 0, 0)
        assert first.spent == sum(entry.cost_pico_usd for entry in sim.requests) > 0
        assert len(sim.requests) == 4, "the tool answered one"
    done = await asyncio.to_thread(finished, ledger, "one")
    assert sorted(done) == [0, 1, 2, 3, 4]
    async with there() as (gateway, sim, ledger):
        again = await Replay(gateway, ladder(gateway, ["tool", "groq"]), "one").run(iter(asked(7)), done)
        assert (again.skipped, again.done) == (5, 2)
        assert len(sim.requests) == 1
        assert again.spent == first.spent + sim.requests[0].cost_pico_usd


async def test_a_private_call_stays(there) -> None:
    async with there() as (gateway, sim, _):
        body = {"messages": [{"role": "user", "content": "Why is the sky blue?"}], "private": True}
        told = await Replay(gateway, ladder(gateway, ["tool", "groq"]), "kept").run(iter([Recorded(body)]), {})
        assert (told.done, told.failed, sim.requests) == (1, 1, [])


async def test_the_cap_holds(there) -> None:
    async with there() as (gateway, sim, _):
        rungs = ladder(gateway, ["deepseek:deepseek-flash", "groq"])
        replay = Replay(gateway, rungs, "capped", cap=120_000_000, at_once=3)
        told = await replay.run(iter(asked(50)), {})
        assert told.capped
        assert 0 < told.done < 50
        assert told.spent == sum(entry.cost_pico_usd for entry in sim.requests) <= 120_000_000


async def test_no_cap_without_prices(there) -> None:
    async with there() as (gateway, _, _):
        with pytest.raises(InvalidRequestError, match="price of groq:unheard-of is not known"):
            Replay(gateway, ladder(gateway, ["groq:unheard-of"]), "x", cap=1)
        with pytest.raises(InvalidRequestError, match=r"there are: tool, exact, .*groq, deepseek"):
            ladder(gateway, ["tool", "claude"])


async def test_the_recorded_pace(there) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async with there() as (gateway, _, _):
        calls = [Recorded(one.body, at=100.0 + 10 * number) for number, one in enumerate(asked(3))]
        await Replay(gateway, ladder(gateway, ["tool", "groq"]), "p", pace=2.0, sleep=sleep).run(iter(calls), {})
    assert [round(seconds) for seconds in waited if seconds > 1] == [5, 10]


async def test_two_runs_compared(there, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with there() as (gateway, _, ledger):
        for name, told in (("groq", ["tool", "groq"]), ("deep", ["tool", "deepseek"])):
            await Replay(gateway, ladder(gateway, told), name).run(iter(asked(6)), {})
    ones, others = [await asyncio.to_thread(runs, ledger, name) for name in ("groq", "deep")]
    assert await asyncio.to_thread(names, ledger) == ["deep", "groq"]
    told = compare(ones, others, lambda a, b: a.text == b.text)
    assert told.calls == 6
    assert told.rungs["tool"] == (1, 1)
    assert told.rungs["cloud"] == (5, 5)
    assert {one.model for one in ones} == {"tool", "groq:openai/gpt-oss-120b"}
    assert {one.model for one in others} == {"tool", "deepseek:deepseek-flash"}
    assert all(one.text for one in ones)

    monkeypatch.setenv("RUNG_HOME", str(tmp_path))
    shown = await asyncio.to_thread(
        CliRunner().invoke, cli.command, ["compare", "groq", "deep", "--config", str(tmp_path / "rung.toml")]
    )
    assert shown.exit_code == 0, shown.output
    assert "6 calls in both" in shown.output
    machine = await asyncio.to_thread(
        CliRunner().invoke, cli.command, ["compare", "groq", "deep", "--json", "--config", str(tmp_path / "rung.toml")]
    )
    assert orjson.loads(machine.output)["calls"] == 6


async def test_the_command(there, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with there() as (_, _, _):
        traffic = tmp_path / "traffic.jsonl"
        await asyncio.to_thread(traffic.write_bytes, b"\n".join(orjson.dumps(one.body) for one in asked(4)))
        monkeypatch.setenv("RUNG_HOME", str(tmp_path))
        args = ["run", str(traffic), "--ladder", "tool,groq", "--name", "cli", "--cap-usd", "1"]
        args += ["--config", str(tmp_path / "rung.toml")]
        told = await asyncio.to_thread(CliRunner().invoke, cli.command, args)
        assert told.exit_code == 0, told.output
        assert "4 calls" in told.output
        again = await asyncio.to_thread(CliRunner().invoke, cli.command, [*args, "--json"])
        assert orjson.loads(again.output)["skipped"] == 4
        bad = await asyncio.to_thread(
            CliRunner().invoke, cli.command, ["run", "x", "--ladder", "tool", "--name", "a/b"]
        )
        assert bad.exit_code == 2
