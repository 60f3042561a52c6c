"""The fast path: a plain call to one model by its name, of which everything but the answer is known beforehand.

The slow path (`Gateway.begin`, `Gateway.climb`) finds out rung by rung who may answer, in a task that waits. Here a
call is looked up, sent and put away by one object that is called back, for three quarters of the CPU. As soon as
anything is not as usual it is the slow path's: before the model is asked `send` says so and nothing has been done;
afterwards `hand_over` and `Call.early` give on what has come. Both ways come to the same records, answers and errors:
tests/gateway/test_fastpath.py holds them to it. Why: docs/design/0007-the-fast-path.md.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any

from rung.answer import Answer, Event
from rung.call import DEFAULT_DEADLINE, Call, Early
from rung.errors import Fault
from rung.ladder.attempt import Attempt, Opened
from rung.ladder.breaker import Breaker
from rung.ladder.budget import RetryBudget
from rung.ladder.climb import Climb
from rung.ladder.policy import NAMES, plan
from rung.providers.flow import Flow
from rung.providers.prefix import SHORT
from rung.record import row_of
from rung.rungs.cloud import CloudRung, Straight
from rung.rungs.exact import ExactRung
from rung.store.ledger import Ledger
from rung.wire.client import Deadlines, Response
from rung.wiring import REMEMBERED, Wiring

LONGEST = SHORT - 1
"""bytes of a call: a longer one may have a prefix worth a provider's prompt cache"""


class Paths:
    """The paths there are, by model, as long as the `wiring` lasts."""

    def __init__(self, wiring: Wiring, ledger: Ledger | None) -> None:
        self._wiring, self._ledger = wiring, ledger
        self._known: dict[str, Path | None] = {}

    def of(self, model: str) -> Path | None:
        """The path of plain calls to `model`; None if there is more to them than a path knows of."""
        if model in self._known:
            return self._known[model]
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        return self._known.setdefault(model, self._find(model))

    def _find(self, model: str) -> Path | None:
        wiring, ledger = self._wiring, self._ledger
        local = wiring.lineup.local
        rung = None if model in NAMES or (local is not None and model == local.model) else wiring.cloud(model)
        if rung is None or rung.breaker is None or wiring.hedger is not None or wiring.order == "latency":
            return None
        exact = wiring.lineup.exact
        told = rung.straight(DEFAULT_DEADLINE)
        if told is None or not isinstance(exact, ExactRung) or not wiring.private.idle:
            return None
        if plan(Call({}, b"", model), wiring.lineup, rung) != (exact, rung) or (ledger and ledger.store_text):
            return None
        return Path(exact, rung, rung.breaker, wiring.budget, ledger, *told)


class Path:
    """The way of plain calls to one model: the exact cache, then the model.

    `ledger`: None where none is kept. `longest`: bytes of a call that may take it. `found`: whatever the door has found
    out about answers that came this way.
    """

    __slots__ = ("breaker", "budget", "deadlines", "exact", "found", "ledger", "longest", "rung", "straight")

    def __init__(
        self,
        exact: ExactRung,
        rung: CloudRung,
        breaker: Breaker,
        budget: RetryBudget,
        ledger: Ledger | None,
        straight: Straight,
        deadlines: Deadlines,
    ) -> None:
        self.exact, self.rung, self.breaker, self.budget, self.ledger = exact, rung, breaker, budget, ledger
        self.straight, self.deadlines = straight, deadlines
        self.longest = min(LONGEST, rung.context)
        self.found: dict[Any, Any] = {}


class Hit:
    """A plain call that was answered before, and the `answer` found to it; `looked`: the milliseconds that took."""

    __slots__ = ("_ended", "_path", "answer", "call", "looked")

    def __init__(self, path: Path, call: Call, answer: Answer, looked: float) -> None:
        self._path, self.call, self.answer, self.looked = path, call, answer, looked
        self._ended = time.monotonic()

    def put_away(self) -> None:
        """Write the call down."""
        path, ended = self._path, self._ended
        path.budget.deposit()
        if path.ledger is not None:
            path.ledger.record(row_of(self.call, self.answer, self._attempts(), "hit", 0, ended, ended))

    def record(self) -> Climb:
        """The climb, as the slow path would have made it."""
        exact = self._path.exact
        record = Climb(self.call, self._attempts(), self.answer, begun=True, rungs=(exact,), asked=[exact])
        record.ended = self._ended
        return record

    def _attempts(self) -> list[Attempt]:
        return [Attempt("exact", "exact", "answered", "", self.looked, self.answer.evidence.usage, 0)]


class Passage(ABC):
    """One plain call on its way: it says when it has `come`, and `hand_over` is what the slow path goes on with.

    Attributes:
        looked: milliseconds the exact cache took; took: and the model, up to its first content.
    """

    __slots__ = ("_asked", "_key", "_response", "_ticket", "call", "looked", "path", "took")

    _asked: float
    _key: bytes | None
    _response: Response
    _ticket: int
    looked: float
    took: float

    def __init__(self, path: Path, call: Call) -> None:
        self.path, self.call, self._key = path, call, None

    @abstractmethod
    def come(self) -> None:
        """Called when there is something to `take`."""

    def send(self) -> bool:
        """Ask the model, if nobody has an answer and it can be asked at once; else False, and nothing has been done."""
        path, call = self.path, self.call
        self._asked = started = time.monotonic()
        if len(call.raw) > path.longest or not path.breaker.free:
            return False
        self._key = key = path.exact.key_of(call)
        if key is None or not path.exact.vacant(key):
            return False
        self._asked = asked = time.monotonic()
        response = path.straight.send(call, path.deadlines, self.come)
        if response is None:
            return False
        path.exact.lead(key, call)
        self._response, self._ticket = response, path.breaker.ticket
        self.looked = (asked - started) * 1e3
        return True

    def hand_over(self) -> Climb:
        """The climb for the slow path to go on with, and to find what has come or will."""
        self._response.then = None
        self.call.early = Early(self._response, self._asked, self._ticket)
        return self._climb([self._looked()])

    def _climb(self, attempts: list[Attempt]) -> Climb:
        path = self.path
        return Climb(self.call, attempts, begun=True, rungs=(path.exact, path.rung), asked=[path.exact])

    def _looked(self) -> Attempt:
        return Attempt("exact", "exact", "declined", "miss", self.looked)


class Whole(Passage):
    """One whose answer comes in one piece."""

    __slots__ = ("_ended", "answer")

    answer: Answer
    _ended: float

    def hit(self) -> Hit | None:
        """What was answered to the same call before, if that is why it could not be sent and if it is at hand."""
        key = self._key
        answer = None if key is None else self.path.exact.stored(key, self.call)
        return None if answer is None else Hit(self.path, self.call, answer, (time.monotonic() - self._asked) * 1e3)

    def take(self) -> Answer | None:
        """The `answer`, if it is the usual one, which is still to be `put_away`; None, and nothing has been done, if
        not."""
        answer = self.path.straight.read(self._response)
        if answer is None:
            return None
        self._ended = time.monotonic()
        self.took = (self._ended - self._asked) * 1e3
        answer.rung = self.path.rung.name
        self.answer = answer
        return answer

    def put_away(self) -> None:
        """Keep the answer for the next such call, and write the call down."""
        path, call, answer, ended = self.path, self.call, self.answer, self._ended
        path.breaker.worked(self._ticket, ended)
        path.budget.deposit()
        body = answer.body
        assert body is not None
        assert self._key is not None
        path.exact.land(self._key, call, answer, body)
        path.rung.settle(call, answer, body)
        if path.ledger is not None:
            attempts = self._attempts(answer)
            path.ledger.record(row_of(call, answer, attempts, "miss", answer.evidence.cost, ended, ended))

    def give_way(self) -> None:
        """Nobody is to wait for this call, whose answer could not be kept."""
        self.path.exact.settle(self.call, None, None)

    def _attempts(self, answer: Answer) -> list[Attempt]:
        evidence, rung = answer.evidence, self.path.rung
        answered = Attempt(rung.name, rung.model, "answered", "", self.took, evidence.usage, evidence.cost)
        return [self._looked(), answered]

    def record(self) -> Climb:
        """The climb up to its `answer`, as the slow path would have made it."""
        record = self._climb(self._attempts(self.answer))
        record.answer, record.ended = self.answer, self._ended
        return record


class Stream(Passage):
    """One whose answer is streamed.

    Attributes:
        record: the climb, from the first content on: then the answer is the caller's.
        odd: it is not as usual, and the slow path has to go on.
    """

    __slots__ = ("_flow", "odd", "record")

    def __init__(self, path: Path, call: Call) -> None:
        super().__init__(path, call)
        self._flow: Flow | None = None
        self.record: Climb | None = None
        self.odd = False

    def take(self) -> Event | None:
        """What may be passed on of what has come; None if that is nothing yet, or if it is `odd`."""
        response, flow, event = self._response, self._flow, None
        if flow is None:
            path = self.path
            flow = self._flow = path.straight.flow(self.call, response, path.deadlines.idle)
            if flow is None:
                self.odd = True
                return None
        try:
            if block := response.take():
                event = flow.feed(block)
            if flow.done:
                event = _joined(event, flow.end())
            elif response.ended:
                self.odd = True
        except Fault as fault:
            flow.fault, self.odd = fault, True
        if event is None:
            return None
        if self.record is None:
            event = _joined(flow.waiting, event)
            if event.content and not self.odd:
                self._commit(flow)
        if self.record is None or self.odd or self.call.deadline < time.monotonic():
            flow.waiting = event
            self.odd = self.odd or event.last or self.record is not None
            return None
        return event

    def _commit(self, flow: Flow) -> None:
        """The first content has come."""
        path, rung, answer = self.path, self.path.rung, flow.answer
        self.took = (time.monotonic() - self._asked) * 1e3
        answer.rung = rung.name
        flow.waiting = None
        path.breaker.answering(self._ticket)
        path.budget.deposit()
        attempt = Attempt(rung.name, rung.model, "answered", "", self.took)
        self.record = record = self._climb([self._looked(), attempt])
        record.asked.append(rung)
        opened = Opened(answer, [], attempt, rung, path.breaker, self._ticket, self._asked)
        record.commit(opened, None, path.budget)

    def put_back(self, event: Event) -> None:
        """What was taken cannot be passed on now: the slow path has to wait until it can."""
        assert self._flow is not None
        self._flow.waiting, self.odd = event, True

    def give_up(self) -> None:
        """Nothing more will be taken."""
        self._response.close()

    def hand_over(self) -> Climb:
        record, flow = self.record, self._flow
        if record is None:
            record = super().hand_over()
            assert self.call.early is not None
            self.call.early.flow = flow
            return record
        assert flow is not None
        self._response.then = None
        self.path.straight.events(flow)
        return record


def _joined(before: Event | None, after: Event) -> Event:
    if before is None:
        return after
    return Event(before.data + after.data, before.content or after.content, after.last)
