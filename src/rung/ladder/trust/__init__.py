"""Which calls may stop lower, proved on the user's own traffic. Pure: no clock, no dice, no I/O.

The method with its mathematics, sources and limits is in docs/trust.md.
"""

from rung.ladder.trust.cell import Cell, CellKey, Change, Coin, State
from rung.ladder.trust.forecast import Forecast, explain, forecast
from rung.ladder.trust.opening import COVERAGES, grid
from rung.ladder.trust.rules import LIMITS, Rules

__all__ = [
    "COVERAGES",
    "LIMITS",
    "Cell",
    "CellKey",
    "Change",
    "Coin",
    "Forecast",
    "Rules",
    "State",
    "explain",
    "forecast",
    "grid",
]
