"""The simulator's own books: every request, what it used and what the provider would charge for it.

Counts are kept as the provider counts, prices come from the same table as the gateway's
(`rung.providers.prices`), so a gateway's cost can be compared to the last pico-dollar. What was generated but
never told to the client (a stream cut before its usage) is billed too, and kept apart as `untold`: nobody who
only reads answers could know it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rung.providers.prices import PriceBook

KEPT = 10_000
"""requests remembered; the totals go on"""


@dataclass(slots=True)
class Counts:
    """Tokens in disjoint classes."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_long: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.cache_read + self.cache_write + self.cache_write_long

    @property
    def completion(self) -> int:
        return self.output + self.reasoning


@dataclass(slots=True)
class Entry:
    """One request."""

    number: int
    provider: str
    path: str
    at: datetime
    model: str = ""
    service_tier: str = ""
    status: int = 0
    stream: bool = False
    fault: str | None = None
    outcome: str = "open"
    """whole, error (an HTTP error, or not even that), broken (a fault of the transport), left (the client went away)"""
    counts: Counts = field(default_factory=Counts)
    told: bool = False
    """did the client get the usage?"""
    cost_pico_usd: int | None = 0
    """None: the price of the model or of its service tier is unknown"""
    user_agent: str = ""

    def wire(self) -> dict[str, Any]:
        """As ``/sim/requests`` tells it."""
        line = {name: getattr(self, name) for name in self.__slots__ if name != "counts"}
        return {**line, "usage": {name: getattr(self.counts, name) for name in Counts.__slots__}}


@dataclass(slots=True)
class Total:
    """Sums of one ``provider:model``."""

    requests: int = 0
    errors: int = 0
    told_pico_usd: int = 0
    untold_pico_usd: int = 0
    unpriced: int = 0
    prompt_tokens: int = 0
    cache_read_tokens: int = 0
    completion_tokens: int = 0


class Books:
    """All entries since the start or the last reset."""

    def __init__(self, prices: PriceBook) -> None:
        self.prices = prices
        self.entries: deque[Entry] = deque(maxlen=KEPT)
        self.totals: dict[str, Total] = {}
        self.requests = 0

    def open(self, provider: str, path: str, at: datetime, user_agent: str = "") -> Entry:
        self.requests += 1
        entry = Entry(self.requests, provider, path, at, user_agent=user_agent)
        self.entries.append(entry)
        return entry

    def close(self, entry: Entry, outcome: str) -> None:
        """The request is over: price it and add it up."""
        entry.outcome = outcome
        total = self.totals.setdefault(f"{entry.provider}:{entry.model}", Total())
        total.requests += 1
        if outcome == "error":
            total.errors += 1
            return
        cost = self.price(entry)
        entry.cost_pico_usd = cost
        if cost is None:
            total.unpriced += 1
        elif entry.told:
            total.told_pico_usd += cost
        else:
            total.untold_pico_usd += cost
        total.prompt_tokens += entry.counts.prompt
        total.cache_read_tokens += entry.counts.cache_read
        total.completion_tokens += entry.counts.completion

    def price(self, entry: Entry) -> int | None:
        """Pico-dollars of an entry, None if unknown; a write that lives longer has a rate of its own."""
        counts = entry.counts
        if not counts.prompt and not counts.completion:
            return 0
        price = self.prices.price(f"{entry.provider}:{entry.model}")
        if price is None:
            return None
        try:
            rates = price.rates(entry.at, counts.prompt, entry.service_tier)
        except LookupError:
            return None
        return (
            counts.input * rates.input
            + counts.cache_read * rates.cache_read
            + counts.cache_write * rates.cache_write
            + counts.cache_write_long * rates.cache_write_long
            + counts.completion * rates.output
        )

    def wire(self) -> dict[str, Any]:
        """As ``/sim/books`` tells it."""
        rows = {
            name: {key: getattr(total, key) for key in Total.__slots__} for name, total in sorted(self.totals.items())
        }
        told = sum(total.told_pico_usd for total in self.totals.values())
        untold = sum(total.untold_pico_usd for total in self.totals.values())
        return {
            "simulated": True,
            "requests": self.requests,
            "told_pico_usd": told,
            "untold_pico_usd": untold,
            "cost_pico_usd": told + untold,
            "models": rows,
        }
