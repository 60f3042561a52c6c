"""One rung asked once: let through by its breaker, and read up to its first content."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import msgspec

from rung.answer import Answer, Declined, Event, Usage
from rung.call import Call
from rung.errors import BadAnswerFault, Fault, RungError, TimeoutFault
from rung.ladder.breaker import Breaker
from rung.ladder.checks import Necessary
from rung.ladder.rung import Rung

_BROKEN_OFF = ("insufficient_system_resource",)
"""a finish reason that a whole answer fails with: what had been written by then is billed (DeepSeek)"""

LATE = 0.01
"""seconds before its deadline from which a call counts as out of time: clocks and timers are not exact"""


class Attempt(msgspec.Struct, omit_defaults=True):
    """One rung asked once. `outcome`: answered, declined, failed or cancelled."""

    rung: str
    model: str
    outcome: str
    reason: str = ""
    ms: float = 0.0
    usage: Usage | None = None
    cost: int | None = 0
    edits: int = 0
    """how many changes a repair made; what they were is in the answer's evidence"""


class Gate(Protocol):
    """What a model below the reference must pass before its answer may go out. One per call, asked in this order."""

    reference: Rung

    def guards(self, rung: Rung) -> bool:
        """Is `rung`, which is about to be asked, one of those?"""
        ...

    def refusal(self, rung: Rung) -> str:
        """Why it need not be asked; empty if it may be."""
        ...

    async def weigh(self, rung: Rung, answer: Answer, data: bytes, failed: str) -> str:
        """Why its whole answer (`data`: the body, or all frames) may not go out; empty if it may. `failed`: the
        necessary check that rejects it, if one does. Must not raise anything but a RungError that ends the call."""
        ...

    def passed(self, answer: Answer) -> str:
        """What this answer was held back for before it went out; empty if it was not."""
        ...


class Record(Protocol):
    """Where attempts are written down (`rung.ladder.climb.Climb`)."""

    call: Call
    attempts: list[Attempt]
    faults: list[RungError]
    asked: list[Rung]
    gate: Gate | None
    hedgeable: bool
    show: Callable[[bytes], Awaitable[None]] | None


class Opened(msgspec.Struct):
    """An answer at its commit point: all of it, or its stream with the events read so far."""

    answer: Answer
    events: list[Event]
    attempt: Attempt
    rung: Rung
    breaker: Breaker | None
    ticket: int
    started: float

    def ended(self, call: Call, error: BaseException | None) -> None:
        """Tell the breaker, once, how the answer went on."""
        breaker, self.breaker = self.breaker, None
        if breaker is None:
            return
        if error is None:
            breaker.worked(self.ticket, time.monotonic())
        elif isinstance(error, Fault):
            _tell_failed(breaker, self.ticket, call, error, self.started)


async def ask(record: Record, rung: Rung, needed: Necessary | None) -> Opened | None:
    """Ask `rung`; None if it declines, or its breaker does for it. `record` tells what happened either way.

    `needed`: what its answer must pass, where somebody is left to ask. JSON is read whole for that; the rest is
    looked at where the answer is there as a whole anyway. Raises Fault; whatever it raises, the upstream work has
    been stopped.
    """
    call = record.call
    early = call.early
    started = time.monotonic() if early is None else early.asked
    attempt = Attempt(rung.name, rung.model, "cancelled", "client_left", cost=0 if rung.stays_here else None)
    record.attempts.append(attempt)
    gate = record.gate if record.gate is not None and record.gate.guards(rung) else None
    if gate is not None and (closed := gate.refusal(rung)):
        attempt.outcome, attempt.reason, attempt.cost = "declined", closed, 0
        return None
    breaker: Breaker | None = getattr(rung, "breaker", None)
    ticket = 0
    if early is not None:
        ticket = early.ticket  # it was let through then
    elif breaker is not None:
        refusal = breaker.refusal(started, len(call.raw), None if breaker.free else _estimate(rung, call))
        if refusal is not None:
            attempt.outcome, attempt.reason, attempt.cost = "declined", refusal.reason, 0
            record.faults.append(refusal.fault)
            return None
        ticket = breaker.ticket
    answer: Answer | Declined | None = None
    try:
        answer = await rung.attempt(call)
        if isinstance(answer, Declined):
            attempt.outcome, attempt.reason, attempt.cost = "declined", answer.reason, 0
            if breaker is not None:
                breaker.abandoned(ticket)
            return None
        events = []
        if answer.body is None:
            whole = gate is not None or (needed is not None and needed.json)
            lower = gate is not None or answer.evidence.unproved
            events = await _open(answer, whole=whole, show=record.show if whole and lower else None)
        if (gate is not None or needed is not None) and (refused := await _weighed(gate, needed, rung, answer, events)):
            attempt.outcome, attempt.reason = "declined", refused
            attempt.usage, attempt.cost = answer.evidence.usage, answer.evidence.cost  # given, refused, and charged
            if breaker is not None:
                breaker.worked(ticket, time.monotonic())
            if rung in record.asked:
                record.asked.remove(rung)  # should all others fail, it may answer without a promise
            await answer.aclose()
            return None
    except Fault as fault:
        record.faults.append(fault)
        attempt.outcome, attempt.reason = "failed", fault.code
        _charge(attempt, answer, fault)
        if breaker is not None:
            _tell_failed(breaker, ticket, call, fault, started)
        raise
    except BaseException:
        if breaker is not None:
            breaker.abandoned(ticket)
        raise
    finally:
        attempt.ms = (time.monotonic() - started) * 1e3
    attempt.outcome, attempt.reason, attempt.cost = "answered", "", 0
    if breaker is not None:
        breaker.answering(ticket)
    return Opened(answer, events, attempt, rung, breaker, ticket, started)


def ask_now(record: Record, rung: Rung, look: Callable[[Call], Answer | Declined | None]) -> Opened | Declined | None:
    """`ask` for a rung that has `look`: what it says at once, or None; then it has not been asked."""
    started = time.monotonic()
    if started >= record.call.deadline:
        return None
    answer = look(record.call)
    if answer is None:
        return None
    ms = (time.monotonic() - started) * 1e3
    record.asked.append(rung)
    if isinstance(answer, Declined):
        record.attempts.append(Attempt(rung.name, rung.model, "declined", answer.reason, ms))
        return answer
    attempt = Attempt(rung.name, rung.model, "answered", "", ms)
    record.attempts.append(attempt)
    return Opened(answer, [], attempt, rung, None, 0, started)


def _estimate(rung: Rung, call: Call) -> Callable[[], int] | None:
    estimate: Callable[[Call], int] | None = getattr(rung, "estimate", None)
    return None if estimate is None else partial(estimate, call)


def _tell_failed(breaker: Breaker, ticket: int, call: Call, fault: Fault, started: float) -> None:
    now = time.monotonic()
    breaker.failed(fault, ticket, now, waited=now - started, late=now >= call.deadline - LATE)


async def _weighed(gate: Gate | None, needed: Necessary | None, rung: Rung, answer: Answer, events: list[Event]) -> str:
    """Why the `gate` refuses this answer, empty if it doesn't. Raises Fault where there is no gate to tell that the
    answer has failed a check."""
    if answer.body is None and not (events and events[-1].last):
        return ""  # a stream that nothing holds back: there is no text yet
    data = answer.body if answer.body is not None else b"".join([event.data for event in events])
    try:
        lower = gate is not None or answer.evidence.unproved
        failed = await needed.fails(answer, data, lower=lower) if needed is not None else ""
        if gate is not None:
            return await gate.weigh(rung, answer, data, failed)
        if failed:
            raise _rejected(answer, failed)
    except BaseException:
        await answer.aclose()
        raise
    return ""


def _rejected(answer: Answer, check: str) -> BadAnswerFault:
    told = f"{answer.model} failed the {check} check"
    if check == "json":
        return BadAnswerFault(told, code="not_json")
    if check == "schema":
        return BadAnswerFault(told, code="schema_mismatch")
    return BadAnswerFault(told, code="broken_code")


async def _open(answer: Answer, *, whole: bool, show: Callable[[bytes], Awaitable[None]] | None) -> list[Event]:
    """Read a stream up to its first content, or to its end if the `whole` of it is wanted; it is `show`n as it comes.

    After this the answer is the caller's: the commit point.
    """
    opening: list[Event] = []
    try:
        assert answer.events is not None
        async for event in answer.events:
            opening.append(event)
            if show is not None and event.data:
                await show(event.data)
            if event.last or (event.content and not whole):
                return opening
        raise BadAnswerFault(f"{answer.rung or answer.model} ended its stream without an answer")
    except BaseException:
        await answer.aclose()
        raise


def _charge(attempt: Attempt, answer: Answer | Declined | None, fault: Fault) -> None:
    """What a failed attempt costs: an answer that is refused has been given, and is paid for; one that broke off may
    be, and nobody says how much."""
    if isinstance(answer, Answer):
        if answer.evidence.complete:
            attempt.usage, attempt.cost = answer.evidence.usage, answer.evidence.cost
    elif not _may_have_cost(fault):
        attempt.cost = 0


def _may_have_cost(fault: Fault) -> bool:
    """Work may have been done and billed although no answer came."""
    return isinstance(fault, (BadAnswerFault, TimeoutFault)) or fault.code in _BROKEN_OFF
