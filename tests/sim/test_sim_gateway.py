"""The whole gateway in front of the simulators, driven by the official openai SDK."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from rung import config
from rung.doors.app import App
from rung.doors.server import running
from rung.gateway import Gateway
from rung.sim import Clock, simulator

USER = [{"role": "user", "content": "What is a ladder?"}]


@pytest.fixture
def through(tmp_path, openai):
    """-> async with through(scenario, *providers) as (client, sim)"""

    def settings(sim, providers):
        path = tmp_path / "rung.toml"
        tables = "".join(f'[providers.{name}]\nbase_url = "{sim.url(name)}"\n' for name in providers)
        path.write_text(f"[local]\nenabled = false\n{tables}")
        return config.load({"RUNG_HOME": str(tmp_path), "HOME": str(tmp_path)}, path, cwd=tmp_path)

    @asynccontextmanager
    async def connected(scenario, *providers):
        async with simulator(scenario, clock=Clock(datetime.now(UTC))) as sim:
            told = await asyncio.to_thread(settings, sim, providers)
            async with (
                Gateway(told) as gateway,
                running(App(gateway)) as url,
                openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
            ):
                yield client, sim

    return connected


@pytest.mark.parametrize("model", ["openai:gpt-6-luna", "groq:openai/gpt-oss-20b"])
async def test_the_gateways_cost_is_the_books_cost(through, model):
    long = [{"role": "system", "content": "rule " * 1500}, *USER]
    async with through({}, "openai", "groq") as (client, sim):
        costs = []
        for turn in range(3):
            messages = [*long, {"role": "user", "content": f"and {turn}?"}]
            raw = await client.chat.completions.with_raw_response.create(model=model, messages=messages)
            costs.append(Decimal(raw.headers["x-rung-cost-usd"]))
        last = [c async for c in await client.chat.completions.create(model=model, messages=USER, stream=True)][-1]
        costs.append(Decimal(last.model_extra["rung"]["cost_usd"]))
        books = sim.books.wire()
        assert any(entry.counts.cache_read for entry in sim.requests)
    assert [int(cost.scaleb(12)) for cost in costs] == [entry.cost_pico_usd for entry in sim.requests]
    assert books["untold_pico_usd"] == 0


async def test_an_outage_is_told_as_one(through, openai):
    scenario = {"groq": {"outages": [{"fault": {"kind": "status", "status": 503}}]}}
    async with through(scenario, "groq") as (client, sim):
        with pytest.raises(openai.APIStatusError):
            await client.chat.completions.create(model="groq:openai/gpt-oss-20b", messages=USER)
    assert {entry.status for entry in sim.requests} == {503}
