"""The climb: silent before the first content, explicit after it, never spliced."""

import asyncio
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.answer import Declined
from rung.errors import (
    BadAnswerFault,
    ConnectFault,
    CredentialFault,
    DeadlineError,
    LadderExhausted,
    RateLimitFault,
    RejectedFault,
    ServerFault,
    TimeoutFault,
)
from rung.ladder.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from rung.ladder.budget import RetryBudget
from rung.ladder.checks import texts_of
from rung.ladder.climb import Climb, climb
from rung.testing import ScriptedRung, make_call


def never() -> RetryBudget:
    return RetryBudget(ratio=0, reserve=0)


async def run(call, rungs, budget=None):
    record = Climb(call)
    await climb(call, rungs, record, budget or never())
    return record


async def drain(record):
    """-> (frames that went out, the error that ended them)."""
    out, error = [], None
    try:
        async for event in record.events():
            out.append(event.data)
    except Exception as broken:
        error = broken
    await record.finish(error)
    return b"".join(out), error


async def test_the_first_answer_wins_and_every_attempt_is_recorded():
    tool = ScriptedRung([Declined("not_a_tool_task: leftover words")], name="tool")
    exact = ScriptedRung([Declined("miss")], name="exact")
    local = ScriptedRung(["hi"], name="local")
    unused = ScriptedRung([])
    record = await run(make_call(), [tool, exact, local, unused])
    await record.finish()
    assert record.path() == "tool=declined:not_a_tool_task, exact=miss, local=answered"
    assert record.cost() == 0
    assert unused.asked == []
    assert orjson.loads(record.answer.body)["choices"][0]["message"]["content"] == "hi"


async def test_a_fault_moves_the_call_up():
    record = await run(make_call(), [ScriptedRung([ServerFault("down")]), ScriptedRung(["ok"], model="b:c")])
    assert record.path() == "cloud=failed:provider_server_error, cloud=answered"
    assert record.answer.model == "b:c"


async def test_a_stream_that_breaks_before_its_first_content_moves_up_silently():
    low = ScriptedRung(["one two"], model="low:a", cut_after=0, cut_with=BadAnswerFault("cut", code="cut_stream"))
    high = ScriptedRung(["three four"], model="high:b")
    record = await run(make_call(stream=True), [low, high])
    out, error = await drain(record)
    assert error is None
    assert texts_of(out, whole=False) == ["threefour"]
    assert low.closed == 1
    assert record.path() == "cloud=failed:cut_stream, cloud=answered"


async def test_a_stream_that_breaks_after_content_is_an_error_and_is_not_continued():
    low = ScriptedRung(["one two"], cut_after=1, cut_with=BadAnswerFault("cut", code="cut_stream"))
    high = ScriptedRung(["three"])
    record = await run(make_call(stream=True), [low, high])
    out, error = await drain(record)
    assert isinstance(error, BadAnswerFault)
    assert texts_of(out, whole=False) == ["one"]
    assert high.asked == []
    assert low.settled == [(None, None)]
    assert record.attempts[-1].outcome == "failed"


@given(
    words=st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=6),
    cuts=st.lists(st.one_of(st.none(), st.integers(0, 6)), min_size=1, max_size=4),
)
async def test_no_answer_is_ever_mixed_from_two_sources(words, cuts):
    """Rung i says only words marked i; whatever breaks where, one mark at most reaches the client."""
    rungs = [
        ScriptedRung(
            [" ".join(f"{mark}{word}" for word in words)],
            model=f"m:{mark}",
            cut_after=None if cut is None else min(cut, len(words)),
            cut_with=BadAnswerFault("cut"),
        )
        for mark, cut in enumerate(cuts)
    ]
    call = make_call(stream=True)
    record = Climb(call)
    try:
        await climb(call, rungs, record, never())
    except LadderExhausted:
        assert all(cut == 0 for cut in cuts)
        await record.finish()
        return
    out, error = await drain(record)
    text = "".join(texts_of(out, whole=False))
    marks = {char for char in text if char.isdigit()}
    first = next(mark for mark, cut in enumerate(cuts) if cut != 0)
    assert marks == {str(first)}
    whole = cuts[first] is None
    assert (error is None) == whole
    for rung in rungs[: first + 1]:
        assert len(rung.settled) == 1
    assert (rungs[first].settled[0][1] is not None) == whole


async def test_settle_gets_the_served_answer_and_its_bytes():
    exact = ScriptedRung([Declined("miss")], name="exact")
    record = await run(make_call(stream=True), [exact, ScriptedRung(["a b"])])
    out, _ = await drain(record)
    await record.finish()
    ((answer, stored),) = exact.settled
    assert answer is record.answer
    assert stored == out


async def test_a_declined_rung_is_not_asked_twice_and_nothing_left_says_why():
    call = make_call()
    record = Climb(call)
    with pytest.raises(LadderExhausted) as caught:
        await climb(call, [ScriptedRung([Declined("local_busy: 3 wait")], name="local")], record, never())
    assert caught.value.reasons == (("local", "local_busy: 3 wait"),)
    assert "local_busy" in caught.value.message
    assert caught.value.status == 503


@pytest.mark.parametrize(
    ("faults", "status"),
    [
        ([ServerFault("a"), RejectedFault("too long", status=413)], 413),
        ([ServerFault("a"), RateLimitFault("b")], 429),
        ([TimeoutFault("a"), ServerFault("b")], 504),
        ([CredentialFault("a")], 502),
    ],
)
async def test_the_status_of_an_exhausted_ladder_tells_most(faults, status):
    call = make_call()
    with pytest.raises(LadderExhausted) as caught:
        await climb(call, [ScriptedRung([fault]) for fault in faults], Climb(call), never())
    assert caught.value.status == status
    assert len(caught.value.faults) == len(faults)


async def test_one_retry_within_the_budget(monkeypatch):
    rung = ScriptedRung([ConnectFault("refused"), "ok"])
    rung_without = ScriptedRung([ConnectFault("refused"), "ok"])
    monkeypatch.setattr("rung.ladder.climb.random.uniform", lambda low, high: 0.0)
    record = await run(make_call(), [rung], RetryBudget(0, 1))
    assert record.path() == "cloud=failed:connect_failed, cloud=answered"
    with pytest.raises(LadderExhausted):
        await run(make_call(), [rung_without], never())
    assert len(rung_without.asked) == 1


async def test_retries_end_when_the_budget_is_spent():
    budget = RetryBudget(ratio=0.1, reserve=2)
    asked = 0
    for _ in range(50):
        rung = ScriptedRung([RateLimitFault("slow", retry_after=0)] * 2)
        with pytest.raises(LadderExhausted):
            await run(make_call(), [rung], budget)
        asked += len(rung.asked)
    assert 50 <= asked <= 50 + 2 + 5


async def test_a_long_wait_is_not_waited_for():
    rung = ScriptedRung([RateLimitFault("slow", retry_after=30), "never"])
    record = await run(make_call(), [rung, ScriptedRung(["up"], model="up:up")], RetryBudget(1, 10))
    assert record.answer.model == "up:up"


async def test_a_deadline_that_has_passed_asks_nobody():
    rung = ScriptedRung(["late"])
    with pytest.raises(DeadlineError):
        await run(make_call(deadline=time.monotonic() - 1), [rung])
    assert rung.asked == []


def half_open(model):
    """A breaker whose next call is the probe."""
    breaker = Breaker(model)
    breaker.failed(RateLimitFault("slow", retry_after=0.0), 0, time.monotonic())
    assert breaker.state == OPEN
    return breaker


async def test_a_probe_that_speaks_closes_the_breaker_before_it_has_ended():
    rung = ScriptedRung(["one two"])
    rung.breaker = half_open(rung.model)
    record = await run(make_call(stream=True), [rung])
    assert rung.breaker.state == CLOSED
    await drain(record)


async def test_a_probe_whose_client_leaves_is_left_to_the_next_call():
    asked = asyncio.Event()

    class Waits(ScriptedRung):
        async def attempt(self, call):
            asked.set()
            await asyncio.Event().wait()

    rung = Waits([])
    rung.breaker = half_open(rung.model)
    task = asyncio.ensure_future(run(make_call(), [rung]))
    await asked.wait()
    assert rung.breaker.state == HALF_OPEN
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rung.breaker.state == OPEN
    assert rung.breaker.refusal(time.monotonic()) is None


async def test_a_refused_call_moves_up_and_the_rung_is_not_asked():
    rung = ScriptedRung(["never"])
    rung.breaker = Breaker(rung.model)
    rung.breaker.failed(CredentialFault("401"), 0, time.monotonic())
    record = await run(make_call(), [rung, ScriptedRung(["up"], model="up:up")])
    assert record.path() == "cloud=declined:breaker_open, cloud=answered"
    assert rung.asked == []
    assert record.cost() == 0


JSON = {"response_format": {"type": "json_object"}}


@pytest.mark.parametrize("stream", [False, True])
async def test_json_that_was_asked_for_is_checked_before_it_is_committed(stream):
    bad, good = ScriptedRung(["{oops"], model="low:a"), ScriptedRung(['{"a":1}'], model="high:b")
    record = await run(make_call(stream=stream, body=JSON), [bad, good])
    assert record.answer.model == "high:b"
    assert record.path() == "cloud=failed:not_json, cloud=answered"


async def test_the_last_rung_is_not_buffered():
    record = await run(make_call(stream=True, body=JSON), [ScriptedRung(["{a b c d"])])
    assert record.buffered == ""
    assert len(record._opened.events) < 4
    await drain(record)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("text", "kept"), [("{oops", False), ('{"a":1}', True)])
async def test_broken_json_of_the_last_rung_is_served_and_not_stored(stream, text, kept):
    exact = ScriptedRung([Declined("miss")], name="exact")
    record = await run(make_call(stream=stream, body=JSON), [exact, ScriptedRung([text])])
    if stream:
        await drain(record)
    await record.finish()
    ((answer, stored),) = exact.settled
    assert answer is record.answer
    assert (stored is not None) == kept


async def test_a_refused_answer_is_charged():
    rung = ScriptedRung(["{oops"])
    record = await run(make_call(body=JSON), [rung, ScriptedRung(['{"a":1}'])])
    assert (record.attempts[0].reason, record.attempts[0].cost) == ("not_json", 0)
    assert record.attempts[0].usage is not None
    assert record.cost() == 0


async def test_unknown_cost_stays_unknown():
    rung = ScriptedRung([BadAnswerFault("empty")])
    record = await run(make_call(), [rung, ScriptedRung(["ok"])])
    assert record.cost() is None


@pytest.mark.parametrize(("began", "cost"), [(True, None), (False, 0)])
async def test_what_breaks_off_once_it_began_may_be_billed(began, cost):
    """An error event after a 200: the tokens written by then are charged, and nobody says how many."""
    fault = ServerFault("broken off")
    first = ScriptedRung(["a few words"], cut_after=0, cut_with=fault) if began else ScriptedRung([fault])
    record = await run(make_call(stream=True), [first, ScriptedRung(["ok"])])
    assert (record.attempts[0].outcome, record.attempts[0].cost) == ("failed", cost)
    await record.finish()
