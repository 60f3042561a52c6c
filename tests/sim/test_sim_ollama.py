"""The simulated Ollama: ``/api`` with the official ollama SDK, ``/v1`` with openai's."""

import asyncio
import json

import pytest

from rung.sim import simulator

MODEL = "qwen2.5-coder:1.5b"
THINKER = "qwen3:4b"
USER = [{"role": "user", "content": "What is a ladder?"}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
def client(ollama):
    return lambda sim: ollama.AsyncClient(host=sim.root("ollama"))


async def raw(sim, path, body=None, *, method="POST", host="127.0.0.1"):
    """-> everything the server sent until it closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    data = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} /ollama{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    writer.write(head.encode() + data)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_cold_start_then_a_warm_one_with_metrics(client, sim):
    async with sim(client) as (api, _):
        cold = await api.chat(MODEL, USER)
        warm = await api.chat(MODEL, [*USER, {"role": "assistant", "content": "x"}, *USER])
        again = await api.chat(MODEL, [*USER, {"role": "assistant", "content": "x"}, *USER])
    assert cold.load_duration == 4_000_000_000
    assert warm.load_duration is None  # a zero is left out
    assert warm.prompt_eval_count > 0
    assert again.prompt_eval_count is None  # the whole prefix is still there
    assert cold.done_reason == "stop"
    assert cold.eval_count / cold.eval_duration * 1e9 == pytest.approx(25)


async def test_a_stream_is_lines_of_json_with_the_counts_last(client, sim):
    async with sim(client) as (api, there):
        whole = await api.chat(MODEL, USER)
        parts = [part async for part in await api.chat(MODEL, USER, stream=True)]
        sent = await raw(there, "/api/chat", {"model": MODEL, "messages": USER})
    assert "".join(part.message.content for part in parts) == whole.message.content
    assert [part.done for part in parts[-2:]] == [False, True]
    assert parts[-1].eval_count == whole.eval_count
    assert b"content-type: application/x-ndjson" in sent
    assert b"x-rung-simulated: true" in sent


async def test_lines_may_be_torn(client, sim):
    async with sim(client, {"ollama": {"script": ["ok", {"kind": "split", "size": 7}]}}) as (api, _):
        whole = await api.chat(MODEL, USER)
        parts = [part async for part in await api.chat(MODEL, USER, stream=True)]
    assert "".join(part.message.content for part in parts) == whole.message.content


async def test_generate(client, sim):
    async with sim(client) as (api, _):
        answer = await api.generate(MODEL, "def f(", suffix="return x", options={"num_predict": 5})
        parts = [part async for part in await api.generate(MODEL, "def f(", stream=True, raw=True)]
    assert (answer.done_reason, answer.eval_count) == ("length", 5)
    assert answer.context
    assert parts[-1].context is None
    assert "".join(part.response for part in parts)


async def test_a_schema_is_followed_and_cut_by_the_limit(client, sim):
    async with sim(client) as (api, _):
        good = await api.chat(MODEL, USER, format=SCHEMA)
        cut = await api.chat(MODEL, USER, format=SCHEMA, options={"num_predict": 1})
    assert json.loads(good.message.content) == {"n": 1}
    assert cut.done_reason == "length"
    assert cut.message.content == '{"n"'


async def test_tool_arguments_are_an_object(client, sim, tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"match": "ladder", "tool_calls": [{"name": "f", "arguments": {"a": 1}}]}))
    tools = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]
    async with sim(client, {"answers": {"file": str(path)}}) as (api, _):
        whole = await api.chat(MODEL, USER, tools=tools)
        parts = [part async for part in await api.chat(MODEL, USER, tools=tools, stream=True)]
    assert whole.message.tool_calls[0].function.arguments == {"a": 1}
    assert [part.message.tool_calls[0].function.name for part in parts if part.message.tool_calls] == ["f"]
    assert whole.done_reason == "stop"


async def test_thinking(client, ollama, sim):
    async with sim(client) as (api, _):
        usual = await api.chat(THINKER, USER)
        off = await api.chat(THINKER, USER, think=False)
        low = await api.chat(THINKER, USER, think="low")
        with pytest.raises(ollama.ResponseError, match="does not support thinking") as raised:
            await api.chat(MODEL, USER, think=True)
    assert raised.value.status_code == 400
    assert usual.message.thinking
    assert off.message.thinking is None
    assert len(low.message.thinking) < len(usual.message.thinking)


async def test_errors_are_texts(client, ollama, sim):
    async with sim(client, {"ollama": {"script": [503, "stream_error"]}}) as (api, there):
        with pytest.raises(ollama.ResponseError, match="model 'no' not found") as raised:
            await api.chat("no", USER)
        assert raised.value.status_code == 404
        with pytest.raises(ollama.ResponseError, match=r"server busy, please try again\.  maximum pending") as raised:
            await api.chat(MODEL, USER)
        assert raised.value.status_code == 503
        with pytest.raises(ollama.ResponseError, match="middle of the stream"):
            [part async for part in await api.chat(MODEL, USER, stream=True)]
        wrong = await raw(there, "/api/chat", method="GET")
        empty = await raw(there, "/api/chat")
    assert wrong.startswith(b"HTTP/1.1 405 ")
    assert b"400 Bad Request" in empty
    assert b'{"error":"missing request body"}' in empty


async def test_the_sdk_hides_a_stream_that_is_not_done(client, sim):
    async with sim(client, {"ollama": {"script": ["no_done"]}}) as (api, _):
        parts = [part async for part in await api.chat(MODEL, USER, stream=True)]
    assert parts
    assert not any(part.done for part in parts)


async def test_keep_alive(client, ollama, sim):
    async with sim(client) as (api, there):
        await api.chat(MODEL, USER, keep_alive="10m")
        await api.chat(THINKER, USER, keep_alive=-1)
        assert [row.model for row in (await api.ps()).models] == [THINKER, MODEL]
        there.clock.advance(601)
        assert [row.model for row in (await api.ps()).models] == [THINKER]
        unloaded = await api.chat(THINKER, [], keep_alive=0)
        assert (await api.ps()).models == []
        loaded = await api.generate(MODEL, "", keep_alive="1h10m")
        assert len((await api.ps()).models) == 1
        with pytest.raises(ollama.ResponseError, match="missing unit in duration"):
            await api.chat(MODEL, USER, keep_alive="300")
    assert (unloaded.done_reason, loaded.done_reason) == ("unload", "load")


async def test_another_num_ctx_loads_again_and_a_long_prompt_is_cut(client, ollama, sim):
    long = [{"role": "system", "content": "Be."}, *USER, {"role": "user", "content": "word " * 4000}]
    async with sim(client) as (api, _):
        assert (await api.chat(MODEL, USER)).load_duration
        wide = await api.chat(MODEL, long, options={"num_ctx": 8192})
        cut = await api.chat(MODEL, long, options={"num_ctx": 1024})
        with pytest.raises(ollama.ResponseError, match="exceeds the context length"):
            await api._request_raw(
                "POST", "/api/chat", json={"model": MODEL, "messages": long, "truncate": False, "stream": False}
            )
    assert wide.load_duration
    assert wide.prompt_eval_count > 5000
    assert cut.load_duration
    assert cut.prompt_eval_count <= 1024


async def test_a_client_that_leaves_takes_the_load_with_it(openai):
    """Real loads stop when their only client goes: why a gateway keeps waiting for one."""
    async with simulator({"ollama": {"script": [{"kind": "stall"}, "ok"]}}) as there:
        _, writer = await asyncio.open_connection("127.0.0.1", there.port)
        body = json.dumps({"model": MODEL, "messages": USER}).encode()
        writer.write(
            b"POST /ollama/api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        await there.busy.wait()
        writer.close()
        await there.idle.wait()
        assert there.requests[0].outcome == "left"
        async with openai.AsyncOpenAI(base_url=there.root("ollama") + "/v1", api_key="x") as api:
            before = there.clock.now()
            await api.chat.completions.create(model=MODEL, messages=USER)
            assert there.clock.now() - before > 4  # cold again


async def test_pull_interleaves_its_layers(client, ollama, sim):
    scenario = {"ollama": {"models": {"new:1b": {"installed": False, "size": 1000}}}}
    async with sim(client, scenario) as (api, _):
        with pytest.raises(ollama.ResponseError):
            await api.chat("new:1b", USER)
        lines = [line async for line in await api.pull("new:1b", stream=True)]
        assert (await api.chat("new:1b", USER)).done
        with pytest.raises(ollama.ResponseError, match="pull model manifest"):
            [line async for line in await api.pull("none:1b", stream=True)]
        with pytest.raises(ollama.ResponseError) as raised:
            await api.pull("none:1b")
        assert raised.value.status_code == 500
        await api.delete("new:1b")
        with pytest.raises(ollama.ResponseError):
            await api.show("new:1b")
    layers = [(line.digest, line.completed) for line in lines if line.digest]
    assert layers[0][0] != layers[1][0] == layers[3][0]
    assert (layers[0][1], layers[2][1], layers[-1][1]) == (None, 250, 1000)
    assert lines[-1].status == "success"


async def test_tags_show_version_and_cloud_models(client, sim):
    async with sim(client) as (api, there):
        tags = (await api.list()).models
        shown = await api.show(MODEL)
        cloud = await api._request_raw("POST", "/api/show", json={"model": "gpt-oss:120b-cloud"})
        head = await raw(there, "/", method="HEAD")
        alive = await raw(there, "/", method="GET")
        version = await raw(there, "/api/version", method="GET")
    assert MODEL in [row.model for row in tags]
    assert shown.modelinfo["general.parameter_count"] > 0
    assert cloud.json()["remote_host"] == "https://ollama.com:443"
    assert head.endswith(b"\r\n\r\n")
    assert alive.endswith(b"Ollama is running")
    assert b'"version"' in version


async def test_a_foreign_host_is_403_with_an_empty_body():
    async with simulator() as there:
        sent = await raw(there, "/api/tags", method="GET", host="evil.example.com")
    assert sent.startswith(b"HTTP/1.1 403 ")
    assert sent.endswith(b"\r\n\r\n")


async def test_embeddings(client, sim):
    async with sim(client) as (api, _):
        both = await api.embed(MODEL, ["red apple", "red pear"], dimensions=16)
        old = await api.embeddings(MODEL, "red apple")
        none = await api.embed(MODEL, [])
    assert [len(vector) for vector in both.embeddings] == [16, 16]
    assert both.prompt_eval_count == 5
    assert len(old.embedding) == 128
    assert none.embeddings == []


async def test_the_openai_endpoint(openai, sim):
    make = lambda there: openai.AsyncOpenAI(base_url=there.root("ollama") + "/v1", api_key="x", max_retries=0)  # noqa: E731
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    async with sim(make, {"ollama": {"script": ["ok", "ok", 500]}}) as (api, _):
        chunks = [
            chunk
            async for chunk in await api.chat.completions.create(
                model=THINKER, messages=USER, stream=True, stream_options={"include_usage": True}
            )
        ]
        unforced = await api.chat.completions.create(
            model=MODEL, messages=USER, tools=tools, tool_choice="required", reasoning_effort="none"
        )
        with pytest.raises(openai.InternalServerError) as failed:
            await api.chat.completions.create(model=MODEL, messages=USER)
        with pytest.raises(openai.NotFoundError) as missing:
            await api.chat.completions.create(model="no", messages=USER)
    assert any(getattr(chunk.choices[0].delta, "reasoning", None) for chunk in chunks if chunk.choices)
    assert chunks[-1].usage.prompt_tokens_details is None  # no cached counts on /v1
    assert unforced.choices[0].message.tool_calls is None
    assert failed.value.body["type"] == "api_error"
    assert missing.value.body["type"] == "not_found_error"
