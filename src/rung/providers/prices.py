"""What an answer costs, in whole pico-dollars (10^-12 USD), as data with a date: `data/prices.json`.

One US dollar per 1,000,000 tokens is 1,000,000 pico-dollars per token, so every published price is a whole
number per token and an answer's cost is an exact integer. Only storage is rounded (`storage_cost`). A price
is a function of the model, the time (announced changes, peak hours), the size of the prompt (tiers) and the
service tier; the rules it follows stand in the file's own `_meta.rules`. A model or a service tier nobody
priced costs None, never 0.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any

from rung.answer import Usage

PRICES_FILE = Path(__file__).parent / "data" / "prices.json"

STALE_DAYS = 45
"""age from which prices deserve a warning"""

PICO_PER_TOKEN = 1_000_000
"""pico-dollars per token for one dollar per 1,000,000 tokens"""

STANDARD = ("", "standard", "default", "auto", "on_demand", "standard_only")
"""what providers call the service tier whose price the row tells"""

_BASE = ("input", "output", "cached_input", "cache_write", "cache_write_1h", "cache_write_12h")
_DAY = 86_400
_HOUR = 3600
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_RESOLVED = 1024
"""names remembered after a look-up: clients choose names, so the memory of them is bounded"""


@dataclass(frozen=True, slots=True)
class Rates:
    """Pico-dollars per token of each disjoint class of `Usage`. Reasoning is billed as output."""

    input: int
    cache_read: int
    cache_write: int
    output: int
    cache_write_long: int


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of some days (UTC) at which a multiple of the base price holds."""

    first: int
    """minute of the day, included"""
    last: int
    """minute of the day, excluded"""
    weekdays: frozenset[int]
    """Monday is 0"""
    except_days: frozenset[int]
    """days since 1970-01-01"""
    factor: Decimal

    def holds(self, day: int, minute: int) -> bool:
        # 1970-01-01 was a Thursday.
        return self.first <= minute < self.last and (day + 3) % 7 in self.weekdays and day not in self.except_days


class Price:
    """The price of one model: every combination of service tier, era, window and tier worked out once."""

    __slots__ = ("_eras", "_only", "_services", "_storage", "_tables", "_tiers", "_windows", "fields")

    fields: Mapping[str, Any]
    """the row as written"""

    def __init__(self, fields: Mapping[str, Any], holidays: Mapping[str, frozenset[int]]) -> None:
        """Raises ValueError on a price below a pico-dollar per token, or hours and days that cannot be read."""
        self.fields = fields
        eras = _eras(fields)
        tiers = sorted(fields.get("tiers", ()), key=lambda tier: int(tier["above"]))
        self._windows = tuple(_window(told, holidays) for told in fields.get("time_windows", ()))
        self._eras = tuple(start for start, _ in eras[1:])
        self._tiers = tuple(int(tier["above"]) for tier in tiers)
        factors = [Decimal(1), *(window.factor for window in self._windows)]
        services = {"": {}, **fields.get("service_tiers", {})}
        # By service tier, then era, window (0: none), tier (0: none).
        self._tables = {
            name: tuple(
                tuple(tuple(_rates(base, factor, tier, service) for tier in [{}, *tiers]) for factor in factors)
                for _, base in eras
            )
            for name, service in services.items()
        }
        self._services = tuple(self._tables)
        for name in STANDARD:
            self._tables.setdefault(name, self._tables[""])
        stored = fields.get("cache_storage_per_hour")
        self._storage = None if stored is None else _pico(stored, Decimal(1))
        fixed = not (self._eras or self._windows or self._tiers)
        self._only = self._tables[""][0][0][0] if fixed else None

    def rates(self, at: datetime, prompt_tokens: int = 0, service_tier: str = "") -> Rates:
        """What holds at a moment (with a time zone) for a prompt of that many tokens, cached ones included.

        Raises LookupError for a service tier without a price.
        """
        if at.tzinfo is None:
            raise ValueError("a price needs a time with a time zone")
        if self._only is not None and not service_tier:
            return self._only
        seconds = int(at.timestamp())
        era = bisect_right(self._eras, seconds) if self._eras else 0
        # A tier begins above its number, not at it.
        tier = bisect_right(self._tiers, prompt_tokens - 1) if self._tiers else 0
        return self._tables[service_tier][era][self._window(seconds)][tier]

    def _window(self, seconds: int) -> int:
        """Which window holds, counted from 1; 0: none."""
        if self._windows:
            day, second = divmod(seconds, _DAY)
            for number, window in enumerate(self._windows, 1):
                if window.holds(day, second // 60):
                    return number
        return 0

    def cost(self, usage: Usage, at: datetime | None = None) -> int | None:
        """Exact cost in pico-dollars of an answer that ended at `at`, or now; None for a service tier without a
        price."""
        if usage.service_tier not in self._tables:
            return None
        rates = self._only if at is None and not usage.service_tier else None
        if rates is None:
            rates = self.rates(at or datetime.now(UTC), usage.prompt_tokens, usage.service_tier)
        return (
            usage.input_tokens * rates.input
            + usage.cache_read_tokens * rates.cache_read
            + usage.cache_write_tokens * rates.cache_write
            + usage.cache_write_long_tokens * rates.cache_write_long
            + (usage.output_tokens + usage.reasoning_tokens) * rates.output
        )

    def storage_cost(self, tokens: int, seconds: float) -> int | None:
        """Pico-dollars of keeping an explicit cache object, rounded up to a whole one; None if unknown."""
        if self._storage is None:
            return None
        return ceil(Fraction(seconds) * tokens * self._storage / _HOUR)

    def states(self, at: datetime) -> Iterator[tuple[str, Rates]]:
        """Every state of the price in the era of `at`, named for people, the base price first (``standard``)."""
        era = bisect_right(self._eras, int(at.timestamp()))
        windows = ["", *(f"{told['utc']} UTC {told.get('days', '')}".strip() for told in self._told("time_windows"))]
        tiers = ["", *(f"above {above} tokens" for above in self._tiers)]
        for service in self._services:
            for held, window in enumerate(windows):
                for tier, size in enumerate(tiers):
                    named = ", ".join(part for part in (service, window, size) if part)
                    yield named or "standard", self._tables[service][era][held][tier]

    def _told(self, name: str) -> Any:
        return self.fields.get(name, ())

    def changes(self) -> list[str]:
        """When the price is another one, for people."""
        told = [f"from {era['date']} {era['input']}/{era['output']}" for era in self._told("effective_from")]
        told += [
            f"x{window['x']} {window['utc']} UTC {window.get('days', '')}".rstrip()
            for window in self._told("time_windows")
        ]
        told += [f"x{tier['input_x']} above {tier['above']} tokens" for tier in self._told("tiers")]
        told += [f"{name} x{service['x']}" for name, service in self.fields.get("service_tiers", {}).items()]
        return told + ([f"retires {self.fields['retires']}"] if "retires" in self.fields else [])


class PriceBook:
    """Prices and context sizes of every known model, by ``provider:model``.

    `overrides` are the user's own rows in the same shape (USD per 1,000,000 tokens); one replaces the
    shipped row of that model, except that a context size it leaves out stays.
    """

    def __init__(self, data: Mapping[str, Any], overrides: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Raises ValueError naming the model whose row cannot be used."""
        meta = data["_meta"]
        self.as_of = date.fromisoformat(meta["as_of"])
        listed: dict[str, Mapping[str, Any]] = {}
        for key, fields in data["models"].items():
            provider, _, model = key.partition("/")
            listed[f"{meta['providers'].get(provider, provider)}:{model}"] = fields
        for model_id, fields in (overrides or {}).items():
            listed[model_id] = {"context": listed.get(model_id, {}).get("context"), **fields}
        holidays = {name: _days(told["ranges"]) for name, told in meta["holidays"].items()}
        self._context: dict[str, int | None] = {name: fields.get("context") for name, fields in listed.items()}
        self._prices = {name: _price(name, fields, holidays) for name, fields in listed.items()}
        self._patterns = sorted((name for name in listed if "*" in name), key=len, reverse=True)
        self._resolve = lru_cache(_RESOLVED)(self._find)

    @classmethod
    def load(cls, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> PriceBook:
        """The shipped prices, under the user's own."""
        return cls(json.loads(PRICES_FILE.read_bytes(), parse_float=Decimal), overrides)

    def _find(self, model_id: str) -> str | None:
        if model_id in self._prices:
            return model_id
        return next((pattern for pattern in self._patterns if fnmatchcase(model_id, pattern)), None)

    def price(self, model_id: str) -> Price | None:
        """The price of ``provider:model``, None if it is unknown."""
        name = self._resolve(model_id)
        return None if name is None else self._prices[name]

    def known(self, model_id: str) -> bool:
        """Is there a row for it, even one that says that nobody knows its price?"""
        return self._resolve(model_id) is not None

    def cost(self, model_id: str, usage: Usage, at: datetime | None = None) -> int | None:
        """Pico-dollars `at` a moment, or now; None if the price of the model or of its service tier is unknown."""
        price = self.price(model_id)
        return None if price is None else price.cost(usage, at)

    def storage_cost(self, model_id: str, tokens: int, seconds: float) -> int | None:
        """Pico-dollars of keeping `tokens` in an explicit cache object (Gemini's ``cachedContents``) for `seconds`,
        rounded up to a whole pico-dollar; None if the price is unknown."""
        price = self.price(model_id)
        return None if price is None else price.storage_cost(tokens, seconds)

    def context(self, model_id: str) -> int | None:
        """Tokens of prompt and answer together the model can hold, None if unknown."""
        name = self._resolve(model_id)
        return None if name is None else self._context[name]

    def model_ids(self, provider: str = "") -> list[str]:
        """Names (``provider:model``, patterns left out) of one provider's models, or of all."""
        return [
            name for name in self._prices if "*" not in name and name.startswith(f"{provider}:" if provider else "")
        ]

    def age_days(self, today: date) -> int:
        """Days since these prices were compiled."""
        return (today - self.as_of).days

    def stale(self, today: date) -> bool:
        return self.age_days(today) > STALE_DAYS


def usd(pico: int) -> Decimal:
    """Pico-dollars as dollars, exactly."""
    return Decimal(pico).scaleb(-12)


def _price(name: str, fields: Mapping[str, Any], holidays: Mapping[str, frozenset[int]]) -> Price | None:
    if fields["input"] is None:
        return None
    try:
        return Price(fields, holidays)
    except ValueError as error:
        raise ValueError(f"price of {name}: {error}") from None


def _eras(fields: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """(first second, base prices) in order of time; the first has always held. A change keeps what it leaves out."""
    base = {key: fields.get(key) for key in _BASE}
    eras = [(0, base)]
    for change in sorted(fields.get("effective_from", ()), key=lambda change: str(change["date"])):
        start = datetime.combine(date.fromisoformat(change["date"]), time(), UTC)
        eras.append((int(start.timestamp()), {**eras[-1][1], **change}))
    return eras


def _rates(base: Mapping[str, Any], factor: Decimal, tier: Mapping[str, Any], service: Mapping[str, Any]) -> Rates:
    plain, read, write = base["input"], base["cached_input"], base["cache_write"]
    long = base["cache_write_12h"] if base["cache_write_1h"] is None else base["cache_write_1h"]
    # Where no rate is published, cached tokens cost the ordinary input rate, and so do writes.
    write = plain if write is None else write
    more = {
        key: _decimal(tier.get(key, 1)) * _decimal(service.get(key, service.get("x", 1))) * factor
        for key in ("input_x", "cached_x", "output_x")
    }
    if read is None:
        read, more["cached_x"] = plain, more["input_x"]
    elif "cached_input" in service:
        read, more["cached_x"] = service["cached_input"], _decimal(tier.get("cached_x", 1)) * factor
    return Rates(
        input=_pico(plain, more["input_x"]),
        cache_read=_pico(read, more["cached_x"]),
        cache_write=_pico(write, more["input_x"]),
        output=_pico(base["output"], more["output_x"]),
        cache_write_long=_pico(write if long is None else long, more["input_x"]),
    )


def _pico(price: Any, factor: Decimal) -> int:
    exact = _decimal(price) * factor * PICO_PER_TOKEN
    if exact != int(exact) or exact < 0:
        raise ValueError(f"{price} USD per 1,000,000 tokens is not a whole number of pico-dollars per token")
    return int(exact)


def _decimal(number: Any) -> Decimal:
    # repr of a float is the shortest text that gives it back: what the person wrote.
    return number if isinstance(number, Decimal) else Decimal(repr(number))


def _window(told: Mapping[str, Any], holidays: Mapping[str, frozenset[int]]) -> Window:
    """Read ``{"utc": "01:00-04:00", "days": "Mon-Fri except CN public holidays", "x": 2}``; no days: every day."""
    first, last = (_minute(text) for text in told["utc"].split("-"))
    if first >= last:
        raise ValueError(f"hours {told['utc']!r} must not cross midnight: write two windows")
    days, _, calendar = told.get("days", "Mon-Sun").partition(" except ")
    begin, _, end = days.partition("-")
    try:
        span = range(_WEEKDAYS.index(begin), _WEEKDAYS.index(end or begin) + 1)
        skipped = holidays[calendar.removesuffix(" public holidays")] if calendar else frozenset[int]()
    except (ValueError, KeyError):
        raise ValueError(f"days {told['days']!r} cannot be read") from None
    return Window(first, last, frozenset(span), skipped, _decimal(told["x"]))


def _minute(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def _days(ranges: list[list[str]]) -> frozenset[int]:
    epoch = date(1970, 1, 1).toordinal()
    spans = [(date.fromisoformat(first), date.fromisoformat(last)) for first, last in ranges]
    return frozenset(day - epoch for first, last in spans for day in range(first.toordinal(), last.toordinal() + 1))
