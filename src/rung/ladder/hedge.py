"""Hedging: when the first content is late, ask a second time and take whoever speaks first.

After J. Dean, L. A. Barroso, "The Tail at Scale" (2013): the second attempt starts once the first has been
silent for longer than nearly all earlier ones, so it costs few extra calls and cuts the tail. What "late" means
is learnt per model. Three brakes: a budget of extra calls; no hedges while many calls are late at once, for then
the slowness is shared and a second attempt only adds load; and hedges that hardly ever win cost ten times as much
of the budget. Private calls are never hedged, and nothing is after the commit point.

A model below the reference whose whole answer is awaited, because it must be proved or checked, is raced the same way:
by who stands above it, on this machine too. Who is accepted first, or speaks first above, answers; so the worst case
is the wait and the stronger model's time, and not both models' times.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

from rung.errors import Fault, RungError
from rung.ladder.attempt import Attempt, Opened, Record, ask
from rung.ladder.budget import HedgeBudget, RetryBudget
from rung.ladder.checks import Necessary
from rung.ladder.rung import Rung

_SHORTEST = 1e-3
_RATIO = 1.15
_BUCKETS = 100
"""log buckets from 1 ms up to 20 minutes, 15 % wide"""

_ENOUGH = 50
"""first contents seen before anything is called late"""

_FADE = 1000
"""at this many they are all halved, so that the past fades"""

_MODELS = 512
"""models whose times are remembered"""

_RECENT = 1 / 64
"""weight of the newest call in the share of late ones"""

_SHARED = 2.5
"""times the usual share of late calls from which slowness counts as shared"""

_WIN = 1 / 8
"""weight of the newest hedge in the share of hedges that won"""

_RARELY = 0.15
"""hedges that win less often than that cost `_DEAR` each"""
_DEAR = 10.0

log = logging.getLogger("rung")


@dataclass(frozen=True, slots=True)
class HedgeRules:
    """The keys of ``[hedge]``."""

    enabled: bool = True
    quantile: float = 0.95
    """share of first contents that come in time"""
    share: float = 0.05
    """extra calls, as a share of the calls that could be hedged"""
    to: str = "next"
    """``next``: the next provider in the climb, else the same model again; ``same``: always the same model"""


class Latency:
    """First-content times of one model, in seconds: a histogram, and whether hedging it makes sense now."""

    __slots__ = ("_buckets", "_late", "_quantile", "_seen", "_since", "_total", "_wins")

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._buckets = [0.0] * _BUCKETS
        self._total = 0.0
        self._seen = 0
        self._since: float | None = None
        self._late = 1 - quantile
        self._wins = 1.0

    def add(self, seconds: float) -> None:
        """One more time; of a loser the time it had when it was given up, which is at least late."""
        place = int(math.log(seconds / _SHORTEST) / math.log(_RATIO)) if seconds > _SHORTEST else 0
        self._buckets[min(place, _BUCKETS - 1)] += 1
        self._total += 1
        self._seen += 1
        if self._total >= _FADE:
            self._buckets = [count / 2 for count in self._buckets]
            self._total /= 2
        if self._seen >= _ENOUGH and not self._seen % 10:
            self._since = self._find()

    @property
    def late_after(self) -> float | None:
        """Seconds after which a first content is late; None while too few have been seen."""
        return self._since

    def _find(self) -> float:
        """The quantile, interpolated within its bucket."""
        left = self._quantile * self._total
        place = 0
        while left > self._buckets[place]:
            left -= self._buckets[place]
            place += 1
        return float(_SHORTEST * _RATIO ** (place + left / self._buckets[place]))

    def note(self, late: bool) -> None:
        """Was a call late?"""
        self._late += (late - self._late) * _RECENT

    @property
    def shared(self) -> bool:
        """Are so many late that it cannot be chance?"""
        return self._late > _SHARED * (1 - self._quantile)

    def hedged(self, won: bool) -> None:
        """Did a hedge win?"""
        self._wins += (won - self._wins) * _WIN

    @property
    def price(self) -> float:
        """What one more hedge takes out of the budget."""
        return _DEAR if self._wins < _RARELY else 1.0


class Hedger:
    """Asks rungs, and asks twice where that helps. One for the whole gateway."""

    def __init__(self, rules: HedgeRules, shared: RetryBudget) -> None:
        self.rules = rules
        self.budget = HedgeBudget(rules.share, shared)
        self.hedges = 0
        """second attempts so far"""
        self.wins = 0
        self._latencies: dict[tuple[str, bool], Latency] = {}

    async def ask(self, record: Record, rung: Rung, others: Sequence[Rung], needed: Necessary | None) -> Opened | None:
        """Like `attempt.ask`, perhaps with a second attempt. `others`: who would be asked next.

        The attempt that answers is the last of the record's. Raises Fault if every attempt failed.
        """
        call = record.call
        json = needed is not None and needed.json
        guarded = record.gate is not None and record.gate.guards(rung)
        other: Rung | None
        if guarded or (rung.stays_here and json):
            other = _above(record, others)
        else:
            other = None if rung.stays_here else self._second(rung, others)
        if call.private or other is None:
            return await ask(record, rung, needed)
        whole = not call.stream or json
        latency = self.latency(rung, whole or guarded)
        if not record.hedgeable:
            record.hedgeable = True
            self.budget.deposit()
        if latency.late_after is not None:
            return await _Race(self, record, rung, other, needed, latency, whole).run(latency.late_after)
        clock, mine = asyncio.get_running_loop().time, len(record.attempts)
        started = clock()
        opened = await ask(record, rung, needed)
        if opened is not None or _read(record.attempts[mine]):
            latency.add(clock() - started)
        return opened

    def latency(self, rung: Rung, whole: bool) -> Latency:
        """What is known of a model's times: whole answers apart from streams, whose first content comes sooner."""
        key = (rung.model, whole)
        found = self._latencies.get(key)
        if found is None:
            if len(self._latencies) >= _MODELS:
                del self._latencies[next(iter(self._latencies))]
            found = self._latencies[key] = Latency(self.rules.quantile)
        return found

    def _second(self, rung: Rung, others: Sequence[Rung]) -> Rung:
        if self.rules.to == "next":
            provider = rung.model.partition(":")[0]
            for other in others:
                if not other.stays_here and other.model.partition(":")[0] != provider:
                    return other
        return rung


def _above(record: Record, others: Sequence[Rung]) -> Rung | None:
    """Who answers if a model below the reference does not: the reference, or the next that is elsewhere."""
    for other in others:
        if not other.stays_here and (record.gate is None or other.model == record.gate.reference.model):
            return other
    return None


def _read(attempt: Attempt) -> bool:
    """Was its answer read to the end, though it was not accepted?"""
    return attempt.usage is not None


class _Race:
    """One call, at most two attempts. The first runs in the caller's own task, so that a call in time costs
    a timer and nothing else; the second, in a task of its own, interrupts it when it wins."""

    def __init__(
        self,
        hedger: Hedger,
        record: Record,
        rung: Rung,
        other: Rung,
        needed: Necessary | None,
        latency: Latency,
        whole: bool,
    ) -> None:
        self._hedger = hedger
        self._record = record
        self._rung = rung
        self._other = other
        self._needed = needed
        self._whole = whole
        self._latency = latency
        self._late = False
        self._decided = False
        self._overtaken = False
        self._second: asyncio.Task[Opened | None] | None = None

    async def run(self, late_after: float) -> Opened | None:
        """-> the answer of whoever spoke first. Raises Fault, or what interrupted it."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        interruptions = task.cancelling()
        mine = len(self._record.attempts)
        started = self._loop.time()
        timer = self._loop.call_later(late_after, self._launch)
        opened: Opened | None = None
        error: BaseException | None = None
        try:
            opened = await ask(self._record, self._rung, self._needed)
        except BaseException as raised:
            error = raised
        self._decided = True
        timer.cancel()
        if not self._late:
            self._latency.note(late=False)
        if opened is not None or self._overtaken or _read(self._record.attempts[mine]):
            self._latency.add(self._loop.time() - started)
        second = self._second
        if second is not None:
            first = opened
            # the interruption, if there was one, was ours: take it back
            if self._overtaken and task.uncancel() <= interruptions and isinstance(error, asyncio.CancelledError):
                opened, error = second.result(), None
            elif opened is None and (error is None or isinstance(error, Fault)):
                opened, error = await self._wait_for(second, error)
            else:
                await _drop(second, opened)
            won = opened is not None and opened is not first
            self._latency.hedged(won)
            self._hedger.wins += won
            self._tell(mine, opened)
        if error is not None:
            raise error
        return opened

    def _launch(self) -> None:
        """The first content is late."""
        self._late = True
        self._latency.note(late=True)
        hedger = self._hedger
        if self._latency.shared or not hedger.budget.withdraw(self._latency.price):
            return
        hedger.hedges += 1
        if self._other is not self._rung:
            self._record.asked.append(self._other)
        self._second = self._loop.create_task(self._ask_second())
        self._second.add_done_callback(self._second_done)

    async def _ask_second(self) -> Opened | None:
        started = self._loop.time()
        opened = await ask(self._record, self._other, self._needed)
        if opened is not None and self._other is not self._rung:
            self._hedger.latency(self._other, self._whole).add(self._loop.time() - started)
        return opened

    def _second_done(self, second: asyncio.Task[Opened | None]) -> None:
        """The second has spoken: interrupt the first, unless that has spoken too."""
        if second.cancelled():
            return
        failed = second.exception()
        if failed is not None:
            if not isinstance(failed, RungError):
                log.error("a second attempt failed", exc_info=failed)
        elif second.result() is not None and not self._decided:
            self._decided = self._overtaken = True
            self._task.cancel()

    async def _wait_for(
        self, second: asyncio.Task[Opened | None], error: BaseException | None
    ) -> tuple[Opened | None, BaseException | None]:
        """The first has failed or declined, but the second is on its way: -> its answer, or what to raise.

        The fault of a second is in the record; raised, it would have the first asked once more.
        """
        try:
            opened = await second
        except Fault:
            return None, error
        except asyncio.CancelledError as left:
            await _drop(second, None)
            return None, left
        return opened, None if opened is not None else error

    def _tell(self, mine: int, opened: Opened | None) -> None:
        """Write down who lost, and put the attempt that answers last. What a loser cost is not known, but that nothing
        is paid for what this machine does."""
        winner = opened.attempt if opened is not None else None
        attempts = self._record.attempts
        for attempt in attempts[mine:]:
            if winner is not None and attempt is not winner and attempt.outcome in ("cancelled", "answered"):
                attempt.outcome, attempt.reason = "cancelled", "hedge_lost"
                attempt.cost = 0 if attempt.model == self._rung.model and self._rung.stays_here else None
        attempts.sort(key=lambda attempt: attempt is winner)


async def _drop(second: asyncio.Task[Opened | None], kept: Opened | None) -> None:
    """Stop the second attempt. If its caller is interrupted meanwhile, nobody wants `kept` either."""
    second.cancel()
    try:
        await asyncio.wait([second])
    except BaseException:
        if kept is not None:
            await kept.answer.aclose()
        raise
    if not second.cancelled() and second.exception() is None and (lost := second.result()) is not None:
        await lost.answer.aclose()
