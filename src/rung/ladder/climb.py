"""How a call climbs: the rungs in order, every attempt recorded, one commit point.

Until the first content event goes out, moving up is silent. After it a failure is an error the door must
tell the caller; nothing is ever spliced from two answers. Retries share one budget.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence

import msgspec

from rung.answer import Answer, Event
from rung.call import Call
from rung.errors import DeadlineError, Fault, LadderExhausted, RateLimitFault, RungError
from rung.ladder.attempt import Attempt, NamedCheck, Opened, ask, fails
from rung.ladder.budget import RetryBudget
from rung.ladder.checks import check_for
from rung.ladder.hedge import Hedger
from rung.ladder.rung import Rung

__all__ = ["Attempt", "Climb", "climb"]

KEEP_LIMIT = 8 * 1024 * 1024
"""bytes of an answer kept for checks and for the cache; a longer one is served but not stored"""

LONGEST_RETRY_WAIT = 2.0
"""seconds; a provider that asks for more is not waited for, the climb goes on"""


class Climb(msgspec.Struct):
    """One call's way up and, once a rung has answered, the answer to be served.

    Exactly one of two things is true after `climb`: `answer` is committed (its `body`, or `events()`), or
    `climb` raised. Whoever serves it calls `finish` once, whatever happened.
    """

    call: Call
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    answer: Answer | None = None
    buffered: str = ""
    """name of the check the whole text was held back for, if any"""
    first_content: float = 0.0
    """`time.monotonic()` of the first content, 0 if there was none"""
    ended: float = 0.0
    error: BaseException | None = None
    faults: list[RungError] = msgspec.field(default_factory=list)
    asked: list[Rung] = msgspec.field(default_factory=list)
    """every rung that was asked, each once"""
    _opened: Opened | None = None
    _kept: list[bytes] = msgspec.field(default_factory=list)
    _kept_size: int = 0

    def commit(self, opened: Opened, check: NamedCheck | None) -> None:
        """From here on the answer is the caller's."""
        self._opened = opened
        self.answer = opened.answer
        self.first_content = time.monotonic()
        if check is not None:
            self.buffered = check[0]

    async def events(self) -> AsyncIterator[Event]:
        """The committed stream. Raises a RungError if it breaks; nothing of another answer follows."""
        answer = self.answer
        assert answer is not None
        assert answer.events is not None
        assert self._opened is not None
        for event in self._opened.events:
            self._keep(event.data)
            yield event
            if event.last:
                return
        async for event in answer.events:
            if self.call.deadline < time.monotonic():
                raise DeadlineError("the call's deadline passed while the answer was being streamed")
            self._keep(event.data)
            yield event

    def _keep(self, data: bytes) -> None:
        self._kept_size += len(data)
        if self._kept_size <= KEEP_LIMIT:
            self._kept.append(data)

    async def finish(self, error: BaseException | None = None) -> None:
        """Close the answer, complete the record, let every rung that was asked learn or let go."""
        if self.ended:
            return
        self.ended = time.monotonic()
        self.error = error
        answer = self.answer
        good = None
        stored: bytes | None = None
        if answer is not None:
            if error is None and answer.evidence.complete:
                good = answer
                stored = answer.body
                if stored is None and self._kept_size <= KEEP_LIMIT:
                    stored = b"".join(self._kept)
                check = None if self.buffered else check_for(self.call)
                if stored is not None and check is not None and fails(answer, stored, check):
                    stored = None  # nobody better was left to ask, but it need not be repeated
            assert self._opened is not None
            last = self._opened.attempt
            last.usage, last.cost = answer.evidence.usage, answer.evidence.cost
            if answer.evidence.edits:
                last.edits = len(answer.evidence.edits)
            if error is not None:
                last.outcome = "failed" if isinstance(error, RungError) else "cancelled"
                last.reason = error.code if isinstance(error, RungError) else "client_left"
            self._opened.ended(self.call, error)
        for rung in self.asked:
            rung.settle(self.call, good, stored)
        if answer is not None and answer.events is not None:
            await answer.aclose()

    @property
    def rung(self) -> str:
        return self.answer.rung if self.answer is not None else ""

    def text(self) -> bytes | None:
        """The answer as it was sent, as far as it went and was kept."""
        if self.answer is None:
            return None
        return self.answer.body if self.answer.body is not None else b"".join(self._kept)

    def path(self) -> str:
        """The climb on one line: ``tool=declined:not_a_tool_task, exact=miss, local=answered``."""
        return ", ".join([_step(attempt) for attempt in self.attempts])

    def cost(self) -> int | None:
        """Pico-dollars of every attempt, refused ones included; None if any is unknown."""
        total = 0
        for attempt in self.attempts:
            if attempt.cost is None:
                return None
            total += attempt.cost
        return total


def _step(attempt: Attempt) -> str:
    if attempt.outcome == "answered":
        return "exact=hit" if attempt.rung == "exact" else f"{attempt.rung}=answered"
    code = attempt.reason.partition(":")[0]
    if attempt.outcome == "declined" and attempt.rung == "exact":
        return f"exact={code}"
    return f"{attempt.rung}={attempt.outcome}:{code}"


async def climb(
    call: Call, rungs: Sequence[Rung], record: Climb, budget: RetryBudget, hedger: Hedger | None = None
) -> Climb:
    """Ask `rungs` in order until one has committed to an answer; fills `record` and returns it.

    With a `hedger`, a model that is late may be raced by a second attempt.
    Raises DeadlineError, or LadderExhausted with every reason. The caller must `record.finish()` either way.
    """
    budget.deposit()
    for place, rung in enumerate(rungs):
        if rung in record.asked:
            continue  # a second attempt has asked it, in vain
        record.asked.append(rung)
        check = check_for(call) if place + 1 < len(rungs) else None
        tries_left = budget.tries
        while True:
            tries_left -= 1
            if time.monotonic() >= call.deadline:
                raise DeadlineError(f"the call's deadline passed before {rung.name} could be asked")
            try:
                if hedger is None:
                    opened = await ask(record, rung, check)
                else:
                    opened = await hedger.ask(record, rung, rungs[place + 1 :], check)
            except Fault as fault:
                if tries_left and await _may_retry(call, fault, budget):
                    continue
                break
            if opened is None:
                break
            record.commit(opened, check)
            return record
    raise _exhausted(record)


async def _may_retry(call: Call, fault: Fault, budget: RetryBudget) -> bool:
    """Wait and say yes if the same rung should be asked once more."""
    if not fault.retryable:
        return False
    wait = fault.retry_after if fault.retry_after is not None else random.uniform(0.05, 0.25)  # noqa: S311
    if isinstance(fault, RateLimitFault) and fault.retry_after is None:
        return False  # no hint: asking again at once only digs deeper
    if wait > LONGEST_RETRY_WAIT or wait > call.remaining() or not budget.withdraw():
        return False
    await asyncio.sleep(wait)
    return True


def _exhausted(record: Climb) -> LadderExhausted:
    """Every reason, and the status that says most: the caller's own mistake, a limit, a time-out, an outage."""
    reasons = [(attempt.rung, attempt.reason) for attempt in record.attempts]
    faults = record.faults
    error = LadderExhausted("", reasons=reasons, faults=faults)
    if faults:
        by_status = sorted(faults, key=lambda fault: _TELLING.get(fault.status, 9))
        error.status, error.code = by_status[0].status, by_status[0].code
        error.type, error.param = by_status[0].type, by_status[0].param
        error.message = by_status[0].message
    else:
        told = "; ".join(f"{rung}: {reason}" for rung, reason in reasons if reason != "miss")
        error.message = f"no rung could answer ({told})"
    error.args = (error.message,)
    return error


_TELLING = {400: 0, 413: 0, 422: 0, 404: 1, 429: 2, 504: 3}
