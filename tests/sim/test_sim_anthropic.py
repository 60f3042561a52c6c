"""The simulated Anthropic, driven by the official anthropic SDK."""

import pytest

MODEL = "claude-haiku-5-5"
USER = [{"role": "user", "content": "What is a ladder?"}]
OLD = {"anthropic-version": "2023-06-01"}


@pytest.fixture
def client(anthropic):
    return lambda sim: anthropic.AsyncAnthropic(base_url=sim.url("anthropic"), api_key="any", max_retries=0)


async def ask(api, messages=USER, **more):
    return await api.messages.create(**{"model": MODEL, "max_tokens": 4096, "messages": messages, **more})


async def test_the_events_come_in_order(client, sim):
    async with sim(client) as (api, there):
        whole = await ask(api)
        events = [event async for event in await ask(api, stream=True)]
        async with api.messages.stream(model=MODEL, max_tokens=4096, messages=USER) as stream:
            gathered = await stream.get_final_message()
        assert there.requests[1].told is True
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert [kind for kind in kinds if kind.startswith("content_block_st")] == [
        "content_block_start",
        "content_block_stop",
    ]
    start, end = events[0].message, events[-2]
    assert (start.content, start.stop_reason, start.usage.output_tokens) == ([], None, 1)
    assert end.delta.stop_reason == "end_turn"
    assert end.usage.output_tokens == whole.usage.output_tokens > 1
    assert gathered.content[0].text == whole.content[0].text


async def test_a_ping_is_on_the_wire_and_no_done(client, sim):
    async with sim(client) as (api, _):
        raw = await api.messages.with_raw_response.create(model=MODEL, max_tokens=9, messages=USER, stream=True)
        body = await raw.http_response.aread()
    assert b'event: ping\ndata: {"type":"ping"}\n\n' in body
    assert b"[DONE]" not in body
    assert raw.headers["x-rung-simulated"] == "true"


async def test_thinking_is_a_signed_block_that_must_come_back_unchanged(anthropic, client, sim):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    async with sim(client) as (api, _):
        whole = await ask(api, thinking=thinking)
        events = [event async for event in await ask(api, thinking=thinking, stream=True)]
        said = {"role": "assistant", "content": [block.model_dump() for block in whole.content]}
        assert (await ask(api, [*USER, said, *USER])).content
        said["content"][0]["thinking"] += "!"
        with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
            await ask(api, [*USER, said, *USER])
    block = whole.content[0]
    assert (block.type, whole.usage.output_tokens_details.thinking_tokens) == ("thinking", 48)
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    assert "".join(delta.thinking for delta in deltas if delta.type == "thinking_delta") == block.thinking
    assert [delta.signature for delta in deltas if delta.type == "signature_delta"] == [block.signature]


async def test_tools(anthropic, client, sim):
    schema = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}
    tools = [{"name": "weather", "input_schema": schema}]
    async with sim(client) as (api, _):
        whole = await ask(api, tools=tools, tool_choice={"type": "any"})
        async with api.messages.stream(
            model=MODEL, max_tokens=99, messages=USER, tools=tools, tool_choice={"type": "tool", "name": "weather"}
        ) as stream:
            streamed = await stream.get_final_message()
        said = {"role": "assistant", "content": [block.model_dump() for block in whole.content]}
        with pytest.raises(anthropic.BadRequestError, match="without `tool_result`"):
            await ask(api, [*USER, said, *USER])
        result = {"type": "tool_result", "tool_use_id": whole.content[0].id, "content": "sun"}
        assert (await ask(api, [*USER, said, {"role": "user", "content": [result]}])).content
        with pytest.raises(anthropic.BadRequestError, match="unexpected `tool_use_id`"):
            await ask(api, [*USER, {"role": "assistant", "content": "x"}, {"role": "user", "content": [result]}])
    assert (whole.stop_reason, whole.content[0].input) == ("tool_use", {"city": "Rome"})
    assert streamed.content[0].input == {"city": "Rome"}


async def test_the_limit_and_stop_sequences(client, sim):
    async with sim(client) as (api, _):
        text = (await ask(api)).content[0].text
        word = text.split()[3]
        stopped = await ask(api, stop_sequences=[word])
        short = await ask(api, max_tokens=4)
        warmed = await ask(api, max_tokens=0)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", word)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 4)
    assert (warmed.content, warmed.usage.output_tokens) == ([], 0)


async def test_sampling_is_refused_by_version_and_by_model(anthropic, client, sim):
    free = "claude-haiku-4-5"
    async with sim(client) as (api, _):
        for model, headers in ((MODEL, {}), (MODEL, OLD), (free, {})):
            with pytest.raises(anthropic.BadRequestError, match="temperature"):
                await ask(api, model=model, extra_body={"temperature": 0.5}, extra_headers=headers)
        answer = await ask(api, model=free, extra_body={"temperature": 0.5}, extra_headers=OLD)
    assert answer.content


async def test_an_unknown_version_is_refused(anthropic, client, sim):
    async with sim(client) as (api, _):
        with pytest.raises(anthropic.BadRequestError, match="anthropic-version"):
            await ask(api, extra_headers={"anthropic-version": "1999-01-01"})


async def test_documents_of_the_assistant_are_refused_by_the_new_version(anthropic, client, sim):
    source = {"type": "text", "media_type": "text/plain", "data": "x"}
    said = {"role": "assistant", "content": [{"type": "document", "source": source}]}
    async with sim(client) as (api, _):
        with pytest.raises(anthropic.BadRequestError, match="document"):
            await ask(api, [*USER, said, *USER])
        assert (await ask(api, [*USER, said, *USER], extra_headers=OLD)).content


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
async def test_the_key_is_taken_from_both_headers(anthropic, client, sim, header):
    async with sim(client, {"anthropic": {"key": "right"}}) as (api, _):
        with pytest.raises(anthropic.AuthenticationError) as raised:
            await ask(api)
        shown = "right" if header == "x-api-key" else "Bearer right"
        assert (await ask(api, extra_headers={header: shown})).content
    assert raised.value.body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(402, "billing_error"), (403, "permission_error"), (413, "request_too_large"), (429, "rate_limit_error"),
     (500, "api_error"), (504, "timeout_error"), (529, "overloaded_error")],
)  # fmt: skip
async def test_errors(anthropic, client, sim, status, kind):
    async with sim(client, {"anthropic": {"script": [status]}}) as (api, _):
        with pytest.raises(anthropic.APIStatusError) as raised:
            await ask(api)
    assert (raised.value.status_code, raised.value.body["type"]) == (status, "error")
    assert raised.value.body["error"]["type"] == kind
    assert raised.value.response.headers["request-id"] == raised.value.body["request_id"]


async def test_a_spent_limit_is_told_in_the_details_without_a_delay(anthropic, client, sim):
    script = [{"kind": "status", "status": 429, "code": "enforced_spend_limit_reached"}]
    async with sim(client, {"anthropic": {"script": script}}) as (api, _):
        with pytest.raises(anthropic.RateLimitError) as raised:
            await ask(api)
    assert raised.value.body["error"]["details"]["error_code"] == "enforced_spend_limit_reached"
    assert "retry-after" not in raised.value.response.headers


async def test_limits_reset_at_a_moment(client, sim):
    async with sim(client, {"anthropic": {"limits": {"requests": 60}}}) as (api, _):
        raw = await api.messages.with_raw_response.create(model=MODEL, max_tokens=9, messages=USER)
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "59"
    assert raw.headers["anthropic-ratelimit-requests-reset"] == "2026-11-23T12:00:01Z"


async def test_an_error_event_in_a_stream_raises(anthropic, client, sim):
    async with sim(client, {"anthropic": {"script": ["stream_error"]}}) as (api, _):
        with pytest.raises(anthropic.APIStatusError) as raised:
            [event async for event in await ask(api, stream=True)]
    assert raised.value.body["error"]["type"] == "overloaded_error"


async def test_a_refusal_and_a_pause(client, sim):
    script = ["blocked", {"kind": "finish", "reason": "pause_turn"}]
    async with sim(client, {"anthropic": {"script": script}}) as (api, _):
        refused, paused = await ask(api), await ask(api)
    assert (refused.stop_reason, refused.content) == ("refusal", [])
    assert (paused.stop_reason, bool(paused.content)) == ("pause_turn", True)


async def test_tokens_are_counted_as_they_are_billed(client, sim):
    async with sim(client) as (api, _):
        counted = await api.messages.count_tokens(model=MODEL, messages=USER, system="Be brief.")
        answer = await ask(api, system="Be brief.")
    assert counted.input_tokens == answer.usage.input_tokens == 9


async def test_input_tokens_are_only_the_uncached_rest(client, sim):
    system = [{"type": "text", "text": "rule " * 1000, "cache_control": {"type": "ephemeral"}}]
    async with sim(client) as (api, there):
        first = await ask(api, system=system)
        second = await ask(api, system=system)
        there.clock.advance(290)
        renewed = await ask(api, system=system)
        there.clock.advance(290)
        slid = await ask(api, system=system)
        there.clock.advance(301)
        late = await ask(api, system=system)
    usages = [answer.usage for answer in (first, second, renewed, slid, late)]
    assert [usage.cache_read_input_tokens for usage in usages] == [0, 1250, 1250, 1250, 0]
    assert [usage.cache_creation_input_tokens for usage in usages] == [1250, 0, 0, 0, 1250]
    assert {usage.input_tokens for usage in usages} == {6}


async def test_an_hours_write_is_told_and_billed_apart(client, sim):
    control = {"type": "ephemeral", "ttl": "1h"}
    system = [{"type": "text", "text": "rule " * 1000, "cache_control": control}]
    async with sim(client) as (api, there):
        answer = await ask(api, system=system)
        entry = there.requests[0]
        rates = there.prices.price(f"anthropic:{MODEL}").rates(entry.at)
    assert answer.usage.cache_creation.ephemeral_1h_input_tokens == 1250
    assert answer.usage.cache_creation.ephemeral_5m_input_tokens == 0
    expected = 6 * rates.input + 1250 * 2 * rates.input + answer.usage.output_tokens * rates.output
    assert entry.cost_pico_usd == expected


async def test_what_spoils_the_cache_and_what_does_not(client, sim):
    mark = {"type": "ephemeral"}
    system = [{"type": "text", "text": "rule " * 1000, "cache_control": mark}]
    long = [{"role": "user", "content": [{"type": "text", "text": "fact " * 1000, "cache_control": mark}]}]
    tools = [{"name": "t", "input_schema": {"type": "object"}}]
    async with sim(client) as (api, _):
        reads = []
        for more in ({}, {}, {"tool_choice": {"type": "none"}}, {"tools": tools}):
            answer = await ask(api, long, system=system, **more)
            reads.append(answer.usage.cache_read_input_tokens)
    everything = 1250 + 1252
    assert reads == [0, everything, 1250, 0]  # settings spoil the messages, tools spoil all


async def test_five_breakpoints_are_refused_and_short_prompts_not_cached(anthropic, client, sim):
    block = {"type": "text", "text": "short", "cache_control": {"type": "ephemeral"}}
    async with sim(client) as (api, _):
        short = await ask(api, system=[block])
        with pytest.raises(anthropic.BadRequestError, match="maximum of 4"):
            await ask(api, system=[block] * 5)
    assert short.usage.cache_creation_input_tokens == 0


async def test_models_are_listed(anthropic, client, sim):
    async with sim(client) as (api, _):
        assert MODEL in [model.id async for model in api.models.list()]
        with pytest.raises(anthropic.NotFoundError):
            await ask(api, model="claude-1")
