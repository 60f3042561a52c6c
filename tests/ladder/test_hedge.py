"""Hedging, on a clock that jumps: who is late is raced once, the loser is stopped, and three brakes hold."""

import asyncio
import math
from random import Random

import pytest

from rung.answer import Answer, Event, Evidence, Usage
from rung.cli.bench_hedging import in_virtual_time
from rung.errors import BadAnswerFault, ConnectFault, LadderExhausted, ServerFault
from rung.ladder.breaker import Breaker
from rung.ladder.budget import HedgeBudget, RetryBudget
from rung.ladder.climb import Climb, climb
from rung.ladder.hedge import Hedger, HedgeRules, Latency
from rung.testing import make_call


class Slow:
    """A model whose attempts take what `times` says, one after the other; an exception is raised after 0.1 s."""

    def __init__(self, *times, model="a:m", stays_here=False, word="hi"):
        self.times = list(times)
        self.name, self.model, self.stays_here, self.word = "cloud", model, stays_here, word
        self.asked = self.opened = self.closed = self.cancelled = 0
        self.settled = []
        self.breaker = Breaker(model)

    async def attempt(self, call):
        self.asked += 1
        step = self.times.pop(0)
        if isinstance(step, BaseException):
            await asyncio.sleep(0.1)
            raise step
        evidence = Evidence(finish_reason="stop")
        return Answer(self.name, self.model, evidence, events=self.speak(step, evidence))

    async def speak(self, seconds, evidence):
        self.opened += 1
        try:
            yield Event(b"", content=False)
            await asyncio.sleep(seconds)
            yield Event(self.word.encode())
            await asyncio.sleep(1)
            evidence.usage = Usage(input_tokens=3, output_tokens=2)
            yield Event(b".", last=True)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.closed += 1

    def settle(self, call, answer, stored):
        self.settled.append(answer)


def trained(to="next", late_after=1.0, models=("a:m",), budget=100.0):
    """A hedger that has seen enough of the models to call anything over about `late_after` late."""
    hedger = Hedger(HedgeRules(to=to), RetryBudget(ratio=1))
    for model in models:
        for whole in (False, True):
            for _ in range(100):
                hedger.latency(Slow(model=model), whole).add(late_after * 0.97)
    hedger.budget._level = budget
    return hedger


async def served(rungs, hedger, tries=1, gate=None, **call):
    """-> (record, bytes that went out, seconds to the first content)."""
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks()
    record = Climb(make_call(stream=True, **call), gate=gate)
    started = loop.time()
    error = None
    try:
        await climb(record.call, rungs, record, RetryBudget(0, 0, tries), hedger)
        first = loop.time() - started
        out = [event.data async for event in record.events()]
    except BaseException as raised:
        error = raised
        raise
    finally:
        await record.finish(error)
    assert asyncio.all_tasks() == tasks  # nothing is left running
    assert asyncio.current_task().cancelling() == 0  # the interruption was taken back
    return record, b"".join(out), first


def play(rungs, hedger, **call):
    return in_virtual_time(served(rungs, hedger, **call))


def test_in_time_nothing_happens():
    a, b = Slow(0.5), Slow(0.1, model="b:m")
    record, out, _ = play([a, b], trained())
    assert (out, b.asked) == (b"hi.", 0)
    assert record.path() == "cloud=answered"


def test_who_is_late_is_raced_by_the_next_provider_and_is_stopped():
    a, b = Slow(10.0), Slow(0.2, model="b:m", word="ho")
    hedger = trained()
    record, out, first = play([a, b], hedger)
    assert out == b"ho."
    assert first == pytest.approx(1.2, abs=0.1)
    assert record.path() == "cloud=cancelled:hedge_lost, cloud=answered"
    assert [attempt.model for attempt in record.attempts] == ["a:m", "b:m"]
    assert record.attempts[0].cost is None
    assert (a.closed, a.cancelled) == (1, 1)
    assert len(a.settled) == len(b.settled) == 1
    assert (hedger.hedges, hedger.wins) == (1, 1)


def test_the_first_may_still_win():
    a, b = Slow(1.3), Slow(5.0, model="b:m")
    record, out, first = play([a, b], trained())
    assert out == b"hi."
    assert first == pytest.approx(1.3)
    assert record.path() == "cloud=cancelled:hedge_lost, cloud=answered"
    assert [attempt.model for attempt in record.attempts] == ["b:m", "a:m"]
    assert b.closed == 1
    assert len(b.settled) == 1


def test_alone_or_told_so_the_same_model_is_asked_again():
    alone = Slow(10.0, 0.1)
    play([alone], trained())
    assert (alone.asked, len(alone.settled)) == (2, 1)
    a, b = Slow(10.0, 0.1), Slow(0.1, model="b:m")
    play([a, b], trained(to="same"))
    assert (a.asked, b.asked) == (2, 0)


def test_a_local_model_or_another_of_the_same_provider_is_no_second_source():
    a = Slow(10.0, 0.1)
    others = [Slow(0.1, model="a:other"), Slow(0.1, model="local:m", stays_here=True)]
    play([a, *others], trained())
    assert [rung.asked for rung in others] == [0, 0]


@pytest.mark.parametrize(("private", "stays_here"), [(True, True), (True, False), (False, True)])
def test_a_private_call_and_a_model_on_this_machine_are_never_raced(private, stays_here):
    a = Slow(10.0, 0.1, stays_here=stays_here)
    b = Slow(0.1, model="b:m")
    _, _, first = play([a, b], trained(), private=private)
    assert first == pytest.approx(10)
    assert (a.asked, b.asked) == (1, 0)


def test_after_the_first_content_no_second_attempt_starts():
    a, b = Slow(0.9), Slow(0.1, model="b:m")  # silent for a second after its first word
    play([a, b], trained())
    assert b.asked == 0


def test_a_second_that_fails_leaves_the_first_alone_and_is_not_asked_again():
    a, b = Slow(3.0), Slow(ServerFault("500"), model="b:m")
    record, out, _ = play([a, b], trained())
    assert out == b"hi."
    assert record.path() == "cloud=failed:provider_server_error, cloud=answered"


def test_a_first_that_fails_late_waits_for_the_second():
    class Dies(Slow):
        async def speak(self, seconds, evidence):
            await asyncio.sleep(seconds)
            raise BadAnswerFault("cut", code="cut_stream")
            yield

    a, b = Dies(1.5), Slow(2.0, model="b:m", word="ho")
    hedger = trained()
    record, out, first = play([a, b], hedger)
    assert out == b"ho."
    assert hedger.wins == 1
    assert first == pytest.approx(3.0, abs=0.1)
    assert record.path() == "cloud=failed:cut_stream, cloud=answered"


def test_when_both_fail_the_climb_goes_on_with_who_was_not_asked():
    class Dies(Slow):
        async def speak(self, seconds, evidence):
            await asyncio.sleep(seconds)
            raise BadAnswerFault("cut", code="cut_stream")
            yield

    a, b, c = Dies(1.5), Slow(ConnectFault("refused"), model="b:m"), Slow(0.1, model="c:m", word="ha")
    _, out, _ = play([a, b, c], trained())
    assert out == b"ha."
    assert (a.asked, b.asked, c.asked) == (1, 1, 1)
    a, b = Dies(1.5), Slow(ConnectFault("refused"), model="b:m")
    with pytest.raises(LadderExhausted):
        play([a, b], trained())


def test_a_client_that_leaves_stops_both():
    a, b = Slow(10.0), Slow(10.0, model="b:m")

    async def leave():
        hedger = trained()
        task = asyncio.ensure_future(served([a, b], hedger))
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    in_virtual_time(leave())
    assert (a.closed, b.closed) == (1, 1)
    assert a.breaker.idle
    assert b.breaker.idle


def test_leaving_at_the_very_moment_the_second_wins_is_still_leaving():
    """Both interruptions reach the caller's task at once: it sees its own, and the winner's stream is closed."""
    tasks = []

    class Last(Slow):
        async def speak(self, seconds, evidence):
            self.opened += 1
            try:
                await asyncio.sleep(seconds)
                tasks[0].cancel()
                yield Event(b"ho")
            finally:
                self.closed += 1

    a, b = Slow(10.0), Last(0.5, model="b:m")

    async def leave():
        tasks.append(asyncio.ensure_future(served([a, b], trained())))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert (a.closed, b.closed) == (1, 1)

    in_virtual_time(leave())


def test_when_both_speak_in_the_same_moment_one_is_closed():
    a, b = Slow(1.5), Slow(0.5, model="b:m", word="ho")
    hedger = trained()
    a.times = [hedger.latency(a, False).late_after + 0.5]
    b.times = [0.5]

    async def both():
        record, out, _ = await served([a, b], hedger)
        assert out in (b"hi.", b"ho.")
        assert [attempt.outcome for attempt in record.attempts] == ["cancelled", "answered"]
        assert (a.closed, b.closed) == (1, 1)

    in_virtual_time(both())


def test_nobody_is_raced_while_slowness_is_shared():
    a, b = Slow(10.0), Slow(0.1, model="b:m")
    hedger = trained()
    for _ in range(20):
        hedger.latency(a, False).note(late=True)
    play([a, b], hedger)
    assert b.asked == 0


def test_nothing_is_raced_before_enough_is_known():
    a = Slow(10.0)
    play([a, Slow(0.1, model="b:m")], Hedger(HedgeRules(), RetryBudget()))
    assert a.asked == 1


def test_the_budget_is_a_share_and_shared_with_retries():
    budget = HedgeBudget(0.05, RetryBudget(reserve=1000))
    made = 0
    for _ in range(1000):
        budget.deposit()
        made += budget.withdraw()
    assert 45 <= made <= 50
    poor = HedgeBudget(1.0, RetryBudget(ratio=0, reserve=2))
    for _ in range(10):
        poor.deposit()
    assert [poor.withdraw() for _ in range(4)] == [True, True, False, False]


def test_without_budget_who_is_late_is_waited_for():
    a, b = Slow(10.0), Slow(0.1, model="b:m")
    _, _, first = play([a, b], trained(budget=0.0))
    assert first == pytest.approx(10)
    assert b.asked == 0


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.95])
def test_the_quantile_is_learnt_to_a_few_percent_and_follows_a_change(quantile):
    rng = Random(3)
    latency = Latency(quantile)
    for scale in (1.0, 5.0):
        for _ in range(6000):
            latency.add(scale * 0.4 * math.exp(0.8 * rng.gauss(0, 1)))
        z = {0.5: 0.0, 0.9: 1.2816, 0.95: 1.6449}[quantile]
        assert latency.late_after == pytest.approx(scale * 0.4 * math.exp(0.8 * z), rel=0.15)
    assert len(latency._buckets) == 100


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e9])
def test_any_time_has_a_bucket(seconds):
    latency = Latency(0.95)
    for _ in range(60):
        latency.add(seconds)
    assert 0 < latency.late_after < 3600


def test_when_many_are_late_at_once_nobody_is_raced_until_it_is_over():
    latency = Latency(0.95)
    for _ in range(12):
        latency.note(late=True)
    assert latency.shared
    for number in range(200):
        latency.note(late=number % 20 == 0)
    assert not latency.shared


def test_hedges_that_never_win_become_dear():
    latency = Latency(0.95)
    for _ in range(20):
        latency.hedged(won=False)
    assert latency.price == 10
    for _ in range(4):
        latency.hedged(won=True)
    assert latency.price == 1


def test_models_are_remembered_up_to_a_bound():
    hedger = Hedger(HedgeRules(), RetryBudget())
    for number in range(2000):
        hedger.latency(Slow(model=f"p:{number}"), False)
    assert len(hedger._latencies) <= 512


@pytest.mark.parametrize("seed", range(20))
def test_races_of_every_kind_end_in_one_answer_and_leave_nothing_behind(seed):
    """Times and faults at random, the caller may leave: the answer is of one source, every stream is closed."""
    rng = Random(seed)

    def step():
        if rng.random() < 0.2:
            return ServerFault("500")
        return rng.choice([0.2, 0.9, 1.0, 1.1, 1.5, 2.0, 3.0])

    async def many():
        for _ in range(50):
            rungs = [Slow(step(), step(), step(), model=f"{mark}:m", word=mark) for mark in "abc"]
            hedger = trained(to=rng.choice(["next", "same"]))
            task = asyncio.ensure_future(served(rungs, hedger, tries=2))
            if rng.random() < 0.3:
                asyncio.get_running_loop().call_later(rng.choice([0.5, 1.0, 1.2, 1.5, 2.0]), task.cancel)
            try:
                record, out, _ = await task
                assert out in (b"a.", b"b.", b"c.")
                assert out[:1].decode() == record.answer.model[0] == record.attempts[-1].model[0]
                assert [attempt.outcome for attempt in record.attempts].count("answered") == 1
            except (LadderExhausted, asyncio.CancelledError):
                pass
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1
            for rung in rungs:
                assert rung.closed == rung.opened
                assert len(rung.settled) == (1 if rung.asked else 0)

    in_virtual_time(many())
