"""Settings turned into rungs. One `Wiring` per version of the settings: a reload makes a new one.

What outlives a reload (connections, breakers, caches, the local engine) is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from rung import __version__
from rung.answer import Usage
from rung.call import Call
from rung.config import ProviderSettings, Settings
from rung.ladder.breaker import OPEN, Breakers
from rung.ladder.budget import RetryBudget
from rung.ladder.hedge import Hedger, HedgeRules
from rung.ladder.order import Offer, Rates, Seen, expected_price
from rung.ladder.policy import NAMES, Lineup, unknown_model
from rung.ladder.privacy import PrivateCalls
from rung.ladder.rung import Rung
from rung.local.backend import Backend
from rung.prompts import Prompts
from rung.providers.adapters import Adapter, Patience, make_adapter
from rung.providers.endpoint import make_endpoint
from rung.providers.estimate import Correction
from rung.providers.local import adapter_for
from rung.providers.prefix import has_cache
from rung.providers.prices import PriceBook
from rung.providers.rows import Row, rows
from rung.rungs.cloud import CloudRung
from rung.rungs.exact import ExactRung
from rung.rungs.local import LocalRung
from rung.store.exact import ExactCache
from rung.wire.client import Client, Deadlines

REMEMBERED = 512
"""rungs and plans kept for names: callers choose names, so their memory is bounded"""


class Wiring:
    """The rungs of these `settings`, and whatever one call needs of them.

    Attributes:
        lineup: the rungs by role.
        budget: what retries and hedges may spend. hedger: None where hedging is off.
        order: how the models that stand for each other are sorted. private: the rules that make calls private.
        plans: who is asked for (model, mode, task), remembered by the gateway.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        prices: PriceBook,
        prompts: Prompts,
        breakers: Breakers,
        correction: Correction,
        seen: Seen,
        client: Client,
        tool: Rung,
        cache: ExactCache | None,
        semantic: Rung | None,
        local: Backend | None,
    ) -> None:
        self._settings, self._correction, self._seen = settings, correction, seen
        self._prices, self._prompts, self._breakers, self._client = prices, prompts, breakers, client
        retry = settings.retry
        self.budget = RetryBudget(retry.budget, max(retry.min, 1), retry.attempts)
        self.hedger = Hedger(HedgeRules(**asdict(settings.hedge)), self.budget) if settings.hedge.enabled else None
        self.order = settings.ladder.order
        told = settings.privacy
        self.private = PrivateCalls(
            every=told.all_private,
            tenants=told.tenants,
            detect=told.detect,
            words=told.words,
            models=told.models,
            tasks=told.tasks,
        )
        self.plans: dict[tuple[str, str, str], tuple[Rung, ...]] = {}
        self._clouds: dict[str, CloudRung] = {}
        self._providers = {name: self._provider(provider) for name, provider in settings.providers.items()}
        ladder = settings.ladder
        self.lineup = Lineup(
            tool=tool,
            exact=self._exact(cache),
            semantic=semantic,
            local=self._local(local),
            reference=self.cloud(ladder.reference),
            fast=self.cloud(ladder.fast),
            strong=self.cloud(ladder.strong),
            clouds=tuple(rung for name in ladder.fallback if (rung := self.cloud(name)) is not None),
            hosts=self._hosts(),
            reference_for={task: rung for task, name in ladder.reference_for.items() if (rung := self.cloud(name))},
            local_in_auto=ladder.local_in_auto,
        )

    def offer(self, call: Call, rung: Rung) -> Offer:
        """What asking a cloud rung for this call should mean now."""
        breaker = getattr(rung, "breaker", None)
        down = breaker is not None and breaker.state == OPEN
        if self.order == "latency":
            return Offer(rung.model, None, self._seen.seconds(rung.model, call.stream), down)
        prompt = rung.estimate(call) if isinstance(rung, CloudRung) else 0
        rates = self._prompts.rates(rung.model, prompt)
        if rates is None:
            return Offer(rung.model, None, None, down)
        cached = self._prompts.affinity.cached(call.prefix, rung.model) if call.prefix is not None else 0.0
        limit = call.body.get("max_completion_tokens") or call.body.get("max_tokens")
        output = self._seen.output(call.task, limit if isinstance(limit, int) else None)
        paid = Rates(rates.input, rates.cache_read, rates.output)
        return Offer(rung.model, expected_price(paid, prompt, cached, output), None, down)

    def cloud(self, model_id: str | None) -> CloudRung | None:
        """The rung of a ``provider:model`` name, or None if no such provider is configured."""
        if not model_id:
            return None
        if model_id in self._clouds:
            return self._clouds[model_id]
        name, _, model = model_id.partition(":")
        if name not in self._providers or not model:
            return None
        if len(self._clouds) >= REMEMBERED:
            self._clouds.clear()
        return self._clouds.setdefault(model_id, self._asking(name, model))

    def model_ids(self) -> list[str]:
        """Every name a client may send, the ladder's own first."""
        names = [name for name in NAMES if name == "auto" or getattr(self.lineup, name) is not None]
        if self.lineup.local is not None:
            names.append(self.lineup.local.model)
        for name, provider in self._settings.providers.items():
            own = (provider.models.fast, provider.models.strong)
            names += [f"{name}:{model}" for model in own if model] + self._prices.model_ids(name)
        return list(dict.fromkeys(names))

    def models(self) -> list[dict[str, Any]]:
        """The same in the shape of OpenAI's model list."""
        return [
            {"id": name, "object": "model", "created": 0, "owned_by": name.partition(":")[0] if ":" in name else "rung"}
            for name in self.model_ids()
        ]

    def model(self, name: str) -> dict[str, Any]:
        """One of them. Raises ModelNotFoundError with near names."""
        known = self.models()
        for told in known:
            if told["id"] == name:
                return told
        raise unknown_model(name, [told["id"] for told in known])

    def rung(self, name: str) -> Rung | None:
        """One of `rung_names`, or the rung of a ``provider:model``."""
        if name in self._here():
            return self._here()[name]
        provider = self._settings.providers.get(name)
        if provider is not None:
            model = provider.models.strong or provider.models.fast
            return self.cloud(f"{name}:{model}") if model else None
        return self.cloud(name)

    def rung_names(self) -> list[str]:
        """Every rung on this machine, then the configured providers that have a model of their own."""
        providers = self._settings.providers.items()
        return [*self._here(), *(name for name, told in providers if told.models.strong or told.models.fast)]

    def _here(self) -> dict[str, Rung]:
        found = {name: getattr(self.lineup, name, None) for name in ("tool", "exact", "semantic", "local")}
        return {name: rung for name, rung in found.items() if rung is not None}

    def cloud_names(self) -> list[str]:
        """The models that ``auto`` may ask off this machine or on a host the user declared private."""
        asked = (self.lineup.reference, *self.lineup.clouds, *self.lineup.hosts)
        return list(dict.fromkeys(rung.model for rung in asked if rung is not None))

    def _exact(self, cache: ExactCache | None) -> ExactRung | None:
        if cache is None:
            return None
        told = self._settings
        return ExactRung(
            cache,
            config_version=told.version,
            max_temperature=told.exact.max_temperature,
            cache_n=told.exact.cache_n,
            alone=told.ladder.reference is None,
        )

    def _local(self, backend: Backend | None) -> LocalRung | None:
        if backend is None:
            return None
        adapter = adapter_for(backend, self._client)
        alone = self._settings.ladder.reference is None
        return LocalRung(backend, adapter, load_wait=self._settings.deadlines.local_load, patient=alone)

    def _hosts(self) -> tuple[CloudRung, ...]:
        """Backends on this host that the user declared private, by their strong model."""
        asked = []
        for name, provider in self._settings.providers.items():
            model = provider.models.strong or provider.models.fast
            if model and provider.stays_here(model):
                asked.append(self._asking(name, model, rung_name="local", unproved=True))
        return tuple(asked)

    def _asking(self, name: str, model: str, **told: Any) -> CloudRung:
        provider = self._settings.providers[name]
        limits = Deadlines(provider.connect, provider.first_byte, provider.idle, self._settings.deadlines.total)
        model_id = f"{name}:{model}"
        told |= {"stays_here": provider.stays_here(model), "breaker": self._breakers.of(model_id)}
        told |= {"context": self._prices.context(model_id), "correction": self._correction}
        return CloudRung(self._providers[name], name, model, deadlines=limits, **told)

    def _provider(self, told: ProviderSettings) -> Adapter:
        sent = {name: value.reveal() for name, value in told.headers.items()}
        endpoint = make_endpoint(
            rows().get(told.name) or Row(told.name, told.base_url),
            told.base_url,
            key=told.key.reveal() if told.key is not None else None,
            headers={"user-agent": f"rung/{__version__}", **sent},
            strip=told.strip,
            rename=told.rename,
            usage_in_stream=told.usage_in_stream,
            price=self._price(told.name),
            on_headers=self._breakers.listener(told.name),
        )
        patience = Patience(self._settings.deadlines.local_load, self._settings.local.load_timeout)
        adapter = make_adapter(told.adapter, endpoint, self._client, patience, told.num_ctx)
        return self._prompts.wrap(adapter, told.name)

    def _price(self, provider: str) -> Callable[[str, Usage], int | None]:
        prices, prompts, cached = self._prices, self._prompts, has_cache(provider)

        of = lru_cache(REMEMBERED)(lambda model: prices.price(f"{provider}:{model}"))

        def price(model: str, usage: Usage) -> int | None:
            known = of(model)
            cost = None if known is None else known.cost(usage)
            return cost + prompts.dues(provider) if cached and cost is not None else cost

        return price


def proxies_of(settings: Settings) -> dict[str, str]:
    """The forward proxies of the environment, as the wire wants them."""
    told = settings.proxies
    named = {"http_proxy": told.http, "https_proxy": told.https, "all_proxy": told.all}
    shown = {name: secret.reveal() for name, secret in named.items() if secret is not None}
    return {**shown, "no_proxy": told.no} if shown else {}
