"""Gemini's own API, as a scripted upstream speaks it."""

import orjson
import pytest
from provider_fakes import endpoint, read, sse, text_of

from rung.answer import Usage
from rung.errors import BadAnswerFault, CredentialFault, PrivacyError, RateLimitFault, RejectedFault, ServerFault
from rung.providers.adapters import make_adapter
from rung.testing import make_call, reply
from rung.wire.client import Client, Deadlines

USAGE = {"promptTokenCount": 20, "cachedContentTokenCount": 8, "candidatesTokenCount": 5, "thoughtsTokenCount": 3}


def said(*parts, finish=None, usage=None, **more):
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    told = {"candidates": [candidate], "modelVersion": "gemini-3.8-flash-0917", **more}
    return {**told, "usageMetadata": usage} if usage else told


def crlf(*payloads):
    return sse(*payloads, end=b"\r\n\r\n")


async def test_a_whole_answer(asking):
    async with asking("gemini", reply(said({"text": "Hel"}, {"text": "lo"}, finish="STOP", usage=USAGE))) as there:
        answer = await there.ask("hi", body={"temperature": 0.5, "max_tokens": 9, "seed": 3, "stop": "x"})
        body = orjson.loads(answer.body)
        assert body["choices"][0]["message"]["content"] == "Hello"
        assert body["choices"][0]["finish_reason"] == "stop"
        assert body["model"] == answer.evidence.model_version == "gemini-3.8-flash-0917"
        assert body["usage"]["prompt_tokens"] == 20
        assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 8
        assert answer.evidence.usage == Usage(12, 8, 0, 5, 3)
        assert answer.evidence.cost == 20 + 80
        assert answer.evidence.stripped == ("temperature",)
        got = there.upstream.received[0]
        assert got.target == "/v1beta/models/gemini-3.8-flash:generateContent"
        assert got.headers["x-goog-api-key"] == "test-key"
        assert "authorization" not in got.headers
        assert got.json() == {
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "generationConfig": {"maxOutputTokens": 9, "stopSequences": ["x"], "seed": 3},
        }


@pytest.mark.parametrize(
    ("tier", "sent", "stripped"), [("flex", "flex", ()), ("auto", None, ()), ("scale", None, ("service_tier",))]
)
async def test_the_tier_asked_for(asking, tier, sent, stripped):
    async with asking("gemini", reply(said({"text": "a"}, finish="STOP"))) as there:
        assert (await there.ask(body={"service_tier": tier})).evidence.stripped == stripped
        assert there.upstream.received[0].json().get("serviceTier") == sent


async def test_the_tier_that_answered_is_told(asking):
    async with asking(
        "gemini", reply(said({"text": "a"}, finish="STOP", usage={**USAGE, "serviceTier": "FLEX"}))
    ) as there:
        assert (await there.ask()).evidence.usage == Usage(12, 8, 0, 5, 3, 0, "flex")


async def test_a_stream_ends_with_the_body_and_a_finish_reason(asking):
    frames = crlf(said({"text": "Hel"}), said({"text": "lo"}), said(finish="STOP", usage=USAGE))
    async with asking("gemini", frames) as there:
        answer = await there.ask("hi", stream=True, include_usage=True)
        chunks, content = await read(answer)
        assert text_of(chunks) == "Hello"
        assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
        assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["completion_tokens"] == 8
        assert content[-1] is False
        assert there.upstream.received[0].target.endswith(":streamGenerateContent?alt=sse")


@pytest.mark.parametrize("after", [0, 1])
async def test_a_stream_that_closes_without_a_finish_reason_is_cut(asking, after):
    async with asking("gemini", crlf(*[said({"text": "Hel"})] * after)) as there:
        with pytest.raises(BadAnswerFault) as caught:
            await read(await there.ask("hi", stream=True))
        assert caught.value.code == "cut_stream"


@pytest.mark.parametrize(
    "error",
    [
        b'{"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}',
        b'{\n "error": {\n  "code": 503,\n  "message": "busy"\n }\n}\n\n',
        b'[{"error": {"code": 503, "message": "busy"}}]\r\n',
    ],
)
async def test_an_error_in_the_middle_of_a_stream_is_bare_json(asking, error):
    async with asking("gemini", crlf(said({"text": "Hel"}), error)) as there:
        with pytest.raises(ServerFault, match="503: busy"):
            await read(await there.ask("hi", stream=True))


BLOCKED = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 4}}
FILTERED = {"candidates": [{"finishReason": "SAFETY", "index": 0}]}
SPENT = {"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("told", "code"),
    [
        (BLOCKED, "content_filter"),
        (FILTERED, "content_filter"),
        (SPENT, "empty_answer"),
        (said(finish="STOP"), "empty_answer"),
        (said({"text": "x", "thought": True}, finish="STOP"), "empty_answer"),
        (said(finish="MALFORMED_FUNCTION_CALL"), "malformed_function_call"),
        ({"candidates": []}, "cut_stream"),
    ],
)
async def test_what_comes_as_200_and_is_no_answer(asking, told, code, stream):
    async with asking("gemini", crlf(told) if stream else reply(told)) as there:
        with pytest.raises(BadAnswerFault) as caught:
            await read(await there.ask("hi", stream=stream))
        assert caught.value.code == code


async def test_a_partly_filtered_answer_says_so_and_is_not_taken_for_whole(asking):
    async with asking("gemini", crlf(said({"text": "Once"}), said(finish="SAFETY"))) as there:
        answer = await there.ask("hi", stream=True)
        chunks, _ = await read(answer)
        assert chunks[-1]["choices"][0]["finish_reason"] == answer.evidence.finish_reason == "content_filter"


@pytest.mark.parametrize(
    ("status", "error", "fault", "wait"),
    [
        (400, {"details": [{"reason": "API_KEY_INVALID"}]}, CredentialFault, None),
        (400, {"status": "FAILED_PRECONDITION"}, CredentialFault, None),
        (400, {"status": "INVALID_ARGUMENT"}, RejectedFault, None),
        (402, {"status": "RESOURCE_EXHAUSTED"}, CredentialFault, None),
        (429, {"details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": "37s"}]}, RateLimitFault, 37.0),
        (429, {"details": [{"retryDelay": "soon"}, {"retryDelay": "1.5s"}]}, RateLimitFault, 1.5),
        (503, {}, ServerFault, None),
    ],
)
async def test_errors(asking, status, error, fault, wait):
    body = {"error": {"code": status, "message": "no", **error}}
    async with asking("gemini", reply(body, status)) as there:
        with pytest.raises(fault) as caught:
            await there.ask("hi")
        assert caught.value.retry_after == wait


WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def called(city, call_id=None, signature=None):
    part = {"functionCall": {"name": "weather", "args": {"city": city}}}
    if call_id:
        part["functionCall"]["id"] = call_id
    return {**part, "thoughtSignature": signature} if signature else part


@pytest.mark.parametrize("keeps_extra", [True, False])
@pytest.mark.parametrize("stream", [False, True])
async def test_parallel_calls_and_their_signature_come_back(asking, stream, keeps_extra):
    told = said(called("Oslo", "a1", "c2ln"), called("Rome", "a2"), finish="STOP")
    async with asking(
        "gemini", crlf(told) if stream else reply(told), reply(said({"text": "ok"}, finish="STOP"))
    ) as there:
        answer = await there.ask("hi", stream=stream, body={"tools": [WEATHER]})
        if stream:
            chunks, _ = await read(answer)
            calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls") or ()]
            assert [call.pop("index") for call in calls] == [0, 1]
            assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
        else:
            choice = orjson.loads(answer.body)["choices"][0]
            calls = choice["message"]["tool_calls"]
            assert choice["message"]["content"] is None
            assert choice["finish_reason"] == "tool_calls"
        assert answer.evidence.tool_calls
        assert calls[0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}
        assert [orjson.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Oslo"}, {"city": "Rome"}]
        if not keeps_extra:
            for call in calls:
                call.pop("extra_content", None)
        messages = [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "a1", "content": "cold"},
            {"role": "tool", "tool_call_id": "a2", "content": '{"sky": "blue"}'},
        ]
        await there.ask(body={"messages": messages, "tools": [WEATHER]})
        assert there.upstream.received[1].json()["contents"][1:] == [
            {"role": "model", "parts": [called("Oslo", "a1", "c2ln"), called("Rome", "a2")]},
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "a1", "name": "weather", "response": {"result": "cold"}}},
                    {"functionResponse": {"id": "a2", "name": "weather", "response": {"sky": "blue"}}},
                ],
            },
        ]


@pytest.mark.parametrize(
    ("model", "signature"), [("gemini-3.8-flash", "skip_thought_signature_validator"), ("gemini-2.5-flash", None)]
)
async def test_calls_of_another_model_get_the_documented_stand_in(asking, model, signature):
    call = {"id": "x", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "x", "content": "1"},
    ]
    async with asking("gemini", reply(said({"text": "ok"}, finish="STOP")), model=model) as there:
        await there.ask(body={"messages": messages})
        part = there.upstream.received[0].json()["contents"][0]["parts"][0]
        assert part.get("thoughtSignature") == signature


async def test_one_tenants_signatures_are_not_anothers(asking):
    answers = [reply(said(called("Oslo", "a1", "c2ln"), finish="STOP")), reply(said({"text": "ok"}, finish="STOP"))]
    call = {"id": "a1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "a1", "content": "1"}]
    async with asking("gemini", *answers, model="gemini-2.5-flash") as there:
        await there.ask(tenant="one")
        await there.ask(tenant="two", body={"messages": messages})
        assert "thoughtSignature" not in there.upstream.received[1].json()["contents"][0]["parts"][0]


async def test_everything_an_openai_request_can_say(asking):
    body = {
        "messages": [
            {"role": "developer", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "image_url", "image_url": {"url": "https://pictures.example/a.jpg?b=1"}},
                    {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,CCCC", "filename": "a.pdf"}},
                ],
            },
        ],
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
        "reasoning_effort": "minimal",
        "parallel_tool_calls": False,
        "n": 2,
        "top_p": 0.5,
        "logit_bias": {"1": 2},
        "user": "someone",
        "max_completion_tokens": 77,
    }
    two = said({"text": "a"}, finish="STOP")
    two["candidates"].append({"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP", "index": 1})
    async with asking("gemini", reply(two)) as there:
        answer = await there.ask(body=body)
        assert [choice["message"]["content"] for choice in orjson.loads(answer.body)["choices"]] == ["a", "b"]
        assert set(answer.evidence.stripped) == {"top_p", "logit_bias", "parallel_tool_calls", "reasoning_effort"}
        got = there.upstream.received[0].json()
        assert got["systemInstruction"] == {"parts": [{"text": "be brief"}]}
        assert got["contents"][0]["parts"][1:] == [
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
            {"fileData": {"fileUri": "https://pictures.example/a.jpg?b=1", "mimeType": "image/jpeg"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "BBBB"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}},
        ]
        declared = {"name": "weather", "description": "", "parametersJsonSchema": {"type": "object"}}
        assert got["tools"] == [{"functionDeclarations": [declared]}]
        assert got["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}}
        assert got["generationConfig"] == {
            "maxOutputTokens": 77,
            "candidateCount": 2,
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object"},
            "thinkingConfig": {"thinkingLevel": "LOW"},
        }


async def test_googles_own_members_and_a_cached_prefix(asking):
    google = {
        "cached_content": "cachedContents/1",
        "thinking_config": {"include_thoughts": True, "thinking_level": "LOW"},
    }
    body = {
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "tools": [WEATHER],
        "extra_body": {"google": google},
    }
    thought = said({"text": "hm", "thought": True}, {"text": "yes", "thoughtSignature": "dHM="}, finish="STOP")
    async with asking("gemini", reply(thought)) as there:
        answer = await there.ask(body=body)
        message = orjson.loads(answer.body)["choices"][0]["message"]
        assert (message["content"], message["reasoning_content"]) == ("yes", "hm")
        assert message["extra_content"] == {"google": {"thought_signature": "dHM="}}
        got = there.upstream.received[0].json()
        assert set(got) == {"contents", "cachedContent", "generationConfig"}
        assert got["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, "thinkingLevel": "LOW"}
        await there.ask(body={"messages": [{"role": "user", "content": "u"}, message]})
        again = there.upstream.received[1].json()["contents"][1]
        assert again == {"role": "model", "parts": [{"text": "yes", "thoughtSignature": "dHM="}]}


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b.png"}}]}], "messages[0]"),
        ([{"role": "user", "content": [{"type": "hologram"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": 7}], "messages[0].content"),
        ([{"role": "tool", "tool_call_id": "lost", "content": "x"}], "messages[0]"),
    ],
)
async def test_what_cannot_be_said_is_refused_with_its_place(asking, messages, param):
    async with asking("gemini", reply({})) as there:
        with pytest.raises(RejectedFault) as caught:
            await there.ask(body={"messages": messages})
        assert caught.value.param == param
        assert caught.value.status == 400
        assert there.upstream.received == []


@pytest.mark.parametrize("model", ["../../evil", "a:b", "a?key=1", "a b"])
async def test_a_model_name_cannot_leave_its_place_in_the_path(asking, model):
    async with asking("gemini", reply({}), model=model) as there:
        with pytest.raises(RejectedFault):
            await there.ask()
        assert there.upstream.received == []


@pytest.mark.parametrize(
    "garbage", [b"[]", b"{", b'{"candidates": 3}', b'{"candidates": [{"content": {"parts": ["x"]}}]}']
)
async def test_garbage_is_a_bad_answer(asking, garbage):
    async with asking("gemini", reply(garbage), crlf(b"data: " + garbage + b"\r\n\r\n")) as there:
        for stream in (False, True):
            with pytest.raises(BadAnswerFault):
                await read(await there.ask(stream=stream))


async def test_a_private_call_does_not_leave():
    client = Client()
    adapter = make_adapter("gemini", endpoint("gemini", "https://gemini.example"), client)
    with pytest.raises(PrivacyError):
        await adapter.chat(make_call(private=True), "gemini-3.8-flash", Deadlines())
    await client.aclose()
