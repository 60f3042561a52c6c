"""Trust end to end: simulators answer from a file of truths, one of them plays the model on this machine."""

import asyncio
import json
import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime

import pytest

from rung import config
from rung.doors.openai import chat
from rung.errors import RungError
from rung.gateway import Gateway
from rung.learning import work
from rung.sim import Clock, simulator
from rung.sim.scenario import Scenario
from rung.store import writer
from rung.testing import make_call

REFERENCE = "openai:gpt-6.1-terra"
OPENED = 21
"""calls after which a cell is open: one to learn the version of the model, twenty for as many sessions"""

LOWER = "here:gpt-6-luna"
"""another simulated model, behind a provider that was declared to be on this machine"""

TOML = f"""
[local]
enabled = false
[ladder]
reference = "{REFERENCE}"
fallback = []
[semantic]
enabled = false
[trust]
max_error = 0.2
share = 1.0
cpu_share = 1.0
audit = 1.0
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(writer, "INTERVAL", 0.002)
    monkeypatch.setattr(work, "YIELD_EVERY", 0.002)


@pytest.fixture
def serving(tmp_path):
    """-> async with serving(...) as gateway: in front of a simulator, on one home however often it starts.

    `lower`: {"accuracy": share}; `toml` is added. `gateway.sim` is the simulator; ask `truth(n)` for a question.
    """
    truth = tmp_path / "truth.jsonl"
    rows = [{"question": f"What is {n} plus {n}?", "answer": f"The answer is {2 * n}"} for n in range(1000)]
    rows += [{"question": f"Is text {n} spam?", "answer": "spam" if n % 3 else "ham"} for n in range(1000)]
    truth.write_text("\n".join(json.dumps(row) for row in rows))

    def settings(sim, toml):
        path = tmp_path / "rung.toml"
        tables = f'[providers.openai]\nbase_url = "{sim.url("openai")}"\nkey = "k"\n'
        tables += (
            f'[providers.here]\nbase_url = "{sim.url("openai")}"\nprivate_host = true\nmodels.strong = "gpt-6-luna"\n'
        )
        path.write_text(TOML + toml + tables)
        return config.load({"RUNG_HOME": str(tmp_path), "HOME": str(tmp_path)}, path, cwd=tmp_path)

    @asynccontextmanager
    async def serve(toml="", **lower):
        fast = {"first_token": {"median": 0.001}, "tokens_per_second": {"median": 100000.0}}
        scenario = {
            "answers": {"truth": str(truth)},
            "openai": {**fast, "models": {"gpt-6-luna": {"accuracy": 1.0, **lower}}},
        }
        async with simulator(scenario, clock=Clock(datetime.now(UTC))) as sim:
            told = await asyncio.to_thread(settings, sim, toml)
            async with Gateway(told) as gateway:
                gateway.sim = sim
                yield gateway

    return serve


async def ask(gateway, number, task="math", **told):
    text = f"Is text {number} spam?" if task == "classification" else f"What is {number} plus {number}?"
    return await gateway.chat([{"role": "user", "content": text}], task=task, **told)


async def learnt(gateway):
    """Wait until nothing is waiting to be compared."""
    await asyncio.wait_for(gateway.proving.learner.idle.wait(), 20)


async def teach(gateway, numbers, task="math", **told):
    """Ask, and let each answer be compared; -> who answered."""
    models = []
    for number in numbers:
        models.append((await ask(gateway, number, task, **told)).model)
        await learnt(gateway)
    return models


def cells(gateway):
    return {(cell["task"], cell["limit"]): cell for cell in gateway.trust_cells()["cells"]}


def climbs(tmp_path):
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("select * from climbs order by id")]


async def test_cells_open_one_by_one_and_outlive_a_restart(serving, tmp_path):
    async with serving() as gateway:
        assert set(await teach(gateway, range(OPENED))) == {REFERENCE}
        assert cells(gateway)["math", 0.2]["state"] == "open"
        result = await ask(gateway, 22)
        assert (result.model, result.rung, result.unproved) == (LOWER, "local", False)
        assert result.path == "tool=declined:not_a_tool_task, exact=miss, local=answered"
        assert (await ask(gateway, 0, "classification")).model == REFERENCE  # another task, another cell
        assert (await ask(gateway, 0, max_error=0.01)).model == REFERENCE
        await learnt(gateway)
        before = cells(gateway)["math", 0.2]
        assert (before["simulated"], before["labels"], before["answers"]) == (True, 20, 1)
    async with serving() as gateway:
        assert cells(gateway)["math", 0.2] == {**before, "waiting": 0}
        assert (await ask(gateway, 23)).model == LOWER


async def test_the_ledger_shows_what_learning_costs_and_it_adds_up(serving, tmp_path):
    async with serving() as gateway:
        await teach(gateway, range(30))
        spent = gateway.proving.learner.purse.spent_pico
        told = sum(cell["learning_pico"] for cell in gateway.trust_cells()["cells"])
        charged = sum(entry.cost_pico_usd for entry in gateway.sim.requests)
    rows = climbs(tmp_path)
    assert [row["purpose"] for row in rows if not row["purpose"]] == [""] * 30
    audits = [row for row in rows if row["purpose"] == "audit"]
    shadows = [row for row in rows if row["purpose"] == "shadow"]
    assert len(audits) == sum(row["model"] == LOWER for row in rows if not row["purpose"]) > 0
    assert {row["model"] for row in audits} == {REFERENCE}
    assert {row["model"] for row in shadows} == {LOWER}
    assert sum(row["cost_pico"] or 0 for row in rows if row["purpose"]) == spent == told
    free = sum(entry.cost_pico_usd for entry in gateway.sim.requests if entry.model == "gpt-6-luna")
    assert sum(row["cost_pico"] or 0 for row in rows) == charged - free  # a model on this machine costs nothing


async def test_a_model_that_is_often_wrong_stays_shut(serving):
    async with serving(accuracy=0.6) as gateway:
        assert set(await teach(gateway, range(50))) == {REFERENCE}
        (cell,) = cells(gateway).values()
        assert cell["state"] == "shadow"
        assert 0.2 < cell["disagreement"] < 0.6


async def test_drift_closes_an_open_cell(serving):
    async with serving() as gateway:
        await teach(gateway, range(OPENED))
        assert (await ask(gateway, 22)).model == LOWER
    async with serving(accuracy=0.2) as gateway:
        models = await teach(gateway, range(100, 125))
        assert models[0] == LOWER
        assert models[-1] == REFERENCE
        assert cells(gateway)["math", 0.2]["state"] == "quarantined"


async def test_private_and_named_calls_are_not_gated_and_teach_nothing(serving):
    async with serving() as gateway:
        assert (await ask(gateway, 1, private=True)).unproved
        assert (await ask(gateway, 2, model="local")).unproved
        assert (await ask(gateway, 3, mode="local")).unproved
        assert (await ask(gateway, 4, model=REFERENCE)).model == REFERENCE
        await learnt(gateway)
        assert gateway.trust_cells()["cells"] == []
        assert not any(entry.model != "gpt-6-luna" for entry in gateway.sim.requests[:3])


async def test_an_outage_is_answered_without_a_promise(serving):
    async with serving() as gateway:
        await teach(gateway, range(OPENED))
        down = {"models": {"gpt-6.1-terra": {"faults": [{"kind": "status", "status": 503}]}}}
        gateway.sim.use(await asyncio.to_thread(Scenario.of, {"openai": down}))
        result = await ask(gateway, 500, "classification")
        assert (result.model, result.unproved) == (LOWER, True)


async def test_a_promised_answer_is_not_kept_for_others(serving):
    async with serving() as gateway:
        await teach(gateway, range(OPENED))
        for _ in range(2):
            result = await ask(gateway, 22, temperature=0)
            assert (result.model, result.rung) == (LOWER, "local")
        assert (await ask(gateway, 22, temperature=0, max_error=0.01)).model == REFERENCE


async def test_a_stream_is_held_back_until_it_is_accepted(serving):
    async with serving() as gateway:
        await teach(gateway, range(OPENED))
        stream = gateway.stream([{"role": "user", "content": "What is 22 plus 22?"}], task="math")
        assert "".join([piece async for piece in stream]) == "The answer is 44"
        assert (stream.model, stream._record.buffered) == (LOWER, "trust")


async def test_the_days_money_holds(serving, tmp_path):
    async with serving(toml="usd_per_day = 0.000000001\nbacklog = 3\n") as gateway:
        models = await teach(gateway, range(OPENED))
        models = [(await ask(gateway, number)).model for number in range(22, 40)]
        assert models.count(LOWER) == 3  # answers that nobody can pay to audit are not given
        assert gateway.proving.learner.purse.spent_pico <= 1000
    assert not any(row["purpose"] == "audit" for row in climbs(tmp_path))


async def test_feedback_finds_its_cell(serving):
    async with serving() as gateway:
        await teach(gateway, range(OPENED))
        stream = gateway.stream([{"role": "user", "content": "What is 22 plus 22?"}], task="math", tenant="alice")
        async for _ in stream:
            request_id = stream._record.call.request_id
        assert (await gateway.proving.feedback(request_id, "alice", True, False))["state"] == "open"
        with pytest.raises(RungError, match="no answer with this request id"):
            await gateway.proving.feedback(request_id, "bob", True, False)


async def test_a_check_lets_a_lower_answer_out_or_sends_the_call_up(serving):
    checks = '[checks.even]\ncommand = ["grep", "-q", "[02468]$"]\n[checks.odd]\ncommand = ["grep", "-q", "[13579]$"]\n'
    async with serving(toml=checks) as gateway:
        result = await ask(gateway, 1, check="even")
        assert (result.model, result.unproved, result._record.buffered) == (LOWER, False, "check even")
        result = await ask(gateway, 2, check="odd")
        assert result.model == REFERENCE
        assert result.attempts[-2].reason == "check_failed: odd"
        assert gateway.trust_cells()["cells"] == []
        with pytest.raises(RungError, match="declared are: even, odd"):
            await ask(gateway, 3, check="prime")


@pytest.mark.parametrize(("by_rule", "cells_made"), [(True, ["math"]), (False, [])])
async def test_a_task_that_is_only_guessed_has_no_cell(serving, monkeypatch, by_rule, cells_made):
    def recognised(call):
        call.task, call.task_by_rule = "math", by_rule

    monkeypatch.setattr("rung.gateway.recognise", recognised)
    async with serving() as gateway:
        await teach(gateway, range(3), "")
        assert [cell["task"] for cell in gateway.trust_cells()["cells"]] == cells_made


class Reply:
    """What a door writes, kept."""

    def __init__(self):
        self.head, self.pieces = b"", []

    def begin(self, status, head):
        assert not self.head
        self.head = head

    async def write(self, body, more=False):
        self.pieces.append(body)

    def said(self, name):
        """The text of the events that have this name."""
        frames = [frame for frame in b"".join(self.pieces).split(b"\n\n") if b"data: {" in frame]
        chunks = [
            json.loads(frame.partition(b"data: ")[2])
            for frame in frames
            if (frame.removeprefix(b"event: ").partition(b"\n")[0].decode() if frame[:1] == b"e" else "") == name
        ]
        return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize(("check", "provisional"), [("even", True), ("odd", True), ("odd", False)])
async def test_what_is_not_accepted_is_streamed_only_where_asked_for_and_under_its_own_name(
    serving, check, provisional
):
    checks = '[checks.even]\ncommand = ["grep", "-q", "[02468]$"]\n[checks.odd]\ncommand = ["grep", "-q", "[13579]$"]\n'
    async with serving(toml=checks) as gateway:
        call = make_call("What is 2 plus 2?", stream=True, task="math", check=check, provisional=provisional)
        reply = Reply()
        await chat(gateway, call, reply, 60.0, {})
    assert reply.said("rung.provisional") == ("The answer is 4" if provisional else "")
    assert reply.said("") == "The answer is 4"
    assert (b"x-rung: pending" in reply.head) == provisional
    assert reply.pieces[-1].endswith(b"data: [DONE]\n\n")
