"""The official openai client, through the whole gateway, to every simulated provider: the same code for all."""

import asyncio
from contextlib import asynccontextmanager

import openai
import orjson
import pytest

from rung import config
from rung.doors.app import App
from rung.doors.server import running
from rung.gateway import Gateway
from rung.sim import simulator

MODELS = {
    "openai": "openai:gpt-6-luna",
    "groq": "groq:openai/gpt-oss-20b",
    "deepseek": "deepseek:deepseek-flash",
    "gemini": "gemini:gemini-3.8-flash",
    "anthropic": "anthropic:claude-haiku-5-5",
    "ollama": "ollama:qwen2.5-coder:1.5b",
}
CALLS = [{"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": {"a": 2}}]
RECORDED = [{"match": "^what", "text": "a whole answer"}, {"match": "^add", "tool_calls": CALLS}]
TOOL = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
every = pytest.mark.parametrize("name", list(MODELS))


@pytest.fixture
def through(tmp_path):
    """-> async with through("gemini", fault, ...) as (client, sim)."""
    recorded = tmp_path / "answers.jsonl"
    recorded.write_bytes(b"\n".join(map(orjson.dumps, RECORDED)))

    def settings(sim, names):
        path = tmp_path / "rung.toml"
        tables = "".join(f'[providers.{name}]\nbase_url = "{sim.url(name)}"\nkey = "k"\n' for name in names)
        others = ", ".join(f"{MODELS[name]!r}" for name in names[1:])
        ladder = f"[ladder]\nreference = {MODELS[names[0]]!r}\nfallback = [{others}]\n"
        path.write_text(f"[local]\nenabled = false\n[retry]\nattempts = 1\n{ladder}{tables}")
        return config.load({"RUNG_HOME": str(tmp_path), "HOME": str(tmp_path)}, path, cwd=tmp_path)

    @asynccontextmanager
    async def connected(*names, script=()):
        scenario = {"answers": {"file": str(recorded)}, names[0]: {"script": list(script)}}
        async with simulator(scenario) as sim:
            told = await asyncio.to_thread(settings, sim, names)
            async with (
                Gateway(told) as gateway,
                running(App(gateway)) as url,
                openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
            ):
                yield client, sim

    return connected


def ask(name, text="what is it?", **more):
    return {"model": MODELS[name], "messages": [{"role": "user", "content": text}], **more}


@every
async def test_whole_and_streamed(through, name):
    async with through(name) as (client, _):
        raw = await client.chat.completions.with_raw_response.create(**ask(name))
        answer = raw.parse()
        assert answer.choices[0].message.content == "a whole answer"
        assert raw.headers["x-rung-model"] == MODELS[name]
        assert raw.headers["x-rung-simulated"] == "true"
        assert raw.headers["x-rung-cost-usd"] != "unknown"
        options = {"include_usage": True}
        async with client.chat.completions.stream(**ask(name, seed=1, stream_options=options)) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].message.content == "a whole answer"
        if name != "ollama":  # which does not count what it still held
            assert final.usage.prompt_tokens == answer.usage.prompt_tokens


@every
async def test_tool_calls_streamed_and_answered(through, name):
    async with through(name) as (client, _):
        async with client.chat.completions.stream(**ask(name, "add both", tools=[TOOL])) as stream:
            final = await stream.get_final_completion()
        message = final.choices[0].message
        assert [orjson.loads(call.function.arguments) for call in message.tool_calls] == [{"a": 1}, {"a": 2}]
        history = ask(name, "add both")["messages"]
        history.append(message.model_dump(exclude_none=True, exclude={"parsed": True}))
        for call in history[-1]["tool_calls"]:
            call["function"].pop("parsed_arguments", None)
            history.append({"role": "tool", "tool_call_id": call["id"], "content": "3"})
        history.append({"role": "user", "content": "what now?"})
        after = await client.chat.completions.create(**ask(name) | {"messages": history}, tools=[TOOL])
        assert after.choices[0].message.content == "a whole answer"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("gemini", {"kind": "blocked", "where": "prompt"}),
        ("gemini", {"kind": "only_thinking"}),
        ("anthropic", {"kind": "status", "status": 529}),
        ("deepseek", {"kind": "finish", "reason": "insufficient_system_resource"}),
        ("groq", {"kind": "status", "status": 498}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_no_answer_moves_the_climb_on(through, name, fault, stream):
    if stream and fault["kind"] == "finish":
        pytest.skip("its first half has gone out by then: it ends in an error event")
    async with through(name, "openai", script=[fault]) as (client, sim):
        told = await client.chat.completions.create(**ask(name) | {"model": "auto"}, stream=stream)
        if stream:
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in told])
        else:
            text = told.choices[0].message.content
        assert text == "a whole answer"
        assert {entry.provider for entry in sim.requests} == {name, "openai"}


async def test_what_was_stripped_is_told(through):
    async with through("gemini") as (client, _):
        raw = await client.chat.completions.with_raw_response.create(**ask("gemini", temperature=0.7, logprobs=True))
        assert set(raw.headers["x-rung-stripped"].split(", ")) == {"temperature", "logprobs"}


async def test_a_failed_generation_is_repaired_on_the_way(through):
    broken = {"kind": "failed_generation", "text": '{"city": "Oslo"'}
    async with through("groq", script=[broken]) as (client, _):
        answer = await client.chat.completions.create(**ask("groq", response_format={"type": "json_object"}))
        assert orjson.loads(answer.choices[0].message.content) == {"city": "Oslo"}


async def test_a_private_call_asks_no_native_provider(through):
    async with through("gemini", "anthropic", "ollama") as (client, sim):
        with pytest.raises(openai.PermissionDeniedError):
            await client.chat.completions.create(**ask("gemini"), extra_headers={"x-rung-private": "true"})
        assert sim.requests == []
