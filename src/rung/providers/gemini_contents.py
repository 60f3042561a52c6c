"""Gemini's cache objects on our own account: made where they pay, renewed while they do, deleted at the end.

An object holds the instructions and tools that many calls share. Whether it pays is worked out from how often the
prefix comes, from what Gemini's automatic cache finds without it, and from the prices (`prefix.contents_pay`). It is
made beside the calls, never before one, and every object is charged: to the next answer of this provider.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from rung.answer import Usage
from rung.call import Call
from rung.errors import Fault, RungError
from rung.providers.gemini import Gemini
from rung.providers.gemini_cache import CachedContents
from rung.providers.prefix import BYTES_PER_TOKEN, CacheRule, contents_pay
from rung.providers.prices import Rates
from rung.wire.client import Deadlines

TTL = 600.0
"""seconds an object is made or renewed for"""

MOST = 32
"""objects at the same time"""

_PREFIXES = 1024
"""prefixes whose frequency is remembered"""

_RECENT = 1 / 8
"""weight of the newest answer in what is learnt"""

_LIMITS = Deadlines(connect=5.0, first_byte=60.0, idle=30.0, total=60.0)
_AT_THE_END = Deadlines(connect=2.0, first_byte=5.0, idle=5.0, total=5.0)

log = logging.getLogger("rung")

Key = tuple[str, bytes]


class Pricing(Protocol):
    """What is asked of the price book. Both give None where the price is unknown."""

    def rates(self, model_id: str, prompt_tokens: int) -> Rates | None: ...
    def storage_cost(self, model_id: str, tokens: int, seconds: float) -> int | None: ...


class _Seen(msgspec.Struct):
    first: float
    calls: int = 0
    found: float = 0.5
    """share of its tokens that the automatic cache found; a guess until it is learnt"""
    name: str = ""
    tokens: int = 0
    expires: float = 0.0
    busy: bool = False
    not_before: float = 0.0
    """when making one may be tried again after a refusal"""


class Contents:
    """The objects of one provider. `clock`: seconds, monotonic."""

    def __init__(self, gemini: Gemini, provider: str, pricing: Pricing, clock: Callable[[], float]) -> None:
        self._account = CachedContents(gemini)
        self._provider = provider
        self._pricing = pricing
        self._clock = clock
        self._seen: OrderedDict[Key, _Seen] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ours: dict[str, Key] = {}
        self._closed = False
        self._dues = 0

    def __len__(self) -> int:
        return len(self._ours)

    def name_for(self, call: Call, model: str, rule: CacheRule) -> str:
        """The object this call should begin with, empty if there is none; one may be made for the next calls."""
        prefix = call.prefix
        if prefix is None or self._closed or b'"cached_content"' in call.raw:
            return ""
        size = prefix.sizes[prefix.shared - 1]
        if prefix.shared >= len(prefix.sizes) or size < rule.min_tokens * BYTES_PER_TOKEN:
            return ""
        key = (model, prefix.head)
        now = self._clock()
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = _Seen(now)
            self._forget_oldest()
        self._seen.move_to_end(key)
        seen.calls += 1
        if seen.name and now >= seen.expires:
            self.forget(seen.name)
        if not seen.busy and now >= seen.not_before:
            if not seen.name and len(self._ours) < MOST and self._pays(seen, model, size // BYTES_PER_TOKEN):
                self._start(seen, self._make(seen, key, call, model))
            elif seen.name and seen.expires - now < TTL / 2 and self._pays(seen, model, seen.tokens, made=True):
                self._start(seen, self._renew(seen, model))
        return seen.name

    def learn(self, call: Call, model: str, usage: Usage) -> None:
        """An answer: what did the automatic cache find of the shared prefix?"""
        assert call.prefix is not None
        seen = self._seen.get((model, call.prefix.head))
        if seen is None or seen.name or seen.calls < 2:
            return
        share = call.prefix.sizes[call.prefix.shared - 1] / call.prefix.sizes[-1]
        found = min(1.0, usage.cache_read_tokens / max(1.0, usage.prompt_tokens * share))
        seen.found += (found - seen.found) * _RECENT

    def take_dues(self) -> int:
        """Pico-dollars spent on objects since the last time."""
        dues, self._dues = self._dues, 0
        return dues

    def forget(self, name: str) -> None:
        """It is gone, or as good as that."""
        key = self._ours.pop(name, None)
        if key is not None and key in self._seen:
            self._seen[key].name = ""

    async def aclose(self) -> None:
        """Delete every object. Never raises: what cannot be deleted expires within `TTL`."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)  # each has a deadline; what one is making must not be left behind
        names, self._ours = list(self._ours), {}
        for seen in self._seen.values():
            seen.name = ""
        results = await asyncio.gather(
            *(self._account.delete(name, deadlines=_AT_THE_END) for name in names), return_exceptions=True
        )
        if failed := sum(isinstance(result, BaseException) for result in results):
            log.warning("%d cached contents of %s are not deleted; they expire by themselves", failed, self._provider)

    def _pays(self, seen: _Seen, model: str, tokens: int, *, made: bool = False) -> bool:
        """Does the next `TTL` pay? As many calls are expected as have come, or fewer at the rate they came."""
        model_id = f"{self._provider}:{model}"
        rates = self._pricing.rates(model_id, tokens)
        storage = self._pricing.storage_cost(model_id, 1_000_000, 3600.0)
        if rates is None or storage is None or seen.calls < 2:
            return False
        hours = TTL / 3600
        elapsed = max(self._clock() - seen.first, 1.0) / 3600
        reads = min(seen.calls / elapsed, seen.calls / hours)
        if made:
            rates = Rates(0, rates.cache_read - rates.input, 0, 0, 0)  # making it is paid for
        return contents_pay(rates, storage // 1_000_000, tokens, reads, seen.found, hours)

    def _start(self, seen: _Seen, work: Coroutine[Any, Any, None]) -> None:
        seen.busy = True
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, seen: _Seen, key: Key, call: Call, model: str) -> None:
        try:
            assert call.prefix is not None
            body: dict[str, Any] = {name: call.body[name] for name in ("tools", "tool_choice") if name in call.body}
            body["messages"] = call.body["messages"][: call.prefix.shared - 2]
            made = await self._account.create(
                body, model, ttl=TTL, deadlines=_LIMITS, tenant=call.tenant, display_name="rung"
            )
            seen.name, seen.tokens, seen.expires = made.name, made.tokens, self._clock() + TTL
            self._ours[made.name] = key
            rates = self._pricing.rates(f"{self._provider}:{model}", made.tokens)
            self._dues += made.tokens * rates.input if rates is not None else 0
            self._charge_storage(model, made.tokens)
        except (Fault, RungError) as error:
            seen.not_before = self._clock() + TTL
            log.info("no cached content for a prefix of %s: %s", self._provider, error)
        finally:
            seen.busy = False

    async def _renew(self, seen: _Seen, model: str) -> None:
        name = seen.name
        try:
            await self._account.renew(name, ttl=TTL, deadlines=_LIMITS)
            self._charge_storage(model, seen.tokens, TTL - max(0.0, seen.expires - self._clock()))
            seen.expires = self._clock() + TTL
        except (Fault, RungError):
            self.forget(name)
        finally:
            seen.busy = False

    def _charge_storage(self, model: str, tokens: int, seconds: float = TTL) -> None:
        self._dues += self._pricing.storage_cost(f"{self._provider}:{model}", tokens, seconds) or 0

    def _forget_oldest(self) -> None:
        while len(self._seen) > _PREFIXES:
            del self._seen[next(key for key, seen in self._seen.items() if not (seen.name or seen.busy))]
