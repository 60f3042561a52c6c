"""The fast path against the slow one: whatever comes, both must answer, record, keep and learn the same."""

import asyncio

import orjson
import pytest
from both_ways import GOOD, PRICED, Seen, asking, request

from rung import fastpath
from rung.testing import completion_stream, make_call, reply


def body_of(answer):
    return answer.partition(b"\r\n\r\n")[2]


def changed(**members):
    """The usual answer with other members."""
    return reply(orjson.loads(body_of(GOOD)) | members)


def said(message, finish="stop"):
    return changed(choices=[{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}])


CALLS = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
ANSWERS = {
    "the usual": GOOD,
    "cached tokens and a tier": changed(
        usage={
            "prompt_tokens": 9,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
        service_tier="flex",
    ),
    "no usage": changed(usage=None),
    "too long to keep": said({"content": "x" * 1_100_000}),
    "blank": said({"content": " \n"}),
    "empty": said({"content": ""}),
    "only reasoning": said({"content": None, "reasoning": "hm"}),
    "reasoning and an answer": said({"content": "so", "reasoning": "hm"}),
    "cut by length": said({"content": "half"}, "length"),
    "a tool call": said({"content": None, "tool_calls": CALLS}, "tool_calls"),
    "a refusal": said({"content": None, "refusal": "no"}),
    "no finish reason": said({"content": "half"}, None),
    "two choices": changed(
        choices=[{"index": i, "message": {"content": "x"}, "finish_reason": "stop"} for i in range(2)]
    ),
    "no choices": changed(choices=[]),
    "an error inside": reply({"error": {"message": "down", "code": 500}}),
    "its own member": changed(rung={"a": 1}),
    "not JSON": reply(b"<html>"),
    "a server error": reply({"error": {"message": "down"}}, 500),
    "a refused key": reply({"error": {"message": "no"}}, 401),
    "no such model": reply({"error": {"message": "no"}}, 404),
    "a bad request": reply({"error": {"message": "bad", "param": "messages"}}, 400),
    "a rate limit": reply({"error": {"message": "slow down"}}, 429, {"retry-after": "30"}),
    "a limit told": reply(
        body_of(GOOD), headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "42s"}
    ),
    "simulated": reply(body_of(GOOD), headers={"x-rung-simulated": "true"}),
    "another success": reply(body_of(GOOD), 201),
    "a cut body": GOOD[:-20],
    "conflicting lengths": GOOD.replace(b"content-length", b"content-length: 1\r\ncontent-length", 1),
    "no answer": b"",
}


def ending(data):
    """A reply whose connection ends with it: short of its length, the answer is cut."""

    async def write(received, writer):
        writer.write(data)
        await writer.drain()
        writer.close()

    return write if data in (ANSWERS["a cut body"], b"") else data


@pytest.fixture
def seen(serving, monkeypatch):
    return asking(serving, monkeypatch, fastpath.Passage)


@pytest.mark.parametrize("name", ANSWERS)
async def test_whatever_comes_both_ways_end_the_same(seen, name):
    found = []
    for fast in (True, False):
        async with seen(ending(ANSWERS[name]), GOOD, fast=fast) as there:
            first = await there.ask(request())
            again = await there.ask(request())  # a hit, where the first one was kept
            assert there.taken[:1] == [True] * fast
            found.append((first, again, there.kept()))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 0.2, "top_p": 1, "seed": 7, "stop": ["a"], "user": "me"},
        {"temperature": 0.9},
        {"n": 1},
        {"n": 2},
        {"stream": False},
        {"tools": []},
        {"response_format": {"type": "json_object"}},
        {"metadata": {"x-rung-session": "s"}},
        {"rung": {"no_store": True}},
        {"unknown": 1.50},
        {"model": "mock:other"},
        {"model": "big"},
        {"model": "auto"},
        {"messages": []},
        {"temperature": "hot"},
        {"messages": [{"role": "user", "content": "long " * 1000}]},
        {"messages": [{"role": "user", "content": 'a "model": "mock:big" inside'}]},
    ],
)
async def test_whatever_is_asked_both_ways_end_the_same(seen, more):
    found = []
    for fast in (True, False):
        async with seen(GOOD, fast=fast) as there:
            found.append((await there.ask(request(**more)), await there.ask(request(**more)), there.kept()))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("fits", "more"),
    [
        (True, {}),
        (True, {"temperature": 0.3}),
        (False, {"temperature": 0.4}),
        (True, {"stream": True}),
        (False, {"n": 1}),
        (False, {"rung": {"task": "label"}}),
        (False, {"messages": [{"role": "user", "content": "x" * 5000}]}),
        (False, {"model": "auto"}),
    ],
)
async def test_what_takes_it(seen, fits, more):
    async with seen() as there:
        await there.ask(request(**more))
        assert there.taken == ([True] if fits else there.taken and [False])


@pytest.mark.parametrize(
    "toml",
    [
        "[privacy]\nall_private = false\ndetect = ['email']\n",
        "[hedge]\nenabled = true\n",
        "[exact]\nenabled = false\n",
        "[ledger]\nstore_text = true\n",
        "[breaker]\nenabled = false\n",
        '[ladder]\norder = "latency"\n',
    ],
)
async def test_a_gateway_that_has_more_to_do_has_no_fast_path(seen, toml):
    async with seen(toml=toml) as there:
        assert there.gateway.paths.of("mock:big") is None
        assert (await there.ask(request()))[0] == 200


async def test_names_that_are_no_model_have_none_and_are_not_kept_for_ever(seen):
    async with seen() as there:
        paths = there.gateway.paths
        for name in ("auto", "local", "strong", "nobody:x", "mock:", ""):
            assert paths.of(name) is None
        for number in range(2000):
            paths.of(f"mock:{number}")
        assert len(paths._known) <= fastpath.REMEMBERED


async def test_without_an_idle_connection_nothing_is_done(seen):
    async with seen() as there:
        pool = next(iter(there.gateway._client._pools.values()))
        pool._idle.clear()
        before = there.gateway._cache.stats()
        path = there.gateway.paths.of("mock:big")
        call = make_call("x", model="mock:big")
        assert not Passing(path, call).send()
        assert there.gateway._cache.stats() == before
        assert path.exact._flights == {}


class Passing(fastpath.Passage):
    def come(self):
        raise AssertionError("nothing was sent")


async def test_a_connection_that_was_closed_meanwhile_is_dialled_anew(seen):
    async def closes(received, writer):
        writer.close()

    async with seen(closes, GOOD) as there:
        status, head, _ = await there.ask(request())
        assert (status, there.taken) == (200, [True])
        assert b"exact=miss, cloud=answered" in head
        assert len(there.upstream.received) == 3
        assert [one["outcome"] for one in there.row(-1)["attempts"]] == ["declined", "answered"]


async def test_a_failure_goes_on_where_the_slow_path_would(seen):
    bad = reply({"error": {"message": "down"}}, 500)
    async with seen(bad, GOOD, toml="") as there:
        there.gateway._wiring.budget.tries = 2
        status, head, _ = await there.ask(request())
        assert (status, there.taken) == (200, [True])
        assert b"exact=miss, cloud=failed:provider_server_error, cloud=answered" in head
        assert len(there.upstream.received) == 3


async def test_the_same_call_waits_for_the_one_on_its_way(seen):
    go = asyncio.Event()

    async def slowly(received, writer):
        await go.wait()
        writer.write(GOOD)
        await writer.drain()

    async with seen(slowly, GOOD) as there:
        calls = [asyncio.ensure_future(there.ask(request())) for _ in range(3)]
        await there.followers(2)
        go.set()
        answers = await asyncio.gather(*calls)
        assert {answer[2] for answer in answers} == {body_of(GOOD)}
        assert len(there.upstream.received) == 2
        assert sorted(row.cache for row in there.rows[1:]) == ["hit", "hit", "miss"]
        assert there.flights == {}


async def test_a_client_that_leaves_stops_the_model_and_is_written_down(seen):
    asked = asyncio.Event()

    async def waits(received, writer):
        asked.set()
        await asyncio.Event().wait()

    async with seen(waits, GOOD) as there:
        call = asyncio.ensure_future(there.ask(request()))
        await asked.wait()
        follower = asyncio.ensure_future(there.ask(request()))
        await there.followers()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await there.upstream.left.wait()
        assert (await follower)[0] == 200  # it leads now
        row = there.row(1)
        assert (row["status"], row["outcome"], row["error_code"]) == (499, "cancelled", "client_left")
        told = [(one["rung"], one["outcome"], one.get("reason", "")) for one in row["attempts"]]
        assert told == [("exact", "declined", "miss"), ("cloud", "cancelled", "client_left")]
        assert there.flights == {}
        assert there.gateway._breakers.shown() == {}


async def test_a_server_that_stops_says_so(serving):
    asked = asyncio.Event()

    async def waits(received, writer):
        asked.set()
        await asyncio.Event().wait()

    async with serving(GOOD, waits, toml=PRICED, drain_timeout=0.01) as there:
        told = Seen(there, {})
        await told.ask(request("first"))
        call = asyncio.ensure_future(told.ask(request()))
        await asked.wait()
    status, _, body = await call
    assert (status, orjson.loads(body)["error"]["code"]) == (503, "shutting_down")
    assert told.rows[-1].status == 499
    await told.aclose()


async def test_whoever_watches_is_told_the_same(seen):
    found = []
    for fast in (True, False):
        async with seen(GOOD, fast=fast) as there:
            watcher = there.gateway.watchers.join()
            await there.ask(request())
            shown = await there.shown(watcher)
            assert there.taken == [True] * fast
            found.append(shown)
    assert found[0] == found[1]


async def test_what_was_answered_before_is_found_without_the_ladder(seen, monkeypatch):
    found = []
    for fast in (True, False):
        async with seen(GOOD, fast=fast) as there:
            await there.ask(request())
            watcher = there.gateway.watchers.join()
            with monkeypatch.context() as watched:
                watched.setattr(there.gateway, "begin" if fast else "paths", None)
                answer = await there.ask(request())
            shown = await there.shown(watcher)
            assert b"exact; hit" in answer[1]
            found.append((answer, shown, *there.kept()))
    assert found[0] == found[1]


async def test_what_is_stored_in_another_shape_or_too_old_is_not_at_hand(seen):
    found = []
    for fast in (True, False):
        async with seen(completion_stream("a b"), GOOD, fast=fast) as there:
            stream = await there.ask(request(stream=True))
            answers = [await there.ask(request()), await there.ask(request())]
            there.gateway._cache._clock = lambda: 1e12
            answers += [await there.ask(request()), await there.ask(request())]
            found.append((stream[0], answers, there.kept()[1:]))
    assert found[0] == found[1]
    assert [b"exact; hit" in head for _, head, _ in found[0][1]] == [True, True, False, True]


async def test_a_bug_is_an_error_and_leaves_nothing_behind(seen, monkeypatch):
    logged = []
    monkeypatch.setattr("rung.doors.exchange.log.exception", logged.append)
    async with seen(GOOD) as there:
        with monkeypatch.context() as broken:
            broken.setattr("rung.doors.passed.passed_head", lambda *_: 1 / 0)
            status, _, body = await there.ask(request())
        assert (status, orjson.loads(body)["error"]["code"]) == (500, "internal_error")
        assert logged == ["the application failed"]
        assert there.flights == {}
        assert (there.row(-1)["status"], there.row(-1)["error_code"]) == (500, "internal_error")
        assert (await there.ask(request("after")))[0] == 200


async def test_an_answer_that_cannot_be_put_away_is_an_answer_all_the_same(seen, monkeypatch):
    logged = []
    monkeypatch.setattr("rung.doors.passed.log.exception", logged.append)
    async with seen(GOOD) as there:
        with monkeypatch.context() as broken:
            broken.setattr("rung.rungs.exact.ExactRung.land", lambda *_: 1 / 0)
            status, _, body = await there.ask(request())
        assert (status, body) == (200, body_of(GOOD))
        assert logged == ["a call that has been answered could not be put away"]
        assert there.flights == {}


async def test_after_a_reload_the_new_settings_hold(seen):
    async with seen(GOOD) as there:
        before = there.gateway.paths
        await there.gateway.reload(there.gateway.settings)
        assert there.gateway.paths is not before
        assert (await there.ask(request()))[0] == 200
