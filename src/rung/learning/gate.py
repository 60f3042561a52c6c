"""Whether a model below the reference may answer one call: its cell must be open, and this answer good enough."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import msgspec

from rung.answer import Answer
from rung.call import Call
from rung.ladder.rung import Rung
from rung.ladder.trust import Cell, Coin
from rung.ladder.trust.score import REJECTED
from rung.learning import jobs
from rung.learning.jobs import Said

log = logging.getLogger("rung.trust")


class Held(msgspec.Struct):
    """A whole answer of a lower model, weighed."""

    cell: Cell
    coin: Coin
    """fixed when the answer was weighed, before anybody could know how it compares"""
    said: Said
    score: float
    cost: int | None
    """pico-dollars; nothing is paid for what this machine does"""


class Cells(Protocol):
    """What a gate needs of the learner."""

    candidates: tuple[Rung, ...]
    """models that need proof before they may answer instead of the reference"""

    def cell_for(self, call: Call, rung: Rung, reference: Rung, *, make: bool = False) -> Cell | None: ...
    def behind(self, cell: Cell) -> bool: ...
    def note(self, answer: Answer) -> None: ...
    def score(self, cell: Cell, call: Call, answer: Said) -> float: ...


class CallGate:
    """The gate of one ``auto`` call; see `rung.ladder.attempt.Gate` for how the ladder uses it."""

    def __init__(self, cells: Cells, call: Call, reference: Rung) -> None:
        self.call = call
        self.reference = reference
        self.accepted: Held | None = None
        self.refused: dict[str, Held] = {}
        """by model"""
        self._cells = cells
        self._candidates = cells.candidates  # a reload makes new rungs; this call goes on with the old ones
        self.reference_asked = False
        self._fingerprint = ""

    @property
    def candidates(self) -> Sequence[Rung]:
        return [rung for rung in self._candidates if rung.model != self.reference.model]

    @property
    def fingerprint(self) -> str:
        if not self._fingerprint:
            self._fingerprint = jobs.identity(self.call)
        return self._fingerprint

    def guards(self, rung: Rung) -> bool:
        """Must `rung`, which is about to be asked, be proved? Not once the reference itself has been asked."""
        if rung.model == self.reference.model:
            self.reference_asked = True
        return not self.reference_asked and rung in self._candidates

    def refusal(self, rung: Rung) -> str:
        """Why `rung` need not even be asked; empty if it may be."""
        try:
            return self._refusal(rung)
        except Exception:  # a promise that cannot be looked at is not made
            log.exception("a bug in rung, please report it: a cell could not be looked at")
            return "trust_error"

    def _refusal(self, rung: Rung) -> str:
        cell = self._cells.cell_for(self.call, rung, self.reference)
        if cell is None:
            return "trust_closed: nothing is known"
        if cell.threshold is None:
            return f"trust_closed: {cell.state}"
        if not cell.pinned and cell.differed(self.fingerprint):
            return "trust_known: the answers to this very call differed"
        if self._cells.behind(cell):
            return "trust_closed: its audits cannot keep up"
        return ""

    async def weigh(self, rung: Rung, answer: Answer, data: bytes, failed: str = "") -> str:
        """Why this whole answer (`data`: its body, or all frames of its stream) is not accepted; empty if it is."""
        try:
            return self._weigh(rung, answer, data, failed)
        except Exception:
            log.exception("a bug in rung, please report it: an answer could not be weighed")
            return "trust_error"

    def passed(self, answer: Answer) -> str:
        """``trust`` for the answer that was accepted here."""
        return "trust" if self.accepted is not None and answer.model == self.accepted.cell.key.model else ""

    def _weigh(self, rung: Rung, answer: Answer, data: bytes, failed: str) -> str:
        cell = self._cells.cell_for(self.call, rung, self.reference)
        if cell is None or cell.threshold is None:
            return "trust_closed: meanwhile"
        evidence = answer.evidence
        self._cells.note(answer)
        if not rung.stays_here and evidence.model_version != cell.key.version:
            return "trust_closed: another version of the model"
        said = jobs.said_in(data, evidence.finish_reason or "", evidence.tool_calls, whole=answer.body is not None)
        if said is None:
            return "trust_incomplete"
        score = REJECTED if failed else self._cells.score(cell, self.call, said)
        cost = 0 if evidence.cost is None and rung.stays_here else evidence.cost
        held = Held(cell, cell.coin(score, self.fingerprint), said, score, cost)
        if not cell.serves(score):
            self.refused[rung.model] = held
            if failed:
                return f"check_failed: {failed}"
            return f"trust_score: {score:.2f} < {cell.threshold:.2f}"
        self.accepted = held
        evidence.unproved = False
        return ""
