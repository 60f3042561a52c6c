"""Labels for the semantic rung: what a miss, an audit, a judge and a fault teach, and what is served meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from learning_fakes import DOWN, JUDGE, REFERENCE, Clock, Model, World  # noqa: E402

from rung.answer import Answer, Declined, Evidence  # noqa: E402
from rung.call import Call  # noqa: E402
from rung.learning.hits import ASKED_AT_ONCE, FIRST_WAIT, POOR, TRIES, HitLearner  # noqa: E402
from rung.partitions import FIRST_CALLS, Partitions  # noqa: E402
from rung.rungs.semantic import SemanticRung  # noqa: E402
from rung.testing import make_call  # noqa: E402

BACKLOG = 3
NO_MONEY, MONEY, LATE_DISK = "no money", "money", "late disk"


class Toy:
    """The sum of a random direction per word."""

    name, version, width, quick = "toy", "toy-1", 32, True

    def embed(self, text: str) -> np.ndarray:
        words = text.lower().split()
        total = sum(np.random.default_rng(list(word.encode())).normal(size=self.width) for word in words)
        return (total / np.linalg.norm(total)).astype(np.float32)


class Purse:
    def __init__(self) -> None:
        self.state = MONEY
        self.paid: list[int | None] = []

    def affords(self, pico: int) -> bool:
        return self.state != NO_MONEY

    async def reserve(self, pico: int) -> object | None:
        return object() if self.state == MONEY else None

    def pay(self, spend: object, pico: int | None) -> None:
        self.paid.append(pico)


class Shop:
    """A semantic rung that serves whatever no veto forbids, audits every hit, and learns when told to `work`."""

    def __init__(self, folder: Path, judge: str = "", shared: frozenset[str] = frozenset()) -> None:
        self.reference, self.judge = Model(REFERENCE, cost=1000), Model(JUDGE, lambda text: "SAME", cost=7)
        self.world, self.purse, self.clock = World(self.reference, self.judge), Purse(), Clock()
        self.partitions = Partitions(Toy, None, folder, limit=0.01, max_bytes=10**7, most=4, clock=self.clock)
        self.hits = HitLearner(
            self.partitions,
            self.world,
            self.purse,
            backlog=BACKLOG,
            judge=judge,
            clock=self.clock,
        )
        self.rung = SemanticRung(
            self.partitions,
            config_version="1",
            deadline=50.0,
            ttl=10**6,
            volatile_ttl=0.0,
            max_entry=2000,
            max_temperature=0.3,
            shared=shared,
            reference=lambda call: self.reference,
            learn=self.hits.learn,
            behind=lambda: self.hits.behind,
        )
        self.numbers = iter(range(10_000))

    async def ask(self, text: str, *, gives: Answer | None = None, **told: Any) -> Answer | Declined:
        """What the rung says; where it declines, the reference answers (or `gives`) and the rung hears of it."""
        call = make_call(text, **{"task": "knowledge_qa", **told})
        call.request_id = f"r{next(self.numbers)}"
        said = self.rung.look(call)
        assert said is not None
        answer = said if isinstance(said, Answer) else gives or await self.reference.attempt(call)
        assert isinstance(answer, Answer)
        self.rung.settle(call, answer, answer.body)
        return said

    async def work(self) -> None:
        """Do all that can be done now."""
        while await self.hits._step() or self.hits._asking:
            if self.hits._asking:
                await asyncio.wait(self.hits._asking)

    async def open(self, text: str, **told: Any) -> None:
        """The scope is there, `text` is stored and its answer is served from now on."""
        for _ in range(FIRST_CALLS):
            await self.ask(text, **told)
        await self.partitions.loaded()
        await self.ask(text, **told)
        await self.work()
        control = next(reversed(self.partitions._there.values())).control
        control.level, control._thresholds, control.pi = 4, [0.0] * 5, lambda score: 1.0

    @property
    def partition(self) -> Any:
        return next(reversed(self.partitions._there.values()))


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    made = Shop(tmp_path)
    yield made
    await made.hits.aclose()
    made.rung.aclose()
    await made.partitions.aclose()


async def test_an_audited_hit_that_says_what_the_reference_says_stays(shop: Shop) -> None:
    await shop.open("garden hose")
    assert isinstance(await shop.ask("garden hose"), Answer)
    await shop.work()
    assert shop.hits.counts["audited"] == 1
    assert shop.hits.counts["wrong"] == 0
    assert shop.purse.paid == [1000]
    (again,) = [one for one in shop.reference.asked if one.purpose == "audit"]
    assert again.no_store
    assert isinstance(await shop.ask("garden hose"), Answer)


async def test_a_wrong_hit_is_not_served_again(shop: Shop) -> None:
    await shop.open("garden hose")
    shop.reference.says = lambda text: f"since changed: {text}"
    assert isinstance(await shop.ask("garden hose"), Answer)
    await shop.work()
    assert shop.hits.counts["wrong"] == 1
    assert not shop.partition.entries
    said = await shop.ask("garden hose")
    assert isinstance(said, Declined)


@pytest.mark.parametrize(("verdict", "wrong"), [("SAME", 0), ("DIFFERENT", 1), ("who knows", 1)])
async def test_free_texts_are_compared_by_the_judge_that_is_named(shop: Shop, verdict: str, wrong: int) -> None:
    shop.hits.judge = JUDGE
    shop.judge.says = lambda text: verdict
    await shop.open("garden hose", task="chat_writing")
    shop.reference.says = lambda text: f"in other words: {text}"
    await shop.ask("garden hose", task="chat_writing")
    await shop.work()
    assert shop.hits.counts["wrong"] == wrong
    (asked,) = shop.judge.asked
    assert asked.purpose == "judge"
    assert "in other words: garden hose" in asked.body["messages"][1]["content"]
    assert shop.purse.paid == [1000, 7]


async def test_without_a_judge_other_words_are_another_answer(shop: Shop) -> None:
    await shop.open("garden hose", task="chat_writing")
    shop.reference.says = lambda text: f"in other words: {text}"
    await shop.ask("garden hose", task="chat_writing")
    await shop.work()
    assert (shop.hits.counts["wrong"], shop.judge.asked) == (1, [])


async def test_data_are_compared_as_data(shop: Shop) -> None:
    shop.reference.says = lambda text: '{"name": "hose", "size": 2}'
    await shop.open("garden hose", task="extraction")
    shop.reference.says = lambda text: '{ "size": 2, "name": "hose" }'
    await shop.ask("garden hose", task="extraction")
    await shop.work()
    assert (shop.hits.counts["audited"], shop.hits.counts["wrong"]) == (1, 0)


async def test_misses_gather_prompts_under_their_answer(shop: Shop) -> None:
    shop.reference.says = lambda text: "all the same"
    await shop.open("garden hose")
    control = shop.partition.control
    control.level = -1  # in shadow
    await shop.ask("garden hose please")
    await shop.work()
    assert len({one.answer for one in shop.partition.entries.values()}) == 1
    assert len(shop.partition.entries) == 2


async def test_an_answer_that_has_proved_to_be_another_one_since_is_still_known(shop: Shop) -> None:
    shop.reference.says = lambda text: "a hose" if "hose" in text else "a shed"
    await shop.open("garden hose")
    shop.partition.control.level = -1
    await shop.ask("wooden hut")
    await shop.work()
    shop.partition.control.level = 4
    assert isinstance(await shop.ask("wooden hut"), Answer)  # its audit waits
    decision = shop.hits._audits[0].lesson.decision
    first = next(one.answer for one in shop.partition.entries.values() if one.prompt == "garden hose")
    shop.partition.learn(decision, [first, decision.answer], None)
    assert shop.partition._decider.answer(decision.answer) != decision.answer
    assert decision.answer in shop.partition.compared(decision)


@pytest.mark.parametrize(("state", "wait"), [(NO_MONEY, POOR), (LATE_DISK, FIRST_WAIT)])
async def test_an_audit_waits_for_money_and_nothing_is_served_while_too_many_wait(
    shop: Shop, state: str, wait: float
) -> None:
    await shop.open("garden hose")
    shop.purse.state = state
    for _ in range(BACKLOG):
        assert isinstance(await shop.ask("garden hose"), Answer)
    await shop.work()
    assert shop.hits.waiting == BACKLOG
    said = await shop.ask("garden hose")
    assert isinstance(said, Declined)
    assert said.reason == "audits_wait"
    shop.purse.state = MONEY
    shop.clock.now += wait - 0.5
    await shop.work()
    assert shop.hits.waiting == BACKLOG
    shop.clock.now += 1.0
    await shop.work()
    assert (shop.hits.waiting, shop.hits.counts["audited"]) == (0, BACKLOG)
    assert isinstance(await shop.ask("garden hose"), Answer)


async def test_an_audit_that_fails_too_often_counts_as_wrong(shop: Shop) -> None:
    await shop.open("garden hose")
    shop.reference.says = lambda text: DOWN
    call = make_call("garden hose", task="knowledge_qa")
    assert isinstance(shop.rung.look(call), Answer)
    shop.rung.settle(call, None, None)  # the caller has left: it is audited all the same
    for tries in range(1, TRIES + 1):
        await shop.work()
        assert shop.hits.counts["wrong"] == (tries == TRIES)
        shop.clock.now += 1000
    assert shop.hits.waiting == 0


async def test_several_audits_are_asked_at_once_and_not_all(shop: Shop) -> None:
    shop.hits.backlog = 100
    await shop.open("garden hose")
    for _ in range(ASKED_AT_ONCE + 3):
        await shop.ask("garden hose")
    asking, most, answer = 0, 0, shop.reference.attempt

    async def slowly(call: Call) -> Answer | Declined:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await asyncio.sleep(0)
        asking -= 1
        return await answer(call)

    shop.reference.attempt = slowly
    await shop.work()
    assert shop.hits.counts["audited"] == ASKED_AT_ONCE + 3
    assert most == ASKED_AT_ONCE


async def test_what_may_not_be_stored_teaches_that_it_is_something_else(shop: Shop) -> None:
    await shop.open("garden hose")
    control = shop.partition.control
    control.level = -1
    before = control.requests
    for number, evidence in enumerate(
        (Evidence("length", True, cost=0), Evidence("tool_calls", True, cost=0, tool_calls=True))
    ):
        await shop.ask(f"garden hose {number}", gives=Answer("cloud", REFERENCE, evidence, b'{"choices": []}'))
    long = Answer("cloud", REFERENCE, Evidence("stop", True), b'{"choices": "%s"}' % (b"x" * 3000))
    await shop.ask("garden hose long", gives=long)
    await shop.work()
    assert control.requests == before + 3
    assert len(shop.partition.entries) == 1


async def test_a_hit_nobody_audits_is_counted_on_the_spot(shop: Shop) -> None:
    await shop.open("garden hose")
    control = shop.partition.control
    control.pi = lambda score: 1e-12
    before = control.requests
    await shop.ask("garden hose")
    assert control.requests == before + 1
    with shop.partition.lock:  # somebody learns: it waits
        shop.hits.learn(_lesson(shop))
    assert control.requests == before + 1
    await shop.work()
    assert control.requests == before + 2


def _lesson(shop: Shop) -> Any:
    """That of a hit which is not audited."""
    taken: list[Any] = []
    shop.rung._learn, learn = taken.append, shop.rung._learn
    call = make_call("garden hose", task="knowledge_qa")
    shop.partition.lock.release()
    assert isinstance(shop.rung.look(call), Answer)
    shop.partition.lock.acquire()
    shop.rung.settle(call, None, None)
    shop.rung._learn = learn
    return taken[0]


async def test_tenants_share_a_store_only_where_that_is_configured(tmp_path: Path) -> None:
    shop = Shop(tmp_path, shared=frozenset({"ann", "ben"}))
    try:
        await shop.open("garden hose", tenant="ann")
        assert isinstance(await shop.ask("garden hose", tenant="ben"), Answer)
        assert isinstance(await shop.ask("garden hose", tenant="cat"), Declined)
        assert isinstance(await shop.ask("garden hose", tenant="shared"), Declined)  # a name is no way in
        assert {one.tenant for one in shop.partition.entries.values()} == {"shared"}
    finally:
        shop.rung.aclose()
        await shop.partitions.aclose()


async def test_what_is_never_stored_is_never_looked_for(shop: Shop) -> None:
    await shop.open("garden hose")
    said = await shop.ask("garden hose today")
    assert isinstance(said, Declined)
    assert said.reason == "bypass: volatile"


async def test_an_embedder_that_takes_milliseconds_does_not_hold_up_the_event_loop(shop: Shop) -> None:
    await shop.open("garden hose")
    shop.partitions.embedder.quick = False
    call = make_call("garden hose", task="knowledge_qa")
    assert shop.rung.look(call) is None
    assert isinstance(await shop.rung.attempt(call), Answer)
    shop.rung.settle(call, None, None)
