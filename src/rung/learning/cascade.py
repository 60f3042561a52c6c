"""Verified cascades: a caller who names a check of the user's gets the lowest answer that passes it.

The check is a command of the user's own; what it accepts needs no other proof. It runs in a sandbox without network
(`rung.sandbox`), with the answer's text on its stdin, a surrounding code fence taken off. A cascade runs only where
it can pay, and stops by itself where it does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from rung import sandbox
from rung.answer import Answer, Usage
from rung.call import Call
from rung.config import Check
from rung.errors import InvalidRequestError
from rung.ladder.rung import Rung
from rung.ladder.trust.compare import unfenced
from rung.learning import jobs
from rung.learning.world import World
from rung.store import trust as store

CHEAP = 0.1
"""most a lower model may cost of what the reference costs: above that even good answers hardly pay"""

TRIES = 50
"""answers after which a cascade that has cost more than it saved ends"""

AT_ONCE = 2
"""checks that run at the same time; more wait"""

_USUAL = Usage(input_tokens=1000, output_tokens=500)
"""what models are compared by"""


class Cascade(msgspec.Struct):
    """What one check on one model has brought, in pico-dollars."""

    tried: int = 0
    passed: int = 0
    saved: int = 0
    spent: int = 0


class Cascades:
    """All of a gateway's. `checks`: the user's, by name."""

    def __init__(self, world: World, kept: store.TrustStore) -> None:
        self.checks: Mapping[str, Check] = {}
        self.books: dict[str, Cascade] = {}
        """by ``check model``"""
        self._world = world
        self._kept = kept
        self._places = asyncio.Semaphore(AT_ONCE)

    def load(self, books: Mapping[str, bytes]) -> None:
        """Take over what the store has."""
        for name, data in books.items():
            self.books[name] = msgspec.json.decode(data, type=Cascade)

    def gate(self, call: Call, reference: Rung, candidates: Sequence[Rung]) -> CheckGate:
        """The gate of a call that names a check. Raises InvalidRequestError for a check nobody has declared."""
        if call.check not in self.checks:
            known = ", ".join(sorted(self.checks)) or "none"
            raise InvalidRequestError(
                f"no check {call.check!r} here; declared are: {known} ([checks.NAME] in rung.toml)",
                param="x-rung-check",
            )
        return CheckGate(self, call, reference, candidates)

    def why_not(self, check: str, rung: Rung, reference: Rung) -> str:
        """Why it makes no sense to ask `rung` first; empty if it does."""
        book = self.books.get(f"{check} {rung.model}", Cascade())
        if book.tried >= TRIES and book.saved < book.spent:
            return "cascade_unpaid: it cost more than it saved"
        if rung.stays_here:
            return ""
        low, high = self._world.cost(rung.model, _USUAL), self._world.cost(reference.model, _USUAL)
        if low is None or high is None or low > CHEAP * high:
            return "cascade_unpaid: not cheap enough"
        return ""

    async def passes(self, check: str, text: str, seconds: float) -> bool:
        """Does the check accept `text`? Raises InvalidRequestError where it cannot be run safely."""
        told = self.checks[check]
        limits = sandbox.Limits(seconds=told.seconds, memory=told.memory)
        try:
            async with asyncio.timeout(max(seconds, 0.0)), self._places:
                return await sandbox.run(told.command, unfenced(text).encode(), limits) == 0
        except TimeoutError:
            return False

    def note(
        self, check: str, rung: Rung, reference: Rung, answer: Answer, passed: bool, *, saves: bool = True
    ) -> None:
        """Count one answer. `saves`: nobody has asked the reference meanwhile, which would be charged too."""
        name = f"{check} {rung.model}"
        book = self.books.setdefault(name, Cascade())
        usage, cost = answer.evidence.usage, answer.evidence.cost or 0
        saved = self._world.cost(reference.model, usage) if passed and saves and usage is not None else None
        book.tried += 1
        book.passed += passed
        book.saved += saved or 0
        book.spent += cost
        self._kept.put(store.save_cascade(name, msgspec.json.encode(book)))


class CheckGate:
    """The gate of one call that names a check; see `rung.ladder.attempt.Gate`."""

    def __init__(self, cascades: Cascades, call: Call, reference: Rung, candidates: Sequence[Rung]) -> None:
        self.call = call
        self.reference = reference
        self._cascades = cascades
        self._candidates = [rung for rung in candidates if rung.model != reference.model]
        self.reference_asked = False
        self._accepted = ""

    @property
    def ahead(self) -> list[Rung]:
        """Who is worth asking before the reference."""
        return [rung for rung in self._candidates if not self.refusal(rung)]

    def guards(self, rung: Rung) -> bool:
        if rung.model == self.reference.model:
            self.reference_asked = True
        return not self.reference_asked and rung in self._candidates

    def refusal(self, rung: Rung) -> str:
        return self._cascades.why_not(self.call.check, rung, self.reference)

    async def weigh(self, rung: Rung, answer: Answer, data: bytes, failed: str = "") -> str:
        evidence = answer.evidence
        said = jobs.said_in(data, evidence.finish_reason or "", evidence.tool_calls, whole=answer.body is not None)
        check = self.call.check
        passed = (
            not failed and said is not None and await self._cascades.passes(check, said.text, self.call.remaining())
        )
        self._cascades.note(check, rung, self.reference, answer, passed, saves=not self.reference_asked)
        if not passed:
            return f"check_failed: {failed or check}"
        self._accepted = answer.model
        evidence.unproved = False
        return ""

    def passed(self, answer: Answer) -> str:
        return f"check {self.call.check}" if answer.model == self._accepted else ""
