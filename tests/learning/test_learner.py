"""Cells open by evidence from shadows, close by audits, and are the same after a restart."""

from __future__ import annotations

import asyncio

import pytest
from learning_fakes import LOCAL, REFERENCE

from rung.errors import RungError
from rung.ladder.climb import Climb
from rung.ladder.trust import Cell
from rung.learning.people import feedback, obey
from rung.store import trust as store
from rung.testing import make_call


async def test_a_cell_opens_after_enough_agreeing_shadows_and_then_answers(bench):
    await bench.start()
    await bench.teach(19)
    assert (bench.cell.state, bench.cell.threshold) == ("shadow", None)
    await bench.teach(1)  # the labels have been enough before; now they come from enough sessions
    assert (bench.cell.state, bench.cell.threshold) == ("open", 0.0)
    record = await bench.call()
    assert record.answer.model == LOCAL
    assert not record.answer.evidence.unproved


async def test_a_cell_that_disagrees_stays_shut(bench):
    await bench.start()
    numbers = iter(range(1000))
    bench.local.says = lambda text: "wrong" if next(numbers) % 3 == 0 else f"right {text}"
    await bench.teach(60)
    assert bench.cell.state == "shadow"
    assert (await bench.call()).answer.model == REFERENCE


async def test_calls_without_a_comparator_have_no_cell(bench):
    await bench.start()
    await bench.teach(3, task="chat_writing")
    await bench.teach(3, task="")
    assert (bench.learner.cells, bench.local.asked) == ({}, [])


async def test_private_calls_are_never_compared(bench):
    await bench.start()
    await bench.teach(3, private=True)
    assert (bench.learner.cells, bench.world.climbs) == ({}, [])


async def test_several_choices_and_huge_calls_are_not_compared(bench):
    await bench.start()
    await bench.teach(2, body={"n": 2})
    await bench.teach(1, text="x" * 300_000)
    assert bench.learner.cells == {}


async def test_each_limit_has_its_own_evidence(bench):
    await bench.start()
    await bench.teach(20)
    assert (await bench.call()).answer.model == LOCAL
    assert (await bench.call(max_error=0.05)).answer.model == REFERENCE
    assert (await bench.call(max_error=0.005)).answer.model == REFERENCE  # stricter than any limit: never
    assert sorted(cell.key.limit for cell in bench.learner.cells.values()) == [0.05, 0.2]


async def test_drift_closes_by_audits_and_the_cell_learns_again(bench):
    await bench.start()
    await bench.teach(20)
    bench.local.says = lambda text: "wrong"
    answered = 0
    while bench.cell.state == "open":
        answered += 1
        await bench.teach(1)
    assert answered < 20
    assert bench.cell.state == "quarantined"
    assert (await bench.call()).answer.model == REFERENCE
    asked = len(bench.local.asked)
    await bench.teach(40)
    assert bench.cell.state == "shadow"
    assert len(bench.local.asked) - asked <= 11  # thirty calls were sat out


async def test_a_restart_restores_exactly(bench):
    await bench.start()
    await bench.teach(20)
    await bench.call()
    await bench.work()
    bench.learner.save()
    before = bench.cell.snapshot()
    await bench.stop()
    await bench.start()
    assert bench.cell.snapshot() == before
    assert (await bench.call()).answer.model == LOCAL


async def test_jobs_survive_a_restart_in_their_order(bench):
    await bench.start()
    for number in range(5):
        await bench.call(f"call {number}")
    await bench.stop()
    await bench.start()
    assert bench.learner.waiting == 5
    assert await bench.work() == 5
    assert [call.body["messages"][-1]["content"] for call in bench.local.asked] == [f"call {n}" for n in range(5)]
    assert bench.cell.opening.labels == 5
    await bench.stop()
    await bench.start()
    assert bench.learner.waiting == 0


async def test_a_call_that_must_not_be_stored_is_compared_but_never_on_disk(bench):
    await bench.start()
    await bench.call(no_store=True)
    assert bench.learner.waiting == 1
    assert await asyncio.to_thread(bench.kept.flush, 5)
    assert (await asyncio.to_thread(bench.kept.load, "")).jobs == []
    assert await bench.work() == 1


async def test_the_same_call_is_labelled_once(bench):
    await bench.start()
    await bench.call("again")
    await bench.call("again")
    await bench.work()
    await bench.call("again")
    assert bench.learner.counts["skipped_repeated"] == 2
    assert bench.learner.waiting == 0


async def test_who_asks_makes_no_other_call_of_it(bench):
    await bench.start()
    for number in range(3):
        await bench.call("again", body={"user": f"u{number}", "metadata": {"n": str(number)}}, session=f"s{number}")
        await bench.work()
    assert bench.cell.opening.labels == 1
    await bench.call("again", body={"temperature": 0.5})
    assert bench.learner.waiting == 1


async def test_a_call_on_which_the_answers_differed_goes_up_however_often_it_comes(bench):
    """It counts as one disagreement, and nobody compares it again: given out, it could be most of the traffic."""
    await bench.start()
    bench.local.says = lambda text: "wrong" if text == "popular" else f"right {text}"
    given = []
    for _ in range(60):
        given += [await bench.call(), await bench.call("popular")]
        await bench.work()
    assert bench.cell.state == "open"
    wrong = [record for record in given if record.answer.model == LOCAL and b"wrong" in record.answer.body]
    assert wrong == []
    assert [record.answer.model for record in given[-2:]] == [LOCAL, REFERENCE]
    await bench.stop()
    await bench.start()
    assert (await bench.call("popular")).answer.model == REFERENCE
    bench.cell.pin()  # whatever the labels say
    assert (await bench.call("popular")).answer.model == LOCAL


async def test_a_cell_of_a_model_that_tells_no_version_outlives_a_job_without_a_label(bench):
    bench.local.version = ""
    await bench.start()
    await bench.teach(20)
    await bench.call()  # its audit waits
    bench.cell.close()
    await bench.work()
    assert (bench.cell.state, bench.cell.reason) == ("closed", "user")


async def test_an_answer_that_ends_after_its_cell_was_replaced_spoils_nothing(bench):
    await bench.start()
    await bench.teach(20)
    gate = bench.learner.gate(make_call("slow", task="extraction"), bench.reference)
    gate.guards(bench.local)
    answer = await bench.local.attempt(gate.call)
    assert await gate.weigh(bench.local, answer, answer.body) == ""
    bench.cell.renew("drift")
    numbers = iter(range(10_000))
    bench.local.says = lambda text: "hm" if next(numbers) % 2 else f"right {text}"
    await bench.teach(100)
    assert bench.cell.key.score != "all"
    bench.learner.learn(gate, Climb(gate.call, answer=answer))
    bench.learner.save()
    assert await bench.work() == 1


async def test_the_queue_is_bounded_and_skips_are_counted(bench):
    bench.told = type(bench.told)(max_error=0.2, share=1.0, cpu_share=1.0, queue=3)
    await bench.start()
    for _ in range(5):
        await bench.call()
    assert (bench.learner.waiting, bench.learner.counts["skipped_queue"]) == (3, 2)


async def test_no_more_than_the_share_of_calls_is_shadowed(bench):
    bench.told = type(bench.told)(max_error=0.2, share=0.25, cpu_share=1.0)
    await bench.start()
    for _ in range(40):
        await bench.call()
    assert 10 <= bench.learner.counts["queued"] <= 11
    assert bench.learner.counts["skipped_share"] == 40 - bench.learner.counts["queued"]


async def test_the_coin_is_tossed_with_the_recorded_probability(bench):
    bench.told = type(bench.told)(max_error=0.2, share=1.0, cpu_share=1.0, audit=0.1)
    await bench.start()
    await bench.teach(20)
    queued = bench.learner.counts["queued"]
    for _ in range(200):
        await bench.call()
    audits = bench.learner.counts["queued"] - queued
    assert 8 <= audits <= 35
    job = bench.learner.queues[next(iter(bench.learner.queues))][0]
    assert (job.kind, job.coin.pi, job.ask) == ("audit", 0.1, REFERENCE)


async def test_a_cell_whose_audits_cannot_keep_up_stops_answering(bench):
    bench.told = type(bench.told)(max_error=0.2, share=1.0, cpu_share=1.0, audit=1.0, backlog=3)
    await bench.start()
    await bench.teach(20)
    for _ in range(3):
        assert (await bench.call()).answer.model == LOCAL
    assert (await bench.call()).answer.model == REFERENCE
    await bench.work()
    assert (await bench.call()).answer.model == LOCAL


async def test_a_new_version_of_the_model_is_another_cell(bench):
    await bench.start()
    await bench.teach(20)
    bench.local.version = "v2"
    assert (await bench.call()).answer.model == REFERENCE
    assert [cell.state for cell in bench.learner.cells.values()] == ["open", "shadow"]
    bench.local.version = "v1"
    assert (await bench.call()).answer.model == LOCAL


async def test_what_was_learnt_from_a_simulated_reference_is_kept_apart(bench):
    await bench.start()
    bench.reference.simulated = True
    await bench.teach(20)
    assert (await bench.call()).answer.model == LOCAL
    bench.reference.simulated = False
    await bench.call(max_error=0.005)  # the reference answers, and turns out to be real
    assert (await bench.call()).answer.model == REFERENCE
    await bench.stop()


async def test_where_everything_is_too_much_the_better_part_may_open(bench):
    await bench.start()
    numbers = iter(range(10_000))
    bench.local.says = lambda text: "hm" if next(numbers) % 2 else f"right {text}"
    await bench.teach(100)
    assert bench.cell.key.score != "all"
    assert bench.cell.opening.labels == 0
    await bench.teach(60)
    assert bench.cell.state == "open"
    assert bench.cell.threshold > 0.5
    before = len(bench.local.asked)
    answers = [(await bench.call()).answer.model for _ in range(10)]
    assert answers.count(LOCAL) == answers.count(REFERENCE) == 5
    assert len(bench.local.asked) - before == 10
    await bench.stop()
    await bench.start()
    assert [(await bench.call()).answer.model for _ in range(2)].count(LOCAL) == 1


async def test_a_refused_answer_is_compared_without_asking_again(bench):
    await bench.start()
    numbers = iter(range(10_000))
    bench.local.says = lambda text: "hm" if next(numbers) % 2 else f"right {text}"
    await bench.teach(160)
    asked = len(bench.local.asked)
    labels = bench.learner.counts["labelled"]
    await bench.teach(200)
    assert len(bench.local.asked) - asked == 200
    assert bench.learner.counts["labelled"] > labels


async def test_saving_less_than_it_costs_closes(bench):
    await bench.start()
    await bench.teach(20)
    bench.world.price = 1  # the reference has become cheap; audits still cost 1000
    while bench.cell.state == "open":
        await bench.teach(1)
    assert (bench.cell.state, bench.cell.reason) == ("closed", "net_value")
    assert bench.cell.answers >= bench.cell.rules.net_after


async def test_a_reference_of_unknown_price_closes_nothing(bench):
    await bench.start()
    await bench.teach(20)
    bench.world.price = None
    bench.reference.cost = None
    await bench.teach(250)
    assert bench.cell.state == "open"


async def test_orders_are_carried_out(bench):
    await bench.start()
    await bench.teach(1)
    (name,) = bench.learner.cells
    for action, state in (("close", "closed"), ("reset", "shadow"), ("pin", "open")):
        await asyncio.to_thread(store.give_order, bench.path, name, action, 1.0)
        await asyncio.to_thread(store.give_order, bench.path, "nobody", action, 1.0)
        await obey(bench.learner)
        assert bench.cell.state == state
        assert await asyncio.to_thread(bench.kept.orders) == []
    assert (await bench.call()).answer.model == LOCAL  # pinned open, proved or not


async def test_feedback_closes_and_never_opens(bench):
    await bench.start()
    await bench.teach(20)
    ids = []
    for _ in range(20):
        ids.append((await bench.call()).call.request_id)
    assert await asyncio.to_thread(bench.kept.flush, 60)  # feedback itself waits a second for a slow disk
    closed = 0
    for request_id in ids:
        told = await feedback(bench.learner, request_id, "local", True, False)
        if told["closed"]:
            closed += 1
    assert closed == 1
    assert bench.cell.state == "quarantined"
    for request_id in ids:
        assert (await feedback(bench.learner, request_id, "local", False, False))["state"] == "quarantined"


async def test_feedback_on_what_was_not_yours_or_not_promised_is_refused(bench):
    await bench.start()
    with pytest.raises(RungError, match="no answer with this request id"):
        await feedback(bench.learner, "r1", "local", True, False)
    await bench.teach(20)
    record = await bench.call(tenant="alice")
    assert await asyncio.to_thread(bench.kept.flush, 60)
    with pytest.raises(RungError) as refused:
        await feedback(bench.learner, record.call.request_id, "bob", True, False)
    assert (refused.value.status, refused.value.code) == (404, "unknown_request_id")
    told = await feedback(bench.learner, record.call.request_id, "alice", True, True)
    assert told["state"] == "open"


async def test_a_file_that_cannot_be_read_means_starting_anew(bench, caplog):
    await bench.start()
    await bench.teach(1)
    bench.learner.kept.put(store.save_cell("broken", b"{}", 1.0), store.save_job("j", b"[]", 1.0))
    await bench.stop()
    await bench.start()
    assert len(bench.learner.cells) == 1
    assert bench.learner.waiting == 0
    assert "broken cannot be read" in caplog.text
    assert isinstance(bench.cell, Cell)


async def test_a_disk_that_does_not_write_stops_learning_and_answering(bench, monkeypatch):
    await bench.start()
    await bench.teach(20)
    monkeypatch.setattr(type(bench.kept), "stuck", True)
    assert (await bench.call()).answer.model == REFERENCE
    assert bench.learner.waiting == 0
    monkeypatch.undo()
    assert (await bench.call()).answer.model == LOCAL


async def test_a_file_of_a_newer_rung_means_no_learning(bench, monkeypatch):
    await bench.start()
    await bench.teach(1)
    await bench.stop()
    monkeypatch.setattr("rung.store.trust.TRUST", ())
    warned = []
    monkeypatch.setattr("rung.learning.learner.log.warning", lambda *told: warned.append(told))
    await bench.start()
    assert bench.learner.cells == {}
    assert "no model below the reference is trusted" in warned[0][0]


async def test_a_bug_in_a_gate_sends_the_call_up(bench, monkeypatch):
    await bench.start()
    await bench.teach(20)
    logged = []
    monkeypatch.setattr("rung.learning.gate.log.exception", logged.append)
    monkeypatch.setattr(bench.learner, "score", lambda *told: 1 / 0)
    assert (await bench.call()).answer.model == REFERENCE
    monkeypatch.setattr(bench.learner, "behind", lambda *told: 1 / 0)
    assert (await bench.call()).answer.model == REFERENCE
    assert len(logged) == 2


async def test_a_reload_does_not_open_the_gate_of_a_call_under_way(bench):
    await bench.start()
    gate = bench.learner.gate(make_call("x", task="extraction"), bench.reference)
    bench.learner.reload(bench.told, ())
    assert gate.guards(bench.local)
    assert not bench.learner.gate(gate.call, bench.reference).guards(bench.local)


SCHEMA = {"type": "object", "required": ["a"]}
WANTS_SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}}


async def test_what_a_check_rejects_is_refused_charged_and_no_part_of_the_promise(bench):
    """A cell whose bad answers all fail the schema opens for the others, and refuses those."""
    await bench.start()
    numbers = iter(range(10_000))
    bench.reference.says = lambda text: '{"a":1}'
    bench.local.says = lambda text: "{}" if next(numbers) % 3 == 0 else '{"a":1}'
    await bench.teach(60, body=WANTS_SCHEMA)
    assert bench.cell.state == "open"
    assert bench.cell.opening.disagreements > 0
    assert bench.cell.opening.levels[0].disagreements == 0
    gate = bench.learner.gate(make_call("q", task="extraction", body=WANTS_SCHEMA), bench.reference)
    bench.local.says = lambda text: "{}"
    answer = await bench.local.attempt(gate.call)
    assert await gate.weigh(bench.local, answer, answer.body, "schema") == "check_failed: schema"
    assert not gate.refused[LOCAL].coin.served
    assert gate.accepted is None
    assert answer.evidence.unproved


async def test_an_answer_that_raced_the_reference_saves_nothing(bench):
    await bench.start()
    await bench.teach(20)
    for raced in (False, True):
        before = bench.cell.saved
        gate = bench.learner.gate(make_call(f"raced {raced}", task="extraction"), bench.reference)
        assert gate.guards(bench.local)
        answer = await bench.local.attempt(gate.call)
        if raced:
            gate.guards(bench.reference)  # about to be asked, by a hedge
        assert await gate.weigh(bench.local, answer, answer.body) == ""
        bench.learner.learn(gate, Climb(gate.call, answer=answer))
        assert bench.cell.saved - before == (0 if raced else bench.world.price)


async def test_a_candidate_pays_for_answers_a_check_rejects_until_its_cell_closes(bench):
    await bench.start()
    bench.learner.reload(bench.told, (bench.cheap,))
    await bench.teach(21)
    assert bench.cell.state == "open"
    bench.cell.answers, bench.cell.saved, bench.cell.spent = bench.cell.rules.net_after, 3 * bench.cheap.cost, 0
    for number in range(4):
        assert bench.cell.state == "open"
        gate = bench.learner.gate(make_call(f"bad {number}", task="extraction"), bench.reference)
        answer = await bench.cheap.attempt(gate.call)
        assert await gate.weigh(bench.cheap, answer, answer.body, "schema") == "check_failed: schema"
        bench.learner.learn(gate, Climb(gate.call, answer=await bench.reference.attempt(gate.call)))
    assert (bench.cell.state, bench.cell.reason) == ("closed", "net_value")
