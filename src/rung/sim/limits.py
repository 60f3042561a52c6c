"""A provider's rate limits: two token buckets that refill continuously, and what they tell in headers."""

from __future__ import annotations

from dataclasses import dataclass

from rung.sim.clock import Clock
from rung.sim.scenario import Limits


@dataclass(slots=True)
class Bucket:
    """`size` units that come back over `per` seconds. Size 0 is no limit."""

    size: int
    per: float
    clock: Clock
    used: float = 0.0
    _at: float = 0.0

    def _refill(self) -> None:
        now = self.clock.now()
        self.used = max(0.0, self.used - (now - self._at) * self.size / self.per)
        self._at = now

    def take(self, units: float) -> float:
        """Take them and return 0, or take none and return the seconds to wait."""
        if not self.size:
            return 0.0
        self._refill()
        if self.used + units > self.size and self.used > 0:
            return (self.used + units - self.size) * self.per / self.size
        self.used += units
        return 0.0

    @property
    def remaining(self) -> int:
        self._refill()
        return max(0, int(self.size - self.used))

    @property
    def reset(self) -> float:
        """Seconds until it is full again."""
        self._refill()
        return self.used * self.per / self.size if self.size else 0.0


class RateLimits:
    """Requests and tokens of one provider."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self.requests = Bucket(limits.requests, limits.requests_per, clock)
        self.tokens = Bucket(limits.tokens, limits.tokens_per, clock)

    def take(self, tokens: int) -> tuple[str, float] | None:
        """None, or which limit (``requests`` or ``tokens``) is in the way and for how many seconds."""
        wait = self.tokens.take(tokens)
        if wait:
            return "tokens", wait
        wait = self.requests.take(1)
        if wait:
            self.tokens.used = max(0.0, self.tokens.used - tokens)
            return "requests", wait
        return None

    def give_back(self, tokens: int) -> None:
        """Cached tokens do not count against Groq's limits: they are deducted afterwards."""
        self.tokens.used = max(0.0, self.tokens.used - tokens)


def go_duration(seconds: float) -> str:
    """As Go prints a time.Duration: ``940ms``, ``7.66s``, ``2m59.56s``, ``1h2m3s``."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if round(seconds * 1000) < 1000 else "1s"
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
