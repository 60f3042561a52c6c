"""The simulated Gemini, driven by the official google-genai SDK; what the SDK hides is read from the wire."""

import asyncio
import json
from urllib.request import Request, urlopen

import pytest

from rung.sim import simulator

MODEL = "gemini-3.8-flash"
ASK = "What is a ladder?"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def client(genai):
    def make(sim, version=None):
        http = genai.types.HttpOptions(base_url=sim.root("gemini"), api_version=version)
        return genai.Client(api_key="any", http_options=http).aio

    return make


def weather(genai):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    declared = genai.types.FunctionDeclaration(name="weather", description="d", parameters_json_schema=parameters)
    calling = genai.types.FunctionCallingConfig(mode="ANY", allowed_function_names=["weather"])
    return {
        "tools": [genai.types.Tool(function_declarations=[declared])],
        "tool_config": genai.types.ToolConfig(function_calling_config=calling),
    }


async def raw(url, body, **headers):
    """-> (headers, body) as they came."""

    def post():
        request = Request(url, json.dumps(body).encode(), {"content-type": "application/json", **headers})
        with urlopen(request, timeout=10) as answer:
            return dict(answer.headers), answer.read()

    return await asyncio.to_thread(post)


async def test_an_answer_and_its_counts(client, sim):
    async with sim(client) as (api, there):
        answer = await api.models.generate_content(model=MODEL, contents=ASK)
        assert there.requests[0].path.startswith("/v1/")  # the SDK's own default
    usage = answer.usage_metadata
    assert answer.text
    assert answer.candidates[0].finish_reason == "STOP"
    assert usage.thoughts_token_count == 48
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count + 48
    assert answer.model_version == MODEL


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_a_stream_says_the_same_in_both_versions(genai, sim, client, version):
    async with sim(lambda there: client(there, version)) as (api, _):
        whole = await api.models.generate_content(model=MODEL, contents=ASK)
        chunks = [c async for c in await api.models.generate_content_stream(model=MODEL, contents=ASK)]
    assert "".join(c.text or "" for c in chunks) == whole.text
    assert [c.candidates[0].finish_reason for c in chunks if c.candidates[0].finish_reason] == ["STOP"]
    assert chunks[-1].usage_metadata.total_token_count == whole.usage_metadata.total_token_count
    assert chunks[-1].candidates[0].content.parts[0].thought_signature


async def test_the_stream_ends_by_eof_in_crlf_pairs():
    body = {"contents": [{"role": "user", "parts": [{"text": ASK}]}]}
    async with simulator() as there:
        url = f"{there.root('gemini')}/v1beta/models/{MODEL}:streamGenerateContent"
        headers, events = await raw(f"{url}?alt=sse", body)
        _, array = await raw(url, body)
    assert headers["x-rung-simulated"] == "true"
    assert headers["content-type"] == "text/event-stream"
    assert events.endswith(b"\r\n\r\n")
    assert b"[DONE]" not in events
    chunks = [json.loads(part.removeprefix(b"data: ")) for part in events.split(b"\r\n\r\n") if part]
    assert len(chunks) == len(json.loads(array))


async def test_an_error_in_a_stream_is_raw_json(genai, client, sim):
    async with sim(client, {"gemini": {"script": ["stream_error", "stream_error"]}}) as (api, there):
        with pytest.raises(genai.errors.APIError, match="middle of the stream"):
            [c async for c in await api.models.generate_content_stream(model=MODEL, contents=ASK)]
        url = f"{there.root('gemini')}/v1/models/{MODEL}:streamGenerateContent?alt=sse"
        _, events = await raw(url, {"contents": [{"parts": [{"text": ASK}]}]})
    last = events.split(b"\r\n\r\n")[-1]
    assert not last.startswith(b"data:")
    assert json.loads(last)["error"]["status"] == "UNAVAILABLE"


async def test_no_finish_reason_is_how_a_cut_stream_looks(client, sim):
    async with sim(client, {"gemini": {"script": ["no_done"]}}) as (api, _):
        chunks = [c async for c in await api.models.generate_content_stream(model=MODEL, contents=ASK)]
    assert chunks
    assert not any(c.candidates[0].finish_reason for c in chunks)


async def test_blocked_and_empty_answers_are_200(client, sim):
    script = [
        {"kind": "blocked", "where": "prompt", "reason": "PROHIBITED_CONTENT"},
        {"kind": "blocked", "where": "answer", "reason": "RECITATION"},
        "only_thinking",
        {"kind": "finish", "reason": "MALFORMED_FUNCTION_CALL"},
    ]
    async with sim(client, {"gemini": {"script": script}}) as (api, _):
        prompt, answer, thinking, malformed = [
            await api.models.generate_content(model=MODEL, contents=ASK) for _ in script
        ]
    assert prompt.candidates is None
    assert prompt.prompt_feedback.block_reason == "PROHIBITED_CONTENT"
    assert (answer.candidates[0].finish_reason, answer.candidates[0].content) == ("RECITATION", None)
    assert thinking.candidates[0].finish_reason == "MAX_TOKENS"
    assert thinking.candidates[0].content.parts is None
    assert thinking.usage_metadata.candidates_token_count is None
    assert thinking.usage_metadata.thoughts_token_count > 0
    assert malformed.candidates[0].finish_reason == "MALFORMED_FUNCTION_CALL"


async def test_max_tokens_are_spent_on_thinking_first(genai, client, sim):
    config = genai.types.GenerateContentConfig(max_output_tokens=20)
    async with sim(client) as (api, _):
        answer = await api.models.generate_content(model=MODEL, contents=ASK, config=config)
    assert answer.candidates[0].finish_reason == "MAX_TOKENS"
    assert answer.candidates[0].content.parts is None
    assert answer.usage_metadata.thoughts_token_count == 20


async def test_thinking_levels(genai, client, sim):
    def config(**thinking):
        told = genai.types.ThinkingConfig(**thinking)
        return genai.types.GenerateContentConfig(thinking_config=told)

    async with sim(client) as (api, _):
        low = await api.models.generate_content(
            model=MODEL, contents=ASK, config=config(thinking_level="LOW", include_thoughts=True)
        )
        for wrong in ({"thinking_level": "MINIMAL"}, {"thinking_level": "LOW", "thinking_budget": 5}):
            with pytest.raises(genai.errors.ClientError) as raised:
                await api.models.generate_content(model=MODEL, contents=ASK, config=config(**wrong))
            assert raised.value.code == 400
        off = await api.models.generate_content(
            model="gemini-2.5-flash", contents=ASK, config=config(thinking_budget=0)
        )
    assert low.usage_metadata.thoughts_token_count == 16
    assert low.candidates[0].content.parts[0].thought is True
    assert off.usage_metadata.thoughts_token_count is None


async def test_a_call_must_come_back_with_its_signature(genai, client, sim):
    config = genai.types.GenerateContentConfig(
        **weather(genai), automatic_function_calling=genai.types.AutomaticFunctionCallingConfig(disable=True)
    )
    async with sim(client) as (api, _):
        answer = await api.models.generate_content(model=MODEL, contents=ASK, config=config)
        said = answer.candidates[0].content
        call = said.parts[0].function_call
        result = genai.types.FunctionResponse(id=call.id, name=call.name, response={"ok": 1})
        history = [
            genai.types.Content(role="user", parts=[genai.types.Part(text=ASK)]),
            said,
            genai.types.Content(role="user", parts=[genai.types.Part(function_response=result)]),
        ]
        assert (await api.models.generate_content(model=MODEL, contents=history)).text
        result.name = "other"
        with pytest.raises(genai.errors.ClientError, match="the id and the name of its call"):
            await api.models.generate_content(model=MODEL, contents=history)
        result.name = call.name
        said.parts[0].thought_signature = None
        with pytest.raises(genai.errors.ClientError, match="missing a thought_signature"):
            await api.models.generate_content(model=MODEL, contents=history)
    assert answer.candidates[0].finish_reason == "STOP"
    assert call.args == {"city": "simulated"}


async def test_both_spellings_are_read():
    config = {"max_output_tokens": 3, "thinkingConfig": {"include_thoughts": True, "thinking_level": "LOW"}}
    body = {"contents": [{"parts": [{"text": ASK}]}], "generation_config": config}
    tool = {"function_declarations": [{"name": "f", "parameters_json_schema": {"required": ["snake_case"]}}]}
    forced = {**body, "tools": [tool], "tool_config": {"function_calling_config": {"mode": "ANY"}}}
    forced["generation_config"] = {}
    async with simulator() as there:
        url = f"{there.root('gemini')}/v1beta/models/{MODEL}:generateContent"
        short = json.loads((await raw(url, body))[1])
        called = json.loads((await raw(url, forced))[1])
    assert short["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert short["usageMetadata"]["thoughtsTokenCount"] == 3
    assert called["candidates"][0]["content"]["parts"][0]["functionCall"]["args"] == {"snake_case": "simulated"}


async def test_a_schema_in_capitals_is_followed(genai, client, sim):
    schema = genai.types.Schema(type="OBJECT", properties={"n": genai.types.Schema(type="INTEGER")}, required=["n"])
    config = genai.types.GenerateContentConfig(response_mime_type="application/json", response_schema=schema)
    async with sim(client) as (api, _):
        answer = await api.models.generate_content(model=MODEL, contents=ASK, config=config)
    assert json.loads(answer.text) == {"n": 1}


@pytest.mark.parametrize(
    ("status", "word"),
    [(402, "RESOURCE_EXHAUSTED"), (403, "PERMISSION_DENIED"), (500, "INTERNAL"), (503, "UNAVAILABLE"),
     (504, "DEADLINE_EXCEEDED")],
)  # fmt: skip
async def test_errors_are_google_rpc_and_the_sdk_does_not_retry(genai, client, sim, status, word):
    async with sim(client, {"gemini": {"script": [status]}}) as (api, there):
        with pytest.raises(genai.errors.APIError) as raised:
            await api.models.generate_content(model=MODEL, contents=ASK)
        assert len(there.requests) == 1
    assert (raised.value.code, raised.value.status) == (status, word)


async def test_the_delay_of_a_429_is_in_the_body(genai, client, sim):
    script = [{"kind": "status", "status": 429, "retry_after": 37}]
    async with sim(client, {"gemini": {"script": script}}) as (api, _):
        with pytest.raises(genai.errors.ClientError) as raised:
            await api.models.generate_content(model=MODEL, contents=ASK)
    details = {row["@type"].rpartition(".")[2]: row for row in raised.value.details["error"]["details"]}
    assert details["RetryInfo"]["retryDelay"] == "37s"
    assert "QuotaFailure" in details


async def test_a_bad_key_is_a_400(genai, client, sim):
    async with sim(client, {"gemini": {"key": "right"}}) as (api, there):
        with pytest.raises(genai.errors.ClientError) as raised:
            await api.models.generate_content(model=MODEL, contents=ASK)
        body = {"contents": [{"parts": [{"text": ASK}]}]}
        url = f"{there.root('gemini')}/v1/models/{MODEL}:generateContent"
        assert (await raw(url, body, **{"x-goog-api-key": "right"}))[1]
        assert (await raw(f"{url}?key=right", body))[1]
    assert raised.value.code == 400
    assert raised.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"


async def test_an_alias_is_told_by_model_version_and_unknown_models_are_404(genai, client, sim):
    async with sim(client) as (api, _):
        answer = await api.models.generate_content(model="gemini-3.7-flash", contents=ASK)
        with pytest.raises(genai.errors.ClientError) as raised:
            await api.models.generate_content(model="gemini-0", contents=ASK)
    assert answer.model_version == MODEL
    assert raised.value.code == 404


async def test_cached_contents_are_made_read_renewed_and_gone(genai, client, sim):
    config = genai.types.CreateCachedContentConfig(system_instruction="rule " * 1000, ttl="300s", display_name="d")
    async with sim(client, {"gemini": {"cache": {"rule": "none"}}}) as (api, there):
        made = await api.caches.create(model=MODEL, config=config)
        use = genai.types.GenerateContentConfig(cached_content=made.name)
        answer = await api.models.generate_content(model=MODEL, contents=ASK, config=use)
        again = genai.types.GenerateContentConfig(cached_content=made.name, system_instruction="x")
        with pytest.raises(genai.errors.ClientError, match="can not be used"):
            await api.models.generate_content(model=MODEL, contents=ASK, config=again)
        with pytest.raises(genai.errors.ClientError, match="has to be the same"):
            await api.models.generate_content(model="gemini-3.5-flash-lite", contents=ASK, config=use)
        there.clock.advance(200)
        renewed = await api.caches.update(name=made.name, config=genai.types.UpdateCachedContentConfig(ttl="600s"))
        there.clock.advance(500)
        assert (await api.caches.get(name=made.name)).expire_time == renewed.expire_time
        assert [row.name async for row in await api.caches.list()] == [made.name]
        there.clock.advance(200)
        with pytest.raises(genai.errors.ClientError):
            await api.models.generate_content(model=MODEL, contents=ASK, config=use)
        other = await api.caches.create(model=MODEL, config=config)
        await api.caches.delete(name=other.name)
        assert [row async for row in await api.caches.list()] == []
    assert made.usage_metadata.total_token_count == 1250
    assert answer.usage_metadata.cached_content_token_count == 1250
    assert answer.usage_metadata.prompt_token_count > 1250


async def test_implicit_hits_begin_at_4096_tokens_and_are_no_promise(client, sim):
    async with sim(client, seed=3) as (api, there):
        hits = []
        for size in (4000, 4200):
            for _ in range(6):
                answer = await api.models.generate_content(model=MODEL, contents=["x" * 4 * size, ASK])
                hits.append(answer.usage_metadata.cached_content_token_count or 0)
                there.clock.advance(10)
    assert hits[:7] == [0] * 7
    assert set(hits[7:]) <= {0, 4202}
    assert 4202 in hits


async def test_tokens_are_counted(client, sim):
    async with sim(client) as (api, _):
        counted = await api.models.count_tokens(model=MODEL, contents=ASK)
        answer = await api.models.generate_content(model=MODEL, contents=ASK)
    assert counted.total_tokens == answer.usage_metadata.prompt_token_count
