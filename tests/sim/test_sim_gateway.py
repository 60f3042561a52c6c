"""The whole gateway in front of the simulators, driven by the official openai SDK."""

from decimal import Decimal

import pytest

USER = [{"role": "user", "content": "What is a ladder?"}]


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
