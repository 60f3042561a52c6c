"""The providers' prompt caches, put to use: one object that the gateway asks before, and tells after, a call.

Calls that are short or private are none of its business and cost it nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from rung.call import Call
from rung.config import PromptCache
from rung.ladder.affinity import Affinity
from rung.ladder.climb import Climb
from rung.ladder.rung import Rung
from rung.providers.adapters import Adapter
from rung.providers.prefix import SHORT, cache_rule, has_cache, read_prefix
from rung.providers.prices import PriceBook, Rates
from rung.providers.prompt_cache import PromptCached
from rung.store.prefixes import PrefixBook


class Prompts:
    """`clock`: seconds, monotonic; the time in which prompt caches expire."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.affinity = Affinity(self.rates, lambda model: cache_rule(model).ttl, clock=self._now)
        self.book = PrefixBook(clock=self._now)
        self._told = PromptCache(enabled=False)
        self._prices: PriceBook | None = None
        self._wrapped: dict[str, PromptCached] = {}
        self._old: list[PromptCached] = []
        self._owed: dict[str, int] = {}

    def reload(self, told: PromptCache, prices: PriceBook) -> None:
        """Take new settings; the providers are wrapped anew after this, and then `tidy` is due."""
        self._told, self._prices = told, prices
        for provider, old in self._wrapped.items():
            self._owed[provider] = self._owed.get(provider, 0) + old.dues()
        self._old += self._wrapped.values()
        self._wrapped = {}

    def wrap(self, adapter: Adapter, provider: str) -> Adapter:
        """The adapter with its provider's prompt cache put to use, or itself where nothing is known of one."""
        told = self._told
        if not told.enabled or not has_cache(provider):
            return adapter
        wrapped = PromptCached(adapter, provider, self, clock=self._now, wait=told.hold, contents=told.contents)
        self._wrapped[provider] = wrapped
        return wrapped

    async def tidy(self) -> None:
        """Delete what providers that are no longer used have left in their caches."""
        old, self._old = self._old, []
        await asyncio.gather(*(one.aclose() for one in old))

    async def aclose(self) -> None:
        """Delete every cache object. Never raises."""
        self._old += self._wrapped.values()
        await self.tidy()

    # ---- a call ----

    def order(self, call: Call, rungs: Sequence[Rung]) -> Sequence[Rung]:
        """`rungs` in the order in which `call` should ask them; its session may be at home at one."""
        self.read(call)
        return rungs if call.prefix is None else self.affinity.order(call.prefix, rungs)

    def read(self, call: Call) -> None:
        """Find the call's prefix, by what its caller has said of it."""
        if call.prefix is None and len(call.raw) >= SHORT and self._told.enabled:
            call.prefix = read_prefix(call)

    def learn(self, record: Climb) -> None:
        """A climb has ended."""
        call, answer = record.call, record.answer
        if call.prefix is None or answer is None or not answer.evidence.complete or record.joined_at is not None:
            return
        model, evidence = answer.model, answer.evidence
        rule = cache_rule(model)
        if not rule.ttl:
            return
        usage = evidence.usage
        self.affinity.learn(call, record.attempts, model, usage)
        if usage is None:
            return
        provider, _, name = model.partition(":")
        if (wrapped := self._wrapped.get(provider)) is not None:
            wrapped.learn(call, name, usage)
        rates = self.rates(model, usage.prompt_tokens)
        self.book.record(
            call, model, usage, life=rule.ttl, min_tokens=rule.min_tokens, rates=rates, simulated=evidence.simulated
        )

    def dues(self, provider: str) -> int:
        """Pico-dollars its cache objects have cost since the last time, for the next answer to bear."""
        wrapped = self._wrapped.get(provider)
        return self._owed.pop(provider, 0) + (wrapped.dues() if wrapped is not None else 0)

    # ---- prices ----

    def rates(self, model_id: str, prompt_tokens: int) -> Rates | None:
        """What the model costs now, None if unknown."""
        price = self._prices.price(model_id) if self._prices is not None else None
        return None if price is None else price.rates(datetime.now(UTC), prompt_tokens)

    def storage_cost(self, model_id: str, tokens: int, seconds: float) -> int | None:
        """Pico-dollars of keeping a cache object, None if unknown."""
        return self._prices.storage_cost(model_id, tokens, seconds) if self._prices is not None else None

    def told(self) -> dict[str, Any]:
        """What ``rung cache explain`` shows."""
        return {"enabled": self._told.enabled, "sessions": len(self.affinity), **self.book.told()}

    def _now(self) -> float:
        return self.clock()
