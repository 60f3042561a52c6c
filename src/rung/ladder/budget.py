"""One budget for every extra call of the gateway, so that an outage is not answered with a storm.

A token bucket: each call pays in a share, each retry takes one out (the idea of Finagle's RetryBudget,
https://twitter.github.io/finagle/guide/Clients.html#retries). Hedges take theirs from the same bucket, and
besides from a smaller one of their own.
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


class HedgeBudget:
    """Hedges: at most `share` of the calls that could be hedged, ever, and only while `shared` has something.

    It starts empty, so that the share holds from the first call on.
    """

    __slots__ = ("_level", "_reserve", "_share", "_shared")

    def __init__(self, share: float, shared: RetryBudget, reserve: float = 10.0) -> None:
        self._share = share
        self._shared = shared
        self._reserve = reserve
        self._level = 0.0

    def deposit(self) -> None:
        """Called once a call that could be hedged."""
        self._level = min(self._level + self._share, self._reserve)

    def withdraw(self, price: float = 1.0) -> bool:
        """May one more hedge be made? `price`: more than one for a hedge that hardly ever helps."""
        if self._level < price or not self._shared.withdraw():
            return False
        self._level -= price
        return True
