"""The whole gateway in front of the simulators, driven by the official openai SDK."""

import asyncio
import time
from decimal import Decimal

import pytest

from rung.sim.scenario import Scenario

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


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "told", "times"),
    [
        ("openai:gpt-6-luna", {"service_tier": "flex"}, Decimal("0.5")),
        ("openai:gpt-6-luna", {"service_tier": "priority"}, 2),
        ("openai:gpt-6-luna", {"service_tier": "auto"}, 1),
        ("groq:openai/gpt-oss-20b", {"service_tier": "flex"}, 1),
        ("groq:openai/gpt-oss-20b", {"service_tier": "performance"}, None),
        ("gemini:gemini-3.8-flash", {"service_tier": "priority"}, Decimal("1.8")),
        ("anthropic:claude-opus-5-5", {"speed": "fast"}, 2),
    ],
)
async def test_a_service_tier_costs_what_the_books_say(through, model, told, times, stream):
    async with through({}, model.partition(":")[0]) as (client, sim):
        for extra in ({}, told):
            ask = {"model": model, "messages": USER, "extra_body": extra}
            if stream:
                last = [chunk async for chunk in await client.chat.completions.create(**ask, stream=True)][-1]
                cost = last.model_extra["rung"]["cost_usd"]
            else:
                raw = await client.chat.completions.with_raw_response.create(**ask)
                cost = raw.headers["x-rung-cost-usd"]
            billed = sim.requests[-1].cost_pico_usd
            assert cost == "unknown" if billed is None else Decimal(cost).scaleb(12) == billed
        plain, tiered = (entry.cost_pico_usd for entry in sim.requests)
    assert tiered == (None if times is None else plain * times)


async def test_an_outage_is_told_as_one(through, openai):
    scenario = {"groq": {"outages": [{"fault": {"kind": "status", "status": 503}}]}}
    async with through(scenario, "groq") as (client, sim):
        with pytest.raises(openai.APIStatusError):
            await client.chat.completions.create(model="groq:openai/gpt-oss-20b", messages=USER)
    assert {entry.status for entry in sim.requests} == {503}


FALLS_BACK = """
[ladder]
reference = "groq:openai/gpt-oss-20b"
fallback = ["deepseek:deepseek-flash"]
[breaker]
failures = 2
open = 0.01
[deadlines]
first_byte = 0.2
"""


@pytest.mark.parametrize("fault", ["status", "refused", "stall"])
async def test_an_outage_is_answered_by_somebody_else_until_it_is_over(through, fault):
    down = {"kind": fault, **({"status": 503} if fault == "status" else {})}
    async with through({"groq": {"outages": [{"fault": down}]}}, "groq", "deepseek", toml=FALLS_BACK) as (client, sim):

        async def ask(number):
            messages = [{"role": "user", "content": f"{number}?"}]
            raw = await client.chat.completions.with_raw_response.create(model="auto", messages=messages)
            return raw.headers["x-rung-model"], raw.headers["x-rung-climb"]

        answers = [await ask(number) for number in range(4)]
        assert {model for model, _ in answers} == {"deepseek:deepseek-flash"}
        assert "cloud=failed" in answers[0][1]
        assert all(climb.endswith("cloud=answered") for _, climb in answers)
        sim.use(Scenario.of({}))
        async with asyncio.timeout(10):
            while (await ask(time.monotonic()))[0] != "groq:openai/gpt-oss-20b":  # the breaker's probe
                pass


CALLED = [
    *USER,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "7"},
]


async def test_tool_calls_of_another_model_are_no_reason_for_deepseek_to_refuse(through):
    """It wants its reasoning back with them while it thinks; where there is none it is asked not to think."""
    async with through({}, "deepseek") as (client, sim):
        ask = {"model": "deepseek:deepseek-flash"}
        raw = await client.chat.completions.with_raw_response.create(messages=CALLED, **ask)
        assert raw.headers["x-rung-stripped"] == "thinking"
        assert sim.received[-1].json()["thinking"] == {"type": "disabled"}
        given = [CALLED[0], {**CALLED[1], "reasoning_content": "hm"}, CALLED[2]]
        raw = await client.chat.completions.with_raw_response.create(messages=given, **ask)
        assert "x-rung-stripped" not in raw.headers
        assert "thinking" not in sim.received[-1].json()


async def test_who_is_not_asked_at_the_moment_is_told(through):
    scenario = {"groq": {"outages": [{"fault": {"kind": "status", "status": 401}}]}}
    async with through(scenario, "groq", toml="[retry]\nattempts = 1\n") as (client, _):
        with pytest.raises(Exception, match="key"):
            await client.chat.completions.create(model="groq:openai/gpt-oss-20b", messages=USER)
        told = await client.get("/../readyz", cast_to=dict)
        assert told["breakers"] == {"groq:openai/gpt-oss-20b": "open"}
