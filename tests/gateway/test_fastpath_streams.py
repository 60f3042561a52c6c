"""Streams by the fast path and by the slow one: whatever comes, and however it is cut, both must end the same."""

import asyncio
import time
from contextlib import suppress

import orjson
import pytest
from both_ways import GOOD, PRICED, Seen, asking, request

from rung import fastpath
from rung.testing import completion_stream, reply, stream_reply

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 9, "completion_tokens": 5}


def frame(delta=None, finish=None, **members):
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    told = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": choices, **members}
    return b"data: " + orjson.dumps(told) + b"\n\n"


def said(*texts):
    return [frame({"content": text}) for text in texts]


BEGIN = frame({"role": "assistant", "content": ""})
STOP = frame({}, "stop")
BILL = frame(usage=USAGE)
WORDS = said("a ", "whole ", "answer", ".")
TAIL = [STOP, BILL, DONE]
CALL = {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}]}
FAILED = {"message": "failed", "code": "tool_use_failed", "failed_generation": '{"name": "f", "arguments": {}}'}

STREAMS = {
    "the usual": [BEGIN, *WORDS, *TAIL],
    "without a role": [*WORDS, *TAIL],
    "one word": [*said("yes"), *TAIL],
    "cached tokens and a tier": [
        *WORDS,
        STOP,
        frame(usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}, service_tier="flex"),
        DONE,
    ],
    "usage with the end": [*WORDS, frame({}, "stop", usage=USAGE), DONE],
    "no usage": [BEGIN, *WORDS, STOP, DONE],
    "the last words with the end": [BEGIN, *said("a"), frame({"content": "b"}, "stop"), BILL, DONE],
    "more after the end": [*said("a"), STOP, *said("b"), *TAIL],
    "escapes and other letters": [BEGIN, *said("a", '"x"', "b\\", "é", "c", "\n", "d"), *TAIL],
    "only reasoning": [frame({"reasoning": "hm"}), *TAIL],
    "reasoning and an answer": [frame({"reasoning": "hm"}), *WORDS, *TAIL],
    "blank": [*said(" ", " "), *TAIL],
    "empty": [BEGIN, *TAIL],
    "cut by length": [*WORDS, frame({}, "length"), BILL, DONE],
    "filtered": [*WORDS, frame({}, "content_filter"), BILL, DONE],
    "filtered at once": [BEGIN, frame({}, "content_filter"), BILL, DONE],
    "a tool call": [BEGIN, frame(CALL), frame({}, "tool_calls"), BILL, DONE],
    "a refusal": [frame({"refusal": "no"}), *TAIL],
    "another member": [BEGIN, *said("a"), frame({"content": "b"}, rung={"a": 1}), *TAIL],
    "keep-alives": [b": hold on\n\n", BEGIN, b": hold on\n\n", *said("a"), b": hold on\n\n", *said("b"), *TAIL],
    "other fields": [b"event: x\nid: 1\n" + BEGIN, *WORDS, *TAIL],
    "other line ends": [part.replace(b"\n", b"\r\n") for part in (BEGIN, *WORDS, *TAIL)],
    "an error at once": [frame(error={"message": "down", "code": 503})],
    "an error later": [*WORDS, frame(error={"message": "down"}), *TAIL],
    "a failed tool call": [BEGIN, frame(error=FAILED)],
    "broken off": [*WORDS, frame({}, "insufficient_system_resource"), DONE],
    "garbage at once": [b"data: <html>\n\n"],
    "garbage later": [*WORDS, b"data: {\n\n", *TAIL],
    "no event": [*WORDS, b"what?\n\n", *TAIL],
    "no finish reason": [*WORDS, DONE],
    "no terminator": [*WORDS, STOP, BILL],
    "the end inside a frame": [*WORDS, b"data: {"],
    "nothing": [],
    "too long to keep": [*said(*["x" * 300_000] * 4), *TAIL],
}

AGAIN = completion_stream("once more")  # one for all: it tells when it was made

RAW = {
    "a length": lambda: reply(b"".join(STREAMS["the usual"]), headers={"content-type": "text/event-stream"}),
    "a whole answer": lambda: GOOD,
    "a server error": lambda: reply({"error": {"message": "down"}}, 500),
    "a refused key": lambda: reply({"error": {"message": "no"}}, 401),
    "a bad request": lambda: reply({"error": {"message": "bad", "param": "messages"}}, 400),
    "a failed tool call": lambda: reply({"error": FAILED}, 400),
    "a rate limit": lambda: reply({"error": {"message": "slow down"}}, 429, {"retry-after": "30"}),
    "a limit told": lambda: AGAIN.replace(
        b"\r\n\r\n", b"\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 42s\r\n\r\n", 1
    ),
    "simulated": lambda: AGAIN.replace(b"\r\n\r\n", b"\r\nx-rung-simulated: true\r\n\r\n", 1),
    "another success": lambda: AGAIN.replace(b"200", b"201", 1),
}


async def turns(count=30):
    """Let everybody take what has been written: all of them run on this loop."""
    for _ in range(count):
        await asyncio.sleep(0)


def pieces(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


def in_pieces(parts, *, cut=False):
    """A reply written part by part; `cut`: its connection ends with it."""

    async def write(received, writer):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await turns()
        if cut:
            writer.close()

    return write


def hangs(asked, begun):
    """A reply that stops after its first words, or before any if it has not `begun`; then it has been `asked`."""

    async def write(received, writer):
        writer.write(HEAD + b"".join(chunked([BEGIN, *WORDS][: 3 if begun else 1])))
        asked.set()
        await asyncio.Event().wait()

    return write


def chunked(frames):
    return [b"%x\r\n%b\r\n" % (len(part), part) for part in frames]


def ended(parts):
    """The last of them and the end of the body in one."""
    return [*parts[:-1], b"".join((*parts[-1:], END))]


WAYS = {
    "at once": lambda frames: stream_reply([b"".join(frames)] if frames else []),
    "in one write": stream_reply,
    "one by one": lambda frames: in_pieces([HEAD, *ended(chunked(frames))]),
    "from the middle on": lambda frames: in_pieces([HEAD + b"".join(chunked(frames[:3])), *ended(chunked(frames[3:]))]),
    "in odd pieces": lambda frames: in_pieces([HEAD, *ended(pieces(b"".join(chunked(frames)), 97))]),
    "cut off": lambda frames: in_pieces([HEAD + b"".join(chunked(frames[:3]))], cut=True),
    "cut before": lambda frames: in_pieces([HEAD[:40]], cut=True),
}


@pytest.fixture
def seen(serving, monkeypatch):
    return asking(serving, monkeypatch, fastpath.Stream)


def same(first, second):
    """`first` and `second`, where they differ."""
    if first == second:
        return True
    for one, other in zip(first, second, strict=True):
        assert one == other
    return False


async def both(seen, make, body, again=2):
    found = []
    for fast in (True, False):
        async with seen(make(), AGAIN, fast=fast) as there:
            answers = [await there.ask(body) for _ in range(again)]
            assert there.taken[:1] == [True] * fast
            found.append((*answers, *there.kept()))
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", STREAMS)
async def test_whatever_comes_both_ways_end_the_same(seen, name, way):
    if way == "in odd pieces" and name == "too long to keep":
        pytest.skip("thousands of pieces say no more than a hundred")
    found = await both(seen, lambda: WAYS[way](STREAMS[name]), request(stream=True))
    assert same(*found)


@pytest.mark.parametrize("name", RAW)
async def test_whatever_answer_comes_both_ways_end_the_same(seen, name):
    assert same(*await both(seen, RAW[name], request(stream=True)))


@pytest.mark.parametrize(
    "options",
    [{"include_usage": True}, {"include_usage": False}, {}, {"include_usage": True, "x": 1}, None],
)
async def test_whatever_is_asked_both_ways_end_the_same(seen, options):
    found = []
    for fast in (True, False):
        async with seen(AGAIN, fast=fast) as there:
            body = request(stream=True, stream_options=options, seed=7)
            answers = [await there.ask(body), await there.ask(body), await there.ask(request(seed=7))]
            found.append((*answers, *there.kept()))
    assert same(*found)


@pytest.mark.parametrize(
    ("fits", "more"),
    [
        (True, {}),
        (True, {"stream_options": {"include_usage": True}}),
        (False, {"stream_options": {"include_usage": False}}),
        (False, {"temperature": 0.4}),
        (False, {"messages": [{"role": "user", "content": "x" * 5000}]}),
    ],
)
async def test_what_takes_it(seen, fits, more):
    async with seen(completion_stream("a")) as there:
        await there.ask(request(**{"stream": True, **more}))
        assert there.taken == [fits]


async def test_it_is_the_slow_path_s_only_where_it_must_be(seen, monkeypatch):
    """Else the comparisons above would compare the slow path with itself."""
    handed = []
    hand_over = fastpath.Stream.hand_over
    monkeypatch.setattr(fastpath.Stream, "hand_over", lambda one: handed.append(one) or hand_over(one))
    for way in ("at once", "in one write", "one by one", "in odd pieces"):
        for name in ("the usual", "reasoning and an answer", "a tool call", "cut by length", "keep-alives"):
            async with seen(WAYS[way](STREAMS[name])) as there:
                status, _, body = await there.ask(request(stream=True))
                assert (status, body.endswith(DONE), there.taken) == (200, True, [True])
    assert handed == []


async def test_a_client_that_reads_nothing_is_waited_for(seen):
    """Its answer is as long as it takes to fill every buffer in between."""
    frames = [BEGIN, *said(*["x" * 60_000] * 300), *TAIL]
    found = []
    for fast in (True, False):
        async with seen(in_pieces([HEAD, *chunked(frames), END]), fast=fast) as there:
            response = await there.send(request(stream=True))
            while fast and not there.passages[0].odd:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0)
            told = await response.read()
            assert there.taken == [True] * fast
            found.append((told.count(b"data: "), len(told), there.kept()))
    assert found[0] == found[1]
    assert found[0][0] == 303


@pytest.mark.parametrize("begun", [False, True])
async def test_while_nothing_comes_the_client_hears_that_we_are_there(seen, begun):
    found = []
    for fast in (True, False):
        go = asyncio.Event()

        async def waits(received, writer, go=go):
            writer.write(HEAD + b"".join(chunked([BEGIN, *WORDS][: 3 if begun else 0])))
            await go.wait()
            writer.write(b"".join(chunked([BEGIN, *WORDS, *TAIL][3 if begun else 0 :])) + END)
            await writer.drain()

        async with seen(waits, fast=fast, toml='[server]\nheartbeat = "0.1s"\n') as there:
            response = await there.send(request(stream=True))
            told = b""
            async for block in response.blocks():
                told += block
                if told.count(b": keep-alive\n\n") >= 2:
                    go.set()
            assert there.taken == [True] * fast
            kept = there.kept()
            pending = response.header(b"x-rung") == b"pending"
            found.append((pending, told.replace(b": keep-alive\n\n", b"")[:300], kept[0], kept[1:]))
    assert found[0] == found[1]
    assert found[0][0] is not begun


@pytest.mark.parametrize("begun", [False, True])
async def test_a_client_that_leaves_stops_the_model_and_is_written_down(seen, begun):
    found = []
    for fast in (True, False):
        asked = asyncio.Event()
        async with seen(hangs(asked, begun), AGAIN, fast=fast) as there:
            call = asyncio.ensure_future(there.send(request(stream=True)))
            await asked.wait()
            follower = asyncio.ensure_future(there.ask(request(stream=True)))
            await there.followers()
            if begun:
                (await call).close()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await there.upstream.left.wait()
            status, _, body = await follower
            assert (status, body.endswith(DONE)) == (200, True)  # it leads now
            row = there.row(1)
            assert (row["status"], row["outcome"], row["error_code"]) == (499, "cancelled", "client_left")
            found.append((row, *there.kept()[1:]))
    assert same(*found)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_server_that_stops_says_so(serving, begun):
    found = []
    for fast in (True, False):
        asked = asyncio.Event()
        async with serving(GOOD, hangs(asked, begun), toml=PRICED, drain_timeout=0.01) as there:
            told = Seen(there, {} if fast else {"x-rung-mode": "auto"})
            await told.ask(request("first"))
            call = asyncio.ensure_future(told.ask(request(stream=True)))
            await asked.wait()
        status, _, body = await call
        error = orjson.loads(body.split(b"\n\n")[-2].removeprefix(b"data: ") if begun else body)["error"]
        assert (status, error["code"]) == (200 if begun else 503, "shutting_down")
        assert DONE not in body
        found.append((status, body, told.row(-1)))
        await told.aclose()
    assert same(*found)


async def test_a_call_that_is_out_of_time_ends(seen):
    async def slowly(received, writer):
        writer.write(HEAD + b"".join(chunked([BEGIN, *WORDS[:2]])))
        while not there.passages or there.passages[0].record is None:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0)
        there.passages[0].call.deadline = time.monotonic() - 1
        writer.write(b"".join(chunked([*WORDS[2:], *TAIL])) + END)

    async with seen(slowly) as there:
        status, _, body = await there.ask(request(stream=True))
        assert (status, there.taken) == (200, [True])
        assert orjson.loads(body.split(b"\n\n")[-2].removeprefix(b"data: "))["error"]["code"] == "deadline_exceeded"
        assert there.row(-1)["outcome"] == "cut"
        assert there.flights == {}


async def test_a_connection_that_was_closed_meanwhile_is_dialled_anew(seen):
    async def closes(received, writer):
        writer.close()

    async with seen(closes, completion_stream("a b c")) as there:
        status, head, body = await there.ask(request(stream=True))
        assert (status, there.taken, body.endswith(DONE)) == (200, [True], True)
        assert b"exact=miss, cloud=answered" in head
        assert len(there.upstream.received) == 3


@pytest.mark.parametrize("fast", [True, False])
async def test_a_stream_whose_end_comes_after_its_last_event_costs_no_connection(seen, fast):
    async with seen(in_pieces([HEAD, *chunked([BEGIN, *WORDS, *TAIL]), END]), fast=fast) as there:
        for number in range(3):
            status, _, body = await there.ask(request(f"question {number}", stream=True))
            assert (status, body.endswith(DONE)) == (200, True)
            await turns(200)
        assert there.upstream.connections == 1


async def test_what_fails_before_its_first_content_goes_on_where_the_slow_path_would(seen):
    bad = stream_reply([BEGIN, frame(error={"message": "down"})])
    async with seen(bad, completion_stream("a b c")) as there:
        there.gateway._wiring.budget.tries = 2
        status, head, body = await there.ask(request(stream=True))
        assert (status, there.taken, body.endswith(DONE)) == (200, [True], True)
        assert b"exact=miss, cloud=failed:provider_server_error, cloud=answered" in head
        assert len(there.upstream.received) == 3


async def test_the_same_call_waits_for_the_one_on_its_way(seen):
    go = asyncio.Event()

    async def slowly(received, writer):
        writer.write(HEAD + b"".join(chunked([BEGIN, *WORDS[:1]])))
        await go.wait()
        writer.write(b"".join(chunked([*WORDS[1:], *TAIL])) + END)
        await writer.drain()

    async with seen(slowly, GOOD) as there:
        calls = [asyncio.ensure_future(there.ask(request(stream=True))) for _ in range(3)]
        await there.followers(2)
        go.set()
        answers = await asyncio.gather(*calls)
        assert {answer[2].count(b'"content":"whole ') for answer in answers} == {1}
        assert len(there.upstream.received) == 2
        assert sorted(row.cache for row in there.rows[1:]) == ["hit", "hit", "miss"]
        assert there.flights == {}


async def test_whoever_watches_is_told_the_same(seen):
    found = []
    for fast in (True, False):
        async with seen(AGAIN, fast=fast) as there:
            watcher = there.gateway.watchers.join()
            await there.ask(request(stream=True))
            shown = await there.shown(watcher)
            assert there.taken == [True] * fast
            found.append(shown)
    assert found[0] == found[1]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_bug_cuts_the_answer_and_leaves_nothing_behind(seen, monkeypatch, begun):
    logged = []
    monkeypatch.setattr("rung.doors.exchange.log.exception", logged.append)
    where = "end_note" if begun else "passed_head"
    async with seen(in_pieces([HEAD, *ended(chunked([BEGIN, *WORDS, *TAIL]))])) as there:
        with monkeypatch.context() as broken:
            broken.setattr(f"rung.doors.passed.{where}", lambda *_: 1 / 0)
            with suppress(Exception):
                status, _, body = await there.ask(request(stream=True))
                assert (begun, status) == (False, 500)
                assert orjson.loads(body)["error"]["code"] == "internal_error"
        assert logged == ["the application failed"]
        assert there.flights == {}
        assert (await there.ask(request("after", stream=True)))[0] == 200
