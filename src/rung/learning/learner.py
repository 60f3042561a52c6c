"""The cells of one gateway: which may answer now, which calls are labelled, and what came of it.

On the event loop only. The gateway asks for a `gate` per ``auto`` call and hands in every such climb that has ended;
the labels are made in the background (`rung.learning.work`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Callable

import msgspec

from rung.answer import Answer
from rung.call import Call
from rung.config import Trust
from rung.errors import StoreError
from rung.ladder.climb import Climb
from rung.ladder.rung import Rung
from rung.ladder.trust import Cell, CellKey, Change, Coin, Rules
from rung.ladder.trust.score import EVERYTHING, Scorer
from rung.learning import jobs
from rung.learning.cascade import Cascades
from rung.learning.gate import CallGate, Held
from rung.learning.grading import Grader
from rung.learning.jobs import Job, Kind, Said
from rung.learning.keys import base_of, cell_id, reference_of, template
from rung.learning.load import read
from rung.learning.money import PICO, Purse
from rung.learning.told import sentence
from rung.learning.world import World
from rung.store import trust as store

log = logging.getLogger("rung.trust")

MOST_CELLS = 1000
"""cells there may be: tasks, limits and models are few, so honest traffic does not get there"""


class Learner:
    """`told`: the settings; `kept`: the store; `clock`: unix seconds; `dice`: from 0 to 1, for the labels' coins."""

    def __init__(
        self,
        told: Trust,
        kept: store.TrustStore,
        world: World,
        grader: Grader,
        *,
        clock: Callable[[], float] = time.time,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.told = told
        self.kept = kept
        self.world = world
        self.grader = grader
        self.clock = clock
        self.rules = _rules(told)
        self.cascades = Cascades(world, kept)
        self.purse = Purse(kept, told.usd_per_day, clock)
        self.candidates: tuple[Rung, ...] = ()
        """models that need proof before they may answer instead of the reference"""
        self.cells: dict[str, Cell] = {}
        self.scorers: dict[str, Scorer] = {}
        """by `base_of` a key; without one all answers are alike"""
        self.counts: Counter[str] = Counter()
        """what became of the calls that could have been compared: ``labelled``, ``skipped_queue``, ..."""
        self.costs: Counter[str] = Counter()
        """pico-dollars that labels took, by cell"""
        self.queues: dict[str, deque[Job]] = {}
        """jobs by cell, in the order of their coins: the order in which they must be counted"""
        self.waiting = 0
        """jobs of all queues together"""
        self.more = asyncio.Event()
        """set when a job was queued"""
        self.idle = asyncio.Event()
        """set while no job waits"""
        self.idle.set()
        self._dice = dice
        self._queued: set[tuple[str, str]] = set()
        self._unsaved: set[str] = set()
        self._versions: dict[str, str] = {}
        self._simulated: set[str] = set()
        self._allowance = 1.0

    # ---- start ----

    async def load(self) -> bool:
        """Take over what the store has; False, and a warning, if its file cannot be used."""
        try:
            learnt = await asyncio.to_thread(read, self.kept, store.today(self.clock()), self.rules)
        except (StoreError, sqlite3.Error, OSError) as error:
            log.warning("nothing is compared and no model below the reference is trusted: %s", error)
            return False
        self.purse.load(learnt.spent_pico)
        self.costs.update(learnt.costs)
        self.cascades.load(learnt.cascades)
        self.scorers, self.cells = learnt.scorers, learnt.cells
        for cell in self.cells.values():
            self._versions[cell.key.model] = cell.key.version
            reference, _, simulated = reference_of(cell.key)
            if simulated:
                self._simulated.add(reference)
        for job in learnt.jobs:
            self._enqueue(job)
        return True

    def reload(self, told: Trust, candidates: tuple[Rung, ...]) -> None:
        """Take new settings, and the models of theirs that need proof."""
        self.told = told
        self.candidates = candidates
        self.rules = _rules(told)
        self.purse.daily_pico = round(told.usd_per_day * PICO)
        for cell in self.cells.values():
            cell.rules = self.rules
        self.more.set()

    # ---- what the ladder asks ----

    def gate(self, call: Call, reference: Rung) -> CallGate:
        """The gate of one ``auto`` call, whose `reference` is the model that needs no proof for it."""
        return CallGate(self, call, reference)

    def open_models(self, call: Call, reference: Rung) -> frozenset[str]:
        """Models that may answer some calls of this task under this limit instead of the reference."""
        found = []
        for rung in self.candidates:
            cell = self.cell_for(call, rung, reference)
            if cell is not None and cell.threshold is not None and not self.behind(cell):
                found.append(rung.model)
        return frozenset(found)

    def cell_for(self, call: Call, rung: Rung, reference: Rung, *, make: bool = False) -> Cell | None:
        """The cell `call` belongs to on `rung`; None if it has none: nothing to compare by, or (`make`) not yet."""
        limit = self.rules.limit_for(call.max_error, self.told.max_error)
        if limit is None or not self.eligible(call):
            return None
        version = self.world.version(rung) if rung.stays_here else ""
        key = CellKey(
            call.task,
            rung.name,
            rung.model,
            version or self._versions.get(rung.model, ""),
            template(reference.model, simulated=reference.model in self._simulated),
            EVERYTHING.version,
            limit,
        )
        scorer = self.scorers.get(base_of(key))
        if scorer is not None:
            key = msgspec.structs.replace(key, score=scorer.version)
        cell = self.cells.get(cell_id(key))
        return self.add(key) if cell is None and make else cell

    def add(self, key: CellKey, thresholds: list[float] | tuple[float, ...] = (0.0,)) -> Cell | None:
        """A new cell in shadow, None if there are too many."""
        if len(self.cells) >= MOST_CELLS:
            self.counts["skipped_cells"] += 1
            return None
        cell = self.cells[cell_id(key)] = Cell.new(key, self.rules, thresholds)
        log.info("trust: %s is new", key)
        self.keep(cell)
        return cell

    def replace(self, cell: Cell, key: CellKey, thresholds: list[float]) -> None:
        """Begin a cell for `key` in the place of `cell`, whose evidence is of no use to it."""
        self._forget(cell_id(cell.key))
        self.add(key, thresholds)
        told = "has a score of its own now and gathers evidence anew"
        self.kept.put(store.save_change(cell_id(key), told, self.clock()))

    def _forget(self, name: str) -> None:
        del self.cells[name]
        self._unsaved.discard(name)
        self.kept.put(store.forget_cell(name))

    def behind(self, cell: Cell) -> bool:
        """Do so many audits of this cell wait (no money, no reference, no disk) that it must not go on answering?"""
        if self.kept.stuck:
            return True
        queue = self.queues.get(cell_id(cell.key), ())
        return len(queue) >= self.told.backlog and sum(job.kind == "audit" for job in queue) >= self.told.backlog

    def score(self, cell: Cell, call: Call, answer: Said) -> float:
        """How good the answer looks, as this cell measures it."""
        scorer = self.scorers.get(base_of(cell.key), EVERYTHING)
        if scorer.forest is None:
            return scorer.score({})
        return scorer.score(self.grader.evidence(call.task, call.body, answer))

    def eligible(self, call: Call) -> bool:
        """Can answers to this call be compared, and may they be?

        Private calls never are, nor calls whose task is a mere guess: of these no kind is known to reach the cell.
        """
        return (
            not call.private
            and call.task_by_rule
            and (call.body.get("n") or 1) == 1
            and len(call.raw) <= jobs.LARGEST
            and self.grader.comparable(call.task, call.body, judged=self.told.judge is not None)
        )

    # ---- what the ladder tells ----

    def learn(self, gate: CallGate, record: Climb) -> None:
        """An ``auto`` climb has ended: account for it, and toss the coins of those it could teach about."""
        answer = record.answer
        if answer is None or record.error is not None or answer.rung in ("tool", "exact", "semantic"):
            return
        self.note(answer)
        held = gate.accepted
        if held is not None and answer.model == held.cell.key.model:
            self._served(gate, held, answer)
        elif answer.model == gate.reference.model:
            self._climbed_past(gate, record)

    def _served(self, gate: CallGate, held: Held, answer: Answer) -> None:
        """A cell has answered: what that saved, and perhaps an audit."""
        cell, call = held.cell, gate.call
        cell.answered()
        usage, cost = answer.evidence.usage, held.cost
        saved = self.world.cost(gate.reference.model, usage) if usage is not None else None
        if gate.reference_asked:
            saved = 0  # by a hedge, and it is charged although it has lost
        changes = [] if saved is None or cost is None else cell.account(saved=saved, spent=cost)
        name = cell_id(cell.key)
        self.kept.put(store.save_served(call.request_id, call.tenant, name, self.clock()), *self._tell(cell, changes))
        self._unsaved.add(name)
        self.counts["answered"] += 1
        if self._falls(gate, cell, held.coin, free=True):  # audits have a rate of their own
            self._label("audit", gate, cell, held.coin, gate.reference.model, held.said, None, held.score)

    def _climbed_past(self, gate: CallGate, record: Climb) -> None:
        """The reference has answered: lower models may be asked in the background, or were, and have been refused."""
        for rung in gate.candidates:
            cell = self.cell_for(gate.call, rung, gate.reference, make=True)
            if cell is None:
                continue
            held = gate.refused.get(rung.model)
            if held is not None:
                self.kept.put(*self._tell(cell, cell.account(spent=held.cost or 0)))
                self._unsaved.add(cell_id(cell.key))
                if self._falls(gate, cell, held.coin, free=True):
                    said = jobs.said(record) or jobs.NOTHING
                    self._label("shadow", gate, cell, held.coin, rung.model, held.said, said, held.score)
            elif cell.state == "quarantined":
                # it sits calls out: nobody is asked for them
                self.keep(cell, cell.observe(0.0, False, cell.coin(0.0, gate.fingerprint)))
            elif cell.state == "shadow":
                coin = cell.coin(0.0, gate.fingerprint)
                if self._falls(gate, cell, coin):
                    self._label("shadow", gate, cell, coin, rung.model, None, jobs.said(record) or jobs.NOTHING)

    def _falls(self, gate: CallGate, cell: Cell, coin: Coin, *, free: bool = False) -> bool:
        """Is this call to be labelled? Whatever skips it knows nothing of how the answers compare.

        `free`: nobody need be asked for it, so that it takes nothing from the share.
        """
        if coin.pi <= 0 or (cell_id(cell.key), gate.fingerprint) in self._queued:
            skipped = "skipped_repeated"
        elif self.waiting >= self.told.queue or self.kept.stuck:
            skipped = "skipped_queue"
        elif self._dice() >= coin.pi:
            skipped = "skipped_coin"
        elif not free and not self._within_share():
            skipped = "skipped_share"
        else:
            return True
        self.counts[skipped] += 1
        return False

    def _label(
        self,
        kind: Kind,
        gate: CallGate,
        cell: Cell,
        coin: Coin,
        ask: str,
        lower: Said | None,
        reference: Said | None,
        score: float | None = None,
    ) -> None:
        """Queue a label."""
        call, name = gate.call, cell_id(cell.key)
        job = Job(
            f"{call.request_id}-{name}",
            kind,
            name,
            cell.key,
            coin,
            call.request_id,
            call.tenant,
            jobs.session_of(call),
            gate.fingerprint,
            self.clock(),
            call.raw,
            ask,
            lower,
            reference,
            score,
            on_disk=not call.no_store,
        )
        self.counts["queued"] += 1
        if job.on_disk:
            self.kept.put(store.save_job(job.id, jobs.dump(job), job.created))
        self._enqueue(job)

    def _enqueue(self, job: Job) -> None:
        self.queues.setdefault(job.cell, deque()).append(job)
        self._queued.add((job.cell, job.fingerprint))
        self.waiting += 1
        self.idle.clear()
        self.more.set()

    def _within_share(self) -> bool:
        """`share` of the calls that could be shadowed are."""
        self._allowance = min(self._allowance + self.told.share, 1.0 + self.told.share)
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True

    def note(self, answer: Answer) -> None:
        """What an answer says of its model: a new version is another cell, and so is a simulated reference."""
        if answer.evidence.model_version:
            self._versions[answer.model] = answer.evidence.model_version
        (self._simulated.add if answer.evidence.simulated else self._simulated.discard)(answer.model)

    # ---- what the background tells ----

    def moved_on(self, job: Job) -> bool:
        """Is the lower model no longer the version this job's cell is about?"""
        rung = self.world.rung(job.key.model)
        here = self.world.version(rung) if rung is not None and rung.stays_here else ""
        return (here or self._versions.get(job.key.model, "")) != job.key.version

    def done(self, job: Job, label: store.Label | None, *settled: store.Statement) -> None:
        """A job is over, with or without a label: count it, and write all of it down at once."""
        queue = self.queues[job.cell]
        queue.remove(job)
        if not queue:
            del self.queues[job.cell]
        self._queued.discard((job.cell, job.fingerprint))
        self.waiting -= 1
        if not self.waiting:
            self.idle.set()
        ended = (*settled, store.end_job(job.id)) if job.on_disk else settled
        cell = self.cells.get(job.cell)
        if cell is None or label is None:
            self.counts["unlabelled"] += 1
            if cell is not None and not cell.key.version and job.cell not in self.queues and self.moved_on(job):
                self._forget(job.cell)  # it was there only until the model's version became known
            self.kept.put(*ended)
            return
        self.counts["labelled"] += 1
        self.costs[job.cell] += label.cost_pico or 0
        changes = cell.observe(label.score, label.disagrees, job.coin, session=job.session, fingerprint=job.fingerprint)
        changes += cell.account(spent=label.cost_pico or 0)
        self.keep(cell, changes, store.save_label(label), *ended)

    # ---- what is kept ----

    def keep(self, cell: Cell, changes: list[Change] | tuple[Change, ...] = (), *statements: store.Statement) -> None:
        """Write down a cell, what has changed about it, and what belongs to that, together."""
        data = msgspec.json.encode(cell)
        saved = store.save_cell(cell_id(cell.key), data, self.clock())
        self.kept.put(saved, *self._tell(cell, changes), *statements)

    def save(self) -> None:
        """Write down what answering has changed since the last time: sums, a few of which a crash may forget."""
        for name in self._unsaved & self.cells.keys():  # one may be gone before its last answer has ended
            self.keep(self.cells[name])
        self._unsaved.clear()

    def _tell(self, cell: Cell, changes: list[Change] | tuple[Change, ...]) -> list[store.Statement]:
        """Log what has changed; -> the statements that keep it."""
        told = []
        for change in changes:
            log.info("trust: %s %s", cell.key, sentence(change))
            told.append(store.save_change(cell_id(cell.key), sentence(change), self.clock()))
        return told


def _rules(told: Trust) -> Rules:
    return Rules(audit_rate=told.audit, audit_burst=max(told.audit, Rules().audit_burst))
