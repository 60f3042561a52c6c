"""Ollama's own API, as a scripted upstream speaks it."""

import asyncio

import orjson
import pytest
from provider_fakes import endpoint, read, text_of

from rung.answer import Usage
from rung.errors import (
    BadAnswerFault,
    MissingModelFault,
    PrivacyError,
    RejectedFault,
    ServerFault,
    TimeoutFault,
)
from rung.providers.adapters import Patience, make_adapter
from rung.testing import make_call, reply, stream_reply
from rung.wire.client import Client, Deadlines

LOADED = reply({"model": "phi4", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "load"})
TIMES = {"total_duration": 4_000_000, "load_duration": 1_000_000, "eval_count": 5, "eval_duration": 2_000_000}


def said(text="", *, done="", **more):
    told = {
        "model": "phi4",
        "message": {"role": "assistant", "content": text, **more.pop("message", {})},
        "done": bool(done),
    }
    return {**told, **({"done_reason": done, "prompt_eval_count": 7, **TIMES} if done else {}), **more}


def lines(*told, cut=0):
    body = b"".join(orjson.dumps(one) + b"\n" for one in told)
    body = body[: len(body) - cut]
    return stream_reply([body[i : i + 37] for i in range(0, len(body), 37)])  # lines across packets


async def test_a_whole_answer_with_its_times(asking):
    async with asking("ollama", LOADED, reply(said("Hello", done="stop"))) as there:
        answer = await there.ask(
            "hi", body={"temperature": 0.1, "max_tokens": 9, "stop": "x", "seed": 3, "num_ctx": 8192}
        )
        body = orjson.loads(answer.body)
        assert body["choices"][0]["message"]["content"] == "Hello"
        assert body["timings"]["load_ms"] == 1.0
        assert body["timings"]["predicted_n"] == 5
        assert answer.evidence.usage == Usage(7, 0, 0, 5, 0)
        assert answer.evidence.model_version == "phi4"
        load, chat = there.upstream.received
        assert load.target == chat.target == "/api/chat"
        assert load.json() == {"model": "phi4", "messages": [], "stream": False, "options": {"num_ctx": 8192}}
        assert chat.json() == {
            "model": "phi4",
            "messages": [{"role": "user", "content": "hi"}],
            "truncate": False,
            "options": {"temperature": 0.1, "num_ctx": 8192, "num_predict": 9, "stop": ["x"], "seed": 3},
            "stream": False,
        }


async def test_a_stream_of_lines(asking):
    told = [said(message={"thinking": "hm"}), said("Hel"), said("lo"), said(done="stop")]
    async with asking("ollama", LOADED, lines(*told)) as there:
        answer = await there.ask(stream=True, include_usage=True)
        chunks, _ = await read(answer)
        assert text_of(chunks) == "Hello"
        assert text_of(chunks, "reasoning_content") == "hm"
        assert chunks[-2]["timings"]["total_ms"] == 4.0
        assert chunks[-1]["usage"]["total_tokens"] == 12


async def test_a_model_is_loaded_once_for_all_who_wait_and_not_again_while_warm(asking):
    began, release = asyncio.Event(), asyncio.Event()

    async def loading(request, writer):
        began.set()
        await release.wait()
        writer.write(LOADED)

    async with asking("ollama", loading, reply(said("a", done="stop"))) as there:
        waiting = [asyncio.create_task(there.ask()) for _ in range(3)]
        await began.wait()
        release.set()
        await asyncio.gather(*waiting)
        await there.ask()
        asked = [request.json()["messages"] for request in there.upstream.received]
        assert [bool(messages) for messages in asked] == [False, True, True, True, True]


async def test_a_client_that_leaves_does_not_cancel_the_load(asking):
    began, release = asyncio.Event(), asyncio.Event()

    async def loading(request, writer):
        began.set()
        await release.wait()
        writer.write(LOADED)

    async with asking("ollama", loading, reply(said("a", done="stop"))) as there:
        leaving = asyncio.create_task(there.ask())
        await began.wait()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert not there.upstream.left.is_set()
        staying = asyncio.create_task(there.ask())
        release.set()
        assert (await staying).evidence.complete
        assert len(there.upstream.received) == 2  # one load, one chat


async def test_a_load_has_its_own_deadline_and_goes_on_after_it(asking):
    began, release = asyncio.Event(), asyncio.Event()

    async def loading(request, writer):
        began.set()
        await release.wait()
        writer.write(LOADED)

    async with asking("ollama", loading, reply(said("a", done="stop")), patience=Patience(wait=0.05)) as there:
        with pytest.raises(TimeoutFault) as caught:
            await there.ask(deadlines=Deadlines(first_byte=0.01))
        assert caught.value.code == "load_timeout"
        assert not there.upstream.left.is_set()
        release.set()
        assert (await there.ask()).evidence.complete


async def test_a_load_that_fails_is_told(asking):
    async with asking("ollama", reply({"error": 'model "phi4" not found, try pulling it first'}, 404)) as there:
        with pytest.raises(MissingModelFault, match="try pulling it"):
            await there.ask()


@pytest.mark.parametrize(
    ("told", "fault", "code"),
    [
        (lines(said("Hel"), {"error": "boom"}), ServerFault, "provider_server_error"),
        (lines(said("Hel")), BadAnswerFault, "cut_stream"),
        (lines(said("Hel"), said(done="stop"), cut=20), BadAnswerFault, "bad_answer"),
        (lines(said(done="stop")), BadAnswerFault, "empty_answer"),
        (lines(said(done="load")), BadAnswerFault, "empty_answer"),
        (stream_reply([b"[]\n"]), BadAnswerFault, "bad_answer"),
    ],
)
async def test_streams_that_are_no_answer(asking, told, fault, code):
    async with asking("ollama", LOADED, told) as there:
        with pytest.raises(fault) as caught:
            await read(await there.ask(stream=True))
        assert caught.value.code == code


async def test_a_last_line_without_its_end_counts(asking):
    async with asking("ollama", LOADED, lines(said("a"), said(done="length"), cut=1)) as there:
        answer = await there.ask(stream=True)
        await read(answer)
        assert answer.evidence.finish_reason == "length"


async def test_errors_before_any_byte(asking):
    busy = reply({"error": "server busy, please try again.  maximum pending requests exceeded"}, 503)
    async with asking("ollama", LOADED, busy) as there:
        with pytest.raises(ServerFault, match="server busy"):
            await there.ask()


TOOL = {"type": "function", "function": {"name": "add", "description": "adds"}}


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_both_ways(asking, stream):
    calls = [{"function": {"name": "add", "arguments": {"a": 1}}}, {"id": "x9", "function": {"name": "add"}}]
    told = said(done="stop", message={"tool_calls": calls})
    async with asking("ollama", LOADED, lines(told) if stream else reply(told), reply(said("3", done="stop"))) as there:
        answer = await there.ask(stream=stream, body={"tools": [TOOL]})
        if stream:
            chunks, _ = await read(answer)
            made = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
        else:
            made = orjson.loads(answer.body)["choices"][0]["message"]["tool_calls"]
        assert answer.evidence.finish_reason == "tool_calls"
        assert [call["function"]["arguments"] for call in made] == ['{"a":1}', "{}"]
        assert made[1]["id"] == "x9"
        assert made[0]["id"] != made[1]["id"]
        messages = [
            {"role": "user", "content": "1"},
            {"role": "assistant", "reasoning_content": "hm", "tool_calls": made},
            {"role": "tool", "tool_call_id": "x9", "content": "2"},
        ]
        await there.ask(body={"messages": messages})
        got = there.upstream.received[-1].json()["messages"]
        assert got[1]["thinking"] == "hm"
        assert got[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": {"a": 1}}
        assert got[2] == {"role": "tool", "content": "2", "tool_name": "add", "tool_call_id": "x9"}
        declared = there.upstream.received[1].json()["tools"][0]["function"]
        assert declared == {"name": "add", "description": "adds", "parameters": {"type": "object", "properties": {}}}


async def test_images_schemas_and_its_own_fields(asking):
    body = {
        "messages": [
            {"role": "system", "content": "s"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": "data:image/png;base64,AAAA"},
                ],
            },
        ],
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
        "keep_alive": "10m",
        "options": {"num_gpu": 1, "mirostat": 2},
        "reasoning_effort": "none",
        "tools": [TOOL],
        "tool_choice": "none",
        "logit_bias": {},
    }
    async with asking("ollama", LOADED, reply(said("{}", done="stop"))) as there:
        answer = await there.ask(body=body)
        assert answer.evidence.stripped == ("logit_bias",)
        load, chat = (request.json() for request in there.upstream.received)
        assert load["options"] == {"num_gpu": 1}
        assert load["keep_alive"] == chat["keep_alive"] == "10m"
        assert chat["messages"][1] == {"role": "user", "content": "see", "images": ["AAAA"]}
        assert chat["format"] == {"type": "object"}
        assert chat["options"] == {"num_gpu": 1, "mirostat": 2}
        assert chat["think"] is False
        assert "tools" not in chat


@pytest.mark.parametrize(
    ("body", "context"), [({}, 16384), ({"num_ctx": 2048}, 2048), ({"options": {"num_ctx": 512}}, 512)]
)
async def test_the_context_is_the_configurations_unless_the_call_says(asking, body, context):
    async with asking("ollama", LOADED, reply(said("hi", done="stop")), num_ctx=16384) as there:
        await there.ask(body=body)
        assert [request.json()["options"]["num_ctx"] for request in there.upstream.received] == [context] * 2


async def test_a_model_that_cannot_think_is_not_asked_to(asking):
    show = reply({"capabilities": ["completion"]})
    async with asking("ollama", show, LOADED, reply(said("a", done="stop"))) as there:
        for _ in range(2):
            answer = await there.ask(body={"reasoning_effort": "high"})
            assert answer.evidence.stripped == ("reasoning_effort",)
            assert "think" not in there.upstream.received[-1].json()
        targets = [request.target for request in there.upstream.received]
        assert targets == ["/api/show", "/api/chat", "/api/chat", "/api/chat"]


@pytest.mark.parametrize("fact", ["remote_host", "remote_model"])
async def test_a_private_call_to_a_model_that_runs_elsewhere_is_refused_unsent(asking, fact):
    async with asking("ollama", reply({fact: "https://ollama.com"})) as there:
        with pytest.raises(PrivacyError, match="runs elsewhere"):
            await there.ask("secret", private=True)
        (asked,) = there.upstream.received
        assert (asked.target, asked.json()) == ("/api/show", {"model": "phi4"})


async def test_a_private_call_looks_each_time_and_stays_here(asking):
    show = reply({"capabilities": ["completion"]})
    async with asking(
        "ollama", show, LOADED, reply(said("a", done="stop")), show, reply(said("b", done="stop"))
    ) as there:
        await there.ask(private=True)
        await there.ask(private=True)
        targets = [request.target for request in there.upstream.received]
        assert targets == ["/api/show", "/api/chat", "/api/chat", "/api/show", "/api/chat"]


async def test_a_private_call_to_another_machine_is_refused():
    client = Client()
    adapter = make_adapter("ollama", endpoint("ollama", "http://box.example:11434"), client)
    with pytest.raises(PrivacyError):
        await adapter.chat(make_call(private=True), "phi4", Deadlines())
    await client.aclose()


async def test_a_cloud_model_is_not_loaded_and_not_free(asking):
    priced = []

    def price(model, usage):
        priced.append(model)

    remote = reply(said("a", done="stop", remote_host="https://ollama.com"))
    async with asking("ollama", remote, model="gpt-oss:120b-cloud", price=price) as there:
        await there.ask()
        assert len(there.upstream.received) == 1
    async with asking("ollama", LOADED, remote, model="mine", price=price) as there:
        await there.ask()
    assert priced == ["gpt-oss:120b-cloud", "mine-cloud"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"options": 3}, "options"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}
                ]
            },
            "messages[0]",
        ),
    ],
)
async def test_what_cannot_be_said_is_refused_before_anything_is_loaded(asking, body, param):
    async with asking("ollama", LOADED) as there:
        with pytest.raises(RejectedFault) as caught:
            await there.ask(body=body)
        assert caught.value.param == param
        assert there.upstream.received == []


async def test_the_address_of_its_openai_endpoint_will_do():
    client = Client()
    adapter = make_adapter("ollama", endpoint("ollama", "http://127.0.0.1:1/v1"), client)
    assert adapter.endpoint.base_path == ""
    await client.aclose()
