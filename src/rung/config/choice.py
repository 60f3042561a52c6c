"""Which models stand behind `reference`, `fast` and `strong`: what was chosen, else what can be suggested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from types import MappingProxyType

from rung.config.check import Problems
from rung.config.positions import Path
from rung.config.sections import Ladder, Trust
from rung.config.settings import ProviderSettings
from rung.ladder.task import TASKS
from rung.ladder.trust.rules import LIMITS
from rung.providers.prices import PriceBook
from rung.providers.rows import Row, rows


def choose(
    said: Ladder,
    written: Mapping[str, object],
    providers: Mapping[str, ProviderSettings],
    prices: PriceBook,
    problems: Problems,
    warnings: list[str],
) -> tuple[Ladder, tuple[str, ...]]:
    """The complete ladder, and the lines to paste where something had to be guessed.

    `written` is the raw table: it tells a list left out from an empty one. With one cloud provider there is
    nothing to choose. With several, the reference is the strong model of the row with the highest
    `strength`, and `fast` the fast model of the row with the highest `speed` (ties: the cheaper output).
    """
    checker = _Models(providers, prices, problems, warnings)
    chosen = Ladder(
        reference=checker.usable(said.reference, ("ladder", "reference")),
        fast=checker.usable(said.fast, ("ladder", "fast")),
        strong=checker.usable(said.strong, ("ladder", "strong")),
        reference_for=checker.per_task(said.reference_for),
        fallback=checker.listed(said.fallback),
        order=said.order,
        local_in_auto=said.local_in_auto,
    )
    clouds = [provider for provider in providers.values() if not provider.private_host and _models(provider)]
    # What was named but is switched off stays empty: rung does not spend money at a place nobody chose.
    reference = chosen.reference or (chosen.strong if said.reference is None else None)
    strong = chosen.strong or (chosen.reference if said.strong is None else None)
    fast, guessed = chosen.fast, []
    if clouds and said.reference is None and said.strong is None:
        reference = strong = strongest(clouds, prices)
        guessed += [("reference", reference), ("strong", strong)]
    if clouds and said.fast is None:
        fast = fastest(clouds, prices)
        guessed.append(("fast", fast))
    per_task = chosen.reference_for
    if len(clouds) > 1 and said.reference is None and said.strong is None and "reference_for" not in written:
        per_task = MappingProxyType({task: _models(cloud)[1] for cloud in clouds for task in _row(cloud).tasks})
    fallback, by = chosen.fallback, said.order
    if "fallback" in written and "order" not in written:
        by = "listed"
    if "fallback" not in written:
        fallback = tuple(_fallback(clouds, reference, said.order, prices))
    advice: tuple[str, ...] = ()
    if len(clouds) > 1 and guessed:
        rows_of = ", ".join(f'{task} = "{model}"' for task, model in per_task.items())
        also = (f"reference_for = {{ {rows_of} }}",) if rows_of and not chosen.reference_for else ()
        advice = ("[ladder]", *(f'{name} = "{model}"' for name, model in guessed), *also)
        told = ", ".join(f"{name} = {model}" for name, model in guessed)
        warnings.append(f"several providers are switched on and nobody chose among them; taken for now: {told}")
    chosen = replace(chosen, reference=reference, strong=strong, fast=fast)
    return replace(chosen, reference_for=per_task, fallback=fallback, order=by), advice


def proving(
    said: Trust,
    providers: Mapping[str, ProviderSettings],
    prices: PriceBook,
    problems: Problems,
    warnings: list[str],
) -> Trust:
    """The same with only models that can be asked, and a limit that is on the list."""
    checker = _Models(providers, prices, problems, warnings)
    if said.max_error not in LIMITS:
        told = ", ".join(f"{limit:g}" for limit in LIMITS)
        problems.at(("trust", "max_error"), f"trust.max_error must be one of {told}: each has evidence of its own")
    return replace(
        said,
        candidates=checker.listed(said.candidates, ("trust", "candidates")),
        judge=checker.usable(said.judge, ("trust", "judge")),
    )


def strongest(clouds: list[ProviderSettings], prices: PriceBook) -> str:
    """The strong model of the strongest row."""
    return min((-_row(cloud).strength, *_cheap(_models(cloud)[1], prices)) for cloud in clouds)[-1]


def fastest(clouds: list[ProviderSettings], prices: PriceBook) -> str:
    """The fast model of the fastest row."""
    return min((-_row(cloud).speed, *_cheap(_models(cloud)[0], prices)) for cloud in clouds)[-1]


def _row(provider: ProviderSettings) -> Row:
    return rows().get(provider.name) or Row(provider.name, provider.base_url)


def _models(provider: ProviderSettings) -> tuple[str, ...]:
    """Its (fast, strong) as ``provider:model``, one standing in for the other; () if it names none."""
    fast, strong = provider.models.fast, provider.models.strong
    if fast is None and strong is None:
        return ()
    return (f"{provider.name}:{fast or strong}", f"{provider.name}:{strong or fast}")


def _cheap(model: str, prices: PriceBook) -> tuple[float, str]:
    """Sorts by the price of output now, unknown last, then by name."""
    price = prices.price(model)
    return (float("inf") if price is None else price.rates(datetime.now(UTC)).output, model)


def _fallback(clouds: list[ProviderSettings], reference: str | None, order: str, prices: PriceBook) -> list[str]:
    others = [cloud for cloud in clouds if not (reference or "").startswith(f"{cloud.name}:")]
    others.sort(key=lambda cloud: _cheap(_models(cloud)[1], prices))
    if order == "latency":
        others.sort(key=lambda cloud: -_row(cloud).speed)
    return [_models(cloud)[1] for cloud in others]


class _Models:
    """Checks ``provider:model`` names of the file."""

    def __init__(
        self,
        providers: Mapping[str, ProviderSettings],
        prices: PriceBook,
        problems: Problems,
        warnings: list[str],
    ) -> None:
        self.providers = providers
        self.prices = prices
        self.problems = problems
        self.warnings = warnings

    def usable(self, model: str | None, path: Path) -> str | None:
        """The name if it can be called; None with a problem (nobody has it) or a warning (switched off)."""
        if model is None:
            return None
        provider, colon, own = model.partition(":")
        if not colon or not own:
            near = [name for name in self.prices.model_ids() if name.endswith(f":{model}")]
            hint = f"; did you mean {near[0]!r}?" if near else ", for example groq:openai/gpt-oss-120b"
            self.problems.at(path, f"{model!r} must be written provider:model{hint}")
            return None
        if provider in self.providers:
            self._priced(model, provider)
            return model
        if provider in rows() or ("providers", provider) in self.problems.lines:
            self.warnings.append(f"{'.'.join(map(str, path))} = {model!r} is not used: {provider} is switched off")
            return None
        names = [*rows(), *self.providers]
        near = get_close_matches(provider, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}, or add [providers.{provider}]"
        self.problems.at(path, f"unknown provider {provider!r} in {model!r}; {hint}")
        return None

    def _priced(self, model: str, provider: str) -> None:
        known = self.prices.model_ids(provider)
        if not known or self.prices.known(model):
            return
        near = get_close_matches(model, known, n=1, cutoff=0.7)
        hint = f"did you mean {near[0]!r}?" if near else f'add [prices."{model}"] if it is right'
        self.warnings.append(
            f"{model!r} is not in the price table of {self.prices.as_of}: its cost will be unknown; {hint}"
        )

    def per_task(self, said: Mapping[str, str]) -> Mapping[str, str]:
        usable = {}
        for task, model in said.items():
            path = ("ladder", "reference_for", task)
            if task not in TASKS:
                near = get_close_matches(task, TASKS, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(TASKS)}"
                self.problems.at(path, f"unknown task {task!r}; {hint}")
            elif (found := self.usable(model, path)) is not None:
                usable[task] = found
        return MappingProxyType(usable)

    def listed(self, said: tuple[str, ...], path: Path = ("ladder", "fallback")) -> tuple[str, ...]:
        found = (self.usable(model, (*path, index)) for index, model in enumerate(said))
        return tuple(model for model in found if model is not None)
