"""Anthropic's Messages API, as a scripted upstream speaks it."""

import asyncio

import orjson
import pytest
from provider_fakes import read, sse, text_of

from rung.answer import Usage
from rung.errors import BadAnswerFault, CredentialFault, RateLimitFault, RejectedFault, ServerFault, TimeoutFault
from rung.testing import reply
from rung.wire.client import Deadlines

COUNTS = {
    "input_tokens": 10,
    "cache_read_input_tokens": 30,
    "cache_creation_input_tokens": 5,
    "output_tokens": 9,
    "output_tokens_details": {"thinking_tokens": 4},
}


def message(*blocks, stop="end_turn", usage=COUNTS):
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5-0901"} | {
        "content": list(blocks),
        "stop_reason": stop,
        "usage": usage,
    }


def event(kind, **more):
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **more}))


def events(*blocks, stop="end_turn", close=True):
    """The stream of `blocks`: (block at its start, deltas)."""
    start = message(stop=None, usage={"input_tokens": 10, "cache_read_input_tokens": 30, "output_tokens": 1})
    out = [event("message_start", message=start), event("ping")]
    for index, (block, deltas) in enumerate(blocks):
        out.append(event("content_block_start", index=index, content_block=block))
        out += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
        out.append(event("content_block_stop", index=index))
    usage = {"output_tokens": 9, "cache_creation_input_tokens": 5, "output_tokens_details": {"thinking_tokens": 4}}
    out.append(event("message_delta", delta={"stop_reason": stop}, usage=usage))
    return sse(*out, *([event("message_stop")] if close else []))


def text(*pieces):
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]


async def test_a_whole_answer(asking):
    async with asking("anthropic", reply(message({"type": "text", "text": "Hello"}))) as there:
        answer = await there.ask("hi", body={"temperature": 0, "stop": ["x"], "user": "u"})
        body = orjson.loads(answer.body)
        assert body["choices"][0]["message"]["content"] == "Hello"
        assert body["usage"]["prompt_tokens"] == 45
        assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 30, "cache_write_tokens": 5}
        assert answer.evidence.usage == Usage(10, 30, 5, 5, 4)
        assert answer.evidence.model_version == "claude-sonnet-5-5-0901"
        assert answer.evidence.stripped == ("temperature",)
        assert answer.evidence.complete
        got = there.upstream.received[0]
        assert got.target == "/v1/messages"
        assert got.headers["anthropic-version"] == "2023-06-01"
        assert got.headers["x-api-key"] == "test-key"
        assert got.json() == {
            "model": "claude-sonnet-5-5",
            "max_tokens": 32768,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            "stop_sequences": ["x"],
            "stream": False,
        }


@pytest.mark.parametrize(
    ("tier", "sent", "stripped"), [("default", "standard_only", ()), (["x"], None, ("service_tier",))]
)
async def test_the_tier_asked_for(asking, tier, sent, stripped):
    async with asking("anthropic", reply(message({"type": "text", "text": "a"}))) as there:
        assert (await there.ask(body={"service_tier": tier})).evidence.stripped == stripped
        assert there.upstream.received[0].json().get("service_tier") == sent


async def test_long_writes_and_tiers_have_prices_of_their_own(asking):
    written = {"cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3}}
    tiers = [{"service_tier": "priority"}, {"service_tier": "standard"}, {"service_tier": "standard", "speed": "fast"}]
    answers = [reply(message({"type": "text", "text": "a"}, usage={**COUNTS, **written, **tier})) for tier in tiers]
    async with asking("anthropic", *answers) as there:
        for tier in ("priority", "", "fast"):
            assert (await there.ask()).evidence.usage == Usage(10, 30, 2, 5, 4, 3, tier)


async def test_a_login_token_is_shown_as_a_bearer(asking):
    async with asking("anthropic", reply(message({"type": "text", "text": "a"})), key="sk-ant-oat01-x") as there:
        await there.ask()
        got = there.upstream.received[0].headers
        assert got["authorization"] == "Bearer sk-ant-oat01-x"
        assert "x-api-key" not in got


async def test_a_stream_with_pings_and_cumulative_counts(asking):
    async with asking("anthropic", events(text("Hel", "lo"))) as there:
        answer = await there.ask("hi", stream=True, include_usage=True)
        chunks, _ = await read(answer)
        assert text_of(chunks) == "Hello"
        assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
        assert chunks[-1]["usage"]["total_tokens"] == 54
        assert answer.evidence.usage == Usage(10, 30, 5, 5, 4)


async def test_a_stream_without_its_last_event_is_cut(asking):
    async with asking("anthropic", events(text("Hel"), close=False)) as there:
        with pytest.raises(BadAnswerFault) as caught:
            await read(await there.ask(stream=True))
        assert caught.value.code == "cut_stream"


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("overloaded_error", ServerFault),
        ("rate_limit_error", RateLimitFault),
        ("billing_error", CredentialFault),
        ("something_new", ServerFault),
    ],
)
async def test_an_error_event_is_a_fault(asking, kind, fault):
    error = event("error", error={"type": kind, "message": "no"})
    async with asking("anthropic", sse(event("message_start", message=message(stop=None)), error)) as there:
        with pytest.raises(fault, match="no"):
            await read(await there.ask(stream=True))


@pytest.mark.parametrize(
    ("status", "error", "fault"),
    [
        (400, {"type": "invalid_request_error"}, RejectedFault),
        (401, {"type": "authentication_error"}, CredentialFault),
        (402, {"type": "billing_error"}, CredentialFault),
        (413, {"type": "request_too_large"}, RejectedFault),
        (429, {"type": "rate_limit_error"}, RateLimitFault),
        (429, {"details": {"error_code": "enforced_spend_limit_reached"}}, CredentialFault),
        (529, {"type": "overloaded_error"}, ServerFault),
    ],
)
async def test_errors(asking, status, error, fault):
    body = {"type": "error", "error": {"message": "no", **error}}
    async with asking("anthropic", reply(body, status, {"retry-after": "7"})) as there:
        with pytest.raises(fault) as caught:
            await there.ask()
        assert caught.value.retry_after == (7 if fault in (RateLimitFault, ServerFault) else None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reason", "words", "finish", "code"),
    [
        ("max_tokens", "a", "length", None),
        ("model_context_window_exceeded", "a", "length", None),
        ("pause_turn", "a", "length", None),
        ("stop_sequence", "a", "stop", None),
        ("refusal", "a", "content_filter", None),
        ("refusal", "", None, "content_filter"),
        ("end_turn", "", None, "empty_answer"),
        ("max_tokens", "", None, "empty_answer"),
        ("brand_new", "a", None, "unknown_stop_reason"),
    ],
)
async def test_stop_reasons(asking, reason, words, finish, code, stream):
    whole = reply(message({"type": "text", "text": words}, stop=reason))
    async with asking("anthropic", events(text(words), stop=reason) if stream else whole) as there:
        if code:
            with pytest.raises(BadAnswerFault) as caught:
                await read(await there.ask(stream=stream))
            assert caught.value.code == code
            return
        answer = await there.ask(stream=stream)
        if stream:
            await read(answer)
        assert answer.evidence.finish_reason == finish


ADD = {"type": "function", "function": {"name": "add", "strict": True, "parameters": {"properties": {"a": {}}}}}
THOUGHT = {"type": "thinking", "thinking": "hmm", "signature": "c2ln"}


@pytest.mark.parametrize("keeps_thinking", [True, False])
@pytest.mark.parametrize("stream", [False, True])
async def test_parallel_calls_and_their_thinking_come_back(asking, stream, keeps_thinking):
    whole = reply(
        message(
            THOUGHT,
            {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}},
            {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
            stop="tool_use",
        )
    )
    pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"a"', ":1}")]
    streamed = events(
        (
            {"type": "thinking", "thinking": ""},
            [{"type": "thinking_delta", "thinking": "hmm"}, {"type": "signature_delta", "signature": "c2ln"}],
        ),
        ({"type": "tool_use", "id": "t1", "name": "add", "input": {}}, pieces),
        ({"type": "tool_use", "id": "t2", "name": "now", "input": {}}, []),
        stop="tool_use",
    )
    after = reply(message({"type": "text", "text": "ok"}))
    async with asking("anthropic", streamed if stream else whole, after) as there:
        answer = await there.ask(stream=stream, body={"tools": [ADD], "reasoning_effort": "high"})
        if stream:
            chunks, _ = await read(answer)
            told = gather(chunks)
            assert text_of(chunks, "reasoning_content") == "hmm"
        else:
            told = orjson.loads(answer.body)["choices"][0]["message"]
            assert told["reasoning_content"] == "hmm"
        assert answer.evidence.finish_reason == "tool_calls"
        assert answer.evidence.tool_calls
        assert told["thinking_blocks"] == [THOUGHT]
        calls = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in told["tool_calls"]]
        assert calls == [("t1", "add", '{"a":1}'), ("t2", "now", "{}")]
        if not keeps_thinking:
            del told["thinking_blocks"]
        results = [{"role": "tool", "tool_call_id": name, "content": name} for name in ("t1", "t2")]
        history = [{"role": "user", "content": "hi"}, {"role": "assistant", **told}, *results]
        await there.ask(body={"messages": [*history, {"role": "user", "content": "and?"}]})
        assert there.upstream.received[1].json()["messages"][1:] == [
            {
                "role": "assistant",
                "content": [
                    THOUGHT,
                    {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}},
                    {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "t1"}]},
                    {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "t2"}]},
                    {"type": "text", "text": "and?"},
                ],
            },
        ]


def gather(chunks):
    """The message that deltas build."""
    told = {"tool_calls": []}
    for chunk in chunks:
        delta = chunk["choices"][0]["delta"]
        told |= {name: delta[name] for name in ("thinking_blocks",) if name in delta}
        for piece in delta.get("tool_calls", ()):
            if piece["index"] == len(told["tool_calls"]):
                told["tool_calls"].append({**piece, "function": dict(piece["function"])})
            else:
                told["tool_calls"][piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    return told


async def test_everything_an_openai_request_can_say(asking):
    marked = {"type": "ephemeral", "ttl": "1h"}
    body = {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "be brief", "cache_control": marked}]},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "image_url", "image_url": {"url": "https://pictures.example/a"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,CC", "filename": "a.pdf"}},
                ],
            },
        ],
        "tools": [{**ADD, "cache_control": marked}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
        "reasoning_effort": "high",
        "seed": 1,
        "max_tokens": 99,
    }
    async with asking("anthropic", reply(message({"type": "text", "text": "{}"}))) as there:
        answer = await there.ask(body=body)
        assert answer.evidence.stripped == ("seed", "reasoning_effort")
        got = there.upstream.received[0].json()
        assert got["max_tokens"] == 99
        assert got["system"] == [{"type": "text", "text": "be brief", "cache_control": marked}]
        assert got["tools"] == [
            {
                "name": "add",
                "input_schema": {"type": "object", "properties": {"a": {}}},
                "strict": True,
                "cache_control": marked,
            }
        ]
        assert got["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
        assert got["output_config"] == {"format": {"type": "json_schema", "schema": {"type": "object"}}}
        assert [block.get("source") for block in got["messages"][0]["content"]] == [
            {"type": "base64", "media_type": "image/png", "data": "AAAA"},
            {"type": "url", "url": "https://pictures.example/a"},
            {"type": "base64", "media_type": "application/pdf", "data": "CC"},
        ]


@pytest.mark.parametrize(
    ("model", "asked", "thinking", "config", "stripped"),
    [
        ("claude-sonnet-5-5", {"reasoning_effort": "xhigh"}, {"type": "adaptive"}, {"effort": "xhigh"}, ()),
        (
            "claude-sonnet-5-5",
            {"reasoning_effort": "minimal"},
            {"type": "adaptive"},
            {"effort": "low"},
            ("reasoning_effort",),
        ),
        ("claude-sonnet-5-5", {"reasoning_effort": "none"}, {"type": "disabled"}, None, ()),
        ("claude-haiku-4-5", {"reasoning_effort": "low"}, {"type": "enabled", "budget_tokens": 2048}, None, ()),
        (
            "claude-haiku-4-5",
            {"reasoning_effort": "high", "max_tokens": 6000, "temperature": 1},
            {"type": "enabled", "budget_tokens": 3000},
            None,
            ("temperature",),
        ),
        ("claude-haiku-4-5", {"reasoning_effort": "low", "max_tokens": 50}, None, None, ("reasoning_effort",)),
        ("claude-haiku-4-5", {"temperature": 0.5, "top_p": 0.1}, None, None, ("top_p",)),
        ("claude-haiku-4-5", {"thinking": {"type": "disabled"}}, {"type": "disabled"}, None, ()),
    ],
)
async def test_thinking_and_sampling_by_model(asking, model, asked, thinking, config, stripped):
    async with asking("anthropic", reply(message({"type": "text", "text": "a"})), model=model) as there:
        answer = await there.ask(body=asked)
        got = there.upstream.received[0].json()
        assert got.get("thinking") == thinking
        assert got.get("output_config") == config
        assert answer.evidence.stripped == stripped


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"thinking": "yes"}, "thinking"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}
                ]
            },
            "messages[0]",
        ),
    ],
)
async def test_what_cannot_be_said_is_refused(asking, body, param):
    async with asking("anthropic", reply({})) as there:
        with pytest.raises(RejectedFault) as caught:
            await there.ask(body=body)
        assert caught.value.param == param
        assert there.upstream.received == []


async def test_call_ids_of_others_are_written_in_its_alphabet_and_still_match(asking):
    call = {"id": "functions.add:0", "type": "function", "function": {"name": "add", "arguments": "not json"}}
    history = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "functions.add:0", "content": ""},
    ]
    async with asking("anthropic", reply(message({"type": "text", "text": "a"}))) as there:
        await there.ask(body={"messages": history})
        (said, result) = (turn["content"][0] for turn in there.upstream.received[0].json()["messages"])
        assert said["id"] == result["tool_use_id"] != "functions.add:0"
        assert said["input"] == {"invalid_arguments": "not json"}


async def test_keep_alives_alone_are_not_an_answer_for_ever(asking):
    async def pings(request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            ping = event("ping")
            writer.write(b"%x\r\n%b\r\n" % (len(ping), ping))
            await writer.drain()
            await asyncio.sleep(0.01)

    async with asking("anthropic", pings) as there:
        with pytest.raises(TimeoutFault) as caught:
            await read(await there.ask(stream=True, deadlines=Deadlines(idle=0.1)))
        assert caught.value.code == "idle_timeout"


@pytest.mark.parametrize(
    "garbage", [b"[]", b"{", b'{"type": 3, "content": 4}', b'{"type": "content_block_delta", "delta": {}}']
)
async def test_garbage_is_a_bad_answer(asking, garbage):
    async with asking("anthropic", reply(garbage), sse(b"data: " + garbage + b"\n\n")) as there:
        for stream in (False, True):
            with pytest.raises(BadAnswerFault):
                await read(await there.ask(stream=stream))
