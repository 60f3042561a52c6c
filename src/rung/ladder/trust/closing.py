"""The detector that closes: an e-CUSUM over audits.

Five detectors bet that the risk has risen to r′_j·α. Each starts again from 1 whenever it has lost, so a change may
come at any time, and their weighted sum is an e-detector (Shin, Ramdas & Rinaldo 2023): while the risk is at most
α, the mean number of audits to a false alarm is at least the value at which it is raised.
"""

from __future__ import annotations

import msgspec

from rung.ladder.trust.opening import factors

FRACTIONS = (1.5, 2.0, 3.0, 4.0, 6.0)
WEIGHTS = (0.1, 0.2, 0.4, 0.2, 0.1)


class Closing(msgspec.Struct):
    """The state of the detector since a cell opened."""

    wealth: list[float] = msgspec.field(default_factory=lambda: [1.0] * len(FRACTIONS))
    audits: float = 0.0
    disagreements: float = 0.0

    @property
    def value(self) -> float:
        """1 at rest; the higher, the more it looks as if the risk had risen."""
        return sum(weight * one for weight, one in zip(WEIGHTS, self.wealth, strict=True))

    def observe(self, wrong: bool, alpha: float, *, v: float = 1.0) -> float:
        """Count one audit; returns the new value."""
        bets = factors(alpha, v, _fractions(alpha))[wrong]
        self.wealth = [min(max(one, 1.0) * bet, 1e300) for one, bet in zip(self.wealth, bets, strict=True)]
        self.audits += v
        self.disagreements += v * wrong
        return self.value


def _fractions(alpha: float) -> tuple[float, ...]:
    """No bet on a risk of 1 or more: at a large α the highest come down to the middle between α and 1."""
    most = (1 + alpha) / (2 * alpha)
    return tuple(min(fraction, most) for fraction in FRACTIONS)
