"""Going on after a cut: who may, how often, and what is kept of it."""

import time

import pytest

from rung.answer import Declined
from rung.errors import BadAnswerFault, ServerFault
from rung.ladder.budget import RetryBudget
from rung.ladder.checks import texts_of
from rung.ladder.climb import Climb, climb
from rung.testing import ScriptedRung, make_call

CUT = BadAnswerFault("cut", code="cut_stream")


class Resumed(ScriptedRung):
    """Cut after two words; what follows is the next answer of `rest`."""

    def __init__(self, *rest, **more):
        super().__init__(["one two three four"], cut_after=2, cut_with=CUT, **more)
        self.rest = ScriptedRung(list(rest), model=self.model)
        self.begun = []

    async def resume(self, call, so_far):
        self.begun.append(so_far)
        return await self.rest.attempt(call)


async def run(rung, budget=None, other=None, **told):
    """-> (record, text that went out, the error that ended it)."""
    record = Climb(make_call(stream=True, **{"continues": True, **told}))
    out, error = [], None
    try:
        await climb(record.call, [rung, *([other] if other else [])], record, budget or RetryBudget(1, 3))
        async for event in record.events():
            out.append(event.data)
    except Exception as broken:
        error = broken
    await record.finish(error)
    return record, "".join(texts_of(b"".join(out), whole=False)), error


async def test_the_same_model_goes_on_and_the_whole_is_not_kept():
    rung = Resumed("three four")
    record, text, error = await run(rung)
    assert (text, error) == ("onetwothreefour", None)
    assert rung.begun == ["onetwo"]
    assert record.joined_at == len("onetwo")
    assert record.path() == "cloud=failed:cut_stream, cloud=answered:continued"
    assert rung.settled == [(None, None)]


@pytest.mark.parametrize("told", [{"continues": False}, {"body": {"response_format": {"type": "json_object"}}}])
async def test_it_must_be_asked_for_and_possible(told):
    rung = Resumed("three four")
    record, text, error = await run(rung, **told)
    assert (text, error) == ("onetwo", CUT)
    assert rung.begun == []
    assert record.path() == "cloud=failed:cut_stream"


async def test_nobody_else_is_asked():
    other = ScriptedRung(["other"])
    rung = Resumed(Declined("no_prefix"))
    record, text, error = await run(rung, other=other)
    assert (text, error) == ("onetwo", CUT)
    assert other.asked == []
    assert [attempt.outcome for attempt in record.attempts] == ["failed", "declined"]


async def test_a_rest_that_fails_leaves_the_first_fault():
    record, text, error = await run(Resumed(ServerFault("still down")))
    assert (text, error) == ("onetwo", CUT)
    assert record.path() == "cloud=failed:cut_stream, cloud=failed:provider_server_error"


async def test_a_private_call_goes_on_only_here():
    there, here = Resumed("three"), Resumed("three four", stays_here=True)
    for rung, ends in ((there, False), (here, True)):
        record = Climb(make_call(stream=True, continues=True, private=True))
        await climb(record.call, [rung], record, RetryBudget(1, 3))
        assert bool(await _drained(record)) is not ends
        assert bool(rung.begun) is ends


async def test_it_is_one_of_the_retries_and_keeps_the_deadline():
    rung = Resumed("three four")
    _, _, error = await run(rung, budget=RetryBudget(0, 0))
    assert error is CUT
    late = Climb(make_call(stream=True, continues=True))
    await climb(late.call, [rung := Resumed("three four")], late, RetryBudget(1, 3))
    events = late.events()
    await anext(events)
    late.call.deadline = time.monotonic() - 1
    with pytest.raises(Exception, match=r"deadline|cut"):
        async for _ in events:
            pass
    assert rung.begun == []
    await late.finish(CUT)


async def _drained(record):
    try:
        async for _ in record.events():
            pass
    except Exception as error:
        await record.finish(error)
        return error
    await record.finish()
    return None
