"""What every adapter promises, on every simulated provider: the caller cannot tell who answered by its shape."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import orjson
import pytest
from provider_fakes import endpoint, read, text_of

from rung.errors import (
    BadAnswerFault,
    ConnectFault,
    CredentialFault,
    Fault,
    MissingModelFault,
    PrivacyError,
    RateLimitFault,
    RejectedFault,
    ServerFault,
    TimeoutFault,
)
from rung.providers.adapters import make_adapter
from rung.providers.prices import PriceBook
from rung.providers.rows import rows
from rung.sim import simulator
from rung.testing import make_call
from rung.wire.client import Client, Deadlines

MODELS = {
    "openai": "gpt-6-luna",
    "groq": "openai/gpt-oss-20b",
    "deepseek": "deepseek-flash",
    "gemini": "gemini-3.8-flash",
    "anthropic": "claude-haiku-5-5",
    "ollama": "qwen2.5-coder:1.5b",
}
PRICES = PriceBook.load()
SAID = {"match": "^say$", "text": 'Söme wörds that\nare said, "whole" or not 🪜.'}
CALLS = [{"name": "add", "arguments": {"a": 1, "b": "ö"}}, {"name": "now", "arguments": {}}]
CALLED = {"match": "^call$", "tool_calls": CALLS}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "add", "description": "adds", "parameters": {"type": "object", "properties": {"a": {}}}},
    },
    {"type": "function", "function": {"name": "now"}},
]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}

every = pytest.mark.parametrize("name", list(MODELS))
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture
def against(tmp_path):
    """-> async with against("groq", fault, ...) as there: await there.ask("say", stream=True)."""
    recorded = tmp_path / "answers.jsonl"
    recorded.write_bytes(b"\n".join(orjson.dumps(line) for line in (SAID, CALLED)))

    @asynccontextmanager
    async def start(name, *script, **options):
        scenario = {"answers": {"file": str(recorded)}, name: {"script": list(script), **options}}
        client = Client()
        async with simulator(scenario) as sim:

            def price(model, usage):
                return PRICES.cost(f"{name}:{model}", usage, sim.clock.at())

            adapter = make_adapter(rows()[name].adapter, endpoint(name, sim.url(name), price=price), client)

            async def ask(text="say", deadlines=None, **told):
                return await adapter.chat(make_call(text, **told), MODELS[name], deadlines or Deadlines())

            try:
                yield SimpleNamespace(ask=ask, sim=sim, adapter=adapter)
            finally:
                await client.aclose()

    return start


async def message_of(answer):
    """The assistant's message, whichever way it came, and the finish reason."""
    if answer.body is not None:
        choice = orjson.loads(answer.body)["choices"][0]
        return choice["message"], choice["finish_reason"]
    chunks, _ = await read(answer)
    message = {"role": "assistant", "content": text_of(chunks)}
    finish = None
    calls = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            finish = choice["finish_reason"] or finish
            for spelling in ("reasoning", "reasoning_content"):
                if delta.get(spelling):
                    message[spelling] = message.get(spelling, "") + delta[spelling]
            message |= {one: delta[one] for one in ("thinking_blocks", "extra_content") if one in delta}
            for piece in delta.get("tool_calls") or ():
                call = calls.setdefault(piece["index"], {"function": {"name": "", "arguments": ""}})
                call |= {one: piece[one] for one in ("id", "type", "extra_content") if one in piece}
                for part, text in piece["function"].items():
                    call["function"][part] += text or ""
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message, finish


@every
@streamed
async def test_text_usage_and_cost(against, name, stream):
    async with against(name) as there:
        answer = await there.ask(stream=stream)
        message, finish = await message_of(answer)
        assert message["content"] == SAID["text"]
        assert finish == "stop"
        evidence = answer.evidence
        assert (evidence.finish_reason, evidence.complete, evidence.tool_calls) == ("stop", True, False)
        assert evidence.simulated
        assert evidence.model_version.startswith(MODELS[name].partition(":")[0])
        await there.sim.idle.wait()
        entry = there.sim.requests[-1]
        told, counts = evidence.usage, entry.counts
        assert (told.prompt_tokens, told.completion_tokens) == (counts.prompt, counts.completion)
        assert (told.cache_read_tokens, told.cache_write_tokens) == (counts.cache_read, counts.cache_write)
        if name != "ollama":  # which does not say how much of its output was thinking
            assert told.reasoning_tokens == counts.reasoning
        assert evidence.cost == entry.cost_pico_usd


@every
@streamed
async def test_torn_bytes_change_nothing(against, name, stream):
    async with against(name, {"kind": "split", "size": 1}) as there:
        message, _ = await message_of(await there.ask(stream=stream))
        assert message["content"] == SAID["text"]


@every
@streamed
@pytest.mark.parametrize("keeps_all", [True, False], ids=["keeps", "drops"])
async def test_parallel_tool_calls_and_the_turn_after(against, name, stream, keeps_all):
    if name == "deepseek" and not keeps_all:
        pytest.skip("DeepSeek's reasoning must come back in the history: the bytes of a client that drops it pass")
    async with against(name) as there:
        answer = await there.ask("call", stream=stream, body={"tools": TOOLS})
        message, finish = await message_of(answer)
        assert finish == answer.evidence.finish_reason == "tool_calls"
        assert answer.evidence.tool_calls
        calls = message["tool_calls"]
        told = [
            {"name": call["function"]["name"], "arguments": orjson.loads(call["function"]["arguments"])}
            for call in calls
        ]
        assert told == CALLS
        assert len({call["id"] for call in calls}) == 2
        if not keeps_all:
            kept = [{one: call[one] for one in ("id", "type", "function")} for call in calls]
            message = {"role": "assistant", "content": None, "tool_calls": kept}
        history = [
            {"role": "user", "content": "call"},
            message,
            *({"role": "tool", "tool_call_id": call["id"], "content": f"result {call['id']}"} for call in calls),
            {"role": "user", "content": "say"},
        ]
        after = await there.ask(stream=stream, body={"messages": history, "tools": TOOLS})
        assert (await message_of(after))[0]["content"] == SAID["text"]


@every
@streamed
async def test_a_tool_that_must_be_called(against, name, stream):
    if name == "ollama":
        pytest.skip("Ollama knows no tool_choice: it is told as stripped")
    choice = {"type": "function", "function": {"name": "add"}}
    async with against(name) as there:
        message, _ = await message_of(
            await there.ask("please", stream=stream, body={"tools": TOOLS, "tool_choice": choice})
        )
        assert [call["function"]["name"] for call in message["tool_calls"]] == ["add"]


@every
@streamed
async def test_json_under_a_schema(against, name, stream):
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
    if name == "deepseek":
        wanted = {"type": "json_object"}  # all it has
    async with against(name) as there:
        message, _ = await message_of(
            await there.ask("a city as json", stream=stream, body={"response_format": wanted})
        )
        told = orjson.loads(message["content"])
        assert name == "deepseek" or list(told) == ["city"]


@pytest.mark.parametrize("name", ["gemini", "anthropic", "ollama"])  # to the others the bytes pass
@streamed
async def test_images_reach_the_model(against, name, stream):
    parts = [
        {"type": "text", "text": "say"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    async with against(name) as there:
        answer = await there.ask(stream=stream, body={"messages": [{"role": "user", "content": parts}]})
        await message_of(answer)
        plain = await there.ask(stream=stream)
        await message_of(plain)
        assert answer.evidence.usage.prompt_tokens > plain.evidence.usage.prompt_tokens


@every
@streamed
async def test_thinking_when_asked(against, name, stream):
    if name in ("ollama",):
        pytest.skip("this simulated model cannot think")
    own = {"include_reasoning": True} if name == "gemini" else {}
    async with against(name) as there:
        answer = await there.ask(stream=stream, body={"reasoning_effort": "low", **own})
        message, _ = await message_of(answer)
        assert message["content"] == SAID["text"]
        assert answer.evidence.usage.reasoning_tokens > 0
        if name != "openai":  # which hides it
            assert message.get("reasoning") or message.get("reasoning_content")


ERRORS = [
    (401, CredentialFault),
    (402, CredentialFault),
    (403, CredentialFault),
    (404, MissingModelFault),
    (400, RejectedFault),
    (413, RejectedFault),
    (500, ServerFault),
    (503, ServerFault),
]


@every
@streamed
@pytest.mark.parametrize(("status", "fault"), ERRORS)
async def test_errors_by_status(against, name, stream, status, fault):
    async with against(name, {"kind": "status", "status": status}) as there:
        with pytest.raises(fault) as caught:
            await there.ask(stream=stream)
        assert caught.value.provider == name
        assert str(status) in caught.value.message


@every
async def test_a_rate_limit_says_how_long(against, name):
    async with against(name, {"kind": "status", "status": 429, "retry_after": 7}) as there:
        with pytest.raises(RateLimitFault) as caught:
            await there.ask()
        assert name == "ollama" or caught.value.retry_after == pytest.approx(7)


BROKEN_STREAMS = [
    {"kind": "cut", "how": how, "after_chunks": after} for how in ("close", "clean", "reset") for after in (0, 2)
] + [
    {"kind": "cut", "how": "clean", "after_bytes": 300},
    {"kind": "no_finish"},
    {"kind": "stream_error"},
    {"kind": "half_close"},
    {"kind": "no_done"},
    {"kind": "error_200"},
    {"kind": "refused"},
]
BROKEN_WHOLES = [
    {"kind": "cut", "how": "close", "after_bytes": 60},
    {"kind": "cut", "how": "clean", "after_bytes": 60},
    {"kind": "wrong_length", "by": 10},
    {"kind": "garbage", "after_chunks": 0},
    {"kind": "error_200"},
    {"kind": "refused"},
]


@every
@pytest.mark.parametrize(
    ("stream", "fault"),
    [(True, one) for one in BROKEN_STREAMS] + [(False, one) for one in BROKEN_WHOLES],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
async def test_what_is_broken_is_a_fault(against, name, stream, fault):
    if name == "ollama" and fault["kind"] == "refused":
        pytest.skip("the load before it left a connection, and one reset before its first byte is tried again")
    async with against(name, fault) as there:
        with pytest.raises((BadAnswerFault, ServerFault, ConnectFault)):
            await message_of(await there.ask(stream=stream, deadlines=Deadlines(idle=0.5)))


@every
@pytest.mark.parametrize("after", range(6))
async def test_garbage_in_a_stream_is_a_fault_or_has_harmed_nothing(against, name, after):
    async with against(name, {"kind": "garbage", "after_chunks": after}) as there:
        try:
            message, _ = await message_of(await there.ask(stream=True))
        except (BadAnswerFault, ServerFault):
            return
        assert message["content"] == SAID["text"]


EMPTY = [{"kind": "empty"}, {"kind": "blocked", "where": "prompt"}, {"kind": "blocked", "where": "answer"}]


@every
@streamed
@pytest.mark.parametrize("fault", EMPTY, ids=["empty", "blocked_prompt", "blocked_answer"])
async def test_an_answer_without_content_is_a_fault(against, name, stream, fault):
    async with against(name, fault) as there:
        with pytest.raises(Fault) as caught:
            await message_of(await there.ask(stream=stream))
        assert caught.value.code in ("empty_answer", "content_filter")


@every
@streamed
async def test_blanks_instead_of_json_are_a_fault(against, name, stream):
    body = {"response_format": {"type": "json_object"}}
    async with against(name, {"kind": "blank_json"}) as there:
        with pytest.raises(BadAnswerFault) as caught:
            await message_of(await there.ask("json", stream=stream, body=body))
        assert caught.value.code == "empty_answer"


@every
async def test_keep_alives_are_waited_out_and_not_for_ever(against, name):
    faults = [{"kind": "keepalives", "seconds": 3}, {"kind": "keepalives", "seconds": None}]
    async with against(name, *faults) as there:
        message, _ = await message_of(await there.ask(stream=True))
        assert message["content"] == SAID["text"]
        with pytest.raises(TimeoutFault):
            await message_of(await there.ask(stream=True, deadlines=Deadlines(idle=0.1, first_byte=0.1)))


@every
async def test_who_leaves_cancels_the_work(against, name):
    before = {"gemini": 1, "anthropic": 4}.get(name, 2)  # chunks until there are words
    async with against(name, {"kind": "stall", "after_chunks": before}) as there:
        answer = await there.ask(stream=True)
        events = aiter(answer.events)
        await anext(events)
        await answer.aclose()
        await asyncio.wait_for(there.sim.idle.wait(), 5)
        assert there.sim.requests[-1].outcome == "left"


@every
async def test_a_private_call_opens_no_connection_off_this_machine(name):
    client = Client()
    adapter = make_adapter(rows()[name].adapter, endpoint(name, "https://api.example"), client)
    for stream in (False, True):
        with pytest.raises(PrivacyError):
            await adapter.chat(make_call("secret", stream=stream, private=True), MODELS[name], Deadlines())
    await client.aclose()
