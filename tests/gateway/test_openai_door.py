"""OpenAI's door with OpenAI's own client, in front of a scripted upstream."""

import asyncio
import json

import openai
import orjson
import pytest

from rung.answer import Usage
from rung.completion import frames
from rung.testing import completion_reply, completion_stream, reply, stream_reply


def client(there, **options):
    return openai.AsyncOpenAI(base_url=f"{there.url}/v1", api_key="sk-client", max_retries=0, **options)


def ask(text="hi", **more):
    return {"model": "mock:big", "messages": [{"role": "user", "content": text}], **more}


async def test_a_whole_answer_passes_unchanged_with_what_happened_in_headers(serving):
    answer = completion_reply("hello")
    async with serving(answer) as there, client(there) as sdk:
        raw = await sdk.chat.completions.with_raw_response.create(**ask())
        assert raw.content == answer.partition(b"\r\n\r\n")[2]
        assert raw.parse().choices[0].message.content == "hello"
        assert raw.headers["x-rung"] == "cloud"
        assert raw.headers["x-rung-model"] == "mock:big"
        assert raw.headers["x-rung-climb"] == "exact=miss, cloud=answered"
        assert raw.headers["x-rung-cost-usd"] == "unknown"
        assert raw.headers["cache-status"] == "exact; fwd=miss"
        assert "cloud;dur=" in raw.headers["server-timing"]
        assert "x-rung-task" not in raw.headers


async def test_the_upstream_gets_the_same_bytes_but_for_the_model(serving):
    async with serving(completion_reply("ok")) as there:
        body = b'{ "unknown" : [1.50, {"b":1,"a":2}],\n"model":"mock:big" , "messages":[%b] }' % (
            b'{"role":"user","content":"\\u00e9"}'
        )
        status, _, _ = await post(there, body)
        assert status == 200
        got = there.upstream.received[0]
        assert got.body == body.replace(b'"mock:big"', b'"big"')
        assert got.headers["user-agent"].startswith("rung/")
        assert "sk-client" not in str(got.headers)


async def test_the_rung_member_is_read_and_not_passed_on(serving):
    async with serving(completion_reply("ok")) as there, client(there) as sdk:
        await sdk.chat.completions.create(**ask(extra_body={"rung": {"session": "s1", "no_store": True}}))
        assert "rung" not in there.upstream.received[0].json()
        raw = await sdk.chat.completions.with_raw_response.create(**ask(), extra_headers={"x-rung-no-store": "true"})
        assert raw.headers["cache-status"] == "exact; fwd=bypass"


async def test_a_repeated_call_comes_from_the_cache_as_json_and_as_stream(serving):
    async with serving(completion_reply("cached words", usage=Usage(7, 0, 0, 3, 0))) as there, client(there) as sdk:
        await sdk.chat.completions.create(**ask())
        again = await sdk.chat.completions.with_raw_response.create(**ask())
        assert again.headers["x-rung"] == "exact"
        assert again.headers["cache-status"] == "exact; hit"
        assert again.headers["x-rung-cost-usd"] == "0"
        stream = await sdk.chat.completions.create(**ask(stream=True, stream_options={"include_usage": True}))
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "cached words"
        assert chunks[-1].usage.total_tokens == 10
        assert chunks[-1].choices == []
        assert len(there.upstream.received) == 1


async def test_a_stream_is_relayed_with_the_note_in_its_last_chunk(serving):
    async with serving(completion_stream("one two")) as there, client(there) as sdk:
        stream = await sdk.chat.completions.create(**ask(stream=True))
        assert stream.response.headers["x-rung"] == "cloud"
        chunks = [chunk async for chunk in stream]
        assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content] == ["one two"]
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert chunks[-1].model_extra["rung"]["climb"] == "exact=miss, cloud=answered"
        assert all(chunk.usage is None for chunk in chunks)
        assert there.upstream.received[0].json()["stream_options"] == {"include_usage": True}


async def test_usage_is_passed_on_when_the_client_asks(serving):
    async with serving(completion_stream("one", usage=Usage(5, 2, 0, 3, 1))) as there, client(there) as sdk:
        stream = await sdk.chat.completions.create(**ask(stream=True, stream_options={"include_usage": True}))
        last = [chunk async for chunk in stream][-1]
        assert last.choices == []
        assert last.usage.prompt_tokens == 7
        assert last.usage.prompt_tokens_details.cached_tokens == 2


TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


async def test_tool_calls_whole_and_streamed(serving):
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    whole = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
    }
    deltas = [
        {"role": "assistant", "content": None},
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]},
    ]
    blocks = [sse({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas]
    blocks += [sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}), b"data: [DONE]\n\n"]
    async with serving(reply(whole), stream_reply(blocks)) as there, client(there) as sdk:
        answer = await sdk.chat.completions.create(**ask("whole", tools=[TOOL]))
        assert answer.choices[0].message.tool_calls[0].function.arguments == '{"a":1}'
        async with sdk.chat.completions.stream(**ask("streamed", tools=[TOOL])) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].message.tool_calls[0].function.arguments == '{"a":1}'


async def test_unknown_fields_and_parts_reach_the_provider(serving):
    parts = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    async with serving(completion_reply("a cat")) as there, client(there) as sdk:
        messages = [{"role": "user", "content": parts}]
        more = {"seed": 7, "stop": ["x"], "logprobs": True, "n": 2, "extra_body": {"future_field": {"z": 1, "a": 2}}}
        await sdk.chat.completions.create(model="mock:big", messages=messages, **more)
        got = there.upstream.received[0].json()
        assert got["messages"] == messages
        assert got["future_field"] == {"z": 1, "a": 2}
        assert (got["seed"], got["stop"], got["logprobs"], got["n"]) == (7, ["x"], True, 2)


async def test_a_stream_cut_before_its_terminator_is_an_error_and_is_not_cached(serving):
    blocks = frames("half", model="m", request_id="1", include_usage=False)[:2]
    async with serving(stream_reply(blocks), completion_stream("whole")) as there, client(there) as sdk:
        with pytest.raises(openai.APIError, match="without its terminator"):
            _ = [chunk async for chunk in await sdk.chat.completions.create(**ask(stream=True))]
        text = [c.choices[0].delta.content async for c in await sdk.chat.completions.create(**ask(stream=True))]
        assert "".join(filter(None, text)) == "whole"


async def test_an_error_event_has_no_done_after_it(serving):
    blocks = frames("half", model="m", request_id="1", include_usage=False)[:2]
    async with serving(stream_reply(blocks)) as there:
        _, _, body = await post(there, orjson.dumps(ask(stream=True)))
        assert body.rstrip().endswith(b"}")
        assert orjson.loads(body.rstrip().rpartition(b"data: ")[2])["error"]["code"] == "cut_stream"
        assert b"[DONE]" not in body


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, openai.BadRequestError, 400),
        (401, openai.APIStatusError, 502),
        (404, openai.NotFoundError, 404),
        (429, openai.RateLimitError, 429),
        (500, openai.APIStatusError, 502),
    ],
)
async def test_a_provider_error_is_told_in_openais_shape(serving, status, error, expected):
    answer = reply({"error": {"message": "no sk-abc123456789 good", "type": "t", "code": "c"}}, status)
    async with serving(answer, toml="[retry]\nattempts = 1") as there, client(there) as sdk:
        with pytest.raises(error) as caught:
            await sdk.chat.completions.create(**ask())
        assert caught.value.status_code == expected
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert "abc123456789" not in str(caught.value.body)
        assert caught.value.body["attempts"][-1]["rung"] == "cloud"


async def test_lines_that_are_no_data_are_not_passed_on(serving):
    """An event-stream parser ignores them (WHATWG), but they need not travel further."""
    first, words, *rest = frames("hello", model="m", request_id="1", include_usage=False)
    blocks = [first, b"\xb5\xff\n: note\nid: 7\n" + words, *rest, b"data: [DONE]\n\n"]
    async with serving(stream_reply(blocks)) as there:
        _, _, body = await post(there, orjson.dumps(ask(stream=True)))
        assert words in body
        assert b"\xb5" not in body
        assert b"id: 7" not in body
        assert body.endswith(b"data: [DONE]\n\n")


async def test_a_client_that_leaves_cancels_the_upstream_work(serving):
    began = asyncio.Event()

    async def forever(request, writer):
        writer.write(stream_reply(frames("x", model="m", request_id="1", include_usage=False)[:2], end=False))
        await writer.drain()
        began.set()
        await asyncio.Event().wait()

    async with serving(forever) as there:
        reader, writer = await connect(there)
        writer.write(request(orjson.dumps(ask(stream=True))))
        await began.wait()
        await reader.readuntil(b"data: ")
        writer.close()
        await asyncio.wait_for(there.upstream.left.wait(), 5)
        await writer.wait_closed()


async def test_a_silent_stream_gets_keep_alives_and_tells_at_the_end_who_answered(serving):
    release = asyncio.Event()

    async def slow(request, writer):
        await release.wait()
        writer.write(completion_stream("late"))
        await writer.drain()

    async with serving(slow, toml="[server]\nheartbeat = 0.1") as there:
        reader, writer = await connect(there)
        writer.write(request(orjson.dumps(ask(stream=True))))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"x-rung: pending" in head
        assert b": keep-alive" in await reader.readuntil(b"\n\n")
        release.set()
        rest = await reader.readuntil(b"[DONE]")
        assert b'"rung":{"rung":"cloud"' in rest
        writer.close()
        await writer.wait_closed()


async def test_models_are_listed_and_retrieved(serving):
    async with serving(completion_reply("x")) as there, client(there) as sdk:
        names = [model.id async for model in sdk.models.list()]
        assert names[:3] == ["auto", "fast", "strong"]
        assert "mock:big" in names
        assert (await sdk.models.retrieve("mock:big")).id == "mock:big"
        with pytest.raises(openai.NotFoundError, match="did you mean 'mock:big'"):
            await sdk.models.retrieve("mock:bigg")


async def test_health_and_readiness(serving):
    async with serving(completion_reply("x")) as there:
        assert (await get(there, "/healthz"))[0] == 200
        status, _, body = await get(there, "/readyz")
        assert status == 200
        assert json.loads(body)["status"] == "ready"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b"[]", "invalid_type", None),
        (b'{"messages":[]}', "empty_messages", "messages"),
        (b'{"messages":[{"content":"x"}]}', "invalid_type", "messages[0]"),
        (b'{"messages":[{"role":"user","content":"x"}],"stream":"yes"}', "invalid_type", "stream"),
        (b'{"messages":[{"role":"user","content":"x"}],"n":0}', "invalid_value", "n"),
        (b'{"messages":[{"role":"user","content":"\xff"}]}', "invalid_json", None),
        (b"[" * 100_000, "invalid_json", None),
    ],
)
async def test_bad_bodies_get_a_clear_400(serving, body, code, param):
    async with serving(completion_reply("x")) as there:
        status, _, told = await post(there, body)
        error = json.loads(told)["error"]
        assert (status, error["code"]) == (400, code)
        if param:
            assert error["param"].startswith(param)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"host": "evil.example"}, 403, "host_not_allowed"),
        ({"origin": "https://evil.example"}, 403, "origin_not_allowed"),
        ({"content-type": "text/plain"}, 415, "unsupported_media_type"),
        ({"x-rung-mode": "quick"}, 400, "invalid_request"),
        ({"x-rung-speed": "1"}, 400, "invalid_request"),
        ({"x-rung-private": "maybe"}, 400, "invalid_request"),
        ({"x-rung-deadline-ms": "-5"}, 400, "invalid_request"),
    ],
)
async def test_what_is_refused_at_the_door(serving, headers, status, code):
    async with serving(completion_reply("x")) as there:
        got, _, body = await post(there, orjson.dumps(ask()), **headers)
        assert (got, json.loads(body)["error"]["code"]) == (status, code)
        assert there.upstream.received == []


async def test_what_is_private_already_does_not_hide_a_mistake(serving):
    async with serving(completion_reply("x")) as there:
        status, _, body = await post(
            there, orjson.dumps({**ask(), "rung": {"private": True}}), **{"x-rung-private": "?"}
        )
        assert (status, json.loads(body)["error"]["param"]) == (400, "x-rung-private")


@pytest.mark.parametrize("name", ["x-rung-private", "x-rung-mode", "authorization", "content-type"])
async def test_a_header_that_decides_something_is_sent_once(serving, name):
    """The last one winning would make a private call public."""
    value = {"x-rung-private": "true", "x-rung-mode": "local"}.get(name, "application/json")
    async with serving(completion_reply("x")) as there:
        raw = request(orjson.dumps(ask()), **{name: value})
        raw = raw.replace(b"\r\n\r\n", f"\r\n{name}: false\r\n\r\n".encode(), 1)
        status, _, body = await exchange(there, raw)
        assert (status, json.loads(body)["error"]["param"]) == (400, name)
        assert there.upstream.received == []


@pytest.mark.parametrize(
    "body",
    [
        ask(rung={"task": "a\nb"}),
        ask(metadata={"x-rung-task": "a\x01b"}),
        {**ask(), "model": "mock:a\nb"},
        ask(rung={"max_error": True}),
        ask(rung={"deadline_ms": "1_000"}),
    ],
)
async def test_what_could_not_be_told_in_a_header_is_refused_before_anybody_is_asked(serving, body):
    async with serving(completion_reply("x")) as there:
        assert (await post(there, orjson.dumps(body)))[0] == 400
        assert there.upstream.received == []


async def test_a_wrong_method_is_told_the_right_ones(serving):
    async with serving(completion_reply("x")) as there:
        status, head, _ = await exchange(there, request(b"{}", "/healthz"))
        assert status == 405
        assert b"allow: GET, HEAD" in head


async def test_with_keys_every_route_but_health_needs_one(serving):
    async with serving(completion_reply("x"), environ={"RUNG_KEYS": "good-key-1"}) as there:
        assert (await get(there, "/healthz"))[0] == 200
        for path in ("/v1/models", "/readyz", "/admin/cache", "/nothing"):
            assert (await get(there, path))[0] == 401
        assert (await post(there, orjson.dumps(ask())))[0] == 401
        assert (await post(there, orjson.dumps(ask()), authorization="Bearer wrong"))[0] == 401
        assert (await post(there, orjson.dumps(ask()), authorization="Bearer good-key-1"))[0] == 200


async def test_two_tenants_never_share_an_answer(serving):
    async with serving(completion_reply("first"), completion_reply("second")) as there:
        _, _, one = await post(there, orjson.dumps(ask()), authorization="Bearer a")
        _, _, two = await post(there, orjson.dumps(ask()), authorization="Bearer b")
        assert b"first" in one
        assert b"second" in two


async def test_the_cache_can_be_looked_at_and_emptied(serving):
    async with serving(completion_reply("x")) as there:
        await post(there, orjson.dumps(ask()))
        assert json.loads((await get(there, "/admin/cache"))[2])["entries"] == 1
        assert json.loads((await post(there, b"{}", path="/admin/cache/purge"))[2]) == {"purged": 1}
        assert (await get(there, "/admin/cache/purge"))[0] == 405


async def test_unknown_paths_and_methods(serving):
    async with serving(completion_reply("x")) as there:
        assert (await get(there, "/v1/nothing"))[0] == 404
        assert (await get(there, "/v1/chat/completions"))[0] == 405
        assert (await post(there, b"{}", path="/v1/models"))[0] == 405


def sse(choice):
    base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + orjson.dumps({**base, **choice}) + b"\n\n"


async def connect(there):
    host, port = there.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


def request(body, path="/v1/chat/completions", method="POST", **headers):
    told = {"host": "localhost", "content-type": "application/json", "content-length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}connection: close\r\n\r\n".encode() + body


async def exchange(there, raw):
    reader, writer = await connect(there)
    writer.write(raw)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body if b"chunked" not in head else dechunk(body)


def dechunk(body):
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        out, body = out + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return out


async def post(there, body, path="/v1/chat/completions", **headers):
    return await exchange(
        there, request(body, path, **{name.replace("_", "-"): value for name, value in headers.items()})
    )


async def get(there, path):
    return await exchange(there, request(b"", path, "GET"))
