"""A model below the reference, whose whole answer must be accepted, is raced by the reference, on a jumping clock."""

import math
from random import Random

import pytest
from test_hedge import Slow, served, trained

from rung.cli.bench_hedging import in_virtual_time
from rung.errors import LadderExhausted, ServerFault
from rung.ladder.budget import RetryBudget
from rung.ladder.hedge import Hedger, HedgeRules


class Gate:
    """Guards whoever stays here, and refuses answers that say "no"."""

    def __init__(self, reference):
        self.reference = reference

    def guards(self, rung):
        return rung.stays_here or rung.model.startswith("cheap:")

    def refusal(self, rung):
        return ""

    async def weigh(self, rung, answer, data, failed):
        return "trust_score" if data.startswith(b"no") else ""

    def passed(self, answer):
        return ""


def low(*times, word="hi", model="here:m"):
    """Its whole answer takes a second more than its first word."""
    rung = Slow(*times, model=model, stays_here=True, word=word)
    rung.name = "local"
    return rung


def known(late_after=2.0, **told):
    return trained(models=("here:m",), late_after=late_after, **told)


def play(rungs, hedger, *, reference=-1, **told):
    """-> (record, bytes that went out, seconds to the first content)."""
    return in_virtual_time(served(rungs, hedger, gate=Gate(rungs[reference]), **told))


def test_the_reference_answers_when_the_lower_model_is_late():
    a, b = low(10.0), Slow(0.5, model="big:m", word="ho")
    hedger = known()
    record, out, first = play([a, b], hedger)
    assert out == b"ho."
    assert first == pytest.approx(2.5, abs=0.2)  # the wait and the reference's time, not 11.5 s
    assert record.path() == "local=cancelled:hedge_lost, cloud=answered"
    assert record.attempts[0].cost == 0  # this machine's work is free
    assert (a.closed, a.cancelled, hedger.hedges, hedger.wins) == (1, 1, 1, 1)


def test_the_lower_answer_goes_out_if_it_is_accepted_first():
    a, b = low(1.5), Slow(5.0, model="big:m", word="ho")
    record, out, first = play([a, b], known())
    assert out == b"hi."
    assert first == pytest.approx(2.5)
    assert record.path() == "cloud=cancelled:hedge_lost, local=answered"
    assert record.attempts[0].cost is None  # it may be billed
    assert b.closed == 1


def test_refused_late_it_has_cost_no_time_of_its_own():
    a, b = low(2.0, word="no"), Slow(2.0, model="big:m", word="ho")
    record, out, first = play([a, b], known())
    assert out == b"ho."
    assert first == pytest.approx(4.0, abs=0.2)  # 3 s and 2 s one after the other would be 5
    assert record.path() == "local=declined:trust_score, cloud=answered"


def test_refused_in_time_the_call_climbs_as_ever():
    a, b = low(0.2, word="no"), Slow(0.5, model="big:m", word="ho")
    hedger = known()
    _, out, first = play([a, b], hedger)
    assert (out, hedger.hedges) == (b"ho.", 0)
    assert first == pytest.approx(1.7)


def test_only_the_reference_races_and_only_from_elsewhere():
    a, c, b = low(10.0), Slow(0.1, model="cheap:m"), Slow(0.5, model="big:m", word="ho")
    assert play([a, c, b], known())[1] == b"ho."
    assert c.asked == 0
    a, b = low(3.0), low(0.1, model="host:m")
    play([a, b], known())
    assert b.asked == 0


@pytest.mark.parametrize("told", [{"private": True}, {"budget": 0.0}, {"untaught": True}])
def test_private_calls_are_not_raced_nor_is_anything_without_budget_or_knowledge(told):
    a, b = low(10.0), Slow(0.5, model="big:m")
    hedger = Hedger(HedgeRules(), RetryBudget()) if told.pop("untaught", False) else known(budget=told.pop("budget", 9))
    play([a, b], hedger, **told)
    assert b.asked == 0


def test_when_both_are_in_vain_nobody_is_asked_twice():
    a, b, c = low(2.0, word="no"), Slow(ServerFault("500"), model="big:m"), Slow(0.1, model="c:m", word="ha")
    record, out, _ = play([a, b, c], known(), reference=1, tries=2)
    assert out == b"ha."
    assert record.path() == "local=declined:trust_score, cloud=failed:provider_server_error, cloud=answered"
    a, b = low(2.0, word="no"), Slow(ServerFault("500"), model="big:m")
    with pytest.raises(LadderExhausted):
        play([a, b], known(), tries=2)


@pytest.mark.parametrize(("json", "asked"), [(True, 1), (False, 0)])
def test_an_unproved_model_is_raced_where_its_whole_answer_is_awaited(json, asked):
    body = {"response_format": {"type": "json_object"}} if json else {}
    a, b = low(10.0), Slow(0.5, model="big:m")
    in_virtual_time(served([a, b], known(), body=body))
    assert b.asked == asked


def test_the_time_of_a_refused_answer_is_learnt_too():
    hedger = Hedger(HedgeRules(), RetryBudget())
    for _ in range(60):
        play([low(0.5, word="no"), Slow(0.1, 0.1, model="big:m")], hedger)
    assert hedger.latency(low(), True).late_after == pytest.approx(1.5, rel=0.15)


def test_the_tail_is_cut_within_the_budget():
    """2,000 calls, some of which the lower model takes ten times as long for: the slowest come back much sooner."""

    async def all_of(hedger):
        rng, times = Random(7), []
        for _ in range(2000):
            seconds = math.exp(0.4 * rng.gauss(0, 1)) * (10 if rng.random() < 0.02 else 1)
            rungs = [low(seconds, word="no" if rng.random() < 0.1 else "hi"), Slow(0.5, 0.5, model="big:m")]
            times.append((await served(rungs, hedger, gate=Gate(rungs[1])))[2])
        return sorted(times)[-20], hedger

    plain, _ = in_virtual_time(all_of(None))
    hedged, hedger = in_virtual_time(all_of(Hedger(HedgeRules(), RetryBudget(reserve=1000))))
    assert hedged < plain / 2
    assert 0 < hedger.hedges <= 0.05 * 2000
