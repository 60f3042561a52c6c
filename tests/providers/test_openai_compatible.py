"""What Groq, DeepSeek and OpenAI do differently, as scripted upstreams do it."""

import asyncio

import orjson
import pytest
from provider_fakes import read, sse, text_of

from rung.answer import Usage
from rung.errors import BadAnswerFault, CredentialFault, Fault, RateLimitFault, RejectedFault, ServerFault, TimeoutFault
from rung.testing import completion_reply, completion_stream, reply, stream_reply
from rung.wire.client import Deadlines

DONE = b"data: [DONE]\n\n"


def chunk(delta=None, finish=None, **more):
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    return {**base, "choices": choices, **more}


def whole(message, finish="stop", **more):
    base = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return {
        **base,
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
        **more,
    }


# ---- what is sent ----


async def test_what_groq_refuses_is_taken_out_and_told(asking):
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "name": "ann", "content": "hi"},
        {"role": "assistant", "content": "yo", "reasoning_content": "hm", "reasoning": "ha", "refusal": None},
        {"role": "user", "content": "and?"},
    ]
    body = {"messages": messages, "logprobs": True, "reasoning_effort": "none", "seed": 1}
    async with asking("groq", completion_reply("ok")) as there:
        answer = await there.ask(body=body)
        assert set(answer.evidence.stripped) == {
            "logprobs",
            "reasoning_effort",
            "messages[].name",
            "messages[].reasoning_content",
            "messages[].refusal",
        }
        got = there.upstream.received[0].json()
        assert got["messages"][1] == {"role": "user", "content": "hi"}
        assert got["messages"][2] == {"role": "assistant", "content": "yo", "reasoning": "ha"}
        assert got["reasoning_effort"] == "low"
        assert got["seed"] == 1
        assert "logprobs" not in got


async def test_what_groq_takes_passes_byte_for_byte(asking):
    async with asking("groq", completion_reply("ok")) as there:
        answer = await there.ask(body={"reasoning_effort": "high", "temperature": 1.50})
        assert answer.evidence.stripped == ()
        assert there.upstream.received[0].json()["reasoning_effort"] == "high"


async def test_an_effort_nobody_knows_is_not_passed_on(asking):
    async with asking("groq", completion_reply("ok")) as there:
        answer = await there.ask(body={"reasoning_effort": "ultra"})
        assert answer.evidence.stripped == ("reasoning_effort",)
        assert "reasoning_effort" not in there.upstream.received[0].json()


async def test_reasoning_stays_in_a_deepseek_history(asking):
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]
    async with asking("deepseek", completion_reply("ok")) as there:
        await there.ask(body={"messages": messages, "max_completion_tokens": 5})
        got = there.upstream.received[0].json()
        assert got["messages"] == messages
        assert got["max_tokens"] == 5


# ---- reasoning ----


@pytest.mark.parametrize("member", ["reasoning", "reasoning_content"])
async def test_reasoning_passes_in_its_own_spelling_and_is_content(asking, member):
    frames = sse(
        chunk({"role": "assistant", "content": ""}),
        chunk({member: "hm"}),
        chunk({"content": "yes"}),
        chunk(finish="stop"),
        DONE,
    )
    async with asking("groq", frames) as there:
        chunks, content = await read(await there.ask(stream=True))
        assert text_of(chunks, member) == "hm"
        assert text_of(chunks) == "yes"
        assert content[0] is False or len(content) < 4
        assert True in content


@pytest.mark.parametrize("stream", [False, True])
async def test_reasoning_alone_is_no_answer(asking, stream):
    frames = sse(chunk({"reasoning_content": "hm"}), chunk(finish="stop"), DONE)
    async with asking(
        "deepseek", frames if stream else reply(whole({"content": "", "reasoning_content": "hm"}))
    ) as there:
        with pytest.raises(BadAnswerFault) as caught:
            await read(await there.ask(stream=stream))
        assert caught.value.code == "empty_answer"


# ---- usage ----


async def test_groqs_usage_at_the_end_of_a_stream(asking):
    usage = {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6}}
    frames = sse(
        chunk({"content": "a"}, x_groq={"id": "r"}), chunk(finish="stop", x_groq={"id": "r", "usage": usage}), DONE
    )
    async with asking("groq", frames) as there:
        answer = await there.ask(stream=True)
        await read(answer)
        assert answer.evidence.usage == Usage(4, 6, 0, 4, 0)


async def test_deepseeks_cache_hits_are_counted_once(asking):
    usage = {"prompt_tokens": 10, "completion_tokens": 4, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4}
    async with asking("deepseek", reply(whole({"content": "a"}, usage=usage))) as there:
        assert (await there.ask()).evidence.usage == Usage(4, 6, 0, 4, 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_tier_that_answered_and_long_writes_are_told(asking, stream):
    details = {"cache_write_tokens": 5, "cache_write_tokens_details": {"ttl_30m_tokens": 3, "ttl_12h_tokens": 2}}
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": details}
    frames = sse(chunk({"content": "a"}, "stop"), {"choices": [], "usage": usage, "service_tier": "flex"}, DONE)
    whole_ = reply(whole({"content": "a"}, usage=usage, service_tier="flex"))
    async with asking("openai", frames if stream else whole_) as there:
        answer = await there.ask(stream=stream)
        if stream:
            await read(answer)
        assert answer.evidence.usage == Usage(4, 0, 3, 1, 0, 2, "flex")


async def test_of_several_choices_the_cut_one_is_told(asking):
    last = chunk(finish="stop")
    last["choices"][0]["index"] = 1
    async with asking("openai", sse(chunk({"content": "a"}), chunk(finish="length"), last, DONE)) as there:
        answer = await there.ask(stream=True, body={"n": 2})
        await read(answer)
        assert answer.evidence.finish_reason == "length"


# ---- errors ----


@pytest.mark.parametrize(
    ("error", "fault", "code"),
    [
        ({"x_groq": {"id": "r", "error": "over capacity"}, "choices": []}, ServerFault, "provider_server_error"),
        ({"error": {"message": "boom", "code": "server_is_overloaded"}}, ServerFault, "server_is_overloaded"),
        ({"error": {"message": "slow", "code": 429}}, RateLimitFault, "rate_limit_exceeded"),
        ({"error": {"message": "bad", "status_code": 400, "code": "nope"}}, RejectedFault, "nope"),
        ({"error": "broken"}, ServerFault, "provider_server_error"),
        (chunk(finish="insufficient_system_resource"), ServerFault, "insufficient_system_resource"),
    ],
)
async def test_an_error_in_the_middle_of_a_stream(asking, error, fault, code):
    async with asking("groq", sse(chunk({"content": "a"}), error, DONE)) as there:
        with pytest.raises(fault) as caught:
            await read(await there.ask(stream=True))
        assert caught.value.code == code


async def test_a_server_that_gave_up_may_be_asked_again(asking):
    async with asking("deepseek", reply(whole({"content": "half"}, "insufficient_system_resource"))) as there:
        with pytest.raises(ServerFault) as caught:
            await there.ask()
        assert caught.value.retryable


@pytest.mark.parametrize(
    ("status", "headers", "error", "fault", "wait"),
    [
        (429, {"retry-after": "2"}, {"message": "Please try again in 9s"}, RateLimitFault, 2.0),
        (429, {}, {"message": "Limit 8000, Used 7000. Please try again in 5.289s. Need more?"}, RateLimitFault, 5.289),
        (429, {}, {"message": "try again in 1m2.5s."}, RateLimitFault, 62.5),
        (429, {}, {"message": "try again in 1h2m3s"}, RateLimitFault, 3723.0),
        (429, {}, {"message": "try again in 940ms"}, RateLimitFault, 0.94),
        (429, {}, {"message": "try again in a while"}, RateLimitFault, None),
        (429, {}, {"code": "credit_balance_exhausted"}, CredentialFault, None),
        (498, {}, {"code": "capacity_exceeded"}, ServerFault, None),
        (402, {}, {"message": "Insufficient Balance"}, CredentialFault, None),
        (422, {}, {"message": "x"}, RejectedFault, None),
        (503, {}, {"message": "try again in 3s"}, ServerFault, 3.0),
    ],
)
async def test_errors_and_how_long_to_wait(asking, status, headers, error, fault, wait):
    async with asking("groq", reply({"error": error}, status, headers)) as there:
        with pytest.raises(fault) as caught:
            await there.ask()
        assert caught.value.retry_after == pytest.approx(wait)


async def test_a_code_that_is_no_word_is_not_repeated(asking):
    async with asking("groq", reply({"error": {"code": "a\r\nset-cookie: x", "message": "m"}}, 400)) as there:
        with pytest.raises(RejectedFault) as caught:
            await there.ask()
        assert caught.value.code == "rejected_by_provider"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_filter_that_leaves_nothing_is_a_fault(asking, stream):
    frames = sse(chunk({"role": "assistant", "content": ""}), chunk(finish="content_filter"), DONE)
    async with asking("openai", frames if stream else reply(whole({"content": ""}, "content_filter"))) as there:
        with pytest.raises(BadAnswerFault) as caught:
            await read(await there.ask(stream=stream))
        assert caught.value.code == "content_filter"


JSON = {"response_format": {"type": "json_object"}}


@pytest.mark.parametrize("stream", [False, True])
async def test_blanks_instead_of_json_are_no_answer_and_commit_nothing(asking, stream):
    frames = sse(*[chunk({"content": "  "})] * 3, chunk({"content": "\n"}, "stop"), DONE)
    async with asking("deepseek", frames if stream else reply(whole({"content": "   \n"}))) as there:
        seen = []
        with pytest.raises(BadAnswerFault) as caught:
            seen = await gather(await there.ask(stream=stream, body=JSON), seen)
        assert caught.value.code == "empty_answer"
        assert not any(seen)


async def gather(answer, seen):
    async for event in answer.events:
        seen.append(event.content)
    return seen


async def test_blanks_pass_where_no_json_was_asked_for_or_json_follows(asking):
    blank = sse(chunk({"content": "\n"}), chunk(finish="stop"), DONE)
    json = sse(chunk({"content": " "}), chunk({"content": "{}"}), chunk(finish="stop"), DONE)
    async with asking("deepseek", blank, json) as there:
        await read(await there.ask(stream=True))
        chunks, _ = await read(await there.ask(stream=True, body=JSON))
        assert text_of(chunks) == " {}"


# ---- waiting ----


def dripping(*drops, then=b""):
    """A chunked response that repeats `drops` for ever, or until they have been sent and `then` follows."""

    async def write(request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        for drop in drops * (1 if then else 1000):
            writer.write(b"%x\r\n%b\r\n" % (len(drop), drop))
            await writer.drain()
            await asyncio.sleep(0.005)
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(then), then))

    return write


async def test_comments_do_not_keep_a_stream_alive_for_ever(asking):
    async with asking("deepseek", dripping(b": keep-alive\n\n")) as there:
        with pytest.raises(TimeoutFault) as caught:
            await read(await there.ask(stream=True, deadlines=Deadlines(idle=0.05)))
        assert caught.value.code == "idle_timeout"


async def test_blank_lines_before_a_whole_answer(asking):
    body = completion_reply("ok").partition(b"\r\n\r\n")[2]
    async with asking("deepseek", dripping(b"\n", b"\n", then=body), dripping(b"\n")) as there:
        answer = await there.ask()
        assert answer.body == body
        with pytest.raises(TimeoutFault) as caught:
            await there.ask(deadlines=Deadlines(first_byte=0.05))
        assert caught.value.code == "first_byte_timeout"


async def test_noise_is_recognised_in_linear_time(asking):
    noise = b": a\r\n\r\n" * 20 + b"event: x\r\n" * 2000 + b"!\n\n"
    async with asking("openai", sse(chunk({"content": "a"}), noise, DONE)) as there:
        with pytest.raises(BadAnswerFault, match="no event"):
            await read(await there.ask(stream=True))


async def test_garbage_that_looks_like_a_comment_is_no_comment(asking):
    words = [chunk({"content": "a"}), chunk({"content": "b"}), chunk({}, "stop"), DONE]
    garbage = b":\x8f\xc1 what is next stands on the same line, and would be lost: "  # no end of its own
    spoilt, comment = sse(words[0], garbage, *words[1:]), sse(": été\n\n".encode(), *words)
    async with asking("openai", spoilt, comment) as there:
        with pytest.raises(BadAnswerFault, match="no event"):
            await read(await there.ask(stream=True))
        chunks, _ = await read(await there.ask(stream=True))
        assert [one["choices"][0]["delta"].get("content") for one in chunks[:2]] == ["a", "b"]


# ---- failed_generation ----

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "s",
        "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}


def failed(code, text):
    return {"error": {"message": "Failed", "type": "invalid_request_error", "code": code, "failed_generation": text}}


@pytest.mark.parametrize("way", ["whole", "stream", "inside"])
@pytest.mark.parametrize(
    "text",
    [
        '<function=add>{"a": 1}</function>',
        '<function=add={"a": 1}</function>',
        'add{"a": 1}</function>',
        '{"name": "add", "arguments": {"a": 1}}',
        '[{"name": "add", "parameters": {"a": 1}}',
        '```\n{"tool_calls": [{"function": {"name": "add", "arguments": "{\\"a\\": 1}"}}]}\n```',
    ],
)
async def test_a_tool_call_that_did_not_parse_is_repaired(asking, text, way):
    told = failed("tool_use_failed", text)
    upstream = sse(told) if way == "inside" else reply(told, 400)
    async with asking("groq", upstream) as there:
        answer = await there.ask(stream=way != "whole", body={"tools": [ADD]})
        if way == "whole":
            calls = orjson.loads(answer.body)["choices"][0]["message"]["tool_calls"]
        else:
            chunks, _ = await read(answer)
            calls = [call for one in chunks for call in one["choices"][0]["delta"].get("tool_calls", ())]
        assert [(call["function"]["name"], call["function"]["arguments"]) for call in calls] == [("add", '{"a":1}')]
        evidence = answer.evidence
        assert (evidence.finish_reason, evidence.tool_calls, evidence.complete) == ("tool_calls", True, True)
        assert evidence.cost is None
        assert "gave up on a tool call" in evidence.edits[0]


@pytest.mark.parametrize("stream", [False, True])
async def test_json_that_did_not_validate_is_repaired(asking, stream):
    async with asking("groq", reply(failed("json_validate_failed", '{"a": 1,'), 400)) as there:
        answer = await there.ask(stream=stream, body={"response_format": SCHEMA})
        if stream:
            text = text_of((await read(answer))[0])
        else:
            text = orjson.loads(answer.body)["choices"][0]["message"]["content"]
        assert orjson.loads(text) == {"a": 1}
        assert answer.evidence.finish_reason == "stop"
        assert len(answer.evidence.edits) > 1


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("json_validate_failed", '{"b": 1}'),
        ("json_validate_failed", "I am sorry"),
        ("json_validate_failed", ""),
        ("json_validate_failed", '{"a": '),
        ("tool_use_failed", '{"name": "rm", "arguments": {"a": 1}}'),
        ("tool_use_failed", '{"name": "add", "arguments": {"a": "x"}}'),
        ("tool_use_failed", 'Sure: <function=add>{"a": 1}</function>'),
        ("tool_use_failed", "Sure, I added them."),
        ("tool_use_failed", "[1, 2]"),
        ("something_else", '{"a": 1}'),
    ],
)
async def test_what_cannot_be_shown_to_be_right_stays_a_fault(asking, code, text):
    async with asking("groq", reply(failed(code, text), 400)) as there:
        with pytest.raises(RejectedFault) as caught:
            await there.ask(body={"tools": [ADD], "response_format": SCHEMA})
        assert caught.value.code == code


async def test_nothing_is_repaired_after_the_first_words(asking):
    async with asking(
        "groq", sse(chunk({"content": "a"}), failed("tool_use_failed", 'add{"a": 1}</function>'))
    ) as there:
        with pytest.raises(Fault):
            await read(await there.ask(stream=True, body={"tools": [ADD]}))


async def test_a_good_stream_still_passes_as_it_is(asking):
    async with asking("openai", completion_stream("one"), stream_reply([])) as there:
        answer = await there.ask(stream=True, body={"max_tokens": 3})
        assert not answer.evidence.simulated
        chunks, _ = await read(answer)
        assert text_of(chunks) == "one"
        assert there.upstream.received[0].json()["max_completion_tokens"] == 3
