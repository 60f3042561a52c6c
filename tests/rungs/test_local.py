"""The local rung over a scripted engine: what it declines, how it asks, what becomes of slots and crashes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from rung.answer import Answer, Declined
from rung.call import Call
from rung.errors import BadAnswerFault, EngineFault, Fault, RejectedFault
from rung.local.desk import Desk
from rung.local.health import Health, State
from rung.local.speeds import Speed
from rung.providers.local import adapter_for
from rung.providers.prefix import read_prefix
from rung.rungs.local import LocalRung
from rung.testing import make_call
from rung.wire.client import Client, Origin

CHUNK = {"id": "c1", "created": 5, "model": "tiny", "object": "chat.completion.chunk", "system_fingerprint": "b0"}
USAGE = {
    "completion_tokens": 2,
    "prompt_tokens": 9,
    "total_tokens": 11,
    "prompt_tokens_details": {"cached_tokens": 8},
}


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"finish_reason": finish, "index": 0, "delta": delta}
    return b"data: " + orjson.dumps({"choices": [choice], **CHUNK}) + b"\n\n"


PROGRESS = chunk(role="assistant", content=None)[:-3] + b',"prompt_progress":{"total":9,"processed":9}}\n\n'
TAIL = b"data: " + orjson.dumps({"choices": [], **CHUNK, "usage": USAGE}) + b"\n\ndata: [DONE]\n\n"
GOOD = [
    PROGRESS + PROGRESS,
    PROGRESS + chunk(role="assistant", content=None),
    chunk(content="Hel"),
    chunk(content="lo"),
]
GOOD += [chunk("stop"), TAIL]


class FakeBackend:
    """A backend that plays `script`, one step a request: blocks to stream, (status, error), or `hold` after them."""

    kind = "embedded"
    alias = model = "tiny"
    version = "f00d"
    context = 8192
    base_path = "/v1"
    headers = b"authorization: Bearer kkk\r\n"

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.origin: Origin | None = None
        self.taken = self.freed = self.woken = 0
        self.desk = Desk(1, 8, on_change=self._count)
        self.health = Health(lambda: self.desk.full)
        self.health.become("ready", loaded=True)
        self.speed = Speed()
        self.seen: list[dict[str, Any]] = []
        self.keys: list[bytes] = []
        self.asked, self.left = asyncio.Event(), asyncio.Event()
        self.waited: list[float] = []
        self.becomes: list[State] = []
        self.faults: list[Fault] = []
        self._server: asyncio.Server | None = None

    def _count(self) -> None:
        if self.desk.running:
            self.taken += 1
        else:
            self.freed += 1

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.origin = Origin("http", "127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def wake(self) -> None:
        self.woken += 1

    async def ready(self, seconds: float) -> bool:
        self.waited.append(seconds)
        if self.becomes:
            self.health.become(self.becomes.pop(0), loaded=True)
        return self.health.up

    async def up(self) -> bool:
        return self.health.up

    def broke(self, origin: Origin | None, fault: Fault) -> None:
        self.faults.append(fault)

    async def lost(self, origin: Origin | None, seconds: float) -> bool:
        self.health.become("failing")
        return isinstance(self.faults[-1], EngineFault)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            self.seen.append(orjson.loads(await reader.readexactly(length)))
            self.keys.append(head)
            self.asked.set()
            await self._play(self.script.pop(0), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _play(self, step: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(step, tuple):
            status, error = step
            body = orjson.dumps({"error": error})
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body)
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for block in step:
            if block == "die":
                return
            if block == "hold":
                await reader.read()
                self.left.set()
                return
            writer.write(b"%x\r\n" % len(block) + block + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.aclose()


@pytest.fixture
async def engine() -> AsyncIterator[FakeBackend]:
    engine = FakeBackend()
    await engine.open()
    yield engine
    await engine.close()


@pytest.fixture
def rung(engine: FakeBackend, client: Client) -> LocalRung:
    return LocalRung(engine, adapter_for(engine, client), load_wait=30)  # type: ignore[arg-type]


async def answered(rung: LocalRung, call: Call) -> Answer:
    answer = await rung.attempt(call)
    assert isinstance(answer, Answer)
    return answer


async def declined(rung: LocalRung, call: Call) -> str:
    told = await rung.attempt(call)
    assert isinstance(told, Declined)
    return told.reason


async def test_it_is_a_rung_that_stays_here(rung: LocalRung) -> None:
    assert (rung.name, rung.model, rung.stays_here) == ("local", "local:tiny", True)


async def test_a_whole_answer_is_gathered_from_a_stream(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script = [GOOD]
    answer = await answered(rung, make_call(private=True, body={"seed": 7, "rung": {"x": 1}}))
    assert answer.whole
    assert answer.rung == "local"
    body = orjson.loads(answer.body or b"")
    message = {"role": "assistant", "content": "Hello"}
    assert body["choices"] == [{"index": 0, "message": message, "finish_reason": "stop"}]
    assert (body["object"], body["id"], body["model"]) == ("chat.completion", "c1", "tiny")
    assert body["usage"]["prompt_tokens"] == 9
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 8}
    evidence = answer.evidence
    assert (evidence.complete, evidence.unproved, evidence.cost) == (True, True, 0)
    assert evidence.usage is not None
    assert (evidence.usage.input_tokens, evidence.usage.cache_read_tokens, evidence.usage.output_tokens) == (1, 8, 2)
    assert engine.seen[0]["stream"] is engine.seen[0]["return_progress"] is True
    assert (engine.seen[0]["seed"], "rung" in engine.seen[0]) == (7, False)
    assert b"authorization: Bearer kkk\r\n" in engine.keys[0]
    assert (engine.taken, engine.freed) == (1, 1)


async def test_a_stream_passes_as_it_comes_without_progress(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script = [GOOD]
    call = make_call(stream=True, include_usage=True, body={"stream_options": {"include_usage": True}})
    answer = await answered(rung, call)
    assert answer.events is not None
    events = [event async for event in answer.events]
    data = b"".join(event.data for event in events)
    assert b"prompt_progress" not in data
    assert data == b"".join(GOOD).replace(PROGRESS, b"").replace(b"data: [DONE]\n\n", b"")
    assert events[-1].last
    assert [event.content for event in events if event.content]
    await answer.aclose()
    assert (engine.taken, engine.freed) == (1, 1)


async def test_text_that_speaks_of_progress_is_kept(rung: LocalRung, engine: FakeBackend) -> None:
    text = '"prompt_progress": 1'
    engine.script = [[PROGRESS, chunk(content=text), chunk("stop"), TAIL]]
    answer = await answered(rung, make_call())
    assert orjson.loads(answer.body or b"")["choices"][0]["message"]["content"] == text


async def test_logprobs_and_reasoning_are_gathered(rung: LocalRung, engine: FakeBackend) -> None:
    probability = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
    choice = {"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [probability]}, "finish_reason": None}
    with_logprobs = b"data: " + orjson.dumps({"choices": [choice], **CHUNK}) + b"\n\n"
    engine.script = [[chunk(reasoning_content="hm"), with_logprobs, with_logprobs, chunk("length"), TAIL]]
    choice = orjson.loads((await answered(rung, make_call())).body or b"")["choices"][0]
    assert choice["message"]["content"] == "aa"
    assert choice["message"]["reasoning_content"] == "hm"
    assert choice["logprobs"] == {"content": [probability, probability]}
    assert choice["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "text_only"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "text_only"),
        ({"messages": [{"role": "user", "content": ["odd"]}]}, "text_only"),
        ({"functions": [{"name": "f"}]}, "functions_unsupported"),
        ({"n": 2}, "one_choice_only"),
    ],
)
async def test_what_it_cannot_do_it_declines_unasked(
    rung: LocalRung, engine: FakeBackend, body: dict[str, Any], code: str
) -> None:
    assert (await declined(rung, make_call(body=body))).partition(":")[0] == code
    assert engine.taken == 0


async def test_parts_of_text_are_fine(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script = [GOOD]
    parts = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    await answered(rung, make_call(body={"messages": parts, "tools": [], "n": 1}))


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("gone", "local_gone"),
        ("loading", "local_loading"),
        ("failing", "local_failing"),
        ("ready", "local_loading"),
    ],
)
async def test_a_call_that_may_move_on_does_not_wait(
    rung: LocalRung, engine: FakeBackend, state: State, code: str
) -> None:
    engine.health.become(state, "told why")
    assert await declined(rung, make_call()) == f"{code}: told why"
    assert (engine.waited, engine.woken) == ([], 1)


@pytest.mark.parametrize(
    "told", [{"private": True}, {"mode": "local"}, {"model": "local"}, {"model": "local:tiny"}], ids=str
)
@pytest.mark.parametrize("state", ["loading", "failing", "ready"])
async def test_a_call_that_insists_waits_for_the_model(
    rung: LocalRung, engine: FakeBackend, told: dict[str, Any], state: State
) -> None:
    engine.health.become(state)
    engine.becomes, engine.script = ["ready"], [GOOD]
    await answered(rung, make_call(**told))
    assert engine.waited == [30]


async def test_it_waits_no_longer_than_the_call_can(rung: LocalRung, engine: FakeBackend) -> None:
    engine.health.become("loading")
    call = make_call(private=True)
    call.deadline = call.started + 1.5
    assert await declined(rung, call) == "local_loading"
    assert 0 < engine.waited[0] <= 1.5


async def test_a_full_queue_declines(rung: LocalRung, engine: FakeBackend) -> None:
    engine.desk.max_waiting = 0
    assert await engine.desk.acquire(1)
    assert await declined(rung, make_call(private=True)) == "local_busy: 1 running, 0 waiting"


async def test_a_call_that_would_be_late_goes_on_at_once(rung: LocalRung, engine: FakeBackend) -> None:
    engine.speed = Speed(prompt=10.0, generation=10.0, output=50.0)
    call = make_call("word " * 20)
    call.deadline = call.started + 2
    reason = await declined(rung, call)
    assert re.fullmatch(r"local_busy: 7\.\d s > 2\.0 s", reason), reason
    call.body["max_tokens"] = 5  # 50 ms a token: less than half a second, and the prompt
    engine.speed.prompt = 100.0
    engine.script = [GOOD]
    await answered(rung, call)


async def test_the_work_of_those_before_counts(rung: LocalRung, engine: FakeBackend) -> None:
    engine.speed = Speed(prompt=1e6, generation=1e6, output=1.0)
    assert await engine.desk.acquire(1, work=30.0)
    call = make_call()
    call.deadline = call.started + 10
    assert (await declined(rung, call)).startswith("local_busy: 30.0 s > ")


async def test_what_the_model_has_read_already_costs_no_time(rung: LocalRung, engine: FakeBackend) -> None:
    engine.speed, engine.script = Speed(prompt=10.0, generation=1e6, output=1.0), [GOOD]
    history = [{"role": "system", "content": "Answer in one word. " * 400}, {"role": "user", "content": "Hello " * 400}]
    first = make_call(body={"messages": history})
    first.prefix, first.deadline = read_prefix(first), first.started + 500
    await answered(rung, first)
    engine.speed = Speed(prompt=10.0, generation=1e6, output=1.0)  # and not what the script says
    again = [*history, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "And now?"}]
    other = [{"role": "system", "content": "Answer in two words. " * 400}, *again[1:]]
    engine.script = [GOOD]
    for messages, fits in ((again, True), (other, False)):
        call = make_call(body={"messages": messages})
        call.prefix, call.deadline = read_prefix(call), call.started + 10
        told = await rung.attempt(call)
        assert isinstance(told, Answer) is fits, told


async def test_a_call_with_nowhere_else_to_go_is_tried_all_the_same(rung: LocalRung, engine: FakeBackend) -> None:
    engine.speed, engine.script = Speed(prompt=1.0, generation=1.0, output=100.0), [GOOD]
    call = make_call(private=True)
    call.deadline = call.started + 20
    await answered(rung, call)


async def test_what_answered_is_told_by_its_hash(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script = [GOOD, GOOD]
    assert (await answered(rung, make_call())).evidence.model_version == "f00d"
    answer = await answered(rung, make_call(stream=True))
    assert answer.events is not None
    assert [event async for event in answer.events]
    assert (answer.model, answer.evidence.model_version) == ("local:tiny", "f00d")


async def test_every_answer_teaches_speed(rung: LocalRung, engine: FakeBackend) -> None:
    times = b',"timings":{"prompt_n":100,"prompt_ms":500.0,"predicted_n":50,"predicted_ms":1000.0}}\n\n'
    timed = [*GOOD[:-1], GOOD[-1].replace(b"}\n\n", times, 1)]
    engine.script = [timed, timed]
    for stream in (False, True):
        answer = await answered(rung, make_call(stream=stream))
        if answer.events is not None:
            assert b"timings" not in b"".join([event.data async for event in answer.events])  # nobody asked for it
    assert engine.speed == Speed(prompt=200.0, generation=50.0, output=50.0, answers=2)


async def test_an_overflow_is_declined_with_its_numbers(rung: LocalRung, engine: FakeBackend) -> None:
    said = "request (9030 tokens) exceeds the available context size (8192 tokens), try increasing it"
    engine.script = [(400, {"code": 400, "message": said, "type": "exceed_context_size_error"})] * 2
    assert await declined(rung, make_call()) == "context_overflow: 9030 tokens > 8192"
    assert await declined(rung, make_call(stream=True)) == "context_overflow: 9030 tokens > 8192"
    assert (engine.taken, engine.freed) == (2, 2)


async def test_a_refusal_of_the_call_is_told(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script = [(400, {"code": 400, "message": "cannot resolve $ref #/nope", "type": "invalid_request_error"})]
    with pytest.raises(RejectedFault, match="cannot resolve"):
        await rung.attempt(make_call())
    assert (engine.taken, engine.freed) == (1, 1)


async def test_a_crash_under_a_stream_is_an_engine_fault(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script = [[PROGRESS, chunk(content="Hel"), "die"]]
    answer = await answered(rung, make_call(stream=True))
    assert answer.events is not None
    assert (await anext(answer.events)).content
    with pytest.raises(EngineFault):
        await anext(answer.events)
    await answer.aclose()
    assert (engine.taken, engine.freed) == (1, 1)


async def test_after_a_crash_a_call_that_may_move_on_does(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script = [[PROGRESS, "die"]]
    with pytest.raises(EngineFault):  # at once: whether the kernel knows already does not matter to it
        await rung.attempt(make_call())
    assert engine.health.state == "ready"
    assert (engine.taken, engine.freed) == (1, 1)


async def test_after_a_crash_a_call_that_insists_is_asked_again_once(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script, engine.becomes = [["die"], GOOD], ["ready"]
    await answered(rung, make_call(private=True))
    engine.script, engine.becomes = [["die"], ["die"]], ["ready"]
    with pytest.raises(EngineFault):
        await rung.attempt(make_call(private=True))
    assert (engine.taken, engine.freed) == (4, 4)


async def test_an_engine_that_died_while_the_call_waited(rung: LocalRung, engine: FakeBackend) -> None:
    first = await engine.desk.acquire(1)
    assert first
    waiting = asyncio.create_task(rung.attempt(make_call()))
    await asyncio.sleep(0)
    assert engine.desk.waiting == 1
    engine.health.become("failing")
    first.release()
    assert await waiting == Declined("local_failing")
    assert (engine.taken, engine.freed) == (2, 2)


async def test_a_new_life_is_asked_with_its_own_key(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script = [GOOD, GOOD]
    await answered(rung, make_call())
    await engine.close()
    engine.headers = b"authorization: Bearer new\r\n"
    await engine.open()
    await answered(rung, make_call())
    assert b"Bearer new\r\n" in engine.keys[1]


@pytest.mark.parametrize("stream", [False, True])
async def test_who_leaves_frees_the_slot_and_closes_the_connection(
    rung: LocalRung, engine: FakeBackend, stream: bool
) -> None:
    engine.script = [[PROGRESS, chunk(content="Hel"), "hold"]]
    if stream:
        answer = await answered(rung, make_call(stream=True))
        assert answer.events is not None
        await anext(answer.events)
        await answer.aclose()
    else:
        task = asyncio.create_task(rung.attempt(make_call()))
        async with asyncio.timeout(20):
            await engine.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (engine.taken, engine.freed) == (1, 1)
    async with asyncio.timeout(20):
        await engine.left.wait()


async def test_a_stream_nobody_began_frees_its_slot(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script = [GOOD]
    answer = await answered(rung, make_call(stream=True))
    await answer.aclose()
    await answer.aclose()
    assert (engine.taken, engine.freed) == (1, 1)


TOOL = {"type": "function", "function": {"name": "add", "parameters": {"properties": {"a": {}}, "required": ["a"]}}}
ADD = [
    chunk(role="assistant", content=None),
    chunk(content='{"name": "add", '),
    chunk(content='"arguments": {"a": 1}}'),
]
ADD += [chunk("stop"), TAIL]
NAMED = {"type": "function", "function": {"name": "other"}}


@pytest.mark.parametrize("choice", [None, "auto", "required", {"type": "function", "function": {"name": "add"}}])
async def test_a_call_written_as_text_becomes_a_tool_call(rung: LocalRung, engine: FakeBackend, choice: Any) -> None:
    engine.script = [ADD]
    told = {} if choice is None else {"tool_choice": choice}
    answer = await answered(rung, make_call(body={"tools": [TOOL], **told}))
    (only,) = orjson.loads(answer.body or b"")["choices"]
    assert only["finish_reason"] == answer.evidence.finish_reason == "tool_calls"
    assert only["message"]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a":1}'}
    assert only["message"]["content"] is None
    assert engine.seen[0].get("tool_choice") in (None, "none")  # a grammar of ours requires the call
    assert engine.seen[0]["tools"] == [TOOL]


async def test_a_streamed_tool_call_is_a_whole_one_in_frames(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script = [ADD]
    answer = await answered(rung, make_call(stream=True, body={"tools": [TOOL]}))
    assert answer.events is not None
    (event,) = [event async for event in answer.events]
    assert event.last
    chunks = [orjson.loads(line[6:]) for line in event.data.splitlines() if line]
    calls = [one for told in chunks for one in told["choices"][0]["delta"].get("tool_calls", [])]
    assert "".join(one["function"].get("arguments", "") for one in calls) == '{"a":1}'
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert (engine.taken, engine.freed) == (1, 1)


async def test_prose_stays_prose_unless_a_call_was_required(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script = [GOOD, GOOD, ADD]
    answer = await answered(rung, make_call(body={"tools": [TOOL]}))
    assert orjson.loads(answer.body or b"")["choices"][0]["message"]["content"] == "Hello"
    for choice in ("required", NAMED):
        with pytest.raises(BadAnswerFault) as caught:
            await rung.attempt(make_call(body={"tools": [TOOL], "tool_choice": choice}))
        assert caught.value.code == "no_tool_call"
    assert engine.taken == engine.freed == 3


async def test_tools_that_must_not_be_used_are_not_told(rung: LocalRung, engine: FakeBackend) -> None:
    engine.script = [ADD]
    answer = await answered(rung, make_call(body={"tools": [TOOL], "tool_choice": "none"}))
    assert answer.evidence.finish_reason == "stop"
    assert not {"tools", "tool_choice"} & set(engine.seen[0])
