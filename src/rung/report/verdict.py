"""The verdict: a table of candidates, what each rung adds, the bill, and one of five conclusions.

Everything comes in as plain values, everything goes out as `Verdict`; `rung.report.render` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from rung.ladder.trust.forecast import missing
from rung.report.bill import Bill, make_bill
from rung.report.conclude import Conclusion, Facts, conclude
from rung.report.figures import PROGRAMS, USUAL, Assumptions, Candidate, Evidence
from rung.report.margin import Margin, margin
from rung.report.sketch import Interval, bootstrap, weighted
from rung.report.table import Column, columns, mean_tokens, pooled
from rung.report.traffic import Part, Traffic
from rung.report.what_if import NOTHING, WhatIf


class TaskAdvice(msgspec.Struct, frozen=True):
    """One task: how many calls, who answered what share, what trust says, one line of advice."""

    task: str
    calls: int
    shares: dict[str, float]
    evidence: tuple[Evidence, ...]
    advice: str


class Verdict(msgspec.Struct, frozen=True):
    """See the module. Money in dollars unless a name says pico."""

    calls: int
    days: float
    simulated: int
    reference: str
    local: str
    columns: tuple[Column, ...]
    tasks: tuple[TaskAdvice, ...]
    margins: tuple[Margin, ...]
    bill: Bill
    conclusion: Conclusion
    sensitivity: tuple[tuple[float, float, str], ...]
    """(traffic factor, price factor, conclusion)"""
    assumptions: Assumptions
    labels: tuple[str, ...] = ()
    """what holds for the whole page: simulated, recorded, what-if"""


FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def build(
    traffic: Traffic,
    candidates: Sequence[Candidate],
    *,
    reference: str,
    local: str,
    evidence: Sequence[Evidence] = (),
    assumptions: Assumptions = USUAL,
    labels: tuple[str, ...] = (),
    what_if: WhatIf = NOTHING,
) -> Verdict:
    """The verdict on `traffic`. `reference` and `local`: ``provider:model`` of the two that are set against each
    other; both stand among `candidates`."""
    known = {one.model: one for one in candidates}
    mine = [one for one in evidence if one.model == local and one.limit <= assumptions.limit]
    if what_if.model and not mine:
        mine = [one for one in evidence if one.rung == "local" and one.limit <= assumptions.limit]
        labels += ("what it may answer is taken over from the local model that was measured: assumed",) if mine else ()
    facts = _facts(traffic, known, reference, local, mine, assumptions, foretold=what_if.machine is not None)
    facts = scaled(facts, what_if.traffic, what_if.price(reference))
    conclusion = conclude(facts)
    return Verdict(
        calls=traffic.calls,
        days=traffic.days,
        simulated=traffic.simulated,
        reference=reference,
        local=local,
        columns=columns(traffic, candidates, evidence, reference),
        tasks=tuple(_task(traffic, task, evidence) for task in sorted(traffic.tasks, key=lambda t: -traffic.tasks[t])),
        margins=tuple(_margins(traffic, reference, local, mine)),
        bill=make_bill(traffic, candidates, reference, local, mine, assumptions),
        conclusion=conclusion,
        sensitivity=tuple(
            (calls, price, conclude(scaled(facts, calls, price)).kind) for price in FACTORS for calls in FACTORS
        ),
        assumptions=assumptions,
        labels=labels,
    )


def scaled(facts: Facts, calls: float = 1.0, price: float = 1.0) -> Facts:
    """The same world with more traffic, or a dearer reference; learning grows with both."""
    cost = facts.reference_cost
    if cost is not None:
        cost = Interval(cost.value * price, cost.low * price, cost.high * price)
    return msgspec.structs.replace(
        facts,
        calls=round(facts.calls * calls) if calls > 1 else facts.calls,  # less traffic, but no less is known
        days=facts.days if calls > 1 else facts.days / calls,
        reference_cost=cost,
        learning=facts.learning * calls * price,
    )


# ---- what decides ----


def _facts(
    traffic: Traffic,
    known: Mapping[str, Candidate],
    reference: str,
    local: str,
    mine: Sequence[Evidence],
    assumptions: Assumptions,
    *,
    foretold: bool,
) -> Facts:
    """`foretold`: the machine is imagined, so what was measured on this one does not count."""
    share = _share(traffic, mine)
    own = traffic.of(rung="local", model=local)
    learning = sum(traffic.money.get(name, 0) for name in ("shadow", "audit", "judge")) / 1e12
    candidate = known.get(local)
    told = traffic.of(rung="cloud", model=reference)
    seconds = None if foretold else own.times.quantile(0.5)
    if seconds is None and candidate is not None and candidate.seconds is not None and traffic.calls:
        mean = mean_tokens(traffic)
        seconds = 1e3 * sum(candidate.seconds(*mean)) / 2
    waited = told.times.quantile(0.5)
    lacking = [one.missing for one in mine if one.state != "open" and one.missing is not None]
    return Facts(
        calls=traffic.calls,
        days=traffic.days,
        share=share,
        reference_cost=_reference_cost(traffic, known.get(reference), reference, mine),
        own_cost=None if seconds is None else assumptions.energy(seconds / 1e3),
        learning=learning / traffic.days,
        upkeep=assumptions.upkeep_per_day,
        local_seconds=None if seconds is None else seconds / 1e3,
        reference_seconds=None if waited is None else waited / 1e3,
        private=traffic.private,
        rescued=traffic.rescued,
        fits=candidate.fits if candidate is not None else bool(own.calls),
        missing=min(lacking, default=missing(0, 0, assumptions.limit, 0.1) or 0),
    )


def _share(traffic: Traffic, mine: Sequence[Evidence]) -> Interval | None:
    """Of all calls, what the local model may answer: what trust says per task, weighted by the traffic."""
    if not mine:
        return None
    total = max(1, traffic.calls)
    value, low, high = (
        sum(traffic.tasks.get(one.task, 0) * getattr(one.share, name) for one in mine) / total
        for name in ("value", "low", "high")
    )
    return Interval(value, low, high)


def _reference_cost(
    traffic: Traffic, candidate: Candidate | None, reference: str, mine: Sequence[Evidence]
) -> Interval | None:
    """Dollars the reference takes for a call that the local model may answer: the mean over their tasks, or all."""
    tasks = {one.task for one in mine if one.share.value > 0}
    seen = Part()
    for task in tasks or {""}:
        seen.merge(traffic.of(rung="cloud", model=reference, task=task))
    priced = seen.calls - seen.unknown
    if priced >= 5:
        return _mean_cost(seen)
    if candidate is None or candidate.price is None or not traffic.calls:
        return None
    cost = candidate.price(*mean_tokens(traffic))
    return None if cost is None else Interval(cost / 1e12, 0.8 * cost / 1e12, 1.2 * cost / 1e12)


def _mean_cost(part: Part) -> Interval:
    sums = part.sums
    return bootstrap(lambda weights: weighted(sums.money, weights) / max(1.0, weighted(sums.calls, weights)) / 1e12)


# ---- per rung, per task ----


def _margins(traffic: Traffic, reference: str, local: str, mine: Sequence[Evidence]) -> list[Margin]:
    """Of every rung below the reference that was asked: the programs, and the local model."""
    asked = {(rung, "" if rung in PROGRAMS else model) for _, rung, model in (*traffic.answered, *traffic.vain)}
    found = []
    for rung, model in sorted(asked, key=lambda one: (*PROGRAMS, "local").index(one[0]) if one[0] != "cloud" else 9):
        if rung == "cloud":
            continue
        seen = [one for one in mine if one.labels] if model == local else []
        found.append(margin(traffic, rung, model, reference, disagreement=pooled(seen) if seen else None))
    return found


def _task(traffic: Traffic, task: str, evidence: Sequence[Evidence]) -> TaskAdvice:
    calls = traffic.tasks[task]
    shares: dict[str, float] = {}
    for (its_task, rung, _), part in traffic.answered.items():
        if its_task == task:
            shares[rung] = shares.get(rung, 0.0) + part.calls / calls
    told = tuple(one for one in evidence if one.task == task)
    return TaskAdvice(task, calls, shares, told, _advice(shares, told))


def _advice(shares: Mapping[str, float], told: Sequence[Evidence]) -> str:
    programs = sum(shares.get(rung, 0.0) for rung in PROGRAMS)
    parts = [f"programs and caches answer {programs:.0%}"] if programs >= 0.005 else []
    for one in told:
        if one.state == "open":
            parts.append(f"{one.model} may answer {one.share.value:.0%} at {one.limit:.0%} disagreement")
        elif one.missing is None:
            parts.append(
                f"{one.model} disagrees too often ({one.disagreement.value:.0%}) for {one.limit:.0%}: send it up"
            )
        else:
            parts.append(f"{one.model}: {one.missing:,} more comparisons until it may be trusted")
    if not told:
        parts.append("no lower model has been compared: send it to the reference")
    return "; ".join(parts)
