"""One retry budget for the whole gateway, so that an outage is not answered with a storm.

A token bucket: each call pays in a share, each retry takes one out (the idea of Finagle's RetryBudget,
https://twitter.github.io/finagle/guide/Clients.html#retries).
"""

from __future__ import annotations


class RetryBudget:
    """`ratio`: retries allowed per call in the long run; `reserve`: how many may be saved up;
    `tries`: times one rung is asked for one call, the first included."""

    __slots__ = ("_level", "_ratio", "_reserve", "tries")

    def __init__(self, ratio: float = 0.1, reserve: float = 10.0, tries: int = 2) -> None:
        self.tries = tries
        self._ratio = ratio
        self._reserve = reserve
        self._level = reserve

    def deposit(self) -> None:
        """Called once a call."""
        if self._level < self._reserve:
            self._level = min(self._level + self._ratio, self._reserve)

    def withdraw(self) -> bool:
        """May one more retry be made? Takes it out of the budget if so."""
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True
