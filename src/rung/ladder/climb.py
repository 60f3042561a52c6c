"""How a call climbs: the rungs in order, every attempt recorded, one commit point.

Until the first content event goes out, moving up is silent. After it a failure is an error the door must
tell the caller; nothing is ever spliced from two answers. Retries share one budget.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

import msgspec

from rung.answer import Answer, Event
from rung.call import Call
from rung.errors import DeadlineError, Fault, LadderExhausted, RateLimitFault, RungError
from rung.ladder.attempt import Attempt, Gate, Opened, ask, ask_now
from rung.ladder.budget import RetryBudget
from rung.ladder.checks import Necessary, asks_json, broken_json, necessary_for, texts_of
from rung.ladder.hedge import Hedger
from rung.ladder.resume import Seam, resume
from rung.ladder.rung import Rung

__all__ = ["Attempt", "Climb", "begin", "climb", "path"]

KEEP_LIMIT = 8 * 1024 * 1024
"""bytes of an answer kept for checks and for the cache; a longer one is served but not stored"""

OVERFLOW = "context_overflow"
"""the reason of a rung whose model cannot hold the prompt"""

_CUT = ("answer_cut", "cut_stream")
"""bad answers that are a failure of the transport, and may be gone"""

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
    begun: bool = False
    rungs: Sequence[Rung] = ()
    """who may be asked, in order, as far as that is known once the climb has begun"""
    why: str = ""
    """why the models were put in this order, in a line; empty if none had to be"""
    gate: Gate | None = None
    """what models below the reference must pass; None where the call asks for no promise"""
    show: Callable[[bytes], Awaitable[None]] | None = None
    """who is shown the frames of a lower model's answer while it is not accepted yet"""
    hedgeable: bool = False
    """it has paid its share into the budget of hedges"""
    joined_at: int | None = None
    """characters of text after which the answer was cut and continued, None if it was not"""
    _budget: RetryBudget | None = None
    _opened: Opened | None = None
    _kept: list[bytes] = msgspec.field(default_factory=list)
    _kept_size: int = 0

    def commit(self, opened: Opened, needed: Necessary | None, budget: RetryBudget | None = None) -> None:
        """From here on the answer is the caller's."""
        self._opened = opened
        self._budget = budget
        self.answer = opened.answer
        self.first_content = time.monotonic()
        if needed is not None and needed.json:
            self.buffered = "json"
        if self.gate is not None and (held := self.gate.passed(opened.answer)):
            self.buffered = held

    async def events(self) -> AsyncIterator[Event]:
        """The committed stream. Raises a RungError if it breaks; nothing of another answer follows.

        Where the call asks for it, what follows a break is the rest of the same model's answer.
        """
        answer = self.answer
        assert answer is not None
        assert answer.events is not None
        assert self._opened is not None
        for event in self._opened.events:
            self.keep(event.data)
            yield event
            if event.last:
                return
        try:
            deadline, kept = self.call.deadline, self._kept
            async for event in answer.events:
                if deadline < time.monotonic():
                    raise _out_of_time()
                self._kept_size += len(event.data)  # `keep`, for every token
                if self._kept_size <= KEEP_LIMIT:
                    kept.append(event.data)
                yield event
        except Fault as fault:
            rest = await self._resume(fault) if self.call.continues else None
            if rest is None:
                raise
        else:
            return
        async for event in rest:
            if self.call.deadline < time.monotonic():
                raise _out_of_time()
            self.keep(event.data)
            yield event

    async def _resume(self, fault: Fault) -> AsyncIterator[Event] | None:
        """The rest of the answer that `fault` has cut, by the model that was giving it; None if it cannot be had."""
        cut = self._opened
        if cut is None or cut.answer.events is None or self._budget is None or self._kept_size > KEEP_LIMIT:
            return None
        sent = b"".join(self._kept)
        await cut.answer.aclose()
        self._note_end(cut, fault)
        opened = await resume(self, cut, sent, self._budget)
        if opened is None:
            return None
        self.answer, self._opened = opened.answer, opened
        self.joined_at = sum(map(len, texts_of(sent, whole=False)))
        return _rest(opened, Seam(sent))

    def _note_end(self, opened: Opened, error: BaseException | None) -> None:
        """Write down how the attempt whose answer went out has ended."""
        last, evidence = opened.attempt, opened.answer.evidence
        last.usage, last.cost = evidence.usage, evidence.cost
        if evidence.edits:
            last.edits = len(evidence.edits)
        if error is not None and last.outcome == "answered":
            last.outcome = "failed" if isinstance(error, RungError) else "cancelled"
            last.reason = error.code if isinstance(error, RungError) else "client_left"
        opened.ended(self.call, error)

    def keep(self, data: bytes) -> None:
        """Keep what has gone out, for checks and for the cache."""
        self._kept_size += len(data)
        if self._kept_size <= KEEP_LIMIT:
            self._kept.append(data)

    async def finish(self, error: BaseException | None = None) -> None:
        """`close`, and stop what still comes."""
        self.close(error)
        if self.answer is not None and self.answer.events is not None:
            await self.answer.aclose()

    def close(self, error: BaseException | None = None) -> None:
        """Complete the record, let every rung that was asked learn or let go. Safe to call twice."""
        if self.ended:
            return
        self.ended = time.monotonic()
        self.error = error
        answer = self.answer
        good = None
        stored: bytes | None = None
        if answer is not None:
            if error is None and answer.evidence.complete and self.joined_at is None:
                good = answer
                stored = answer.body
                if stored is None and self._kept_size <= KEEP_LIMIT:
                    stored = b"".join(self._kept)
                if stored is not None and not self.buffered and asks_json(self.call) and broken_json(answer, stored):
                    stored = None  # nobody better was left to ask, but it need not be repeated
            if self.gate is not None and self.gate.passed(answer):
                stored = None  # the promise was made to this call: the same call again climbs again
            assert self._opened is not None
            self._note_end(self._opened, error)
        for rung in self.asked:
            rung.settle(self.call, good, stored)

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
        return path([(attempt.rung, attempt.outcome, attempt.reason) for attempt in self.attempts])

    def cost(self) -> int | None:
        """Pico-dollars of every attempt, refused ones included; None if any is unknown."""
        total = 0
        for attempt in self.attempts:
            if attempt.cost is None:
                return None
            total += attempt.cost
        return total


def _out_of_time() -> DeadlineError:
    return DeadlineError("the call's deadline passed while the answer was being streamed")


async def _rest(opened: Opened, seam: Seam) -> AsyncIterator[Event]:
    """What follows on a cut: what was read up to its first content, and then as it comes."""
    for event in opened.events:
        yield seam.join(event)
        if event.last:
            return
    assert opened.answer.events is not None
    async for event in opened.answer.events:
        yield seam.join(event)


def path(steps: Iterable[tuple[str, str, str]]) -> str:
    """`Climb.path` of attempts told as (rung, outcome, reason)."""
    return ", ".join([_step(*step) for step in steps])


_CACHES = ("exact", "semantic")


def _step(rung: str, outcome: str, reason: str) -> str:
    if outcome == "answered":
        how = f":{reason}" if reason else ""
        return f"{rung}=hit" if rung in _CACHES else f"{rung}=answered{how}"
    code = reason.partition(":")[0]
    if outcome == "declined" and rung in _CACHES:
        return f"{rung}={code}"
    return f"{rung}={outcome}:{code}"


def begin(record: Climb, rungs: Sequence[Rung], budget: RetryBudget) -> bool:
    """Begin a climb: ask the lowest of `rungs`, as long as they can say at once; True if one of them has answered.

    If none has, `climb` goes on from there.
    """
    record.begun, record.rungs = True, rungs
    if asks_json(record.call):
        return False
    for rung in rungs:
        look = getattr(rung, "look", None)
        said = ask_now(record, rung, look) if look is not None else None
        if said is None:
            return False
        if isinstance(said, Opened):
            budget.deposit()
            record.commit(said, None, budget)
            return True
    return False


async def climb(
    call: Call,
    rungs: Sequence[Rung],
    record: Climb,
    budget: RetryBudget,
    hedger: Hedger | None = None,
    more: Callable[[], Sequence[Rung]] | None = None,
) -> Climb:
    """Ask `rungs` in order until one has committed to an answer; fills `record` and returns it.

    With a `hedger`, a model that is late may be raced by a second attempt. `more` says who is asked when all of
    them were asked in vain, once that must be known.
    Raises DeadlineError, or LadderExhausted with every reason. The caller must `record.finish()` either way.
    """
    budget.deposit()
    while True:  # twice at most; not a function of its own, which every resumption would pass through
        for place, rung in enumerate(rungs):
            if rung in record.asked:
                continue  # in vain, by `begin` or a second attempt
            record.asked.append(rung)
            needed = necessary_for(call) if place + 1 < len(rungs) or more is not None else None
            tries_left = budget.tries
            while True:
                tries_left -= 1
                if time.monotonic() >= call.deadline and call.early is None:
                    raise DeadlineError(f"the call's deadline passed before {rung.name} could be asked")
                try:
                    if hedger is None:
                        opened = await ask(record, rung, needed)
                    else:
                        opened = await hedger.ask(record, rung, rungs[place + 1 :], needed)
                except Fault as fault:
                    if tries_left and await _may_retry(call, fault, budget):
                        continue
                    break
                if opened is None:
                    break
                record.commit(opened, needed, budget)
                return record
        if more is None:
            raise _exhausted(record)
        rungs, more = more(), None


async def _may_retry(call: Call, fault: Fault, budget: RetryBudget) -> bool:
    """Wait and say yes if the same rung should be asked once more."""
    if not fault.retryable and fault.code not in _CUT:
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
        if any(reason.startswith(OVERFLOW) for _, reason in reasons):
            advice = f"{error.message}; shorten the prompt, or ask a model that can hold more"
            error = LadderExhausted(advice, reasons=reasons, code="context_length_exceeded", status=400)
            error.type = "invalid_request_error"
    error.args = (error.message,)
    return error


_TELLING = {400: 0, 413: 0, 422: 0, 404: 1, 429: 2, 504: 3}
