"""Recorded calls sent through a chosen ladder again: a money cap that holds, resumable, written to the ledger.

Every call is a climb of its own with the purpose ``replay:NAME``, under a tenant of its own, so that no user's
cache is read or filled. Its request id is ``NAME-NUMBER``: what is in the ledger already is not sent again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from rung.answer import Usage
from rung.call import DEFAULT_DEADLINE, Call
from rung.errors import InvalidRequestError, RungError
from rung.gateway import Gateway
from rung.ladder.checks import texts_of
from rung.ladder.climb import Climb
from rung.ladder.rung import Rung
from rung.ladder.task import classify
from rung.providers.estimate import estimate_tokens
from rung.report.compare import Ran
from rung.report.importers import Recorded
from rung.result import make_call
from rung.store.ledger_read import climbs, kinds

PURPOSE = "replay:"

_MARGIN = 1.3
"""how far an estimate of prompt tokens may be short"""

_BATCH = 64
"""calls read from the file at once"""

_OUTPUT = 8192
"""output tokens that are reserved for where a call sets no limit; such a call is sent with this limit"""


class Progress(msgspec.Struct):
    """How far a replay is. `spent`: pico-dollars of this and earlier parts of the run; `skipped`: done before."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    spent: int = 0
    unknown: int = 0
    capped: bool = False


class Replay:
    """One run. `cap`: pico-dollars that are never exceeded, reserved before a call and settled after it; None: none.

    With a cap every model of `rungs` that may cost needs a known price. `at_once`: calls under way together;
    `pace`: None sends as fast as they are answered, 1.0 as recorded, 2.0 twice as fast.
    """

    def __init__(
        self,
        gateway: Gateway,
        rungs: Sequence[Rung],
        name: str,
        *,
        cap: int | None = None,
        at_once: int = 4,
        pace: float | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._gateway, self._rungs, self._name = gateway, tuple(rungs), name
        self._cap, self._pace, self._told, self._sleep = cap, pace, on_progress, sleep
        self._places = asyncio.Semaphore(at_once)
        self._reserved = 0
        self.progress = Progress()
        if cap is not None:
            free = [rung.model for rung in rungs if not rung.stays_here and gateway.price(rung.model, Usage()) is None]
            if free:
                raise InvalidRequestError(
                    f"the price of {', '.join(free)} is not known, so no cap can hold; "
                    "name it in rung.toml ([prices]), or replay without a cap"
                )

    async def run(self, calls: Iterator[Recorded], done: Mapping[int, int]) -> Progress:
        """Send `calls`, but those whose number is in `done` (number → pico-dollars it cost). Ends early at the cap."""
        self.progress.spent = sum(done.values())
        self.progress.skipped = len(done)
        first: float | None = None
        started = time.monotonic()
        left = ((number, one) for number, one in enumerate(calls) if number not in done)
        async with asyncio.TaskGroup() as running:
            while batch := await asyncio.to_thread(self._read, left):
                for at, call in batch:
                    if self._pace and at is not None:
                        first = at if first is None else first
                        await self._sleep(max(0.0, started + (at - first) / self._pace - time.monotonic()))
                    await self._places.acquire()
                    price = self._worst(call)
                    if self._cap is not None and self.progress.spent + self._reserved + price > self._cap:
                        self._places.release()
                        self.progress.capped = True
                        break
                    self._reserved += price
                    running.create_task(self._send(call, price))
                if self.progress.capped:
                    break
        self._told(self.progress)
        return self.progress

    def _read(self, left: Iterator[tuple[int, Recorded]]) -> list[tuple[float | None, Call]]:
        """The next calls. Reads files, so it runs beside the event loop."""
        return [(one.at, self._call(number, one)) for number, one in islice(left, _BATCH)]

    def _call(self, number: int, one: Recorded) -> Call:
        body = {name: value for name, value in one.body.items() if name not in ("messages", "model", "stream")}
        if self._cap is not None and not (body.get("max_tokens") or body.get("max_completion_tokens")):
            body["max_tokens"] = _OUTPUT
        told = {"tenant": PURPOSE + self._name, **body}
        call = make_call(one.body["messages"], "auto", told, stream=False, request_id=f"{self._name}-{number:07}")
        call.purpose = PURPOSE + self._name
        call.task = classify(call.body).task
        return call

    def _worst(self, call: Call) -> int:
        """What the call may cost at most, in pico-dollars: every paid model of the ladder asked, to the limit."""
        if self._cap is None:
            return 0
        limit: int = call.body.get("max_completion_tokens") or call.body.get("max_tokens") or _OUTPUT
        usage = Usage(input_tokens=round(_MARGIN * estimate_tokens(call.body)), output_tokens=limit)
        paid = (rung for rung in self._rungs if not rung.stays_here)
        return sum(self._gateway.price(rung.model, usage) or 0 for rung in paid)

    async def _send(self, call: Call, reserved: int) -> None:
        call.started = time.monotonic()
        call.deadline = call.started + DEFAULT_DEADLINE
        record = Climb(call)
        error: RungError | None = None
        try:
            await self._gateway.ascend(record, self._rungs)
        except RungError as fault:
            error = fault
            self.progress.failed += 1
        finally:
            await self._gateway.end(record, error)
            self._places.release()
            cost = record.cost()
            self._reserved -= reserved
            self.progress.spent += reserved if cost is None else cost
            self.progress.unknown += cost is None
            self.progress.done += 1
            self._told(self.progress)


def ladder(gateway: Gateway, names: Sequence[str]) -> list[Rung]:
    """The rungs called `names`: ``tool``, ``exact``, ``semantic``, ``local``, a provider, or ``provider:model``.

    Raises InvalidRequestError for one that is not here.
    """
    found = []
    for name in names:
        rung = gateway.rung(name)
        if rung is None:
            raise InvalidRequestError(f"no rung {name!r} here; there are: {', '.join(gateway.rung_names())}")
        found.append(rung)
    return found


def finished(ledger: Path, name: str) -> dict[int, int]:
    """Calls of the run `name` the ledger has: number → pico-dollars it cost (unknown: 0)."""
    if not ledger.exists():
        return {}
    mine = {number for number, purpose in kinds(ledger, ["purpose"]) if purpose == PURPOSE + name}
    found = climbs(ledger, ["request_id", "cost_pico"])
    return {_number(request): cost or 0 for kind, request, cost in found if kind in mine}


def runs(ledger: Path, name: str) -> list[Ran]:
    """The calls of the run `name`, for `rung.report.compare`."""
    columns = ["purpose", "task", "rung", "model", "outcome"]
    mine = {number: told for number, purpose, *told in kinds(ledger, columns) if purpose == PURPOSE + name}
    found = []
    for kind, request, ms, cost, body in climbs(ledger, ["request_id", "total_ms", "cost_pico", "answer_text"]):
        if kind in mine:
            task, rung, model, outcome = mine[kind]
            text = "\n".join(texts_of(body, whole=True)) if body else ""
            found.append(Ran(_number(request), task, rung, model, outcome, ms, cost, text))
    return found


def names(ledger: Path) -> list[str]:
    """Every run the ledger has."""
    return sorted({purpose[len(PURPOSE) :] for _, purpose in kinds(ledger, ["purpose"]) if purpose.startswith(PURPOSE)})


def _number(request_id: str) -> int:
    return int(request_id.rpartition("-")[2])
