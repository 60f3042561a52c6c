"""The simulated Groq, driven by the official groq SDK."""

import json

import pytest

MODEL = "openai/gpt-oss-20b"
USER = [{"role": "user", "content": "What is a ladder?"}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


@pytest.fixture
def client(groq):
    return lambda sim: groq.AsyncGroq(base_url=sim.root("groq"), api_key="any", max_retries=0)


def form(schema, **more):
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, **more}}


async def test_an_answer_has_reasoning_and_its_times(client, sim):
    async with sim(client) as (api, _):
        answer = await api.chat.completions.create(model=MODEL, messages=USER)
    message, usage = answer.choices[0].message, answer.usage
    assert message.reasoning
    assert not hasattr(message, "reasoning_content")
    assert usage.completion_tokens_details.reasoning_tokens == 48
    assert usage.total_time == pytest.approx(usage.prompt_time + usage.completion_time)
    assert usage.completion_time == pytest.approx(usage.completion_tokens / 1000)
    assert answer.x_groq.id


async def test_a_stream_tells_its_usage_without_being_asked(client, sim):
    async with sim(client) as (api, there):
        stream = await api.chat.completions.create(model=MODEL, messages=USER, stream=True)
        chunks = [chunk async for chunk in stream]
        assert there.requests[0].told is True
    assert chunks[0].x_groq.id
    assert chunks[1].choices[0].delta.reasoning
    last = chunks[-1]
    assert last.choices[0].finish_reason == "stop"
    assert last.x_groq.usage.total_tokens == last.usage.total_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_an_error_in_a_stream_is_in_x_groq(client, sim):
    async with sim(client, {"groq": {"script": ["stream_error"]}}) as (api, _):
        stream = await api.chat.completions.create(model=MODEL, messages=USER, stream=True)
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].x_groq.error == "simulated failure in the middle of the stream"
    assert not any(chunk.choices and chunk.choices[0].finish_reason for chunk in chunks)


async def test_limits_are_told_as_go_durations(client, sim):
    limits = {"requests": 1000, "requests_per": 86_400, "tokens": 8000}
    async with sim(client, {"groq": {"limits": limits}}) as (api, _):
        raw = await api.chat.completions.with_raw_response.create(model=MODEL, messages=USER)
    assert raw.headers["x-ratelimit-limit-requests"] == "1000"
    assert raw.headers["x-ratelimit-reset-requests"] == "1m26.4s"
    assert raw.headers["x-ratelimit-remaining-tokens"] == "7994"
    assert raw.headers["x-ratelimit-reset-tokens"] == "45ms"
    assert "retry-after" not in raw.headers


async def test_a_limit_used_up_is_a_429_until_it_refills(client, groq, sim):
    async with sim(client, {"groq": {"limits": {"requests": 0, "tokens": 100}}}) as (api, there):
        ask = [{"role": "user", "content": "word " * 60}]
        await api.chat.completions.create(model=MODEL, messages=ask)
        with pytest.raises(groq.RateLimitError) as raised:
            await api.chat.completions.create(model=MODEL, messages=ask)
        wait = float(raised.value.response.headers["retry-after"])
        there.clock.advance(wait + 0.01)
        await api.chat.completions.create(model=MODEL, messages=ask)
    error = raised.value.body["error"]
    assert (error["type"], error["code"]) == ("tokens", "rate_limit_exceeded")
    assert f"Limit 100, Used 77, Requested 77. Please try again in {wait:.3f}s." in error["message"].replace(
        "0s.", "s."
    )


async def test_a_scripted_429_has_retry_after_and_the_message(client, groq, sim):
    script = [{"kind": "status", "status": 429, "retry_after": 5.289}]
    async with sim(client, {"groq": {"script": script}}) as (api, _):
        with pytest.raises(groq.RateLimitError, match=r"Please try again in 5\.289s") as raised:
            await api.chat.completions.create(model=MODEL, messages=USER)
    assert raised.value.response.headers["retry-after"] == "5.289"


async def test_the_sdk_does_not_retry_498(groq, sim):
    make = lambda there: groq.AsyncGroq(base_url=there.root("groq"), api_key="any", max_retries=2)  # noqa: E731
    async with sim(make, {"groq": {"script": [498]}}) as (api, there):
        with pytest.raises(groq.APIStatusError) as raised:
            await api.chat.completions.create(model=MODEL, messages=USER)
        assert len(there.requests) == 1
    assert raised.value.status_code == 498
    assert raised.value.body["error"]["code"] == "capacity_exceeded"


async def test_a_failed_generation_carries_the_text(client, groq, sim):
    fault = {"kind": "failed_generation", "code": "tool_use_failed", "text": '{"a": 1,'}
    async with sim(client, {"groq": {"script": [fault]}}) as (api, _):
        with pytest.raises(groq.BadRequestError) as raised:
            await api.chat.completions.create(model=MODEL, messages=USER)
    error = raised.value.body["error"]
    assert (error["code"], error["failed_generation"]) == ("tool_use_failed", '{"a": 1,')


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"n": 2}, "'n'"),
        ({"messages": [{"role": "user", "content": "x", "name": "me"}]}, "property 'name' is unsupported"),
        ({"messages": [{"role": "user", "content": "x", "cache_control": {}}]}, "cache_control"),
        ({"reasoning_effort": "none"}, "reasoning_effort"),
        ({"reasoning_format": "raw", "response_format": {"type": "json_object"}}, "raw"),
        ({"reasoning_format": "raw", "tools": [{"type": "function", "function": {"name": "f"}}]}, "raw"),
        ({"reasoning_format": "parsed", "include_reasoning": True}, "together"),
        ({"response_format": form(SCHEMA), "tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": form({**SCHEMA, "required": []}, strict=True)}, "required"),
        ({"response_format": form({**SCHEMA, "additionalProperties": True}, strict=True)}, "additionalProperties"),
    ],
)
async def test_what_groq_refuses(client, groq, sim, extra, said):
    async with sim(client) as (api, _):
        with pytest.raises(groq.BadRequestError) as raised:
            await api.chat.completions.create(**{"model": MODEL, "messages": USER, **extra})
    assert said in raised.value.body["error"]["message"]


async def test_strict_schemas_are_followed_by_gpt_oss_only(client, groq, sim):
    async with sim(client) as (api, _):
        answer = await api.chat.completions.create(
            model=MODEL, messages=USER, response_format=form(SCHEMA, strict=True)
        )
        with pytest.raises(groq.BadRequestError):
            await api.chat.completions.create(
                model="qwen/qwen3.8-27b", messages=USER, response_format=form(SCHEMA, strict=True)
            )
    assert json.loads(answer.choices[0].message.content) == {"n": 1}


@pytest.mark.parametrize(
    ("asked", "shown", "tagged"),
    [({"reasoning_format": "raw"}, None, True), ({"reasoning_format": "hidden"}, None, False), ({}, "text", False)],
)
async def test_reasoning_formats(client, sim, asked, shown, tagged):
    async with sim(client) as (api, _):
        message = (await api.chat.completions.create(model=MODEL, messages=USER, **asked)).choices[0].message
    assert bool(message.reasoning) is bool(shown)
    assert message.content.startswith("<think>") is tagged


async def test_retired_models_are_404(client, groq, sim):
    async with sim(client) as (api, _):
        with pytest.raises(groq.NotFoundError, match="does not exist or you do not have access"):
            await api.chat.completions.create(model="llama-3.1-8b-instant", messages=USER)
        row = next(row for row in (await api.models.list()).data if row.id == MODEL)
    assert row.pricing == {"prompt": "0.000000075", "completion": "0.0000003", "input_cache_read": "0.0000000375"}


async def test_cached_tokens_come_in_blocks_of_128(client, sim):
    """The documented example: 4641 prompt tokens, 4608 = 36 x 128 of them cached."""
    ask = [{"role": "user", "content": "x" * (4641 * 4 - len("<user>"))}]
    async with sim(client) as (api, there):
        first = await api.chat.completions.create(model=MODEL, messages=ask)
        second = await api.chat.completions.create(model=MODEL, messages=ask)
        third = await api.chat.completions.create(model=MODEL, messages=ask, tool_choice="none")
        there.clock.advance(7201)
        late = await api.chat.completions.create(model=MODEL, messages=ask)
    assert second.usage.prompt_tokens == 4641
    cached = [answer.usage.prompt_tokens_details.cached_tokens for answer in (first, second, third, late)]
    assert cached == [0, 4608, 0, 0]
