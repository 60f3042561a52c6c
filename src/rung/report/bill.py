"""The bill: everything that was spent to save, and what all the traffic would have cost at one model alone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rung.report.figures import UNKNOWN, Assumptions, Candidate, Evidence, Figure
from rung.report.table import basis_of, mean_tokens
from rung.report.traffic import Traffic


class Bill(msgspec.Struct, frozen=True):
    """Everything spent. `parts`: pico-dollars by what they bought; they add up to `total`, the ledger's own sum.

    `unknown`: climbs of unknown price, in neither. `energy_usd` comes on top. `singles`: dollars all callers' traffic
    would have cost at one model alone. `random_disagreement`: share of answers that would differ from the reference's
    if calls were sent to the local model at random, as often as it really answered: what routing has to beat.
    """

    parts: dict[str, int]
    total: int
    unknown: int
    cache_write_tokens: int
    energy_usd: Figure
    singles: dict[str, Figure]
    best_single: str
    random_disagreement: Figure


def make_bill(
    traffic: Traffic,
    candidates: Sequence[Candidate],
    reference: str,
    local: str,
    mine: Sequence[Evidence],
    assumptions: Assumptions,
) -> Bill:
    """The bill of `traffic`."""
    energy = assumptions.energy(traffic.local_ms / 1e3)
    singles = {one.model: _single(traffic, one) for one in candidates if one.rung == "cloud"}
    priced = {name: figure.value for name, figure in singles.items() if figure.value is not None}
    return Bill(
        parts=dict(sorted(traffic.money.items(), key=lambda part: -part[1])),
        total=sum(traffic.money.values()),
        unknown=traffic.unknown,
        cache_write_tokens=traffic.cache_write_tokens,
        energy_usd=Figure(f"{energy:.4f} USD", assumptions.watts_basis, energy),
        singles=singles,
        best_single=min(priced, key=lambda name: priced[name], default=reference),
        random_disagreement=_random(traffic, local, mine),
    )


def _single(traffic: Traffic, one: Candidate) -> Figure:
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
        return Figure(f"{own.money / 1e12:.4f} USD", basis_of(own, traffic), own.money / 1e12)
    if one.price is None:
        return UNKNOWN
    cost = one.price(prompt, output)
    if cost is None:
        return UNKNOWN
    value = (cost + own.money) / 1e12
    return Figure(f"{value:.4f} USD", "predicted", value)


def _random(traffic: Traffic, local: str, mine: Sequence[Evidence]) -> Figure:
    labels = sum(one.labels for one in mine)
    if not labels or not traffic.calls:
        return UNKNOWN
    differs = sum(one.labels * one.disagreement.value for one in mine) / labels
    share = traffic.of(rung="local", model=local).calls / traffic.calls
    return Figure(f"{share * differs:.2%}", "predicted", share * differs)
