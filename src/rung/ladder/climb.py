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

from rung.answer import Answer, Declined, Event, Usage
from rung.call import Call
from rung.errors import BadAnswerFault, DeadlineError, Fault, LadderExhausted, RateLimitFault, RungError, TimeoutFault
from rung.ladder.budget import RetryBudget
from rung.ladder.checks import Check, Verdict, check_for, texts_of
from rung.ladder.rung import Rung

KEEP_LIMIT = 8 * 1024 * 1024
"""bytes of an answer kept for checks and for the cache; a longer one is served but not stored"""

LONGEST_RETRY_WAIT = 2.0
"""seconds; a provider that asks for more is not waited for, the climb goes on"""


class Attempt(msgspec.Struct):
    """One rung asked once. `outcome`: answered, declined, failed or cancelled."""

    rung: str
    model: str
    outcome: str
    reason: str = ""
    ms: float = 0.0
    usage: Usage | None = None
    cost: int | None = 0


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
    _asked: list[Rung] = msgspec.field(default_factory=list)
    _opening: list[Event] = msgspec.field(default_factory=list)
    _kept: list[bytes] = msgspec.field(default_factory=list)
    _kept_size: int = 0

    async def events(self) -> AsyncIterator[Event]:
        """The committed stream. Raises a RungError if it breaks; nothing of another answer follows."""
        answer = self.answer
        assert answer is not None
        assert answer.events is not None
        for event in self._opening:
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
            last = self.attempts[-1]
            last.usage, last.cost = answer.evidence.usage, answer.evidence.cost
            if error is not None:
                last.outcome = "failed" if isinstance(error, RungError) else "cancelled"
                last.reason = error.code if isinstance(error, RungError) else "client_left"
        for rung in self._asked:
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


async def climb(call: Call, rungs: Sequence[Rung], record: Climb, budget: RetryBudget) -> Climb:
    """Ask `rungs` in order until one has committed to an answer; fills `record` and returns it.

    Raises DeadlineError, or LadderExhausted with every reason. The caller must `record.finish()` either way.
    """
    budget.deposit()
    for place, rung in enumerate(rungs):
        record._asked.append(rung)
        for tries_left in reversed(range(budget.tries)):
            started = time.monotonic()
            if started >= call.deadline:
                raise DeadlineError(f"the call's deadline passed before {rung.name} could be asked")
            attempt = Attempt(rung.name, rung.model, "cancelled", "client_left")
            record.attempts.append(attempt)
            try:
                answer = await rung.attempt(call)
                if not isinstance(answer, Declined):
                    checked = check_for(call) if place + 1 < len(rungs) else None
                    if answer.body is None or checked is not None:
                        await _open(record, answer, checked)
                    record.first_content = time.monotonic()
                    record.answer = answer
            except Fault as fault:
                record.faults.append(fault)
                attempt.outcome, attempt.reason = "failed", fault.code
                attempt.cost = None if _may_have_cost(fault) and not rung.stays_here else 0
                attempt.ms = (time.monotonic() - started) * 1e3
                if tries_left and await _may_retry(call, fault, budget):
                    continue
                break
            attempt.ms = (time.monotonic() - started) * 1e3
            if isinstance(answer, Declined):
                attempt.outcome, attempt.reason = "declined", answer.reason
                break
            attempt.outcome, attempt.reason = "answered", ""
            return record
    raise _exhausted(record)


async def _open(record: Climb, answer: Answer, checked: tuple[str, Check] | None) -> None:
    """Read a stream up to its first content, or to its end if the whole text must be checked.

    After this the answer is the caller's: the commit point.
    """
    record._opening = []
    try:
        if answer.events is not None:
            async for event in answer.events:
                record._opening.append(event)
                if event.last or (event.content and checked is None):
                    break
            else:
                raise BadAnswerFault(f"{answer.rung or answer.model} ended its stream without an answer")
        if checked is not None:
            record.buffered = checked[0]
            _check(answer, record._opening, *checked)
    except BaseException:
        await answer.aclose()
        raise


def _check(answer: Answer, events: list[Event], name: str, check: Check) -> None:
    whole = answer.body is not None
    data = answer.body if answer.body is not None else b"".join(event.data for event in events)
    if answer.evidence.tool_calls or answer.evidence.finish_reason != "stop":
        return  # a tool call has no text to check, and a cut text is told by its finish reason
    for text in texts_of(data, whole=whole):
        if check(text) is Verdict.FAIL:
            raise BadAnswerFault(f"{answer.model} failed the {name} check", code=f"not_{name}")


def _may_have_cost(fault: Fault) -> bool:
    """Work may have been done and billed although no answer came."""
    return isinstance(fault, (BadAnswerFault, TimeoutFault))


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
