"""The cloud rung: what cannot fit is not sent, and estimates learn from what models count."""

import pytest

from rung.answer import Answer, Declined, Evidence, Usage
from rung.errors import LadderExhausted
from rung.ladder.budget import RetryBudget
from rung.ladder.climb import Climb, climb
from rung.providers.estimate import Correction, estimate_tokens
from rung.rungs.cloud import CloudRung
from rung.testing import make_call
from rung.wire.client import Deadlines

LIMITS = Deadlines(1, 1, 1, 600)


class Provider:
    """Counts `factor` tokens for each that was estimated."""

    def __init__(self, factor=1.0):
        self.factor = factor
        self.asked = 0

    async def chat(self, call, model, deadlines):
        self.asked += 1
        usage = Usage(round(estimate_tokens(call.body) * self.factor), 0, 0, 5, 0)
        return Answer("", f"fake:{model}", Evidence("stop", True, usage, 0), body=b"{}")


def make(provider, **more):
    return CloudRung(provider, "fake", "m", deadlines=LIMITS, **more)


async def answer(rung, call):
    given = await rung.attempt(call)
    if not isinstance(given, Declined):
        rung.settle(call, given, given.body)
    return given


LONG = "the quick brown fox jumps over the lazy dog " * 4000  # some 36,000 tokens


@pytest.mark.parametrize(("context", "fits"), [(None, True), (40_000, True), (32_000, True), (20_000, False)])
async def test_a_prompt_that_cannot_fit_is_not_sent(context, fits):
    provider = Provider()
    given = await answer(make(provider, context=context), make_call(LONG))
    assert provider.asked == fits
    if not fits:
        tokens, limit = given.reason.removeprefix("context_overflow: ~").split(" tokens estimated > ")
        assert limit == "20,000"
        assert int(tokens.replace(",", "")) == pytest.approx(estimate_tokens(LONG), rel=0.05)


async def test_a_call_with_fewer_bytes_than_the_model_holds_tokens_is_not_even_looked_at():
    call = make_call("hello")
    await answer(make(Provider(), context=10_000), call)
    assert call.estimated == 0


async def test_nobody_can_hold_it():
    record = Climb(make_call(LONG))
    with pytest.raises(LadderExhausted) as caught:
        await climb(record.call, [make(Provider(), context=1000)], record, RetryBudget(0, 0))
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")
    assert record.path() == "cloud=declined:context_overflow"


async def test_what_a_model_counts_corrects_the_estimate():
    correction = Correction()
    rung = make(Provider(factor=2.0), correction=correction, context=50_000)
    call = make_call(LONG)
    assert rung.estimate(call) == estimate_tokens(call.body)
    given = await answer(rung, call)
    assert not isinstance(given, Declined)
    assert correction.factor("fake", "m") == pytest.approx(2.0, rel=0.01)
    assert isinstance(await answer(rung, make_call(LONG + "again")), Declined)  # its own count is twice as high


async def test_short_calls_teach_now_and_then_and_others_answers_never():
    correction = Correction()
    rung = make(Provider(factor=2.0), correction=correction)
    calls = [make_call(f"What is {number}?") for number in range(32)]
    for call in calls:
        await answer(rung, call)
    assert [bool(call.estimated) for call in calls] == [False] * 31 + [True]
    rung.settle(calls[0], Answer("", "other:m", Evidence(usage=Usage(9))), None)
    assert len(correction) == 1
