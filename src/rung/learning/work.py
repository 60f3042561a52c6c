"""Making labels: one comparison at a time, when it is paid for and nobody else needs the machine.

Jobs of one cell are done in the order in which their coins fell. What cannot be done now waits, and with it all
later jobs of its cell: were hard ones passed over, the easy ones would open it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

import msgspec
import orjson

from rung.answer import Usage
from rung.call import Call
from rung.errors import RungError
from rung.ladder.checks import necessary_for
from rung.ladder.climb import Climb
from rung.ladder.rung import Rung
from rung.ladder.trust import Cell
from rung.ladder.trust.score import REJECTED
from rung.learning import jobs
from rung.learning.grading import Comparison
from rung.learning.jobs import Job, Said
from rung.learning.judge import judge_call, verdict
from rung.learning.keys import reference_of
from rung.learning.learner import Learner
from rung.learning.money import Spend
from rung.learning.people import obey
from rung.learning.refit import refit
from rung.store import trust as store

log = logging.getLogger("rung.trust")

TRIES = 5
"""faults after which an answer counts as one that disagrees"""

FIRST_WAIT = 5.0
"""seconds after the first fault; doubled after each"""

POLL = 0.5
"""seconds between two looks at a machine that is busy, or at orders when there is nothing to do"""

YIELD_EVERY = 0.05
"""seconds between two looks whether a caller wants the local model while a job uses it"""

ORDERS_EVERY = 5.0
"""seconds between two looks at what people have told with ``rung trust``, and between two sums written down"""

_NOT_NOW = ("local_busy", "local_loading", "local_failing", "local_gone", "breaker_open", "rate_limited")
"""reasons for which a model declines a call that it would take at another time"""

REPEATS, REPEATS_IN_DOUBT, DOUBT_AFTER = 0.02, 0.2, 20
"""shares of shadows for which the reference is asked twice; labels after which too many disagreements are a doubt"""

_DEAR = (10_000_000, 40_000_000)
"""pico-dollars per token of prompt and of answer taken for a model whose price is unknown"""

_USUAL_ANSWER = 1024
"""tokens set aside for an answer of unknown length"""


class NotNow(Exception):
    """This job must wait so many seconds."""

    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(why)
        self.seconds = seconds
        self.why = why


class Attempted(msgspec.Struct):
    """One background attempt: what was said, None where nothing usable was; and what it cost."""

    said: Said | None
    why: str
    cost: int | None
    settled: list[store.Statement]


NOTHING = Attempted(None, "", 0, [])
"""nobody was asked"""


class Worker:
    """Works off the queues of a `Learner` until closed. `clock`: seconds, monotonic; `dice`: from 0 to 1."""

    def __init__(
        self,
        learner: Learner,
        *,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._learner = learner
        self._dice = dice
        self._clock = clock
        self._not_before: dict[str, float] = {}
        self._local_from = 0.0
        self._task: asyncio.Task[None] | None = None
        self.waits: dict[str, str] = {}
        """why cells wait, by cell"""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="rung-trust")

    async def aclose(self) -> None:
        """Stop; what is queued stays in the store. Safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            self._learner.save()

    async def _run(self) -> None:
        looked = self._clock()
        while True:
            self._learner.more.clear()
            worked = False
            try:
                worked = await self.step()
                if self._clock() - looked >= ORDERS_EVERY:
                    looked = self._clock()
                    self._learner.save()
                    await obey(self._learner)
            except Exception:  # whatever a job does, the gateway goes on
                log.exception("a bug in rung, please report it: a background comparison failed")
            if not worked:
                pause = POLL if self._learner.waiting else ORDERS_EVERY
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._learner.more.wait()

    async def step(self) -> bool:
        """Do the first job that can be done now; False if there is none."""
        if not self._learner.told.enabled:
            return False
        now = self._clock()
        for name, queue in sorted(self._learner.queues.items(), key=lambda told: told[1][0].created):
            if self._not_before.get(name, 0.0) > now:
                continue
            job = queue[0]
            try:
                await self._do(job)
            except NotNow as wait:
                self._not_before[name] = self._clock() + wait.seconds
                self.waits[name] = wait.why
                self._learner.counts["postponed"] += 1
                continue
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("a bug in rung, please report it: a comparison was given up")
                self._learner.done(job, self._label(job, 0.0, Comparison(None, "none", "internal_error"), 0, {}))
            self._not_before.pop(name, None)
            self.waits.pop(name, None)
            if (cell := self._learner.cells.get(name)) is not None:
                await refit(self._learner, cell)
            return True
        return False

    async def _do(self, job: Job) -> None:
        """Ask, compare, count. Raises NotNow."""
        learner = self._learner
        cell = learner.cells.get(job.cell)
        if cell is None or cell.epoch != job.coin.epoch or cell.state == "closed":
            learner.done(job, None)
            return
        lower, reference = job.lower, job.reference
        asked = judged = NOTHING
        if lower is None or reference is None:
            rung = learner.world.rung(job.ask)
            tried = None if rung is None else await self._attempt(job, rung, job.call())
            if tried is None or learner.moved_on(job):
                # nobody to ask any more, a call this model would not take from a caller either, or a new version
                learner.done(job, None, *(tried.settled if tried is not None else ()))
                return
            asked = tried
            lower, reference = lower or tried.said, reference or tried.said
        task, body = job.key.task, job.body
        evidence: dict[str, float] = {}
        if lower is not None:
            evidence = await asyncio.to_thread(learner.grader.evidence, task, body, lower)
        if lower is None or reference is None:
            comparison = Comparison(None, "none", asked.why)
        else:
            comparison = await asyncio.to_thread(learner.grader.compare, task, body, lower, reference)
            if comparison.judge and learner.told.judge is not None:
                judged = await self._judge(job, lower, reference)
                agrees = verdict(judged.said.text) if judged.said is not None else None
                comparison = Comparison(agrees, f"judged by {learner.told.judge}", judged.why)
        repeated = await self._repeat(job, cell)
        costs = [one.cost for one in (asked, judged, repeated)]
        cost = None if None in costs else sum(filter(None, costs))
        score = job.score
        if score is None:
            score = 0.0 if lower is None else await self._score(job, cell, lower)
        label = self._label(job, score, comparison, cost, evidence)
        learner.done(job, label, *asked.settled, *judged.settled, *repeated.settled)

    async def _score(self, job: Job, cell: Cell, answer: Said) -> float:
        """As a gate would score it: what a necessary check rejects could never go out."""
        call = job.call()
        needed = necessary_for(call) if answer.finish_reason == "stop" else None
        rejected = await asyncio.to_thread(needed.rejects, answer.text, lower=True) if needed is not None else ""
        if rejected:
            return REJECTED
        return self._learner.score(cell, call, answer)

    async def _repeat(self, job: Job, cell: Cell) -> Attempted:
        """Now and then, ask the reference the same again: no limit can hold below the share in which it differs."""
        learner, model = self._learner, reference_of(job.key)[0]
        rung = learner.world.rung(model)
        if rung is None or job.kind != "shadow" or job.reference is None or self._dice() >= repeat_rate(cell):
            return NOTHING
        call = job.call()
        call.model, call.purpose, call.request_id = model, "repeat", f"{job.request_id}-repeat"
        try:
            tried = await self._attempt(job, rung, call)
        except NotNow:
            return NOTHING  # another time will do as well
        if tried is not None and tried.said is not None:
            told = await asyncio.to_thread(learner.grader.compare, job.key.task, job.body, tried.said, job.reference)
            if not told.judge:
                cell.reference_compared(not told.agrees)
        return tried or NOTHING

    def _label(
        self, job: Job, score: float, comparison: Comparison, cost: int | None, evidence: dict[str, float]
    ) -> store.Label:
        """What is not known to agree counts as disagreement."""
        return store.Label(
            job.cell,
            job.coin.epoch,
            self._learner.clock(),
            job.kind,
            job.request_id,
            bytes.fromhex(job.session),
            bytes.fromhex(job.fingerprint),
            job.coin.pi,
            score,
            not comparison.agrees,
            comparison.comparator,
            comparison.reason,
            cost,
            orjson.dumps(evidence).decode(),
        )

    async def _judge(self, job: Job, lower: Said, reference: Said) -> Attempted:
        model = self._learner.told.judge
        assert model is not None
        rung = self._learner.world.rung(model)
        if rung is None:
            return Attempted(None, "no_judge", 0, [])
        tried = await self._attempt(job, rung, judge_call(job, model, lower.text, reference.text))
        return tried or Attempted(None, "judge_declined", 0, [])

    async def _attempt(self, job: Job, rung: Rung, call: Call) -> Attempted | None:
        """Ask `rung` once; None if it declines calls like this. Raises NotNow."""
        spend = await self._set_aside(rung, call)
        if rung.stays_here:
            record = await self._ask_here(rung, call)
        else:
            record = await self._learner.world.ask(call, rung)
        cost = record.cost()
        if cost is None and rung.stays_here:
            cost = 0  # nothing is paid for what this machine does
        settled: list[store.Statement] = []
        if spend is not None:
            settled = [told] if (told := self._learner.purse.settle(spend, cost)) is not None else []
        if record.answer is not None and record.error is None:
            self._learner.note(record.answer)
            found = jobs.said(record)
            return Attempted(found, "" if found is not None else "incomplete", cost, settled)
        last = record.attempts[-1] if record.attempts else None
        if last is not None and last.outcome == "declined":
            self._learner.kept.put(*settled)
            if last.reason.startswith(_NOT_NOW):
                raise NotNow(FIRST_WAIT, last.reason)
            return None
        job.tries += 1
        code = record.error.code if isinstance(record.error, RungError) else "internal_error"
        if job.tries < TRIES:
            self._learner.kept.put(*settled)
            raise NotNow(FIRST_WAIT * 2 ** (job.tries - 1), code)
        return Attempted(None, code, cost, settled)

    async def _set_aside(self, rung: Rung, call: Call) -> Spend | None:
        """Reserve what an attempt may cost; None for a model on this machine."""
        if rung.stays_here:
            return None
        usage = Usage(input_tokens=len(call.raw) // 2 + 64, output_tokens=_answer_tokens(call))
        pico = self._learner.world.cost(rung.model, usage)
        if pico is None:
            pico = usage.input_tokens * _DEAR[0] + usage.output_tokens * _DEAR[1]
        spend = await self._learner.purse.reserve(pico)
        if spend is None:
            raise NotNow(60.0, "today's money for comparisons is spent (trust.usd_per_day)")
        return spend

    async def _ask_here(self, rung: Rung, call: Call) -> Climb:
        """Ask a model on this machine: in idle time, within its share, and giving way to callers."""
        learner = self._learner
        now = self._clock()
        if now < self._local_from:
            raise NotNow(self._local_from - now, "this machine's share of time is used (trust.cpu_share)")
        if learner.world.busy(rung):
            raise NotNow(POLL, "the local model is busy")
        asking = asyncio.create_task(learner.world.ask(call, rung))
        try:
            while not (await asyncio.wait([asking], timeout=YIELD_EVERY))[0]:
                if learner.world.wanted(rung):
                    raise NotNow(POLL, "a caller wants the local model")
        except BaseException:
            asking.cancel()
            await asyncio.wait([asking])
            raise
        finally:
            took = self._clock() - now
            self._local_from = self._clock() + took * (1 / learner.told.cpu_share - 1)
        return asking.result()


def repeat_rate(cell: Cell) -> float:
    """Share of shadows for which the reference is asked twice: more where a cell does not open."""
    seen = cell.opening
    doubtful = seen.labels >= DOUBT_AFTER and seen.disagreements > cell.key.limit * seen.labels
    return REPEATS_IN_DOUBT if doubtful else REPEATS


def _answer_tokens(call: Call) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        said = call.body.get(name)
        if isinstance(said, int) and said > 0:
            return said
    return _USUAL_ANSWER
