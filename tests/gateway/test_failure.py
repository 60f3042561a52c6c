"""Failure through the whole gateway: breakers, told limits and hedges, seen by OpenAI's own client."""

import asyncio

import openai
import pytest

from rung.completion import frames
from rung.testing import ScriptedUpstream, completion_reply, completion_stream, reply, stream_reply

ONCE = "[retry]\nattempts = 1\n[exact]\nenabled = false\n"


def client(there):
    return openai.AsyncOpenAI(base_url=f"{there.url}/v1", api_key="sk-client", max_retries=0)


def ask(**more):
    return {"model": "mock:big", "messages": [{"role": "user", "content": "hi"}], **more}


async def refused(sdk, **more):
    with pytest.raises(openai.APIStatusError) as caught:
        await sdk.chat.completions.create(**ask(**more))
    return caught.value


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dead_provider_is_not_asked_for_a_while(serving, stream):
    async with serving(reply({"error": {"message": "down"}}, 500), toml=ONCE) as there, client(there) as sdk:
        for _ in range(5):
            assert (await refused(sdk, stream=stream)).status_code == 502
        error = await refused(sdk, stream=stream)
        assert len(there.upstream.received) == 5
        assert (error.status_code, error.code) == (503, "breaker_open")
        assert "mock:big is not asked" in error.message
        assert error.response.headers["x-rung-climb"] == "cloud=declined:breaker_open"


async def test_streams_that_break_in_the_middle_open_it_too(serving):
    start, words, *_ = frames("one two", model="m", request_id="1", include_usage=False)
    cut = stream_reply([start, words], end=False)

    async def breaks(received, writer):
        writer.write(cut)
        await writer.drain()
        writer.close()

    async with serving(breaks, toml=ONCE) as there, client(there) as sdk:
        for _ in range(5):
            stream = await sdk.chat.completions.create(**ask(stream=True))
            said = [(await anext(stream)).choices[0].delta.content for _ in range(2)]
            assert said[1] == "one two"
            with pytest.raises(openai.APIError):
                await anext(stream)
        assert (await refused(sdk, stream=True)).code == "breaker_open"
        assert len(there.upstream.received) == 5


async def test_an_unknown_model_stays_a_404_without_being_asked_again(serving):
    async with serving(reply({"error": {"message": "no such model"}}, 404), toml=ONCE) as there, client(there) as sdk:
        for _ in range(3):
            error = await refused(sdk)
            assert (error.status_code, error.code) == (404, "model_not_found")
        assert len(there.upstream.received) == 1


async def test_rejected_calls_open_nothing(serving):
    async with serving(reply({"error": {"message": "bad"}}, 400), toml=ONCE) as there, client(there) as sdk:
        for _ in range(12):
            assert (await refused(sdk)).status_code == 400
        assert len(there.upstream.received) == 12


async def test_clients_that_leave_open_nothing(serving):
    asked = asyncio.Event()

    async def waits(received, writer):
        asked.set()
        await asyncio.Event().wait()

    async with serving(waits, toml=ONCE) as there, client(there) as sdk:
        for _ in range(8):
            call = asyncio.ensure_future(sdk.chat.completions.create(**ask()))
            await asyncio.wait_for(asked.wait(), 5)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await asyncio.wait_for(there.upstream.left.wait(), 5)
            asked.clear()
            there.upstream.left.clear()
        assert there.gateway._breakers.shown() == {}
        assert len(there.upstream.received) == 8


@pytest.mark.parametrize("stream", [False, True])
async def test_a_limit_told_in_headers_is_obeyed_before_it_is_enforced(serving, stream):
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "42s"}
    good = completion_reply("ok").partition(b"\r\n\r\n")[2]
    answer = reply(good, headers=headers)
    if stream:
        answer = completion_stream("ok").replace(
            b"\r\n\r\n", b"\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 42s\r\n\r\n", 1
        )
    async with serving(answer, toml=ONCE) as there, client(there) as sdk:
        told = await sdk.chat.completions.create(**ask(stream=stream))
        if stream:
            async for _ in told:
                pass
        error = await refused(sdk)
        assert error.status_code == 429
        assert 38 <= int(error.response.headers["retry-after"]) <= 42
        assert len(there.upstream.received) == 1


async def test_a_delay_that_came_with_a_429_is_kept_and_told(serving):
    limit = reply({"error": {"message": "slow down"}}, 429, {"retry-after": "30"})
    async with serving(limit) as there, client(there) as sdk:
        for _ in range(3):
            error = await refused(sdk)
            assert error.status_code == 429
            assert 28 <= int(error.response.headers["retry-after"]) <= 30
        assert len(there.upstream.received) == 1


async def test_a_reload_with_another_key_tries_again_and_one_without_does_not(serving, settings):
    async with serving(reply({"error": {"message": "who?"}}, 401), toml=ONCE) as there, client(there) as sdk:
        for _ in range(2):
            assert (await refused(sdk)).status_code == 502
        assert len(there.upstream.received) == 1
        text = f'[local]\nenabled = false\n{ONCE}[providers.mock]\nbase_url = "{there.upstream.base_url}"\n'
        for more, asked in (('models.strong = "big"\n', 1), ('models.strong = "big"\nkey = "another"\n', 2)):
            await there.gateway.reload(await asyncio.to_thread(settings, text + more))
            await refused(sdk)
            assert len(there.upstream.received) == asked


async def test_switched_off_it_asks_for_ever(serving):
    toml = ONCE + "[breaker]\nenabled = false\n"
    async with serving(reply({"error": {"message": "down"}}, 500), toml=toml) as there, client(there) as sdk:
        for _ in range(12):
            await refused(sdk)
        assert len(there.upstream.received) == 12


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_is_late_is_raced_by_the_next(serving, stream):
    async def waits(received, writer):
        await asyncio.Event().wait()

    quick = completion_stream("quick") if stream else completion_reply("quick")
    async with ScriptedUpstream(quick) as other:
        toml = f"""
[ladder]
reference = "mock:big"
fallback = ["other:m"]
[hedge]
enabled = true
[providers.other]
base_url = "{other.base_url}"
"""
        async with serving(waits, toml=toml) as there, client(there) as sdk:
            hedger = there.gateway._wiring.hedger
            for _ in range(100):
                hedger.latency(there.gateway.lineup.reference, not stream).add(0.01)
            hedger.budget._level = 5.0
            raw = await sdk.chat.completions.with_raw_response.create(**ask(model="auto", stream=stream))
            assert raw.headers["x-rung-model"] == "other:m"
            assert "cloud=cancelled:hedge_lost, cloud=answered" in raw.headers["x-rung-climb"]
            if not stream:
                assert raw.headers["x-rung-cost-usd"] == "unknown"
            await asyncio.wait_for(there.upstream.left.wait(), 5)  # the loser's work is stopped
            if stream:
                text = "".join([chunk.choices[0].delta.content or "" async for chunk in raw.parse() if chunk.choices])
                assert text == "quick"
