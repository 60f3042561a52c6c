"""Verified cascades: the lowest answer that passes the user's check goes out; where it does not pay, none is tried."""

from __future__ import annotations

import asyncio

import pytest
from learning_fakes import CHEAP, LOCAL

from rung import sandbox
from rung.config import Check
from rung.errors import InvalidRequestError
from rung.learning import cascade
from rung.learning.cascade import Cascade
from rung.testing import make_call


@pytest.fixture
def checked(bench, monkeypatch):
    """A bench with the check `tests`; it accepts texts that begin with "right". `checked.ran` is what it was given."""
    bench.ran = []

    async def run(command, text, limits):
        bench.ran.append((command, text, limits.seconds))
        return 0 if text.startswith(b"right") else 1

    monkeypatch.setattr(sandbox, "run", run)
    return bench


async def weighed(bench, rung, text="write it", check="tests"):
    """-> why the answer of `rung` was refused, and the gate."""
    bench.learner.cascades.checks = {"tests": Check(command=("pytest",), seconds=3)}
    call = make_call(text, check=check)
    gate = bench.learner.cascades.gate(call, bench.reference, [bench.local, bench.cheap])
    assert gate.guards(rung)
    answer = await rung.attempt(call)
    return await gate.weigh(rung, answer, answer.body), gate, answer


async def test_what_passes_is_accepted_without_any_other_proof(checked):
    await checked.start()
    refused, gate, answer = await weighed(checked, checked.local)
    assert (refused, gate.passed(answer), answer.evidence.unproved) == ("", "check tests", False)
    assert checked.ran == [(("pytest",), b"right write it", 3)]


async def test_a_fence_around_the_text_is_taken_off(checked):
    await checked.start()
    checked.local.says = lambda text: "```python\nright = 1\n```"
    assert (await weighed(checked, checked.local))[0] == ""
    assert checked.ran[0][1] == b"right = 1"


async def test_what_fails_is_refused_and_charged(checked):
    await checked.start()
    checked.cheap.says = lambda text: "nonsense"
    refused, gate, answer = await weighed(checked, checked.cheap)
    assert (refused, gate.passed(answer)) == ("check_failed: tests", "")
    assert checked.learner.cascades.books[f"tests {CHEAP}"] == Cascade(1, 0, 0, checked.cheap.cost)


async def test_after_the_reference_nobody_is_guarded(checked):
    await checked.start()
    _, gate, _ = await weighed(checked, checked.local)
    assert not gate.guards(checked.reference)
    assert not gate.guards(checked.local)


async def test_only_cheap_models_are_tried(checked):
    await checked.start()
    prices = {"cheap:model": 100, "big:strong": 1000}
    checked.world.cost = lambda model, usage: prices.get(model)
    _, gate, _ = await weighed(checked, checked.local)
    assert [rung.model for rung in gate.ahead] == [LOCAL, CHEAP]
    prices["cheap:model"] = 101
    assert [rung.model for rung in gate.ahead] == [LOCAL]
    assert gate.refusal(checked.cheap) == "cascade_unpaid: not cheap enough"
    del prices["cheap:model"]
    assert [rung.model for rung in gate.ahead] == [LOCAL]


async def test_a_cascade_that_does_not_pay_ends_and_stays_ended(checked, monkeypatch):
    monkeypatch.setattr(cascade, "TRIES", 5)
    await checked.start()
    prices = {"cheap:model": 1, "big:strong": 1000}
    checked.world.cost = lambda model, usage: prices[model]
    checked.cheap.says = lambda text: "nonsense"
    for _ in range(5):
        assert (await weighed(checked, checked.cheap))[1].refusal(checked.local) == ""
    await checked.stop()
    await checked.start()
    _, gate, _ = await weighed(checked, checked.local)
    assert gate.refusal(checked.cheap) == "cascade_unpaid: it cost more than it saved"


async def test_a_check_that_takes_too_long_fails(checked, monkeypatch):
    async def never(command, text, limits):
        await asyncio.Event().wait()

    await checked.start()
    monkeypatch.setattr(sandbox, "run", never)
    checked.learner.cascades.checks = {"tests": Check(command=("x",))}
    assert not await checked.learner.cascades.passes("tests", "text", 0.01)


async def test_an_unknown_check_is_refused_by_name(checked):
    await checked.start()
    with pytest.raises(InvalidRequestError, match="declared are: tests"):
        await weighed(checked, checked.local, check="nobody")


async def test_without_a_sandbox_the_call_is_refused(checked, monkeypatch):
    async def none(command, text, limits):
        raise InvalidRequestError("no sandbox", code="no_sandbox")

    await checked.start()
    monkeypatch.setattr(sandbox, "run", none)
    with pytest.raises(InvalidRequestError, match="no sandbox"):
        await weighed(checked, checked.local)


async def test_an_answer_without_text_fails(checked):
    await checked.start()
    attempt = checked.local.attempt

    async def cut(call):
        answer = await attempt(call)
        answer.evidence.finish_reason = "length"
        return answer

    checked.local.attempt = cut
    assert (await weighed(checked, checked.local))[0] == "check_failed: tests"
    assert checked.ran == []


async def test_what_a_built_in_check_rejects_never_gets_to_the_users(checked):
    await checked.start()
    checked.learner.cascades.checks = {"tests": Check(command=("pytest",))}
    call = make_call("write it", check="tests")
    gate = checked.learner.cascades.gate(call, checked.reference, [checked.cheap])
    answer = await checked.cheap.attempt(call)
    assert await gate.weigh(checked.cheap, answer, answer.body, "json") == "check_failed: json"
    assert (checked.ran, gate.passed(answer)) == ([], "")
    assert checked.learner.cascades.books[f"tests {CHEAP}"] == Cascade(1, 0, 0, checked.cheap.cost)


async def test_where_the_reference_was_asked_too_nothing_is_saved(checked):
    await checked.start()
    checked.learner.cascades.checks = {"tests": Check(command=("pytest",))}
    call = make_call("write it", check="tests")
    for raced, saved in ((False, 1000), (True, 1000)):
        gate = checked.learner.cascades.gate(call, checked.reference, [checked.cheap])
        assert gate.guards(checked.cheap)
        answer = await checked.cheap.attempt(call)
        if raced:
            gate.guards(checked.reference)  # about to be asked, by a hedge
        assert await gate.weigh(checked.cheap, answer, answer.body) == ""
        assert checked.learner.cascades.books[f"tests {CHEAP}"].saved == saved
