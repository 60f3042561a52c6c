"""The gateway and the providers' prompt caches, on the simulators: sessions, what is told, what is left behind."""

import asyncio
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from rung.doors.app import App
from rung.doors.server import running
from rung.gateway import Gateway
from rung.providers.prefix import SHORT
from rung.sim import Clock, simulator
from rung.wire.client import Client, Deadlines, Origin

RULES = {"role": "system", "content": "Some rules that everybody shares. " * 400}
LADDER = """
[local]
enabled = false
[ladder]
reference = "groq:openai/gpt-oss-120b"
fallback = ["groq:openai/gpt-oss-120b", "deepseek:deepseek-flash"]
[breaker]
enabled = false
[retry]
attempts = 1
"""


@pytest.fixture
def simulated(settings):
    """-> async with simulated(scenario, toml) as there: there.gateway, .sim, .clock, .asked (who was asked so far)"""

    @asynccontextmanager
    async def start(scenario=None, toml=LADDER, providers=("groq", "deepseek")):
        clock = Clock()
        async with simulator(scenario or {}, clock=clock) as sim:
            tables = "".join(f'[providers.{name}]\nbase_url = "{sim.url(name)}"\n' for name in providers)
            told = await asyncio.to_thread(settings, toml + tables)
            async with Gateway(told) as gateway:
                gateway.prompts.clock = clock.now

                def asked():
                    return [entry.provider for entry in sim.requests]

                yield SimpleNamespace(gateway=gateway, sim=sim, clock=clock, asked=asked)

    return start


async def converse(there, turns, **told):
    """A conversation of one question a turn; -> the histories it went through."""
    messages = [RULES]
    for turn in range(turns):
        messages = [*messages, {"role": "user", "content": f"question {turn}"}]
        result = await there.gateway.chat(messages, **told)
        messages = [*messages, {"role": "assistant", "content": result.text}]
    return messages


@pytest.mark.parametrize("named", [{}, {"session": "s"}])
async def test_a_session_that_had_to_move_does_not_move_back(simulated, named):
    scenario = {"groq": {"script": ["ok", 503]}}
    async with simulated(scenario) as there:
        await converse(there, 5, **named)
        assert there.asked() == ["groq", "groq", "deepseek", "deepseek", "deepseek", "deepseek"]
        await there.gateway.chat([RULES, {"role": "user", "content": "somebody else"}])
        assert there.asked()[-1] == "groq"
        last = there.sim.requests[-2]
        assert last.counts.cache_read > 0.9 * last.counts.prompt


async def test_switched_off_it_moves_back_at_once(simulated):
    toml = LADDER + "[prompt_cache]\nenabled = false\n"
    async with simulated({"groq": {"script": ["ok", 503]}}, toml) as there:
        await converse(there, 4)
        assert there.asked() == ["groq", "groq", "deepseek", "groq", "groq"]
        assert there.gateway.prompts.told()["enabled"] is False


async def test_a_session_whose_cache_has_expired_goes_where_the_policy_says(simulated):
    async with simulated({"groq": {"script": [503]}}) as there:
        messages = await converse(there, 2)
        there.clock.advance(5 * 3600)
        await there.gateway.chat([*messages, {"role": "user", "content": "still there?"}])
        assert there.asked() == ["groq", "deepseek", "deepseek", "groq"]


async def test_short_calls_are_not_looked_at(simulated):
    async with simulated() as there:
        await there.gateway.chat([{"role": "user", "content": "x" * (SHORT // 2)}], session="s")
        told = there.gateway.prompts.told()
        assert (told["sessions"], told["models"]) == (0, [])


async def test_reloading_keeps_sessions_and_what_was_learnt(simulated):
    async with simulated({"groq": {"script": [503]}}) as there:
        messages = await converse(there, 2)
        await there.gateway.reload(there.gateway.settings)
        await there.gateway.chat([*messages, {"role": "user", "content": "and now?"}])
        assert there.asked() == ["groq", "deepseek", "deepseek", "deepseek"]


async def made(there):
    """Cache objects are made beside the calls."""
    if tasks := there.gateway.prompts._wrapped["gemini"].contents._tasks:
        await asyncio.wait(tasks)


async def test_cache_objects_are_charged_and_never_left_behind(simulated):
    scenario = {"gemini": {"cache": {"rule": "none"}}}
    toml = "[local]\nenabled = false\n[exact]\nenabled = false\n"
    rules = {"role": "system", "content": "Some rules that everybody shares. " * 900}
    async with simulated(scenario, toml, ("gemini",)) as there:
        objects = there.sim.providers["gemini"].contents._kept
        costs = []
        for number in range(10):
            result = await there.gateway.chat(
                [rules, {"role": "user", "content": f"{number}"}], model="gemini:gemini-3.8-flash"
            )
            costs.append(result.cost)
            await made(there)
        assert len(objects) == 1
        (stored,) = objects.values()
        chats = sum(entry.cost_pico_usd for entry in there.sim.requests)
        assert sum(costs) - chats == stored.tokens * 750_000 + -(-stored.tokens * 500_000 // 6)
        await there.gateway.reload(there.gateway.settings)
        assert not objects  # the old providers' objects are gone
        for number in range(10, 20):
            await there.gateway.chat([rules, {"role": "user", "content": f"{number}"}], model="gemini:gemini-3.8-flash")
            await made(there)
        assert len(objects) == 1
        await there.gateway.aclose()
        assert not objects


async def test_over_http_additions_are_told_and_misses_explained(simulated):
    async with simulated(None, "[local]\nenabled = false\n", ("groq",)) as there, running(App(there.gateway)) as url:
        client = Client()
        origin, _ = Origin.parse(url)

        async def send(method, path, body=b""):
            head = b"content-type: application/json\r\n"
            return await client.fetch(origin, method, path, head, body, Deadlines())

        for minute in (1, 2):
            text = {"role": "system", "content": f"It is 13:0{minute}. {RULES['content']}"}
            body = {"model": "groq:openai/gpt-oss-20b", "messages": [text, {"role": "user", "content": f"{minute}"}]}
            response = await send("POST", "/v1/chat/completions", json.dumps(body).encode())
            assert response.status == 200
        told = json.loads((await send("GET", "/admin/cache/explain")).body)
        (miss,) = told["misses"]
        assert (miss["reason"], miss["part"]) == ("timestamp", "messages[0] (system)")
        assert '"xxxxxxx": "xx xx 99:99. xxxx' in miss["before"]
        assert "99:99. xxxx" in miss["after"]
        assert (await send("POST", "/admin/cache/explain", b"{}")).status == 405
        await client.aclose()
