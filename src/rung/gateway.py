"""The gateway: the only place that wires rungs, stores, providers and settings together.

Usable in process exactly as over HTTP::

    async with Gateway() as gateway:
        result = await gateway.chat([{"role": "user", "content": "Is this valid JSON? [1, 2"}])
        print(result.rung, result.text)
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import orjson

from rung import config
from rung.answer import Answer, Usage
from rung.call import Call
from rung.config import ProviderSettings, Settings
from rung.errors import RungError
from rung.ladder.budget import RetryBudget
from rung.ladder.climb import Climb, climb
from rung.ladder.policy import NAMES, Lineup, dead_end, is_model, plan, unknown_model
from rung.ladder.rung import Rung
from rung.providers.openai_compatible import Endpoint, OpenAICompatible
from rung.providers.prices import PriceBook
from rung.rungs.cloud import CloudRung
from rung.rungs.exact import ExactRung
from rung.rungs.tool import ToolRung
from rung.store.exact import ExactCache
from rung.store.ledger import ClimbRow, Ledger
from rung.wire.client import Client, Deadlines, Origin

_DIRECT_REMEMBERED = 512
"""rungs kept for ``provider:model`` names: callers choose names, so their memory is bounded"""


class Gateway:
    """One gateway: its rungs, caches and records. Start it, ask it, close it.

    `settings`: None reads the environment and rung.toml as ``rung serve`` would (raises ConfigError).
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings if settings is not None else config.load(os.environ, cwd=Path.cwd())
        self.budget = RetryBudget(self.settings.retry.ratio)
        self._client = Client()
        self._ledger = _ledger(self.settings)
        self._cache = _cache(self.settings)
        self._started = False
        self._wire()

    def _wire(self) -> None:
        """Build the rungs from the settings; everything that lives longer than them is kept."""
        settings = self.settings
        self._prices = PriceBook.load(settings.prices)
        self._direct: dict[str, Rung | None] = {}
        self._providers = {
            name: OpenAICompatible(_endpoint(provider, self._prices), self._client)
            for name, provider in settings.providers.items()
        }
        exact = None
        if self._cache is not None:
            exact = ExactRung(
                self._cache,
                config_version=settings.version,
                max_temperature=settings.exact.max_temperature,
                cache_n=settings.exact.cache_n,
            )
        ladder = settings.ladder
        self.lineup = Lineup(
            tool=ToolRung(),
            exact=exact,
            reference=self._cloud(ladder.reference),
            fast=self._cloud(ladder.fast),
            strong=self._cloud(ladder.strong),
            clouds=self._fallbacks(),
            reference_for={task: rung for task, name in ladder.reference_for.items() if (rung := self._cloud(name))},
        )

    def _cloud(self, model_id: str | None) -> Rung | None:
        """The rung of a ``provider:model`` name, or None if no such provider is configured."""
        if not model_id:
            return None
        if model_id in self._direct:
            return self._direct[model_id]
        name, _, model = model_id.partition(":")
        provider = self._providers.get(name)
        if provider is None or not model:
            return None
        told = self.settings.providers[name]
        rung = CloudRung(provider, name, model, deadlines=_deadlines(self.settings), stays_here=told.stays_here)
        if len(self._direct) >= _DIRECT_REMEMBERED:
            self._direct.clear()
        self._direct[model_id] = rung
        return rung

    def _fallbacks(self) -> tuple[Rung, ...]:
        """Every provider's strong model, then its fast one: what is asked when the reference fails."""
        ladder = self.settings.ladder
        names = [ladder.reference, ladder.strong, ladder.fast]
        for provider in self.settings.providers.values():
            names += [f"{provider.name}:{model}" for model in (provider.strong, provider.fast) if model]
        rungs = [rung for name in dict.fromkeys(names) if (rung := self._cloud(name)) is not None]
        return tuple(rungs)

    # ---- one call ----

    async def climb(self, record: Climb) -> Answer:
        """Find who may answer and ask them. Fills `record`; the caller ends it with `end`.

        Raises a RungError: an unknown model, a privacy conflict, a deadline, or a ladder exhausted.
        """
        call = record.call
        direct: Rung | None = None
        if call.model not in NAMES:
            direct = self._cloud(call.model)
            if direct is None:
                raise unknown_model(call.model, [told["id"] for told in self.models()])
        rungs = plan(call, self.lineup, direct)
        try:
            await climb(call, rungs, record, self.budget)
        except RungError:
            if not any(is_model(rung) for rung in rungs) and not record.faults:
                raise dead_end(call, self.lineup) from None
            raise
        assert record.answer is not None
        return record.answer

    async def end(self, record: Climb, error: BaseException | None) -> None:
        """Close a climb and write it down. Safe to call twice; the first call counts."""
        if record.ended:
            return
        await record.finish(error)
        row = _row(record)
        self._ledger.record(row)
        self._log.call(row)

    # ---- what is here ----

    def models(self) -> list[dict[str, Any]]:
        """Every name a client may send, in the shape of OpenAI's model list."""
        names = [name for name in NAMES if name == "auto" or getattr(self.lineup, name) is not None]
        if self.lineup.local is not None:
            names.append(self.lineup.local.model)
        for name in self.settings.providers:
            names += self._prices.model_ids(name)
        names += [rung.model for rung in self.lineup.clouds]
        return [
            {"id": name, "object": "model", "created": 0, "owned_by": name.partition(":")[0] if ":" in name else "rung"}
            for name in dict.fromkeys(names)
        ]

    def model(self, name: str) -> dict[str, Any]:
        """One of them. Raises ModelNotFoundError with near names."""
        known = self.models()
        for told in known:
            if told["id"] == name:
                return told
        raise unknown_model(name, [told["id"] for told in known])

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """-> (HTTP status, state of every rung): 200 once something can answer."""
        local = self._engine.state if self._engine is not None else "none"
        clouds = [rung.model for rung in self.lineup.clouds]
        ready = bool(clouds) or local == "ready"
        return (200 if ready else 503), {
            "status": "ready" if ready else ("loading" if local == "loading" else "nothing_to_ask"),
            "local": local,
            "clouds": clouds,
            "ledger_dropped": self._ledger.dropped,
        }

    def cache_stats(self) -> dict[str, Any]:
        """Counts and bytes of the exact cache."""
        return self._cache.stats() if self._cache is not None else {"enabled": False}

    def purge_cache(self) -> int:
        """Forget every stored answer; -> how many there were."""
        return self._cache.purge() if self._cache is not None else 0
