"""What a gateway needs for trust: the learner and its worker, and the gateway's own means put at their disposal."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from rung.answer import Usage
from rung.backends import Backends
from rung.call import Call
from rung.config import Settings
from rung.errors import RungError
from rung.ladder.budget import RetryBudget
from rung.ladder.climb import Climb, climb
from rung.ladder.policy import Lineup
from rung.ladder.rung import Rung
from rung.learning import CallGate, Learner, Worker, told
from rung.learning.cascade import CheckGate
from rung.learning.grading import Comparators
from rung.learning.people import feedback
from rung.providers.prices import PriceBook
from rung.record import row
from rung.store.ledger import Ledger
from rung.store.trust import TrustStore
from rung.wiring import Wiring

log = logging.getLogger("rung.trust")


class Proving:
    """One for the life of a gateway. `ledger` None: background climbs are charged, but nowhere written."""

    def __init__(self, settings: Settings, kept: TrustStore, ledger: Ledger | None, backends: Backends) -> None:
        self._ledger = ledger
        self._backends = backends
        self._lineup = Lineup()
        self._wiring: Wiring | None = None
        self._prices: PriceBook | None = None
        self._usable = True
        self.learner = Learner(settings.trust, kept, self, Comparators())
        self.worker = Worker(self.learner)

    async def start(self) -> None:
        """Take over what was learnt, and begin to work."""
        if not await self.learner.load():
            self._usable = False
            self.learner.candidates = ()
            return
        self.worker.start()

    async def aclose(self) -> None:
        """Stop working; what waits is in the store. Safe to call twice."""
        await self.worker.aclose()

    def reload(self, settings: Settings, wiring: Wiring, prices: PriceBook) -> None:
        """Take new settings and the rungs made of them."""
        self._wiring, self._prices, self._lineup = wiring, prices, wiring.lineup
        here = () if settings.ladder.local_in_auto else (self._lineup.local, *self._lineup.hosts)
        if not (settings.trust.enabled and self._usable):
            self.learner.reload(settings.trust, ())
            return
        named = (wiring.cloud(name) for name in settings.trust.candidates)
        self.learner.cascades.checks = settings.checks
        self.learner.reload(settings.trust, tuple(rung for rung in (*here, *named) if rung is not None))

    # ---- for the gateway ----

    def gate(self, call: Call) -> CallGate | CheckGate | None:
        """The gate of a call, None for one that asks for no promise: named models, private calls, no reference.

        Raises InvalidRequestError for a check nobody has declared.
        """
        if call.model != "auto" or call.mode != "auto" or call.private or not self.learner.candidates:
            return None
        reference = self._reference(call)
        if reference is None:
            return None
        if call.check:
            return self.learner.cascades.gate(call, reference, self.learner.candidates)
        return self.learner.gate(call, reference)

    def open_models(self, call: Call) -> frozenset[str]:
        """Models that may answer some calls like this one instead of the reference."""
        reference = self._reference(call)
        if reference is None or call.private:
            return frozenset()
        return self.learner.open_models(call, reference)

    def order(self, gate: CallGate | CheckGate, rungs: Sequence[Rung]) -> Sequence[Rung]:
        """`rungs` with the models that may answer such calls before the reference, if they stand after it.

        They stay in their old places too: refused there, they may answer here if all others fail, without a promise.
        """
        try:
            return self._order(gate, rungs)
        except Exception:  # then as it was
            log.exception("a bug in rung, please report it: open models could not be looked up")
            return rungs

    def _order(self, gate: CallGate | CheckGate, rungs: Sequence[Rung]) -> Sequence[Rung]:
        names = [rung.model for rung in rungs]
        reference = names.index(gate.reference.model) if gate.reference.model in names else 0
        if isinstance(gate, CheckGate):
            first = gate.ahead
        else:
            opened = self.learner.open_models(gate.call, gate.reference)
            first = [rung for rung in self.learner.candidates if rung.model in opened]
        ahead = [rung for rung in first if rung not in rungs[:reference]]
        if not ahead:
            return rungs
        return (*rungs[:reference], *ahead, *rungs[reference:])

    def learn(self, record: Climb) -> None:
        """A climb with a gate has ended."""
        if isinstance(record.gate, CallGate):
            try:
                self.learner.learn(record.gate, record)
            except Exception:  # the caller has been answered
                log.exception("a bug in rung, please report it: nothing could be learnt from a call")

    async def feedback(self, request_id: str, tenant: str, wrong: bool, corrected: bool) -> dict[str, Any]:
        """See `rung.learning.people.feedback`."""
        return await feedback(self.learner, request_id, tenant, wrong, corrected)

    def cells(self) -> dict[str, Any]:
        """Every cell and what learning costs, as plain data; see `rung.learning.told`."""
        return told.report(self.learner, self.worker.waits)

    def _reference(self, call: Call) -> Rung | None:
        return self._lineup.reference_for.get(call.task, self._lineup.reference)

    # ---- what the learner needs (`rung.learning.World`) ----

    def rung(self, model: str) -> Rung | None:
        for rung in (self._lineup.local, *self._lineup.hosts):
            if rung is not None and rung.model == model:
                return rung
        return None if self._wiring is None else self._wiring.cloud(model)

    def version(self, rung: Rung) -> str:
        backend = self._backends.current
        return backend.version if backend is not None and rung is self._lineup.local else ""

    async def ask(self, call: Call, rung: Rung) -> Climb:
        record = Climb(call)
        error: BaseException | None = None
        try:
            await climb(call, (rung,), record, RetryBudget(0.0, 0.0, 1))
        except RungError as failed:
            error = failed
        except BaseException as stopped:
            error = stopped
            raise
        finally:
            await record.finish(error)
            if self._ledger is not None:
                self._ledger.record(row(record))
        return record

    def cost(self, model: str, usage: Usage) -> int | None:
        return None if self._prices is None else self._prices.cost(model, usage)

    def busy(self, rung: Rung) -> bool:
        backend = self._backends.current
        return backend is not None and rung is self._lineup.local and backend.desk.running + backend.desk.waiting > 0

    def wanted(self, rung: Rung) -> bool:
        backend = self._backends.current
        return backend is not None and rung is self._lineup.local and backend.desk.waiting > 0
