"""``cachedContents``, on the simulated Gemini."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import orjson
import pytest
from provider_fakes import endpoint

from rung.errors import BadAnswerFault, MissingModelFault, PrivacyError, RejectedFault
from rung.providers.gemini import CACHE_GONE, Gemini
from rung.providers.gemini_cache import CachedContents
from rung.sim import simulator
from rung.testing import ScriptedUpstream, make_call, reply
from rung.wire.client import Client, Deadlines

MODEL = "gemini-3.8-flash"
LIMITS = Deadlines()
LONG = {
    "messages": [{"role": "system", "content": "rule " * 9000}],
    "tools": [{"type": "function", "function": {"name": "f"}}],
}


@asynccontextmanager
async def account():
    client = Client()
    async with simulator({"gemini": {}}) as sim:
        gemini = Gemini(endpoint("gemini", sim.url("gemini")), client)
        try:
            yield SimpleNamespace(caches=CachedContents(gemini), gemini=gemini, sim=sim)
        finally:
            await client.aclose()


async def test_made_used_renewed_listed_and_deleted():
    async with account() as there:
        made = await there.caches.create(LONG, MODEL, ttl=300, deadlines=LIMITS, display_name="rung")
        assert made.model == MODEL
        assert made.tokens > 9000
        body = {"google": {"cached_content": made.name}, **LONG, "messages": [{"role": "user", "content": "hi"}]}
        answer = await there.gemini.chat(make_call(body=body), MODEL, LIMITS)
        assert answer.evidence.usage.cache_read_tokens == made.tokens
        later = await there.caches.renew(made.name, ttl=900.5, deadlines=LIMITS)
        assert (later.expires - made.expires).total_seconds() == pytest.approx(600.5, abs=60)
        assert [one.name for one in await there.caches.all(deadlines=LIMITS)] == [made.name]
        await there.caches.delete(made.name, deadlines=LIMITS)
        await there.caches.delete(made.name, deadlines=LIMITS)
        assert await there.caches.all(deadlines=LIMITS) == []
        with pytest.raises(MissingModelFault) as caught:
            await there.gemini.chat(make_call(body=body), MODEL, LIMITS)
        assert caught.value.code == CACHE_GONE


async def test_one_that_expired_cannot_be_renewed():
    async with account() as there:
        made = await there.caches.create(LONG, MODEL, ttl=60, deadlines=LIMITS)
        there.sim.clock.advance(61)
        with pytest.raises(MissingModelFault):
            await there.caches.renew(made.name, ttl=60, deadlines=LIMITS)


async def test_what_gemini_will_not_cache_is_refused():
    client = Client()
    small = {"error": {"code": 400, "message": "Cached content is too small", "status": "INVALID_ARGUMENT"}}
    async with ScriptedUpstream(reply(small, 400)) as upstream:
        caches = CachedContents(Gemini(endpoint("gemini", upstream.base_url), client))
        with pytest.raises(RejectedFault, match="too small"):
            await caches.create(LONG, MODEL, ttl=60, deadlines=LIMITS)
    await client.aclose()


async def test_a_name_cannot_leave_its_place():
    async with account() as there:
        for name in ("cachedContents/../models/x", "models/x", "cachedContents/a?x=1"):
            with pytest.raises(ValueError, match="not the name"):
                await there.caches.delete(name, deadlines=LIMITS)


async def test_nothing_private_is_cached_off_this_machine():
    client = Client()
    caches = CachedContents(Gemini(endpoint("gemini", "https://gemini.example"), client))
    with pytest.raises(PrivacyError):
        await caches.create(LONG, MODEL, ttl=60, deadlines=LIMITS, private=True)
    await client.aclose()


async def test_pages_and_answers_that_are_none():
    client = Client()
    page = {"cachedContents": [{"name": "cachedContents/a"}], "nextPageToken": "n1"}
    async with ScriptedUpstream(reply(page), reply({**page, "nextPageToken": ""}), reply(b"[]")) as upstream:
        caches = CachedContents(Gemini(endpoint("gemini", upstream.base_url), client))
        found = await caches.all(deadlines=LIMITS)
        assert [one.name for one in found] == ["cachedContents/a"] * 2
        assert upstream.received[1].target.endswith("pageToken=n1")
        with pytest.raises(BadAnswerFault):
            await caches.all(deadlines=LIMITS)
        assert orjson.loads(upstream.received[0].body or b"null") is None
    await client.aclose()
