"""The simulated OpenAI, driven by the official openai SDK."""

import json

import pytest

from rung.sim import simulator

MODEL = "gpt-6-luna"
USER = [{"role": "user", "content": "What is a ladder?"}]


@pytest.fixture
def client(openai):
    def make(sim, **options):
        return openai.AsyncOpenAI(base_url=sim.url("openai"), api_key="any", **{"max_retries": 0, **options})

    return make


async def text_of(stream):
    chunks = [chunk async for chunk in stream]
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks


async def test_whole_and_streamed_say_the_same_and_end_well(client, sim):
    async with sim(client) as (api, _):
        whole = await api.chat.completions.create(model=MODEL, messages=USER)
        stream = await api.chat.completions.create(
            model=MODEL, messages=USER, stream=True, stream_options={"include_usage": True}
        )
        text, chunks = await text_of(stream)
    assert text == whole.choices[0].message.content
    assert whole.choices[0].finish_reason == "stop"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert all(chunk.obfuscation for chunk in chunks[:-1])


async def test_without_being_asked_no_usage_is_streamed_and_the_books_say_so(client, sim):
    async with sim(client) as (api, there):
        _, chunks = await text_of(await api.chat.completions.create(model=MODEL, messages=USER, stream=True))
        assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
        assert there.requests[0].told is False
        assert there.requests[0].outcome == "whole"
        assert there.requests[0].cost_pico_usd > 0


async def test_every_response_is_labelled_and_tells_its_limits(client, sim):
    async with sim(client) as (api, _):
        raw = await api.chat.completions.with_raw_response.create(model=MODEL, messages=USER)
    assert raw.headers["x-rung-simulated"] == "true"
    assert raw.headers["x-ratelimit-limit-requests"] == "5000"
    assert raw.headers["x-ratelimit-remaining-requests"] == "4999"
    assert raw.headers["x-ratelimit-reset-requests"] == "12ms"
    assert raw.headers["x-request-id"]


async def test_tools_are_called_where_they_must_be(client, sim):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": name, "parameters": parameters}} for name in ("a", "weather")]
    choice = {"type": "function", "function": {"name": "weather"}}
    async with sim(client) as (api, _):
        whole = await api.chat.completions.create(model=MODEL, messages=USER, tools=tools, tool_choice=choice)
        stream = await api.chat.completions.create(
            model=MODEL, messages=USER, tools=tools, tool_choice="required", stream=True
        )
        deltas = [c.choices[0].delta.tool_calls[0] async for c in stream if c.choices and c.choices[0].delta.tool_calls]
    call = whole.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "simulated"})
    assert whole.choices[0].finish_reason == "tool_calls"
    assert deltas[0].function.name == "a"
    assert deltas[0].id
    assert [delta.id for delta in deltas[1:]] == [None] * (len(deltas) - 1)
    assert json.loads("".join(delta.function.arguments for delta in deltas)) == {"city": "simulated"}


async def test_a_schema_is_followed_and_max_tokens_and_stop_are_kept(client, sim):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    async with sim(client) as (api, _):
        formed = await api.chat.completions.create(model=MODEL, messages=USER, response_format=form)
        short = await api.chat.completions.create(model=MODEL, messages=USER, max_completion_tokens=5)
        whole = await api.chat.completions.create(model=MODEL, messages=USER)
        word = whole.choices[0].message.content.split()[2]
        stopped = await api.chat.completions.create(model=MODEL, messages=USER, stop=[word])
    assert json.loads(formed.choices[0].message.content) == {"n": 3}
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 5)
    assert word not in stopped.choices[0].message.content
    assert stopped.choices[0].finish_reason == "stop"


async def test_an_error_in_the_middle_of_a_stream_raises(client, openai, sim):
    async with sim(client, {"openai": {"script": ["stream_error"]}}) as (api, there):
        stream = await api.chat.completions.create(model=MODEL, messages=USER, stream=True)
        with pytest.raises(openai.APIError, match="middle of the stream"):
            await text_of(stream)
        assert there.requests[0].outcome == "broken"


async def test_the_sdk_hides_a_stream_without_its_end(client, sim):
    """The trap: no [DONE], or no finish reason at all, and the official SDK ends as if all were well."""
    async with sim(client, {"openai": {"script": ["no_done", "no_finish", {"kind": "cut", "how": "clean"}]}}) as (
        api,
        _,
    ):
        ends = []
        for _ in range(3):
            text, chunks = await text_of(await api.chat.completions.create(model=MODEL, messages=USER, stream=True))
            ends.append((bool(text), chunks[-1].choices[0].finish_reason))
    assert ends == [(True, "stop"), (True, None), (True, None)]


async def test_a_cut_connection_raises(client, openai, sim):
    async with sim(client, {"openai": {"script": ["cut", {"kind": "cut", "how": "reset"}]}}) as (api, _):
        for _ in range(2):
            stream = await api.chat.completions.create(model=MODEL, messages=USER, stream=True)
            with pytest.raises(openai.APIConnectionError):
                await text_of(stream)


@pytest.mark.parametrize(
    ("status", "code", "type_", "error"),
    [
        (401, "invalid_api_key", "authentication_error", "AuthenticationError"),
        (429, "rate_limit_exceeded", "rate_limit_error", "RateLimitError"),
        (429, "insufficient_quota", "insufficient_quota", "RateLimitError"),
        (429, "credit_balance_exhausted", "insufficient_quota", "RateLimitError"),
        (500, None, "server_error", "InternalServerError"),
        (503, "server_is_overloaded", "server_error", "InternalServerError"),
    ],
)
async def test_errors_have_openais_shape(client, openai, sim, status, code, type_, error):
    fault = {"kind": "status", "status": status, "retry_after": 2}
    if type_ == "insufficient_quota":
        fault["code"] = code
    async with sim(client, {"openai": {"script": [fault]}}) as (api, _):
        with pytest.raises(getattr(openai, error)) as raised:
            await api.chat.completions.create(model=MODEL, messages=USER)
    assert (raised.value.status_code, raised.value.code, raised.value.type) == (status, code, type_)
    assert raised.value.response.headers["retry-after"] == "2"


async def test_the_sdk_retries_and_the_script_goes_on(client, sim):
    script = [{"kind": "status", "status": 503, "headers": {"retry-after-ms": "1"}}, "ok"]
    async with sim(lambda there: client(there, max_retries=2), {"openai": {"script": script}}) as (api, there):
        answer = await api.chat.completions.create(model=MODEL, messages=USER)
        assert answer.choices[0].finish_reason == "stop"
        assert [entry.status for entry in there.requests] == [503, 200]


async def test_unknown_and_retired_models_are_404(client, openai, sim):
    async with sim(client) as (api, _):
        with pytest.raises(openai.NotFoundError) as raised:
            await api.chat.completions.create(model="gpt-1", messages=USER)
        listed = [model.id async for model in api.models.list()]
    assert raised.value.code == "model_not_found"
    assert MODEL in listed


async def test_a_key_is_checked_where_the_scenario_has_one(openai):
    async with (
        simulator({"openai": {"key": "sk-right"}}) as there,
        openai.AsyncOpenAI(base_url=there.url("openai"), api_key="sk-wrong", max_retries=0) as api,
    ):
        with pytest.raises(openai.AuthenticationError):
            await api.chat.completions.create(model=MODEL, messages=USER)
        api.api_key = "sk-right"
        assert (await api.chat.completions.create(model=MODEL, messages=USER)).choices


async def test_a_prompt_written_is_counted_and_then_read(client, sim):
    long = [{"role": "system", "content": "rule " * 2000}, *USER]
    async with sim(client) as (api, there):
        first = await api.chat.completions.create(model=MODEL, messages=long)
        again = [*long, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "more"}]
        second = await api.chat.completions.create(model=MODEL, messages=again)
        there.clock.advance(1801)
        late = await api.chat.completions.create(model=MODEL, messages=again)
    details = [answer.usage.prompt_tokens_details for answer in (first, second, late)]
    assert details[0].cached_tokens == 0
    assert details[0].cache_write_tokens == first.usage.prompt_tokens
    assert details[1].cached_tokens == first.usage.prompt_tokens
    assert details[1].cache_write_tokens == second.usage.prompt_tokens - first.usage.prompt_tokens
    assert details[2].cached_tokens == 0


async def test_breakpoints_of_twelve_hours_are_billed_apart(client, sim):
    part = {"type": "text", "text": "rule " * 2000, "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
    async with sim(client) as (api, there):
        await api.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": [part, {"type": "text", "text": "hi"}]}]
        )
        counts = there.requests[0].counts
        assert counts.cache_write_long > 2000
        rates = there.prices.price(f"openai:{MODEL}").rates(there.requests[0].at)
        assert there.requests[0].cost_pico_usd == (
            counts.input * rates.input
            + counts.cache_write_long * rates.cache_write * 2  # 0.25 against 0.125 USD
            + counts.completion * rates.output
        )


async def test_embeddings(client, sim):
    async with sim(client) as (api, _):
        answer = await api.embeddings.create(model="text-embedding-3-small", input=["a b", "a c"], dimensions=8)
    assert [len(row.embedding) for row in answer.data] == [8, 8]
    assert answer.usage.total_tokens == 2
