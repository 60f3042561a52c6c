"""Providers whose prompt cache is used on purpose: held fan-out, what is added, cache objects."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import orjson
import pytest
from provider_fakes import endpoint

from rung.answer import Answer, Event, Evidence, Usage
from rung.call import new_request_id
from rung.errors import ServerFault
from rung.providers.adapters import make_adapter
from rung.providers.gemini_contents import TTL
from rung.providers.prefix import read_prefix
from rung.providers.prices import Rates
from rung.providers.prompt_cache import PromptCached
from rung.providers.rows import rows
from rung.sim import Clock, simulator
from rung.testing import make_call
from rung.wire.client import Client, Deadlines

RULES = "Some rules that everybody shares. " * 900
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
LIMITS = Deadlines()


class Pricing:
    known = True

    def rates(self, model_id, prompt_tokens):
        return Rates(750_000, 75_000, 750_000, 3_750_000, 750_000) if self.known else None

    def storage_cost(self, model_id, tokens, seconds):
        return round(tokens * seconds / 3600 * 500_000) if self.known else None


def asked(text="hi", *, rules=RULES, history=(), request_id="", **body):
    messages = [{"role": "system", "content": rules}, *history, {"role": "user", "content": text}]
    options = {name: body.pop(name) for name in ("stream", "session", "tenant", "model") if name in body}
    call = make_call(body={"messages": messages, **body}, **options)
    call.request_id = request_id or new_request_id()
    call.prefix = read_prefix(call)
    return call


class Slow:
    """An adapter whose answers begin when they are told to; the n-th call fails where `failing` says so."""

    def __init__(self, failing=()):
        self.begun = []
        self.failing = failing
        self.closed = 0

    async def chat(self, call, model, deadlines):
        go = asyncio.get_running_loop().create_future()
        self.begun.append(go)
        number = len(self.begun)
        if not call.stream:
            await go
        if number in self.failing:
            raise ServerFault("down")
        answer = Answer("", f"openai:{model}", Evidence())
        if call.stream:
            answer.events = self._events(go)
        else:
            answer.body = b"{}"
        return answer

    async def _events(self, go):
        try:
            await go
            yield Event(b"data: {}\n\n", True, False)
            yield Event(b"data: {}\n\n", True, True)
        finally:
            self.closed += 1


def held(adapter, wait=60.0):
    return PromptCached(adapter, "openai", Pricing(), clock=lambda: 1.0, wait=wait, contents=True)


async def ticks():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_others_wait_until_the_first_has_begun():
    adapter = Slow()
    provider = held(adapter)
    tasks = [asyncio.create_task(provider.chat(asked(str(n)), "m", LIMITS)) for n in range(5)]
    await ticks()
    assert len(adapter.begun) == 1
    adapter.begun[0].set_result(None)
    await ticks()
    assert len(adapter.begun) == 5
    for go in adapter.begun[1:]:
        go.set_result(None)
    await asyncio.gather(*tasks)
    late = asyncio.create_task(provider.chat(asked("late"), "m", LIMITS))
    await ticks()
    assert len(adapter.begun) == 6  # warm: nobody waits, nobody leads
    adapter.begun[5].set_result(None)
    await late


async def test_a_stream_has_begun_with_its_first_event():
    adapter = Slow()
    provider = held(adapter)
    first = await provider.chat(asked(stream=True), "m", LIMITS)
    other = asyncio.create_task(provider.chat(asked("b", stream=True), "m", LIMITS))
    await ticks()
    assert len(adapter.begun) == 1
    adapter.begun[0].set_result(None)
    assert (await anext(first.events)).content
    second = await other
    adapter.begun[1].set_result(None)
    assert len([event async for event in second.events]) == 2
    await first.aclose()
    assert adapter.closed == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_if_the_first_fails_the_next_one_leads(stream):
    adapter = Slow(failing=(1,))
    provider = held(adapter)
    tasks = [asyncio.create_task(provider.chat(asked(str(n), stream=stream and n > 0), "m", LIMITS)) for n in range(3)]
    await ticks()
    adapter.begun[0].set_result(None)
    await ticks()
    assert len(adapter.begun) == 2
    with pytest.raises(ServerFault):
        await tasks[0]
    adapter.begun[1].set_result(None)
    if stream:
        assert len([event async for event in (await tasks[1]).events]) == 2
    await ticks()
    assert len(adapter.begun) == 3
    adapter.begun[2].set_result(None)
    for answer in await asyncio.gather(*tasks[1:]):
        await answer.aclose()


async def test_a_stream_that_is_left_lets_the_others_go():
    adapter = Slow()
    provider = held(adapter)
    first = await provider.chat(asked(stream=True), "m", LIMITS)
    reading = asyncio.create_task(anext(first.events))
    other = asyncio.create_task(provider.chat(asked("b"), "m", LIMITS))
    await ticks()
    reading.cancel()
    await ticks()
    assert len(adapter.begun) == 2
    adapter.begun[1].set_result(None)
    await other


async def test_nobody_waits_for_ever_and_other_prefixes_not_at_all():
    adapter = Slow()
    provider = held(adapter, wait=0.0)
    tasks = [asyncio.create_task(provider.chat(asked(str(n)), "m", LIMITS)) for n in range(2)]
    other = held(adapter)
    tasks += [asyncio.create_task(other.chat(asked(rules=RULES + str(n)), "m", LIMITS)) for n in range(2)]
    tasks += [asyncio.create_task(other.chat(asked(tenant=str(n)), "m", LIMITS)) for n in range(2)]
    await ticks()
    assert len(adapter.begun) == 6
    for go in adapter.begun:
        go.set_result(None)
    await asyncio.gather(*tasks)


async def test_a_hedge_does_not_wait_for_what_it_hedges():
    adapter = Slow()
    provider = held(adapter)
    tasks = [asyncio.create_task(provider.chat(asked(request_id="same"), "m", LIMITS)) for _ in range(2)]
    await ticks()
    assert len(adapter.begun) == 2
    for go in adapter.begun:
        go.set_result(None)
    await asyncio.gather(*tasks)


# ---- with the real adapters, on the simulators ----


@asynccontextmanager
async def provider(name, scenario=None):
    client, clock = Client(), Clock()
    async with simulator(scenario or {}, clock=clock) as sim:
        base = sim.url(name)
        pricing = Pricing()
        made = PromptCached(
            make_adapter(rows()[name].adapter, endpoint(name, base), client),
            name,
            pricing,
            clock=clock.now,
            wait=1.0,
            contents=True,
        )

        async def ask(model, text="hi", **told):
            return await made.chat(asked(text, **told), model, LIMITS)

        def sent():
            return next(one.body for one in reversed(sim.received) if "cachedContents" not in one.path)

        def body():
            return orjson.loads(sent())

        try:
            yield SimpleNamespace(ask=ask, sent=sent, body=body, sim=sim, clock=clock, made=made, pricing=pricing)
        finally:
            await made.aclose()
            await client.aclose()


def added(answer):
    return dict(answer.headers).get(b"x-rung-added")


async def test_openai_gets_a_key_for_the_prefix():
    async with provider("openai") as there:
        answer = await there.ask("gpt-6-luna", "one")
        assert added(answer) == b"prompt_cache_key"
        key = there.body()["prompt_cache_key"]
        answer = await there.ask("gpt-6-luna", "two")
        assert there.body()["prompt_cache_key"] == key
        assert answer.evidence.usage.cache_read_tokens > 5000
        own = await there.ask("gpt-6-luna", prompt_cache_key="mine")
        assert added(own) is None
        assert there.body()["prompt_cache_key"] == "mine"


async def test_openai_gets_break_points_where_contents_are_parts():
    parts = {"role": "user", "content": [{"type": "text", "text": "and so on"}]}
    async with provider("openai") as there:
        rules = [{"type": "text", "text": RULES}]
        call = make_call(body={"messages": [{"role": "system", "content": rules}, parts]})
        call.prefix = read_prefix(call)
        answer = await there.made.chat(call, "gpt-6-luna", LIMITS)
        assert added(answer) == b"prompt_cache_breakpoint, prompt_cache_key"
        assert all("prompt_cache_breakpoint" in one["content"][0] for one in there.body()["messages"])
        await there.made.chat(call, "gpt-4o", LIMITS)
        assert b"prompt_cache_breakpoint" not in there.sent()


async def test_short_calls_pass_through_as_they_are():
    async with provider("openai") as there:
        call = make_call("short")
        assert added(await there.made.chat(call, "gpt-6-luna", LIMITS)) is None
        assert there.sent() == call.raw.replace(b'"auto"', b'"gpt-6-luna"')


async def test_anthropic_gets_marks_where_they_come_back():
    async with provider("anthropic") as there:
        single = await there.ask("claude-sonnet-5-5", "one")
        assert added(single) is None  # nothing says that any of it will be sent again
        again = await there.ask("claude-sonnet-5-5", "two")
        assert added(again) == b"cache_control"
        assert b'"cache_control"' not in orjson.dumps(there.body()["messages"])
        third = await there.ask("claude-sonnet-5-5", "three")
        assert third.evidence.usage.cache_read_tokens > 5000
        history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        await there.ask("claude-sonnet-5-5", "four", history=history)
        assert "cache_control" in there.body()["messages"][-1]["content"][-1]
        await there.ask("claude-sonnet-5-5", "five", tools=[{**TOOLS[0], "cache_control": {"type": "ephemeral"}}])
        assert orjson.dumps(there.body()).count(b'"cache_control"') == 1  # the caller's own


async def settled(contents):
    while contents._tasks:
        await asyncio.wait(contents._tasks)


async def test_cache_objects_are_made_when_they_pay_used_renewed_and_deleted():
    async with provider("gemini", {"gemini": {"cache": {"rule": "none"}}}) as there:
        contents = there.made.contents
        kept = there.sim.providers["gemini"].contents
        model = "gemini-3.8-flash"
        for number in range(12):
            call = asked(str(number), tools=TOOLS)
            answer = await there.made.chat(call, model, LIMITS)
            there.made.learn(call, model, answer.evidence.usage)
            await settled(contents)
            there.clock.advance(20)
        assert added(answer) == b"cachedContent"
        assert answer.evidence.usage.cache_read_tokens > 7000
        assert len(contents) == len(kept._kept) == 1
        (stored,) = kept._kept.values()
        dues = there.made.dues()
        assert dues == stored.tokens * 750_000 + there.pricing.storage_cost(model, stored.tokens, TTL)
        assert there.made.dues() == 0
        there.clock.advance(TTL / 2)
        for number in range(8):
            await there.ask(model, f"more {number}", tools=TOOLS)
            await settled(contents)
        assert stored.updated > stored.created
        assert 0 < there.made.dues() < dues
        await there.made.aclose()
        assert kept._kept == {}


async def test_an_object_that_is_gone_costs_no_answer():
    async with provider("gemini", {"gemini": {"cache": {"rule": "none"}}}) as there:
        for number in range(12):
            answer = await there.ask("gemini-3.8-flash", str(number))
            await settled(there.made.contents)
        assert added(answer) == b"cachedContent"
        there.sim.providers["gemini"].contents._kept.clear()
        answer = await there.ask("gemini-3.8-flash", "again")
        assert added(answer) is None
        assert answer.body
        assert len(there.made.contents) <= 1


async def test_no_object_without_prices_or_where_it_does_not_pay():
    async with provider("gemini") as there:
        there.pricing.known = False
        for number in range(12):
            await there.ask("gemini-3.8-flash", str(number))
        there.pricing.known = True
        for number in range(12):
            call = asked(f"rare {number}", rules=RULES + "!")
            await there.made.chat(call, "gemini-3.8-flash", LIMITS)
            there.made.learn(call, "gemini-3.8-flash", Usage(0, 10_000))  # the automatic cache finds it all
            there.clock.advance(3600)
        await settled(there.made.contents)
        assert len(there.made.contents) == 0


async def test_a_refused_object_is_not_asked_for_again_at_once():
    async with provider("gemini", {"gemini": {"cache": {"rule": "none"}}}) as there:
        made = 0

        async def refused(*args, **told):
            nonlocal made
            made += 1
            raise ServerFault("down")

        there.made.contents._account.create = refused
        for number in range(20):
            await there.ask("gemini-3.8-flash", str(number))
            await settled(there.made.contents)
        assert made == 1


@pytest.mark.parametrize("name", ["openai", "groq", "deepseek", "gemini", "anthropic", "ollama"])
async def test_a_history_is_written_in_the_same_bytes_every_turn(name):
    """What providers compare is the beginning of the request: it must not depend on what comes after."""
    turns = [
        {"role": "user", "content": 'Fahr zum Bäcker \u2028 "jetzt" 1.50 \\ / 🥨'},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"b": 1.50, "a": [1e3, "ü"]}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '{"z": 1, "a": null}'},
        {"role": "assistant", "content": "done", "reasoning_content": ""},
    ]
    async with provider(name, {"ollama": {"context": 100_000}}) as there:
        model = rows()[name].strong or "phi4"
        sent = []
        for _ in range(2):
            for place in (2, 4):
                await there.ask(model, "next " * place, history=turns[:place] if place == 4 else turns[:1], tools=TOOLS)
                sent.append(there.sent())
        assert sent[0] == sent[2]
        assert sent[1] == sent[3]
        where = b'"contents":' if name == "gemini" else b'"messages":'
        cut = sent[0].index(b"next next")
        old = sent[0][sent[0].index(where) : cut].replace(b',"cache_control":{"type":"ephemeral"}', b"")
        new = sent[1][sent[1].index(where) :].replace(b',"cache_control":{"type":"ephemeral"}', b"")
        shared = old[: old.index("🥨".encode()) + 5]
        assert new.startswith(shared)
        tools = orjson.loads(sent[0])["tools"], orjson.loads(sent[1])["tools"]
        assert orjson.dumps(tools[0]) == orjson.dumps(tools[1])
