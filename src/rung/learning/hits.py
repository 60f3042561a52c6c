"""Labels for the semantic rung: misses compared with what is stored, hits compared with the reference afterwards.

Lessons one after the other, in the order in which calls ended; a few audits at a time, for a reference takes seconds.
Money comes out of the same purse as all comparing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from rung.answer import Usage
from rung.call import Call
from rung.errors import RungError
from rung.ladder.privacy import recognise
from rung.ladder.rung import Rung
from rung.ladder.trust import COMPARATORS, Outcome, comparator_for, compare
from rung.learning import jobs
from rung.learning.jobs import PATIENCE, Said
from rung.learning.judge import compare_call, verdict
from rung.learning.money import Purse
from rung.learning.world import World
from rung.partition import Partition
from rung.partitions import Partitions
from rung.rungs.semantic import Lesson
from rung.semantic.decide import Decision
from rung.store.semantic import Entry, digest
from rung.wire.splice import edit

log = logging.getLogger("rung.semantic")

QUEUE = 500
"""lessons that may wait; what more calls would teach is not learnt"""

ASKED_AT_ONCE = 8
"""audits for which the reference is asked at the same time"""

TRIES = 5
"""faults after which an audit counts as a wrong hit"""

FIRST_WAIT = 2.0
"""seconds after the first fault; doubled after each"""

POOR = 60.0
"""seconds until money is asked for again once the day's is spent"""

REMEMBERED = 500
"""hits of which feedback is understood; about 8 kB each"""

_DEAR = (10_000_000, 40_000_000)
"""pico-dollars per token of prompt and answer taken for a model whose price is unknown"""

_OURS = ("stream", "stream_options", "rung")


class _Audit(msgspec.Struct, eq=False):
    """A hit to be compared with the reference's answer, once it may be asked."""

    lesson: Lesson
    not_before: float = 0.0
    tries: int = 0
    asking: bool = False


class HitLearner:
    """`backlog`: audits that may wait before nothing is served. `judge`: the model that compares free texts, or ""."""

    def __init__(
        self,
        partitions: Partitions,
        world: World,
        purse: Purse,
        *,
        backlog: int,
        judge: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.backlog, self.judge = backlog, judge
        self.counts = {"compared": 0, "audited": 0, "wrong": 0, "dropped": 0}
        self._partitions, self._world, self._purse, self._clock = partitions, world, purse, clock
        self._lessons: deque[Lesson] = deque()
        self._audits: deque[_Audit] = deque()
        self._served: OrderedDict[str, tuple[str, Partition, Decision, int]] = OrderedDict()
        self._more = asyncio.Event()
        self.idle = asyncio.Event()
        """set while no lesson waits"""
        self.idle.set()
        self._task: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="rung-semantic")

    async def aclose(self) -> None:
        """Stop. Safe to call twice."""
        task, self._task = self._task, None
        running = [*self._asking, *([task] if task is not None else ())]
        for one in running:
            one.cancel()
        if running:
            await asyncio.wait(running)

    @property
    def behind(self) -> bool:
        """Do so many audits wait that nothing should be served?"""
        return len(self._audits) >= self.backlog

    @property
    def waiting(self) -> int:
        return len(self._audits)

    def learn(self, lesson: Lesson) -> None:
        """Queue what a call that has ended teaches. Never blocks."""
        decision, call = lesson.decision, lesson.call
        if lesson.served is not None:
            self._served[call.request_id] = (call.tenant, lesson.partition, decision, lesson.served.id)
            if len(self._served) > REMEMBERED:
                self._served.popitem(last=False)
            if decision.audit:  # never dropped: `behind` bounds them
                self._audits.append(_Audit(lesson))
        if lesson.served is None or not decision.audit:
            if not self._lessons and lesson.served is not None and self._passed(lesson):
                return
            if len(self._lessons) >= QUEUE:
                self.counts["dropped"] += 1
                return
            self._lessons.append(lesson)
        self.idle.clear()
        self._more.set()

    def _passed(self, lesson: Lesson) -> bool:
        """Count a hit that nobody looks at again, where that takes no time: most calls are such hits."""
        if not self._partitions.current(lesson.partition, lesson.purges):
            return True
        return lesson.partition.passed_now(lesson.decision)

    def forget(self) -> None:
        """Something is wiped out: what waits may hold it, and teaches nothing any more."""
        self._lessons.clear()
        self._audits.clear()
        self._served.clear()

    async def feedback(self, request_id: str, tenant: str, *, wrong: bool) -> dict[str, Any] | None:
        """A caller's word on a hit; None if this tenant got none with this id (of the last few hundred)."""
        found = self._served.get(request_id)
        if found is None or found[0] != tenant:
            return None
        _, partition, decision, entry = found
        if wrong:
            del self._served[request_id]
            await self._partitions.run(partition.quarantine, decision)
            partition.remove((entry,))
        state = "open" if partition.control.level >= 0 else "shadow"
        return {"cell": f"semantic:{partition.scope.hex()}", "state": state, "closed": False, "quarantined": wrong}

    async def _run(self) -> None:
        while True:
            self._more.clear()
            worked = False
            try:
                worked = await self._step() or await self._partitions.run(self._partitions.settle)
            except Exception:  # whatever a lesson does, the gateway goes on
                log.exception("a bug in rung, please report it: nothing could be learnt from a call")
                worked = True
            if worked:
                continue
            if not self._audits and not self._asking:
                self.idle.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0 if self._audits else None):
                    await self._more.wait()

    async def _step(self) -> bool:
        """Do the next thing that can be done now; False if there is none."""
        if self._lessons:
            await self._lesson(self._lessons.popleft())
            return True
        began = False
        now = self._clock()
        for audit in self._audits:
            if len(self._asking) >= ASKED_AT_ONCE:
                break
            if not audit.asking and audit.not_before <= now:
                audit.asking = began = True
                task = asyncio.create_task(self._audit(audit), name="rung-semantic-audit")
                self._asking.add(task)
                task.add_done_callback(self._asked)
        return began

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        self._more.set()

    async def _lesson(self, lesson: Lesson) -> None:
        partition, decision, new = lesson.partition, lesson.decision, lesson.new
        if new is None:
            if lesson.unlike:
                await self._partitions.run(self._teach, lesson, [])
            elif self._partitions.current(partition, lesson.purges):
                await self._partitions.run(partition.passed, decision)
            return
        said = _said(new.stored.data, whole=new.stored.shape == "whole")
        if said is None:
            return
        equal = await self._equal(lesson, said)
        self.counts["compared"] += 1
        await self._partitions.run(self._teach, lesson, equal)
        await self._partitions.run(self._partitions.shrink)

    async def _audit(self, audit: _Audit) -> None:
        """Try once to ask the reference what a caller was answered by the cache, and compare."""
        try:
            await self._compared(audit)
        except Exception:  # whatever it is, the audit is tried again, and counts in the end
            log.exception("a bug in rung, please report it: a hit could not be compared")
            self._postpone(audit)
        finally:
            audit.asking = False

    def _postpone(self, audit: _Audit) -> None:
        audit.tries += 1
        audit.not_before = self._clock() + FIRST_WAIT * 2 ** (audit.tries - 1)

    async def _compared(self, audit: _Audit) -> None:
        lesson = audit.lesson
        said: Said | None = None
        if lesson.reference is not None and audit.tries < TRIES:
            call = _again(lesson.call, lesson.reference.model)
            cost = self._cost(lesson.reference, len(call.raw), call.body)
            spend = await self._purse.reserve(cost) if not lesson.reference.stays_here else None
            if spend is None and not lesson.reference.stays_here:
                late = self._purse.affords(cost)  # there is money: the disk was too slow to note that it is spent
                audit.not_before = self._clock() + (FIRST_WAIT if late else POOR)
                return
            record = await self._world.ask(call, lesson.reference)
            if spend is not None:
                self._purse.pay(spend, record.cost())
            said = jobs.said(record) if record.error is None else None
            if said is None:
                self._postpone(audit)
                if audit.tries < TRIES:
                    return
        if audit not in self._audits:
            return  # forgotten meanwhile
        self._audits.remove(audit)
        equal = await self._equal(lesson, said) if said is not None else []
        self.counts["audited"] += 1
        if await self._partitions.run(self._teach, lesson, equal):
            self.counts["wrong"] += 1
            if lesson.served is not None:
                lesson.partition.remove((lesson.served.id,))

    def _teach(self, lesson: Lesson, equal: list[int]) -> bool:
        """Was a hit wrong? On the cache's own thread, where nothing can be wiped out meanwhile."""
        if not self._partitions.current(lesson.partition, lesson.purges):
            return False
        wrong = lesson.partition.learn(lesson.decision, equal, lesson.new)
        if wrong:
            log.warning("semantic cache: an audited hit was wrong; its neighbourhood is quarantined")
        return wrong

    async def _equal(self, lesson: Lesson, said: Said) -> list[int]:
        """Those of the answers to be compared with that say the same."""
        call, decision = lesson.call, lesson.decision
        if not call.task:
            recognise(call)
        stored = lesson.partition.compared(decision)
        texts = {answer: _text(entry) for answer, entry in stored.items()}
        equal, free = await asyncio.to_thread(_compare, call.task, call.body, texts, said.text)
        best = decision.answer
        if free and self.judge and best in texts and best not in equal and await self._judged(call, texts[best], said):
            equal.append(best)
        return equal

    async def _judged(self, call: Call, stored: str, said: Said) -> bool:
        """Does the judge say that both would serve the caller as well? No money, no answer: not the same."""
        rung = self._world.rung(self.judge)
        if rung is None or call.private:
            return False
        which = digest(stored)[0] % 2
        messages = call.body["messages"]
        asked = compare_call(
            self.judge, messages, stored, said.text, which, call.request_id, tenant=call.tenant, task=call.task
        )
        spend = await self._purse.reserve(self._cost(rung, len(asked.raw), {"max_tokens": 8}))
        if spend is None:
            return False
        record = await self._world.ask(asked, rung)
        self._purse.pay(spend, record.cost())
        told = jobs.said(record) if not isinstance(record.error, RungError) else None
        return told is not None and verdict(told.text) is True

    def _cost(self, rung: Rung, size: int, body: Mapping[str, Any]) -> int:
        """Pico-dollars set aside for one attempt."""
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        usage = Usage(input_tokens=size // 2 + 64, output_tokens=limit if isinstance(limit, int) else 1024)
        known = self._world.cost(rung.model, usage)
        return known if known is not None else usage.input_tokens * _DEAR[0] + usage.output_tokens * _DEAR[1]


def _compare(task: str, body: Mapping[str, Any], texts: Mapping[int, str], said: str) -> tuple[list[int], bool]:
    """-> (the answers that say the same, is it free text that only a judge could compare further?)"""
    name = comparator_for(task, body)
    free = name in (None, "tool_calls")  # tools offered, none called: two texts
    equal = []
    for answer, text in texts.items():
        outcome = COMPARATORS["text"](text, said) if free else compare(name or "text", text, said)
        if outcome is Outcome.UNKNOWN:
            outcome = COMPARATORS["text"](text, said)
        if outcome is Outcome.AGREES:
            equal.append(answer)
    return equal, free


def _text(entry: Entry) -> str:
    said = _said(entry.stored.data, whole=entry.stored.shape == "whole")
    return "" if said is None else said.text


def _said(data: bytes, *, whole: bool) -> Said | None:
    return jobs.said_in(data, "stop", False, whole=whole)


def _again(call: Call, model: str) -> Call:
    """The caller's own words for the reference, answered in one piece and never stored by a cache."""
    return Call(
        body={name: value for name, value in call.body.items() if name not in _OURS},
        raw=edit(call.raw, remove=_OURS),
        model=model,
        request_id=f"{call.request_id}-audit",
        tenant=call.tenant,
        task=call.task,
        session=f"audit:{call.request_id}",
        no_store=True,
        purpose="audit",
        door="trust",
        deadline=time.monotonic() + PATIENCE,
    )
