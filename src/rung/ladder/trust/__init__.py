"""Which calls may stop lower, proved on the user's own traffic. Pure: no clock, no dice, no I/O.

The method with its mathematics, sources and limits is in docs/trust.md.
"""

from rung.ladder.trust.cell import Cell, CellKey, Change, Coin, State
from rung.ladder.trust.compare import COMPARATORS, Judge, Judgement, Outcome, comparator_for, compare
from rung.ladder.trust.features import evidence
from rung.ladder.trust.forecast import Forecast, explain, forecast
from rung.ladder.trust.opening import COVERAGES, grid
from rung.ladder.trust.rules import LIMITS, Rules
from rung.ladder.trust.score import EVERYTHING, Scorer, fit

__all__ = [
    "COMPARATORS",
    "COVERAGES",
    "EVERYTHING",
    "LIMITS",
    "Cell",
    "CellKey",
    "Change",
    "Coin",
    "Forecast",
    "Judge",
    "Judgement",
    "Outcome",
    "Rules",
    "Scorer",
    "State",
    "comparator_for",
    "compare",
    "evidence",
    "explain",
    "fit",
    "forecast",
    "grid",
]
