"""The simulated DeepSeek, driven by the openai SDK, which its documentation tells one to use."""

import pytest

MODEL = "deepseek-flash"
USER = [{"role": "user", "content": "What is a ladder?"}]
OFF = {"thinking": {"type": "disabled"}}


@pytest.fixture
def client(openai):
    return lambda sim: openai.AsyncOpenAI(base_url=sim.url("deepseek"), api_key="any", max_retries=0)


async def ask(api, messages=USER, **more):
    return await api.chat.completions.create(model=MODEL, messages=messages, **more)


async def test_thinking_is_on_and_the_first_chunk_is_an_empty_thought(client, sim):
    async with sim(client) as (api, _):
        whole = await ask(api)
        on = [c async for c in await ask(api, stream=True)]
        off = [c async for c in await ask(api, stream=True, extra_body=OFF)]
    assert whole.choices[0].message.reasoning_content
    assert whole.usage.completion_tokens_details.reasoning_tokens == 128
    assert on[0].choices[0].delta.reasoning_content == ""
    assert on[1].choices[0].delta.reasoning_content
    assert not any(hasattr(c.choices[0].delta, "reasoning_content") for c in off if c.choices)


@pytest.mark.parametrize(("effort", "tokens"), [("minimal", 16), ("medium", 128), ("xhigh", 128), ("max", 512)])
async def test_efforts_are_mapped(client, sim, effort, tokens):
    async with sim(client) as (api, _):
        answer = await ask(api, reasoning_effort=effort)
    assert answer.usage.completion_tokens_details.reasoning_tokens == tokens


async def test_reasoning_must_come_back_with_tool_calls(client, openai, sim):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "1"}
    async with sim(client) as (api, _):
        with pytest.raises(openai.BadRequestError, match="reasoning_content in the thinking mode must be passed back"):
            await ask(api, [*USER, said, result])
        assert (await ask(api, [*USER, {**said, "reasoning_content": "hm"}, result])).choices
        assert (await ask(api, [*USER, said, result], extra_body=OFF)).choices
        assert (await ask(api, [*USER, {"role": "assistant", "content": "x"}, *USER])).choices


async def test_usage_tells_hits_and_misses(client, sim):
    long = [{"role": "system", "content": "rule " * 500}]
    async with sim(client) as (api, there):
        first = await ask(api, [*long, *USER])
        there.clock.advance(2)
        said = {"role": "assistant", "content": first.choices[0].message.content}
        second = await ask(api, [*long, *USER, said, {"role": "user", "content": "more"}])
    usage = second.usage
    assert first.usage.prompt_cache_hit_tokens == 0
    assert usage.prompt_cache_hit_tokens + usage.prompt_cache_miss_tokens == usage.prompt_tokens
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_cache_hit_tokens
    # The end of the first answer is a unit: all but the new question is read.
    assert usage.prompt_cache_miss_tokens == 3


async def test_streamed_usage_is_on_the_finish_chunk_or_after_it(client, sim):
    async with sim(client) as (api, there):
        places = []
        for _ in range(2):
            stream = await ask(api, stream=True, stream_options={"include_usage": True})
            chunks = [chunk async for chunk in stream]
            places.append([bool(chunk.choices) for chunk in chunks if chunk.usage])
        assert all(entry.told for entry in there.requests)
    assert places == [[True], [False]]


async def test_a_common_prefix_is_read_from_the_third_request_on(client, sim):
    shared = {"role": "system", "content": "rule " * 500}
    async with sim(client) as (api, there):
        hits = []
        for letter in "BCD":
            answer = await ask(api, [shared, {"role": "user", "content": letter * 40}], extra_body=OFF)
            hits.append(answer.usage.prompt_cache_hit_tokens)
            there.clock.advance(2)
        apart = await ask(api, [shared, {"role": "user", "content": "E" * 40}], extra_body={**OFF, "user_id": "me"})
    assert hits == [0, 0, 576]  # whole blocks of 64 of about 627 tokens
    assert apart.usage.prompt_cache_hit_tokens == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_waiting_is_invisible_to_the_sdk(client, sim, stream):
    script = [{"kind": "keepalives", "seconds": 20, "every": 1}]
    async with sim(client, {"deepseek": {"script": script}}) as (api, there):
        answer = await ask(api, stream=stream)
        if stream:
            assert [c async for c in answer][-1].choices[0].finish_reason == "stop"
        else:
            assert answer.choices[0].finish_reason == "stop"
        assert there.clock.now() > 20


async def test_after_ten_minutes_of_waiting_the_connection_is_closed(client, openai, sim):
    script = [{"kind": "keepalives", "seconds": 600, "every": 60, "then": "close"}]
    async with sim(client, {"deepseek": {"script": script}}) as (api, there):
        with pytest.raises(openai.APIConnectionError):
            [c async for c in await ask(api, stream=True)]
        assert there.clock.now() >= 600
        assert there.requests[0].outcome == "broken"


async def test_json_mode_wants_the_word_and_may_answer_with_blanks(client, openai, sim):
    form = {"type": "json_object"}
    async with sim(client, {"deepseek": {"script": ["ok", "blank_json"]}}) as (api, _):
        with pytest.raises(openai.BadRequestError, match="must contain the word 'json'"):
            await ask(api, response_format=form)
        asked = [{"role": "user", "content": "a ladder as JSON"}]
        good = await ask(api, asked, response_format=form)
        blank = await ask(api, asked, response_format=form)
    assert good.choices[0].message.content.startswith("{")
    assert blank.choices[0].message.content.isspace()
    assert blank.choices[0].finish_reason == "stop"


async def test_an_empty_stop_and_an_interrupted_answer(client, sim):
    async with sim(client, {"deepseek": {"script": ["empty", "finish"]}}) as (api, _):
        empty, cut = await ask(api), await ask(api)
    assert (empty.choices[0].message.content, empty.choices[0].finish_reason) == ("", "stop")
    assert cut.choices[0].finish_reason == "insufficient_system_resource"
    assert cut.choices[0].message.content


@pytest.mark.parametrize(("status", "said"), [(402, "Insufficient Balance"), (503, "too busy"), (422, "Simulated")])
async def test_errors(client, openai, sim, status, said):
    async with sim(client, {"deepseek": {"script": [status]}}) as (api, _):
        with pytest.raises(openai.APIStatusError, match=said) as raised:
            await ask(api)
    assert raised.value.status_code == status
    assert "retry-after" not in raised.value.response.headers
    assert raised.value.response.headers["x-deepseek-request-id"]
    assert not [name for name in raised.value.response.headers if "ratelimit" in name]


async def test_too_many_at_once_is_429(openai, client, sim):
    scenario = {"deepseek": {"limits": {"concurrency": 1}, "script": [{"kind": "stall", "after_chunks": 1}]}}
    async with sim(client, scenario) as (api, _):
        stalled = await ask(api, stream=True)
        with pytest.raises(openai.RateLimitError):
            await ask(api)
        await stalled.close()


async def test_beta_has_prefix_completion_and_fill_in_the_middle(openai, client, sim):
    prefix = {"role": "assistant", "content": "```python\n", "prefix": True}
    async with sim(client) as (api, there):
        with pytest.raises(openai.BadRequestError, match="beta"):
            await ask(api, [*USER, prefix])
        async with openai.AsyncOpenAI(base_url=there.root("deepseek") + "/beta", api_key="any") as beta:
            assert (await ask(beta, [*USER, prefix])).choices
            filled = await beta.completions.create(model=MODEL, prompt="def f(", suffix="return x", max_tokens=9)
            assert (filled.usage.completion_tokens, filled.choices[0].finish_reason) == (9, "length")
            with pytest.raises(openai.BadRequestError, match="4096"):
                await beta.completions.create(model=MODEL, prompt="x", max_tokens=5000)


async def test_the_price_doubles_in_peak_hours(client, sim):
    async with sim(client, {"start": "2026-11-23T02:00:00Z"}) as (api, there):  # a Monday
        await ask(api, extra_body=OFF, max_tokens=10)
        there.clock.advance(12 * 3600)
        await ask(api, extra_body=OFF, max_tokens=10)
        peak, usual = (entry.cost_pico_usd for entry in there.requests)
    assert peak == 2 * usual > 0


async def test_an_alias_answers_with_the_models_own_name(client, sim):
    async with sim(client) as (api, _):
        answer = await api.chat.completions.create(model="deepseek-v4-flash", messages=USER)
    assert answer.model == MODEL
