"""The gateway: rungs, stores, providers and settings, brought together (`rung.wiring`), and the life of one call.

Usable in process exactly as over HTTP::

    async with Gateway() as gateway:
        result = await gateway.chat([{"role": "user", "content": "Minify this JSON: [1, 2]"}])
        print(result.rung, result.text)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import orjson

from rung import caches, config
from rung.answer import Answer, Usage
from rung.backends import Backends
from rung.call import Call, new_request_id
from rung.config import Settings
from rung.errors import LadderExhausted
from rung.fastpath import Paths
from rung.ladder import task
from rung.ladder.breaker import BreakerRules, Breakers
from rung.ladder.climb import Climb, begin, climb
from rung.ladder.order import Seen, arrange
from rung.ladder.policy import NAMES, Lineup, dead_end, explain, is_model, plan, split, substitutes, unknown_model
from rung.ladder.privacy import recognise
from rung.ladder.rung import Rung
from rung.learning.people import unknown
from rung.lines import CallLines
from rung.once import Once
from rung.prompts import Prompts
from rung.providers.estimate import Correction
from rung.providers.prices import PriceBook
from rung.proving import Proving
from rung.record import line, row
from rung.result import Result, ResultStream, make_call
from rung.rungs.tool import ToolRung
from rung.store.exact import ExactCache
from rung.store.ledger import Ledger
from rung.stores import Stores
from rung.watching import Watchers
from rung.wire.client import Client
from rung.wire.proxy import client_for
from rung.wiring import REMEMBERED, Wiring, proxies_of

if TYPE_CHECKING:
    from rung.remembering import Remembering

log = logging.getLogger("rung")


class Gateway:
    """One gateway: its rungs, caches and records. Start it, ask it, close it.

    `settings`: None reads the environment and rung.toml at `start`, as ``rung serve`` would (raises ConfigError).
    `lines`: print one log line a call to standard error.
    """

    settings: Settings
    """what is in use; known once the gateway has started, like `paths`"""
    paths: Paths
    """the fast paths of plain calls"""

    def __init__(self, settings: Settings | None = None, *, lines: bool = False) -> None:
        if settings is not None:
            self.settings = settings
        self._given = settings
        self._log_lines = lines
        self.lines: CallLines | None = None
        self._stores: Stores | None = None
        self._ledger: Ledger | None = None
        self._cache: ExactCache | None = None
        self._client = Client()
        self._backends = Backends(self._wire)
        self.prompts = Prompts()
        self._correction = Correction()
        self._seen = Seen()
        self.lineup = Lineup()
        self.proving: Proving | None = None
        """what is learnt about models below the reference; None where trust is switched off"""
        self.remembering: Remembering | None = None
        """the semantic cache; None where it is off or its extra is not installed"""
        self._tasks = Once(task.warm)  # 8 MB and a tenth of a second that only ``auto`` has to spend
        self.watchers = Watchers()
        """pages that show climbs as they end"""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Open the stores, build the rungs, begin to load the local model. Calls may come at once."""
        if self._given is None:
            self.settings = await asyncio.to_thread(config.load_here)
        told = self.settings
        self._client = client_for(proxies_of(told))  # through the proxy the environment names, if it names one
        self._breakers = Breakers(BreakerRules(**asdict(told.breaker)))
        self._stores = Stores(told)
        await self._stores.load()
        self._ledger, self._cache = self._stores.ledger, self._stores.cache
        if self._log_lines and told.log.level in ("debug", "info"):
            self.lines = CallLines(told.log.format)
            self.lines.start()
        self._tool = ToolRung()
        await self._backends.start(told, self._client)
        if self._stores.trust is not None:
            self.proving = Proving(told, self._stores.trust, self._ledger, self._backends)
        self.remembering = await caches.remember(told, self._stores, self.proving)
        await self.reload(told)
        if self.proving is not None:
            await self.proving.start()
        if self.remembering is not None:
            await self.remembering.start()

    async def aclose(self) -> None:
        """Stop the local model, close connections, write what is queued. Safe to call twice."""
        if self.remembering is not None:
            await self.remembering.aclose()
        if self.proving is not None:
            await self.proving.aclose()
        await self._backends.aclose()
        await self.prompts.aclose()
        await self._client.aclose()
        if self.lines is not None:
            await asyncio.to_thread(self.lines.close)
        if self._stores is not None:
            await self._stores.aclose()

    async def reload(self, settings: Settings) -> None:
        """Take new settings: rungs are built anew, calls under way end on the old ones, stores stay."""
        self._prices = await asyncio.to_thread(PriceBook.load, settings.prices)
        if settings.local != self.settings.local:
            await self._backends.aclose()
            await self._backends.start(settings, self._client)
        self._breakers.reload(BreakerRules(**asdict(settings.breaker)), self.settings.providers, settings.providers)
        self.settings = settings
        self.prompts.reload(settings.prompt_cache, self._prices)
        self._wire()
        await self.prompts.tidy()

    def _wire(self) -> None:
        """Build the rungs of these settings and of the local backend there is now."""
        self._wiring = Wiring(
            self.settings,
            prices=self._prices,
            prompts=self.prompts,
            breakers=self._breakers,
            correction=self._correction,
            seen=self._seen,
            client=self._client,
            tool=self._tool,
            cache=self._cache,
            semantic=self.remembering.rung(self.settings) if self.remembering is not None else None,
            local=self._backends.current,
        )
        self.lineup = self._wiring.lineup
        self.paths = Paths(self._wiring, self._ledger)
        if self.proving is not None:
            self.proving.reload(self.settings, self._wiring, self._prices)
        if self.remembering is not None:
            self.remembering.reload(self.lineup)

    # ---- one call ----

    def begin(self, record: Climb) -> bool:
        """Plan a climb, and answer if that takes no waiting (an exact hit); else `climb` goes on from there.

        Raises a RungError: an unknown model, a privacy conflict.
        """
        call, private = record.call, self._wiring.private
        if private.slow(call):
            return False
        private.apply(call)
        return self._begin(record)

    def _begin(self, record: Climb) -> bool:
        call = record.call
        rungs = self._plan(call)
        if call.model in NAMES:
            rungs = split(rungs)[0]  # who else is asked depends on more than needs to be known yet
        else:
            self.prompts.read(call)
        return begin(record, rungs, self._wiring.budget)

    async def climb(self, record: Climb) -> Answer:
        """Find who may answer and ask them. Fills `record`; the caller ends it with `end`.

        Raises a RungError: as `begin`, a deadline, or a ladder exhausted.
        """
        call, wiring = record.call, self._wiring
        if not record.begun and await self._start(record):
            assert record.answer is not None
            return record.answer
        if call.model == "auto":
            await self._tasks.wait()
        more = partial(self._models, record) if call.model in NAMES else None
        try:
            await climb(call, record.rungs, record, wiring.budget, wiring.hedger, more)
        except LadderExhausted:
            if not record.faults and not any(is_model(rung) for rung in record.rungs):
                raise dead_end(record.call, self.lineup) from None
            raise
        assert record.answer is not None
        return record.answer

    async def ascend(self, record: Climb, rungs: Sequence[Rung]) -> Answer:
        """`climb`, but just these `rungs` are asked, in their order; those that leave this machine not for a private
        call. Raises as `climb` does."""
        call, wiring = record.call, self._wiring
        await asyncio.to_thread(wiring.private.apply, call)
        chosen = tuple(rung for rung in rungs if rung.stays_here or not call.private)
        if not chosen:
            raise dead_end(call, self.lineup)
        if not begin(record, chosen, wiring.budget):
            await climb(call, chosen, record, wiring.budget, wiring.hedger)
        assert record.answer is not None
        return record.answer

    async def _start(self, record: Climb) -> bool:
        """`begin`, for calls too that take long to look through."""
        private = self._wiring.private
        if not private.slow(record.call):
            return self.begin(record)
        await asyncio.to_thread(private.apply, record.call)
        return self._begin(record)

    def _models(self, record: Climb) -> Sequence[Rung]:
        """Who is asked after the programs and the caches, now that it must be known; also told in the record."""
        call, wiring = record.call, self._wiring
        self.prompts.read(call)
        if call.model == "auto" and call.mode != "local" and not call.task:
            recognise(call)
        models = split(self._plan(call))[1]
        others = substitutes(call, self.lineup)
        models, offers = arrange(models, others, wiring.order, partial(wiring.offer, call))
        rungs = self.prompts.order(call, models)
        if self.proving is not None:
            gate = record.gate = self.proving.gate(call)
            if gate is not None:
                rungs = self.proving.order(gate, rungs)
        record.rungs = (*record.rungs, *rungs)
        record.why = explain(call, rungs, self.lineup, offers, wiring.order)
        return rungs

    def _plan(self, call: Call) -> tuple[Rung, ...]:
        """Who is asked for `call`; remembered, since few plans make up nearly all calls."""
        key = (call.model, call.mode, call.task)
        plans = self._wiring.plans
        known = plans.get(key)
        if known is not None and not call.private:
            return known
        direct: Rung | None = None
        if call.model not in NAMES:
            local = self.lineup.local
            direct = local if local is not None and call.model == local.model else self._wiring.cloud(call.model)
            if direct is None:
                raise unknown_model(call.model, self._wiring.model_ids())
        rungs = plan(call, self.lineup, direct)
        if not call.private:
            if len(plans) >= REMEMBERED:
                plans.clear()
            plans[key] = rungs
        return rungs

    async def end(self, record: Climb, error: BaseException | None) -> None:
        """`close`, and stop what still comes. Safe to call twice; the first call counts."""
        self.close(record, error)
        await record.finish(error)

    def close(self, record: Climb, error: BaseException | None) -> None:
        """Close a climb and write it down: all there is to do after an answer that is whole."""
        if record.ended:
            return
        record.close(error)
        if error is None:
            self._learn(record)
        if record.gate is not None and self.proving is not None:
            self.proving.learn(record)
        if self._ledger is not None:
            self._ledger.record(row(record, with_text=self._ledger.store_text))
        if self.lines is not None or self.watchers.all:
            self.tell(record)

    def tell(self, record: Climb) -> None:
        """Tell whoever listens of a climb that has ended."""
        if self.lines is not None:
            self.lines.add(line(record))
        self.watchers.tell(record)

    def _learn(self, record: Climb) -> None:
        """What a good answer was like."""
        call, answer = record.call, record.answer
        if call.prefix is not None:
            self.prompts.learn(record)
        if answer is None or ":" not in answer.model:
            return
        if self._wiring.order == "latency":
            self._seen.spoke(answer.model, call.stream, record.attempts[-1].ms / 1e3)
        if call.task and answer.evidence.usage is not None:
            self._seen.answered(call.task, answer.evidence.usage.completion_tokens)

    # ---- what is here ----

    def rung(self, name: str) -> Rung | None:
        """The rung called `name`: one of `rung_names`, or any ``provider:model`` of a configured provider."""
        return self._wiring.rung(name)

    def rung_names(self) -> list[str]:
        """The rungs there are, the lowest first; a provider stands for its strong model."""
        return self._wiring.rung_names()

    def price(self, model: str, usage: Usage) -> int | None:
        """What `usage` of ``provider:model`` costs now, in pico-dollars; None if nobody knows its price."""
        return self._prices.cost(model, usage)

    def models(self) -> list[dict[str, Any]]:
        """Every name a client may send, in the shape of OpenAI's model list."""
        return self._wiring.models()

    def model(self, name: str) -> dict[str, Any]:
        """One of them. Raises ModelNotFoundError with near names."""
        return self._wiring.model(name)

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """-> (HTTP status, what can be asked): 200 once some model can answer."""
        local = self._backends.told()
        clouds = self._wiring.cloud_names()
        here = local["local"]
        status = (
            "ready" if clouds or here in ("ready", "busy") else "loading" if here == "loading" else "nothing_to_ask"
        )
        told: dict[str, Any] = {"status": status, "clouds": clouds, **local}
        if breakers := self._breakers.shown():
            told["breakers"] = breakers
        if self._ledger is not None:
            told["ledger_dropped"] = self._ledger.dropped
        return (200 if status == "ready" else 503), told

    def summary(self) -> str:
        """Who can answer, in a few words."""
        local = [self.lineup.local.model] if self.lineup.local is not None else []
        return ", ".join(["tools", "exact cache", *self._wiring.cloud_names(), *local])

    def cache_stats(self) -> dict[str, Any]:
        """Counts and bytes of the exact cache, and under ``semantic`` of the other."""
        return caches.stats(self._cache, self.remembering)

    async def purge_cache(self, tenant: str | None = None, match: str | None = None) -> int:
        """Forget stored answers; see `rung.caches.purge`."""
        return await caches.purge(self._cache, self.remembering, tenant, match)

    def trust_cells(self) -> dict[str, Any]:
        """What has been learnt about models below the reference; see `rung.learning.told.report`."""
        found = self.proving.cells() if self.proving is not None else {"cells": []}
        if self.remembering is not None:
            found["semantic"] = self.remembering.told()
        return found

    async def feedback(self, request_id: str, tenant: str, wrong: bool, corrected: bool) -> dict[str, Any]:
        """A caller's word on an answer. Raises InvalidRequestError (404) for one that made no promise."""
        if self.remembering is not None:
            told = await self.remembering.hits.feedback(request_id, tenant, wrong=wrong)
            if told is not None:
                return told
        if self.proving is None:
            raise unknown()
        return await self.proving.feedback(request_id, tenant, wrong, corrected)

    # ---- in process ----

    async def chat(self, messages: list[dict[str, Any]], *, model: str = "auto", **told: Any) -> Result:
        """Answer `messages` (OpenAI's shape), whole. Raises a RungError.

        `told`: fields of `rung.Call` (mode, private, task, session, max_error, no_store, tenant), `timeout`
        in seconds, and any other member of the chat body (temperature, tools, response_format, ...).
        """
        record = Climb(make_call(messages, model, told, stream=False, request_id=new_request_id()))
        error: BaseException | None = None
        try:
            answer = await self.climb(record)
        except BaseException as broken:
            error = broken
            raise
        finally:
            await self.end(record, error)
        return Result(record, orjson.loads(answer.body or b""))

    def stream(self, messages: list[dict[str, Any]], *, model: str = "auto", **told: Any) -> ResultStream:
        """The same, as it comes: ``async for text in gateway.stream(...)``."""
        return ResultStream(self, Climb(make_call(messages, model, told, stream=True, request_id=new_request_id())))
