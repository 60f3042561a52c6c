"""The words of a report: figures with how they are known, candidates, what trust knows, what is assumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from rung.report.sketch import Interval

Basis = Literal["measured", "predicted", "simulated", "judged", "claimed", "assumed", "stated", "unknown"]
"""how a figure is known; ``stated``: it follows from what the thing is, ``assumed``: the user may say otherwise"""


PROGRAMS = ("tool", "exact", "semantic")
"""rungs that are no models, the lowest first"""


class Figure(msgspec.Struct, frozen=True):
    """One cell of the table. `value` in the row's unit, None for words; `low` and `high` where there is a range."""

    text: str
    basis: Basis
    value: float | None = None
    low: float | None = None
    high: float | None = None


UNKNOWN = Figure("not known", "unknown")
"""in words of the reader's language: `Words`"""


class Evidence(msgspec.Struct, frozen=True):
    """What trust knows of one rung and model for one task, at one error limit.

    `share`: of the task's calls it may answer (0 while the cell is not open). `disagreement`: with the reference,
    of its accepted answers. `missing`: labels until it may open, as far as can be told; None: it cannot.
    """

    task: str
    rung: str
    model: str
    limit: float
    state: str
    labels: int
    share: Interval
    disagreement: Interval
    missing: int | None = 0
    judged: bool = False
    """by a model: there is no other comparator for the task"""
    simulated: bool = False
    """against a simulated reference"""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a model beside the traffic. Bytes; None where it does not apply or nobody knows.

    `price`: (prompt tokens, output tokens) -> pico-dollars or None. `seconds`: the same -> (best, worst) seconds.
    """

    rung: str
    model: str
    ram: int | None = None
    ram_basis: Basis = "predicted"
    disk: int | None = None
    disk_basis: Basis = "predicted"
    fits: bool = True
    install: str = ""
    upkeep: Figure = UNKNOWN
    leaves: bool = True
    price: Callable[[int, int], int | None] | None = None
    seconds: Callable[[int, int], tuple[float, float]] | None = None


class Assumptions(msgspec.Struct, frozen=True):
    """What nobody can measure. `watts` of a working local model, dollars per kWh and per hour of a person's work,
    minutes a month a local model takes one; `limit`: the user's error limit."""

    watts: float = 35.0
    kwh_usd: float = 0.30
    hour_usd: float = 60.0
    upkeep_minutes: float = 10.0
    limit: float = 0.05
    watts_basis: Basis = "assumed"

    @property
    def upkeep_per_day(self) -> float:
        return self.upkeep_minutes / 60 * self.hour_usd / 30

    def kwh(self, seconds: float) -> float:
        """Energy of that much work of the local model."""
        return seconds * self.watts / 3.6e6

    def energy(self, seconds: float) -> float:
        """Dollars for it."""
        return self.kwh(seconds) * self.kwh_usd


USUAL = Assumptions()
