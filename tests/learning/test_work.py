"""Labels are made in the background, when paid for and when nobody else needs the machine; nothing harms a caller."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from learning_fakes import CHEAP, DOWN, JUDGE, LOCAL, REFERENCE

from rung.answer import Declined
from rung.config import Trust
from rung.learning import work


def told(**known):
    return Trust(**{"max_error": 0.2, "share": 1.0, "cpu_share": 1.0, "audit": 1.0, **known})


async def opened(bench):
    """A bench whose cell has opened."""
    await bench.start()
    await bench.teach(20)
    assert bench.cell.state == "open"


async def test_a_shadow_is_a_climb_of_its_own_under_the_callers_words(bench):
    await bench.start()
    await bench.call("what?", body={"temperature": 0.1, "stream": True, "stream_options": {"include_usage": True}})
    await bench.work()
    (record,) = bench.world.climbs
    call = record.call
    assert (call.purpose, call.request_id, call.stream, call.no_store) == ("shadow", "r0-shadow", False, True)
    assert set(call.body) == {"model", "messages", "temperature"}
    assert b"stream" not in call.raw
    assert bench.reference.asked[0].body["messages"] == call.body["messages"]


async def test_an_audit_asks_the_reference_and_is_charged(bench):
    await opened(bench)
    await bench.call()
    await bench.work()
    record = bench.world.climbs[-1]
    assert (record.call.purpose, record.answer.model, record.cost()) == ("audit", REFERENCE, 1000)
    assert bench.learner.purse.spent_pico == 1000
    assert sum(bench.learner.costs.values()) == 1000
    assert bench.cell.spent == 1000


async def test_money_is_reserved_on_disk_before_it_is_spent_and_settled_after(bench):
    await opened(bench)
    bench.world.price = 5000  # the estimate; the answer turns out to cost 1000
    seen = []

    async def look(call, rung, ask=bench.world.ask):
        seen.append((await asyncio.to_thread(bench.kept.load, "1970-01-02")).spent_pico)
        return await ask(call, rung)

    bench.world.ask = look
    await bench.call()
    await bench.work()
    await asyncio.to_thread(bench.kept.flush, 5)
    assert seen == [5000]
    assert (await asyncio.to_thread(bench.kept.load, "1970-01-02")).spent_pico == 1000


async def test_the_days_money_holds_over_a_restart_and_comes_back_the_next_day(bench):
    bench.told = told(usd_per_day=2500e-12)
    await opened(bench)
    for _ in range(4):
        await bench.call()
    assert await bench.work() == 2
    assert bench.learner.waiting == 2
    assert "usd_per_day" in next(iter(bench.worker.waits.values()))
    await bench.stop()
    await bench.start()
    assert bench.learner.purse.spent_pico == 2000
    assert await bench.work() == 0
    bench.clock.now += 86_400
    bench.monotonic.now += 61
    assert await bench.work() == 2
    assert bench.learner.waiting == 0


async def test_an_unknown_price_is_taken_for_a_high_one(bench):
    await opened(bench)
    bench.world.price = bench.reference.cost = None
    await bench.call()
    await bench.work()
    assert bench.learner.purse.spent_pico > 10**10  # what was reserved stays spent: nobody knows better
    assert bench.learner.counts["labelled"] == 21


async def test_a_disk_that_remembers_nothing_spends_nothing(bench, monkeypatch):
    await opened(bench)
    await bench.call()
    monkeypatch.setattr(bench.kept, "flush", lambda seconds: False)
    assert await bench.work() == 0
    assert bench.world.climbs[-1].call.purpose == "shadow"


@pytest.mark.parametrize("why", ["local_busy: 1 running", "local_loading"])
async def test_what_cannot_be_done_now_waits_in_its_order(bench, why):
    await bench.start()
    await bench.call("first")
    await bench.call("second")
    bench.local.says = lambda text: Declined(why)
    assert await bench.work() == 0
    assert bench.learner.waiting == 2
    bench.local.says = lambda text: f"right {text}"
    assert await bench.work() == 0  # not before its time
    bench.monotonic.now += work.FIRST_WAIT
    assert await bench.work() == 2
    assert [call.body["messages"][0]["content"] for call in bench.local.asked] == ["first", "first", "second"]


async def test_a_call_the_model_would_not_take_is_no_label(bench):
    await bench.start()
    bench.local.says = lambda text: Declined("text_only")
    await bench.teach(2)
    assert bench.learner.counts["unlabelled"] == 2
    assert bench.cell.opening.labels == 0


async def test_while_callers_use_the_machine_nothing_is_asked(bench):
    await bench.start()
    await bench.call()
    bench.world.is_busy = True
    assert await bench.work() == 0
    assert bench.local.asked == []
    bench.world.is_busy = False
    bench.monotonic.now += 1
    assert await bench.work() == 1


async def test_a_shadow_gives_way_to_a_caller_who_wants_the_model(bench):
    await bench.start()
    await bench.call()
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def slow(call):
        began.set()
        bench.world.is_wanted = True
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    attempt, bench.local.attempt = bench.local.attempt, slow
    assert await bench.work() == 0
    assert began.is_set()
    assert cancelled.is_set()
    assert bench.learner.waiting == 1
    bench.world.is_wanted, bench.local.attempt = False, attempt
    bench.monotonic.now += 60
    assert await bench.work() == 1


async def test_the_local_model_works_for_learning_only_its_share_of_the_time(bench):
    bench.told = told(cpu_share=0.25)
    await bench.start()
    for _ in range(3):
        await bench.call()
    attempt = bench.local.attempt

    async def takes_two_seconds(call):
        bench.monotonic.now += 2
        return await attempt(call)

    bench.local.attempt = takes_two_seconds
    assert await bench.work() == 1
    bench.monotonic.now += 5.9
    assert await bench.work() == 0
    bench.monotonic.now += 0.2
    assert await bench.work() == 1


async def test_faults_are_tried_again_and_then_count_as_disagreement(bench):
    await opened(bench)
    bench.reference.says = lambda text: DOWN
    call = bench.learner.gate
    record = await bench.call()
    assert record.answer.model == LOCAL
    waits = []
    while bench.learner.waiting:
        await bench.work()
        waits.append(bench.monotonic.now)
        bench.monotonic.now += 100
    assert call is not None
    assert len(waits) == work.TRIES
    assert bench.cell.closing.disagreements == 1
    assert bench.learner.purse.spent_pico == 0


async def test_a_provider_that_is_down_for_good_is_waited_for(bench):
    await opened(bench)
    bench.reference.says = lambda text: Declined("breaker_open: retry in 5 s")
    await bench.call()
    for _ in range(20):
        await bench.work()
        bench.monotonic.now += 100
    assert bench.learner.waiting == 1
    assert bench.cell.closing.disagreements == 0


async def test_an_answer_that_is_cut_counts_as_disagreement(bench):
    await bench.start()
    attempt = bench.local.attempt

    async def cut(call):
        answer = await attempt(call)
        answer.evidence.finish_reason = "length"
        return answer

    bench.local.attempt = cut
    await bench.teach(1)
    assert bench.cell.opening.disagreements == 1


async def test_a_bug_in_a_comparison_harms_nobody(bench, monkeypatch):
    await bench.start()
    logged = []
    monkeypatch.setattr(work.log, "exception", logged.append)
    monkeypatch.setattr(bench.learner.grader, "compare", lambda *told: 1 / 0)
    await bench.teach(2)
    assert bench.cell.opening.disagreements == 2
    assert len(logged) == 2


async def test_free_text_is_judged_by_the_named_model_charged_and_labelled(bench):
    bench.told = told(judge=JUDGE)
    await bench.start()
    seen = []
    bench.judge.says = lambda text: seen.append(text) or ["SAME", "different.", "I think so"][len(seen) - 1]
    await bench.teach(3, task="chat_writing")
    assert bench.cell.opening.labels == 3
    assert bench.cell.opening.disagreements == 2
    purposes = [record.call.purpose for record in bench.world.climbs]
    assert purposes == ["shadow", "judge"] * 3
    assert sum(bench.learner.costs.values()) == 3 * bench.judge.cost
    assert "right question 0" in seen[0]


async def test_a_cheaper_cloud_model_is_proved_in_its_own_version(bench):
    await bench.start()
    bench.learner.reload(bench.told, (bench.cheap,))
    await bench.teach(1)  # nobody knew its version before
    assert bench.learner.counts["unlabelled"] == 1
    assert bench.learner.cells == {}
    await bench.teach(20)
    assert (await bench.call()).answer.model == CHEAP
    bench.cheap.version = "v2"
    assert (await bench.call()).answer.model == REFERENCE  # the answer was weighed, and came from another model
    await bench.teach(21)
    assert sorted((cell.key.version, cell.state) for cell in bench.learner.cells.values()) == [
        ("v1", "open"),
        ("v2", "open"),
    ]


async def test_the_worker_lives_in_the_background(bench):
    await bench.start()
    labelled, done = asyncio.Event(), bench.learner.done
    bench.learner.done = lambda *told: (done(*told), labelled.set())
    bench.worker.start()
    await bench.call()
    await asyncio.wait_for(labelled.wait(), 10)
    await bench.worker.aclose()
    await bench.worker.aclose()
    await bench.call()
    assert bench.learner.waiting == 1


async def test_a_job_reads_as_it_was_written(bench):
    from rung.learning import jobs

    await bench.start()
    await bench.call("é \N{SNOWMAN}")
    ((job,),) = bench.learner.queues.values()
    assert jobs.read(jobs.dump(job)) == job
    with pytest.raises(msgspec.MsgspecError):
        jobs.read(b"{}")


async def test_a_reference_that_differs_from_itself_is_found_out(bench):
    await bench.start()
    bench.repeats = 0.0
    said = iter(range(10_000))
    bench.reference.says = lambda text: f"mood {next(said)}"
    await bench.teach(12)
    assert (bench.cell.reference_pairs, bench.cell.reference_disagreements) == (12, 12)
    assert bench.cell.refused
    assert [record.call.purpose for record in bench.world.climbs[:2]] == ["shadow", "repeat"]
    assert sum(bench.learner.costs.values()) == 12 * bench.reference.cost


def test_the_reference_is_asked_twice_more_often_in_doubt(bench):
    from rung.ladder.trust import Cell, CellKey, Rules

    cell = Cell.new(CellKey("math", "local", "m", "v", "1 r", "all", 0.2), Rules())
    assert work.repeat_rate(cell) == work.REPEATS
    for number in range(work.DOUBT_AFTER):
        cell.observe(0.5, True, cell.coin(0.5), session=str(number), fingerprint=str(number))
    assert work.repeat_rate(cell) == work.REPEATS_IN_DOUBT


async def test_a_reference_that_is_cut_counts_as_disagreement(bench):
    await bench.start()
    attempt = bench.reference.attempt

    async def cut(call):
        answer = await attempt(call)
        answer.evidence.finish_reason = "length"
        return answer

    bench.reference.attempt = cut
    await bench.teach(1)
    assert (bench.cell.opening.labels, bench.cell.opening.disagreements) == (1, 1)
