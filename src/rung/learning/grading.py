"""What decides whether two answers agree, and how good an answer looks before anybody knows: seen from here."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from rung.learning.jobs import Said


class Comparison(msgspec.Struct):
    """`agrees` None: nobody can say, which counts as disagreement. `comparator`: who compared."""

    agrees: bool | None
    comparator: str
    reason: str
    judge: bool = False
    """only a model could say"""


class Grader(Protocol):
    """Everything that must know what answers mean."""

    def comparable(self, task: str, body: dict[str, Any], *, judged: bool) -> bool:
        """Is there a comparator for such calls? `judged`: the user has named a judge."""
        ...

    def compare(self, task: str, body: dict[str, Any], lower: Said, reference: Said) -> Comparison:
        """Does the lower answer agree with the reference's? May take its time: called in a thread."""
        ...

    def evidence(self, task: str, body: dict[str, Any], answer: Said) -> dict[str, float]:
        """Figures seen on the answer alone."""
        ...
