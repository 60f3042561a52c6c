"""Made-up ledgers with known truth."""

from __future__ import annotations

from typing import Any

import orjson

from rung.report.traffic import Kind, Seen, Traffic, gather

REFERENCE = "groq:big"
LOCAL = "local:small"
DAY = 86400.0


def attempt(
    rung: str, model: str, outcome: str = "answered", *, ms: float = 1.0, cost: int | None = 0
) -> dict[str, Any]:
    return {"rung": rung, "model": model, "outcome": outcome, "reason": "", "ms": ms, "cost": cost, "edits": 0}


class World:
    """Collects climbs; `traffic()` sums them up."""

    def __init__(self) -> None:
        self.kinds: list[Kind] = []
        self.climbs: list[Seen] = []

    def call(
        self,
        *attempts: dict[str, Any],
        at: float = 1000.0,
        task: str = "extraction",
        purpose: str = "",
        private: bool = False,
        simulated: bool = False,
        outcome: str = "",
        tokens: tuple[int, int] = (100, 20),
    ) -> None:
        last = attempts[-1]
        answered = last["outcome"] == "answered"
        kind = Kind(
            purpose,
            task,
            last["rung"] if answered else "",
            last["model"] if answered else "",
            outcome or ("answered" if answered else "failed"),
            private,
            simulated,
            last["rung"] == "local",
        )
        if kind not in self.kinds:
            self.kinds.append(kind)
        costs = [one["cost"] for one in attempts]
        cost = None if None in costs else sum(costs)
        ms = sum(one["ms"] for one in attempts)
        number = len(self.climbs)
        self.climbs.append(
            Seen(self.kinds.index(kind), at, f"r{number}", "", ms / 2, ms, tokens[0], 0, 0, tokens[1], 0, cost,
                 orjson.dumps(attempts))
        )  # fmt: skip

    def traffic(self) -> Traffic:
        return gather(dict(enumerate(self.kinds)), self.climbs)
