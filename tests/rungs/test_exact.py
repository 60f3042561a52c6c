"""The exact rung: what it bypasses, stores and serves, and who waits for whom."""

import asyncio
from typing import Any

import orjson
import pytest

from rung.answer import Answer, Declined, Evidence, Usage
from rung.call import Call
from rung.completion import frames, whole
from rung.rungs.exact import ExactRung, admissible
from rung.store.exact import ExactCache
from rung.store.stored import Stored

MESSAGES = [{"role": "user", "content": "hello"}]


def a_rung(**options: Any) -> ExactRung:
    return ExactRung(ExactCache(), config_version="1", **options)


def a_call(*, private: bool = False, mode: str = "auto", no_store: bool = False, **body: Any) -> Call:
    full = {"model": "auto", "messages": MESSAGES, **body}
    return Call(
        full,
        orjson.dumps(full),
        full["model"],
        private=private,
        mode=mode,
        no_store=no_store,
        stream=full.get("stream", False),
        include_usage=(full.get("stream_options") or {}).get("include_usage", False),
    )


def an_answer(text: str = "hi", *, rung: str = "cloud", data: bytes | None = None, **evidence: Any) -> Answer:
    known = {"finish_reason": "stop", "complete": True, "usage": Usage(3, 0, 0, 2), "cost": 7, "model_version": "m-1"}
    body = data if data is not None else whole(text, model="m", request_id="r", usage=Usage(3, 0, 0, 2))
    return Answer(rung, "groq:m", Evidence(**{**known, **evidence}), body)


def text_of(answer: Answer | Declined) -> str:
    assert isinstance(answer, Answer)
    assert answer.body is not None
    return str(orjson.loads(answer.body)["choices"][0]["message"]["content"])


async def climbed(rung: ExactRung, call: Call, answer: Answer | None) -> Answer | Declined:
    """One call's way up: asked, missed, answered elsewhere, settled."""
    said = await rung.attempt(call)
    rung.settle(call, answer, answer.body if answer else None)
    return said


async def until_waiting(rung: ExactRung, count: int) -> None:
    """Until `count` calls wait for a leader; a few turns of the loop are enough."""
    for _ in range(100):
        if sum(len(flight.waiting) for flight in rung._flights.values()) == count:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"there are not {count} followers")


async def test_the_same_call_again_is_answered_and_costs_nothing() -> None:
    rung = a_rung()

    assert await climbed(rung, a_call(), an_answer()) == Declined("miss")
    hit = await rung.attempt(a_call())

    assert text_of(hit) == "hi"
    assert isinstance(hit, Answer)
    assert (hit.rung, hit.model, hit.evidence.model_version) == ("exact", "groq:m", "m-1")
    assert (hit.evidence.usage, hit.evidence.cost, hit.evidence.complete) == (Usage(), 0, True)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (a_call(temperature=0.31), "bypass: temperature"),
        (a_call(n=2), "bypass: n"),
        (a_call(no_store=True), "bypass: no_store"),
        (a_call(temperature=0.3), "miss"),
        (a_call(temperature=None, n=None), "miss"),
        (a_call(n=1, temperature=0), "miss"),
    ],
)
async def test_what_is_not_cacheable_is_bypassed(call: Call, reason: str) -> None:
    rung = a_rung()

    assert await climbed(rung, call, an_answer()) == Declined(reason)
    assert isinstance(await rung.attempt(call), Answer if reason == "miss" else Declined)


async def test_bounds_of_cacheability_are_arguments() -> None:
    rung = a_rung(max_temperature=1.0, cache_n=True)
    two = orjson.loads(whole("hi", model="m", request_id="r"))
    two["choices"].append({**two["choices"][0], "index": 1})

    await climbed(rung, a_call(temperature=1, n=2), an_answer(data=orjson.dumps(two)))

    assert isinstance(await rung.attempt(a_call(temperature=1, n=2)), Answer)


async def test_of_several_choices_none_may_be_truncated() -> None:
    rung = a_rung(cache_n=True)
    two = orjson.loads(whole("hi", model="m", request_id="r"))
    two["choices"].append({**two["choices"][0], "index": 1, "finish_reason": "length"})

    await climbed(rung, a_call(n=2), an_answer(data=orjson.dumps(two)))

    assert await rung.attempt(a_call(n=2)) == Declined("miss")


TOOL = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("body", "answer", "stored"),
    [
        ({}, an_answer(), True),
        ({}, an_answer(rung="local"), True),
        ({}, an_answer(simulated=True), True),
        ({}, an_answer(finish_reason="length"), False),
        ({}, an_answer(finish_reason="content_filter"), False),
        ({}, an_answer(finish_reason=None), False),
        ({}, an_answer(complete=False), False),
        ({}, an_answer(rung="tool"), False),
        ({}, None, False),
        ({}, an_answer(unproved=True), False),
        ({"model": "local"}, an_answer(unproved=True), True),
        ({"mode": "local"}, an_answer(unproved=True), True),
        ({"private": True}, an_answer(unproved=True), True),
        ({"tools": [TOOL]}, an_answer(finish_reason="tool_calls", tool_calls=True), True),
        ({"tools": [{**TOOL, "x-no-store": True}]}, an_answer(finish_reason="tool_calls", tool_calls=True), False),
        ({"tools": [{**TOOL, "x-no-store": True}]}, an_answer(), True),
        (
            {"tools": [TOOL, {"type": "function", "function": {"name": "b", "no-store": True}}]},
            an_answer(finish_reason="tool_calls", tool_calls=True),
            False,
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "b", "parameters": {"x-no-store": True}}}]},
            an_answer(finish_reason="tool_calls", tool_calls=True),
            False,
        ),
        (
            {"functions": [{"name": "b", "x-no-store": True}]},
            an_answer(finish_reason="function_call", tool_calls=True),
            False,
        ),
        ({"tools": [{"type": "x", "function": "odd"}], "functions": [1]}, an_answer(tool_calls=True), True),
    ],
)
async def test_only_whole_good_answers_are_stored(body: dict[str, Any], answer: Answer | None, stored: bool) -> None:
    rung = a_rung()

    await climbed(rung, a_call(**body), answer)

    assert isinstance(await rung.attempt(a_call(**body)), Answer if stored else Declined)


async def test_an_answer_too_large_to_keep_is_not_stored() -> None:
    rung = a_rung()
    call = a_call()
    await rung.attempt(call)

    rung.settle(call, an_answer(), None)

    assert await rung.attempt(a_call()) == Declined("miss")


@pytest.mark.parametrize("mode", ["local", "cloud", "fast", "strong"])
async def test_an_answer_for_one_mode_does_not_serve_another(mode: str) -> None:
    rung = a_rung()
    await climbed(rung, a_call(), an_answer())

    assert await rung.attempt(a_call(mode=mode)) == Declined("miss")


@pytest.mark.parametrize(
    ("unproved", "call", "serves"),
    [
        (False, a_call(), True),
        (False, a_call(mode="strong"), True),
        (True, a_call(), False),
        (True, a_call(mode="strong"), False),
        (True, a_call(model="strong"), False),
        (True, a_call(mode="cloud"), False),
        (True, a_call(mode="fast"), False),
        (True, a_call(mode="local"), True),
        (True, a_call(model="local"), True),
        (True, a_call(private=True), True),
    ],
)
def test_admissibility(unproved: bool, call: Call, serves: bool) -> None:
    assert admissible(Stored(b"{}", "whole", "groq:m", "local", unproved=unproved), call) is serves


async def test_without_a_reference_the_local_answer_is_the_best_there_is() -> None:
    """An unproved answer to `auto` outlives its call only where no reference could do better."""
    for alone in (False, True):
        rung = a_rung(alone=alone)
        await climbed(rung, a_call(), an_answer(unproved=True, rung="local"))
        assert isinstance(await rung.attempt(a_call()), Answer) is alone


async def test_tenant_privacy_and_configuration_keep_answers_apart() -> None:
    cache = ExactCache()
    rung = ExactRung(cache, config_version="1")
    await climbed(rung, a_call(), an_answer())
    other = a_call()
    other.tenant = "somebody"

    assert await rung.attempt(other) == Declined("miss")
    assert await rung.attempt(a_call(private=True)) == Declined("miss")
    assert await ExactRung(cache, config_version="2").attempt(a_call()) == Declined("miss")


async def test_any_shape_serves_any_shape() -> None:
    usage = Usage(3, 0, 0, 2)
    streamed = b"".join(frames("hi", model="m", request_id="r", include_usage=False))
    stream = {"stream": True}
    with_usage = {"stream": True, "stream_options": {"include_usage": True}}
    firsts = [({}, whole("hi", model="m", request_id="r", usage=usage)), (stream, streamed)]
    for first, data in firsts:
        rung = a_rung()
        call = a_call(**first)
        await rung.attempt(call)
        answer = an_answer()
        if first:
            answer.body, answer.events = None, None
        rung.settle(call, answer, data)
        for _ in range(2):  # converted, then remembered
            assert text_of(await rung.attempt(a_call())) == "hi"
            for shape in (stream, with_usage):
                hit = await rung.attempt(a_call(**shape))
                assert isinstance(hit, Answer)
                assert hit.events is not None
                events = [event async for event in hit.events]
                assert [(event.content, event.last) for event in events] == [(True, True)]
                assert (b'"prompt_tokens":3' in events[0].data) is (shape is with_usage)
                assert b"[DONE]" not in events[0].data
                await hit.aclose()


async def test_a_long_answer_is_converted_off_the_loop() -> None:
    rung = a_rung()
    await climbed(rung, a_call(), an_answer("x" * 200_000))

    hit = await rung.attempt(a_call(stream=True))

    assert isinstance(hit, Answer)
    assert hit.events is not None
    assert len((await anext(hit.events)).data) > 200_000


async def test_what_turns_out_to_be_no_answer_is_forgotten() -> None:
    rung = a_rung()
    await climbed(rung, a_call(), an_answer(data=b'["not an answer"]'))

    assert await climbed(rung, a_call(stream=True), None) == Declined("miss")
    assert await rung.attempt(a_call()) == Declined("miss")


async def test_followers_wait_for_the_leader() -> None:
    rung = a_rung()
    leader = a_call()
    assert await rung.attempt(leader) == Declined("miss")
    followers = [asyncio.create_task(rung.attempt(a_call())) for _ in range(3)]
    await until_waiting(rung, 3)

    answer = an_answer()
    rung.settle(leader, answer, answer.body)

    assert [text_of(await follower) for follower in followers] == ["hi"] * 3
    assert not rung._flights


async def test_a_leader_that_fails_or_leaves_is_succeeded_by_one_follower() -> None:
    rung = a_rung()
    leader = a_call()
    await rung.attempt(leader)
    calls = [a_call() for _ in range(3)]
    followers = [asyncio.create_task(rung.attempt(call)) for call in calls]
    await until_waiting(rung, 3)

    rung.settle(leader, None, None)
    done, waiting = await asyncio.wait(followers, return_when=asyncio.FIRST_COMPLETED)
    await until_waiting(rung, 2)

    assert [task.result() for task in done] == [Declined("miss")]
    answer = an_answer("second")
    rung.settle(calls[followers.index(done.pop())], answer, answer.body)
    assert [text_of(await follower) for follower in waiting] == ["second", "second"]


async def test_an_answer_that_may_not_be_stored_lets_everybody_climb() -> None:
    rung = a_rung()
    leader = a_call()
    await rung.attempt(leader)
    followers = [asyncio.create_task(rung.attempt(a_call())) for _ in range(3)]
    await until_waiting(rung, 3)

    answer = an_answer(finish_reason="length")
    rung.settle(leader, answer, answer.body)

    assert await asyncio.gather(*followers) == [Declined("miss")] * 3


async def test_a_follower_that_leaves_disturbs_nobody() -> None:
    rung = a_rung()
    leader = a_call()
    await rung.attempt(leader)
    leaving, staying = (asyncio.create_task(rung.attempt(a_call())) for _ in range(2))
    await until_waiting(rung, 2)

    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    answer = an_answer()
    rung.settle(leader, answer, answer.body)

    assert text_of(await staying) == "hi"


async def test_a_follower_waits_no_longer_than_it_may() -> None:
    for rung, deadline in ((a_rung(flight_wait=0.01), 600.0), (a_rung(), 0.01)):
        leader = a_call()
        await rung.attempt(leader)
        follower = a_call()
        follower.deadline = follower.started + deadline

        assert await rung.attempt(follower) == Declined("miss")
        assert rung._flights[next(iter(rung._flights))].leader is leader
        answer = an_answer()
        rung.settle(follower, answer, answer.body)  # it climbed alone, and what it found serves all
        assert text_of(await rung.attempt(a_call())) == "hi"


async def test_whoever_is_first_with_an_answer_serves_the_followers() -> None:
    rung = a_rung(flight_wait=0.01)
    leader, alone = a_call(), a_call()
    await rung.attempt(leader)
    assert await rung.attempt(alone) == Declined("miss")
    rung._flight_wait = 60.0
    waiting = asyncio.create_task(rung.attempt(a_call()))
    await until_waiting(rung, 1)

    answer = an_answer()
    rung.settle(alone, answer, answer.body)

    assert text_of(await waiting) == "hi"
    rung.settle(leader, None, None)
    assert not rung._flights


async def test_a_leader_past_its_deadline_is_not_waited_for() -> None:
    rung = a_rung()
    leader = a_call()
    await rung.attempt(leader)
    leader.deadline = leader.started - 1

    assert await rung.attempt(a_call()) == Declined("miss")


async def test_followers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rung.rungs.exact.MAX_FOLLOWERS", 1)
    rung = a_rung()
    leader = a_call()
    await rung.attempt(leader)
    waiting = asyncio.create_task(rung.attempt(a_call()))
    await until_waiting(rung, 1)

    assert await rung.attempt(a_call()) == Declined("miss")
    rung.settle(leader, None, None)
    assert await waiting == Declined("miss")


async def test_settling_a_call_that_was_never_asked_for_does_nothing() -> None:
    rung = a_rung()
    answer = an_answer()

    rung.settle(a_call(), answer, answer.body)

    assert await rung.attempt(a_call()) == Declined("miss")
