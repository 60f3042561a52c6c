"""A provider whose prompt cache is used on purpose: break-points, keys, cache objects, and no parallel cold starts.

Wraps a wire adapter. A call without a prefix worth caching goes straight through. What is added to a request is
told in ``x-rung-added``; nothing is ever added to the prompt itself, nor where the caller has set their own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import msgspec

from rung.answer import Answer, Event, Usage
from rung.call import Call
from rung.errors import MissingModelFault
from rung.providers.adapters import Adapter
from rung.providers.gemini import CACHE_GONE, Gemini
from rung.providers.gemini_contents import Contents, Pricing
from rung.providers.native import Native
from rung.providers.openai_compatible import OpenAICompatible, Straight
from rung.providers.prefix import (
    BYTES_PER_TOKEN,
    CacheRule,
    cache_key,
    cache_rule,
    continues,
    mark_blocks,
    mark_parts,
    with_key,
)
from rung.wire.client import Deadlines

ADDED = b"x-rung-added"

_HEADS = 4096
"""shared prefixes remembered; the least recently used are forgotten"""

RawHeaders = tuple[tuple[bytes, bytes], ...]
Head = tuple[str, bytes]
"""model, hash of the shared prefix (which holds the tenant)"""


class _Recent:
    """When each shared prefix was last seen; bounded."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: OrderedDict[Head, float] = OrderedDict()

    def has(self, head: Head, within: float) -> bool:
        return head in self._at and self._clock() - self._at[head] < within

    def add(self, head: Head) -> None:
        self._at[head] = self._clock()
        self._at.move_to_end(head)
        while len(self._at) > _HEADS:
            self._at.popitem(last=False)


class PromptCached:
    """One provider. `wait`: seconds a call may be held until the first one with the same prefix has begun to
    answer; `contents`: may cache objects be made; `clock`: seconds, monotonic."""

    def __init__(
        self,
        adapter: Adapter,
        provider: str,
        pricing: Pricing,
        *,
        clock: Callable[[], float],
        wait: float,
        contents: bool,
    ) -> None:
        self._adapter = adapter
        self._provider = provider
        self._wait = wait
        self._warm = _Recent(clock)
        self._sent = _Recent(clock)
        self._first: dict[Head, tuple[asyncio.Future[None], str]] = {}
        self.contents: Contents | None = None
        """the cache objects of this provider, if it has such"""
        if isinstance(adapter, Native):
            adapter.shape = self._shape
        if isinstance(adapter, Gemini) and contents:
            self.contents = Contents(adapter, provider, pricing, clock)

    def chat(self, call: Call, model: str, deadlines: Deadlines) -> Coroutine[Any, Any, Answer]:
        """As the adapter's."""
        if call.prefix is None:
            return self._adapter.chat(call, model, deadlines)
        rule = cache_rule(f"{self._provider}:{model}")
        if not rule.ttl:
            return self._adapter.chat(call, model, deadlines)
        return self._chat(call, model, deadlines, rule)

    def straight(self, model: str) -> Straight | None:
        """As the adapter's: for calls too short for a prompt cache."""
        return self._adapter.straight(model) if isinstance(self._adapter, OpenAICompatible) else None

    @property
    def takes_prefix(self) -> bool:
        return getattr(self._adapter, "takes_prefix", False)

    async def resume(self, call: Call, model: str, so_far: str, deadlines: Deadlines) -> Answer:
        """As the adapter's: what was just sent is warm, and nothing has to wait for it."""
        assert isinstance(self._adapter, OpenAICompatible)
        return await self._adapter.resume(call, model, so_far, deadlines)

    async def _chat(self, call: Call, model: str, deadlines: Deadlines, rule: CacheRule) -> Answer:
        assert call.prefix is not None
        shared = call.prefix.sizes[call.prefix.shared - 1]
        if not rule.hold or shared < rule.min_tokens * BYTES_PER_TOKEN:
            return await self._ask(call, model, deadlines, rule)
        head = (model, call.prefix.head)
        if not await self._is_first(head, rule, call):
            answer = await self._ask(call, model, deadlines, rule)
            self._warm.add(head)
            return answer
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._first[head] = (begun, call.request_id)
        answered = False
        try:
            answer = await self._ask(call, model, deadlines, rule)
            answered = True
        finally:
            if not answered or answer.events is None:
                self._begun(head, begun, answered)
        if answer.events is not None:
            answer.events = self._watched(answer.events, head, begun)
        return answer

    # ---- fan-out: one cold start, not many ----

    async def _is_first(self, head: Head, rule: CacheRule, call: Call) -> bool:
        """Should this call go ahead of others with the same prefix? Waits for the one that does."""
        now = asyncio.get_running_loop().time
        until = now() + min(self._wait, max(call.remaining() / 2, 0.0))
        while not self._warm.has(head, rule.ttl):
            first = self._first.get(head)
            if first is None:
                return True
            begun, request_id = first
            left = until - now()
            if left <= 0 or request_id == call.request_id:  # a hedge does not wait for what it hedges
                break
            await asyncio.wait([begun], timeout=left)
            if not begun.done():
                break
        return False

    def _begun(self, head: Head, begun: asyncio.Future[None], answered: bool) -> None:
        """The first call has begun to answer, or has failed: the others may go."""
        if begun.done():
            return
        if answered:
            self._warm.add(head)
        if self._first.get(head, (None,))[0] is begun:
            del self._first[head]
        begun.set_result(None)

    async def _watched(
        self, events: AsyncIterator[Event], head: Head, begun: asyncio.Future[None]
    ) -> AsyncIterator[Event]:
        try:
            async for event in events:
                if not begun.done():
                    self._begun(head, begun, answered=True)
                yield event
        finally:
            self._begun(head, begun, answered=False)
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    # ---- what is added ----

    async def _ask(self, call: Call, model: str, deadlines: Deadlines, rule: CacheRule) -> Answer:
        sent, headers = self._keyed(call, rule) if rule.key else (call, ())
        name = self.contents.name_for(call, model, rule) if self.contents is not None and rule.contents else ""
        if name:
            sent, headers = _with_contents(call, name), ((ADDED, b"cachedContent"),)
        try:
            answer = await self._adapter.chat(sent, model, deadlines)
        except MissingModelFault as fault:
            if fault.code != CACHE_GONE or not name or self.contents is None:
                raise
            self.contents.forget(name)
            headers = ()
            answer = await self._adapter.chat(call, model, deadlines)
        answer.headers += headers
        return answer

    def _keyed(self, call: Call, rule: CacheRule) -> tuple[Call, RawHeaders]:
        """The call with OpenAI's cache parameters."""
        raw, added = call.raw, []
        assert call.prefix is not None
        if rule.marks == "parts" and b'"prompt_cache_' not in raw:
            marked = mark_parts(raw, call.body, call.prefix.shared - 2)
            if marked is not None:
                raw = marked
                added.append(b"prompt_cache_breakpoint")
        body = call.body
        key = cache_key(call)
        if key is not None:
            raw, body = with_key(raw, key), {**body, "prompt_cache_key": key}
            added.append(b"prompt_cache_key")
        if not added:
            return call, ()
        return msgspec.structs.replace(call, raw=raw, body=body), ((ADDED, b", ".join(added)),)

    def _shape(self, call: Call, model: str, body: dict[str, Any]) -> RawHeaders:
        """Break-points in a translated request, where what they cost more will come back."""
        prefix = call.prefix
        if prefix is None or b'"cache_control"' in call.raw:
            return ()
        rule = cache_rule(f"{self._provider}:{model}")
        if rule.marks != "blocks" or prefix.sizes[-1] < rule.min_tokens * BYTES_PER_TOKEN:
            return ()
        grows = continues(call)
        head = (model, prefix.head)
        repeated = self._sent.has(head, rule.ttl)
        self._sent.add(head)
        if not (grows or repeated) or not mark_blocks(body, grows=grows):
            return ()
        return ((ADDED, b"cache_control"),)

    # ---- learning and ending ----

    def learn(self, call: Call, model: str, usage: Usage) -> None:
        """What an answer says about the provider's own, automatic cache."""
        if self.contents is not None and call.prefix is not None:
            self.contents.learn(call, model, usage)

    def dues(self) -> int:
        """Pico-dollars spent since the last time this was asked that no answer has been charged with."""
        return self.contents.take_dues() if self.contents is not None else 0

    async def aclose(self) -> None:
        """Delete the cache objects."""
        if self.contents is not None:
            await self.contents.aclose()


def _with_contents(call: Call, name: str) -> Call:
    """The call with the cache object it begins with."""
    google = call.body.get("google")
    own = dict(google) if isinstance(google, dict) else {}
    return msgspec.structs.replace(call, body={**call.body, "google": {**own, "cached_content": name}})
