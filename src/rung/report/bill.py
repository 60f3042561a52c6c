"""The bill: everything that was spent to save, and what all the traffic would have cost at one model alone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rung.report.figures import UNKNOWN, Assumptions, Candidate, Evidence, Figure
from rung.report.table import basis_of, mean_tokens
from rung.report.traffic import Traffic
from rung.report.words import ENGLISH, Words


class Bill(msgspec.Struct, frozen=True):
    """Everything spent. `parts`: pico-dollars by what they bought; they add up to `total`, the ledger's own sum.

    `unknown`: climbs of unknown price, in neither. `energy_usd` comes on top. `singles`: dollars all callers' traffic
    would have cost at one model alone. `routed_disagreement`: share of all answers that differ from the reference's,
    as the local model was asked; `random_disagreement`: if calls were sent to it at random, as often as it really
    answered, so for the same money: what routing has to beat.
    """

    parts: dict[str, int]
    total: int
    unknown: int
    cache_write_tokens: int
    energy_usd: Figure
    energy_kwh: float
    singles: dict[str, Figure]
    best_single: str
    routed_disagreement: Figure
    random_disagreement: Figure


def make_bill(
    traffic: Traffic,
    candidates: Sequence[Candidate],
    reference: str,
    local: str,
    mine: Sequence[Evidence],
    assumptions: Assumptions,
    say: Words = ENGLISH,
) -> Bill:
    """The bill of `traffic`."""
    kwh, energy = (of(traffic.local_ms / 1e3) for of in (assumptions.kwh, assumptions.energy))
    singles = {one.model: _single(traffic, one, say) for one in candidates if one.rung == "cloud"}
    priced = {name: figure.value for name, figure in singles.items() if figure.value is not None}
    routed, random = _differing(traffic, local, mine, say)
    return Bill(
        parts=dict(sorted(traffic.money.items(), key=lambda part: -part[1])),
        total=sum(traffic.money.values()),
        unknown=traffic.unknown,
        cache_write_tokens=traffic.cache_write_tokens,
        energy_usd=Figure(f"{say.usd(energy)} ({say.short(kwh)} kWh)", assumptions.watts_basis, energy),
        energy_kwh=kwh,
        singles=singles,
        best_single=min(priced, key=lambda name: priced[name], default=reference),
        routed_disagreement=routed,
        random_disagreement=random,
    )


def _single(traffic: Traffic, one: Candidate, say: Words) -> Figure:
    """What it really took where it answered; its price for the tokens of the others."""
    own = traffic.of(rung=one.rung, model=one.model)
    others, prompt, output = 0, 0, 0
    mean_prompt, mean_output = mean_tokens(traffic)
    for (_, _, model), part in traffic.answered.items():
        if model != one.model:
            others += part.calls
            # programs and caches count no tokens; a model would have
            prompt += part.prompt_tokens or part.calls * mean_prompt
            output += part.output_tokens or part.calls * mean_output
    if not others:
        return Figure(say.usd(own.money / 1e12), basis_of(own, traffic), own.money / 1e12)
    cost = None if one.price is None else one.price(prompt, output)
    if cost is None:
        return UNKNOWN
    value = (cost + own.money) / 1e12
    return Figure(say.usd(value), "predicted", value)


def _differing(traffic: Traffic, local: str, mine: Sequence[Evidence], say: Words) -> tuple[Figure, Figure]:
    """-> (as routed, at random), see `Bill`; not known without labels."""
    told = {one.task: one.disagreement.value for one in mine if one.labels}
    if not told or not traffic.calls:
        return UNKNOWN, UNKNOWN
    answers = {task: traffic.of(rung="local", model=local, task=task).calls for task in told}
    usual = {task: traffic.tasks.get(task, 0) or 1 for task in told}
    share = traffic.of(rung="local", model=local).calls / traffic.calls
    routed = sum(answers[task] * told[task] for task in told) / traffic.calls
    random = share * sum(usual[task] * told[task] for task in told) / sum(usual.values())
    one, other = (Figure(say.percent(value, 2), "predicted", value) for value in (routed, random))
    return one, other
