"""The verdict: a table of candidates, what each rung adds, the bill, and one of five conclusions.

Everything comes in as plain values, everything goes out as `Verdict`; `rung.report.render` shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from rung.ladder.trust.forecast import missing
from rung.report.bill import Bill, make_bill
from rung.report.conclude import Conclusion, Facts, Kind, conclude
from rung.report.figures import PROGRAMS, USUAL, Assumptions, Candidate, Evidence
from rung.report.margin import Margin, margin
from rung.report.sketch import Interval, bootstrap, weighted
from rung.report.table import Column, columns, mean_tokens
from rung.report.traffic import Part, Traffic
from rung.report.what_if import NOTHING, WhatIf
from rung.report.words import ENGLISH, Language, Words


class TaskAdvice(msgspec.Struct, frozen=True):
    """One task: how many calls, who answered what share, what trust says, one line of advice, and what each rung adds
    there, per 1,000 calls of the task."""

    task: str
    calls: int
    shares: dict[str, float]
    evidence: tuple[Evidence, ...]
    advice: str
    margins: tuple[Margin, ...]


class Elsewhere(msgspec.Struct, frozen=True):
    """The conclusion with the local model on another machine, foretold. `machine` as `--what-if` takes it; `seconds`:
    what half of the answers would take at most, None if nobody can tell."""

    machine: str
    seconds: float | None
    fits: bool
    kind: Kind


class Verdict(msgspec.Struct, frozen=True):
    """See the module. Money in dollars unless a name says pico. Texts are in `language`."""

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
    sensitivity: tuple[tuple[float, float, Kind], ...]
    """(traffic factor, price factor, conclusion)"""
    by_upkeep: tuple[tuple[float, Kind], ...]
    """(minutes of a person's time a month, conclusion)"""
    by_machine: tuple[Elsewhere, ...]
    assumptions: Assumptions
    labels: tuple[str, ...] = ()
    """what holds for the whole page: simulated, recorded, what-if"""
    language: Language = "en"


FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)

MINUTES = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)


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
    machines: Mapping[str, Candidate] = {},
    say: Words = ENGLISH,
) -> Verdict:
    """The verdict on `traffic`. `reference` and `local`: ``provider:model`` of the two that are set against each
    other; both stand among `candidates`. `machines`: the local model as it would be on others, by their names; of
    those whose speed nobody can foretell nothing is said."""
    known = {one.model: one for one in candidates}
    mine = [one for one in evidence if one.model == local and one.limit <= assumptions.limit]
    if what_if.model and not mine:
        mine = [one for one in evidence if one.rung == "local" and one.limit <= assumptions.limit]
        taken = say("what it may answer is taken over from the local model that was measured: assumed")
        labels += (taken,) if mine else ()

    def facts(candidate: Candidate | None, *, foretold: bool) -> Facts:
        found = _facts(traffic, candidate, known.get(reference), reference, local, mine, assumptions, foretold)
        return scaled(found, what_if.traffic, what_if.price(reference))

    here = facts(known.get(local), foretold=what_if.machine is not None)
    timed = msgspec.structs.replace
    return Verdict(
        calls=traffic.calls,
        days=traffic.days,
        simulated=traffic.simulated,
        reference=reference,
        local=local,
        columns=columns(traffic, candidates, evidence, reference, say),
        tasks=tuple(
            _task(traffic, task, reference, local, evidence, say)
            for task in sorted(traffic.tasks, key=lambda name: -traffic.tasks[name])
        ),
        margins=tuple(_margins(traffic, reference, local, mine)),
        bill=make_bill(traffic, candidates, reference, local, mine, assumptions, say),
        conclusion=conclude(here, say),
        sensitivity=tuple(
            (calls, price, conclude(scaled(here, calls, price)).kind) for price in FACTORS for calls in FACTORS
        ),
        by_upkeep=tuple(
            (minutes, conclude(timed(here, upkeep=timed(assumptions, upkeep_minutes=minutes).upkeep_per_day)).kind)
            for minutes in MINUTES
        ),
        by_machine=tuple(_elsewhere(name, facts(one, foretold=True)) for name, one in machines.items() if one.seconds),
        assumptions=assumptions,
        labels=labels,
        language=say.language,
    )


def _elsewhere(machine: str, facts: Facts) -> Elsewhere:
    return Elsewhere(machine, facts.local_seconds, facts.fits, conclude(facts).kind)


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
    candidate: Candidate | None,
    other: Candidate | None,
    reference: str,
    local: str,
    mine: Sequence[Evidence],
    assumptions: Assumptions,
    foretold: bool,
) -> Facts:
    """`candidate`, `other`: what is known of the local model and of the reference beside the traffic. `foretold`: the
    machine is imagined, so what was measured on this one does not count."""
    share = _share(traffic, mine)
    own = traffic.of(rung="local", model=local)
    bought = (pico for name, pico in traffic.money.items() if name in traffic.purposes and ":" not in name)
    idle = (traffic.local_ms - sum(traffic.of(rung="local").sums.ms)) / 1e3
    learning = sum(bought) / 1e12 + assumptions.energy(max(0.0, idle))
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
        reference_cost=_reference_cost(traffic, other, reference, mine),
        own_cost=None if seconds is None else assumptions.energy(seconds / 1e3),
        learning=learning / traffic.days,
        upkeep=assumptions.upkeep_per_day,
        hour_usd=assumptions.hour_usd,
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


def _margins(
    traffic: Traffic, reference: str, local: str, mine: Sequence[Evidence], task: str = ""
) -> Iterator[Margin]:
    """Of every rung below the reference that was asked: the programs, and the local models."""
    order = (*PROGRAMS, "local")
    asked = {
        (rung, "" if rung in PROGRAMS else model)
        for its, rung, model in (*traffic.answered, *traffic.vain)
        if rung in order and task in ("", its)
    }
    for rung, model in sorted(asked, key=lambda one: (order.index(one[0]), one[1])):
        told = {one.task: one.disagreement for one in mine if one.labels} if model == local else {}
        yield margin(traffic, rung, model, reference, task=task, disagreement=told)


def _task(
    traffic: Traffic, task: str, reference: str, local: str, evidence: Sequence[Evidence], say: Words
) -> TaskAdvice:
    calls = traffic.tasks[task]
    shares: dict[str, float] = {}
    for (its_task, rung, _), part in traffic.answered.items():
        if its_task == task:
            shares[rung] = shares.get(rung, 0.0) + part.calls / calls
    told = tuple(one for one in evidence if one.task == task)
    margins = tuple(_margins(traffic, reference, local, [one for one in told if one.model == local], task))
    return TaskAdvice(task, calls, shares, told, _advice(shares, told, say), margins)


def _advice(shares: Mapping[str, float], told: Sequence[Evidence], say: Words) -> str:
    programs = sum(shares.get(rung, 0.0) for rung in PROGRAMS)
    parts = [say("programs and caches answer {0}", say.percent(programs))] if programs >= 0.005 else []
    for one in told:
        limit = say.percent(one.limit)
        if one.state == "open":
            parts.append(say("{0} may answer {1} at {2} disagreement", one.model, say.percent(one.share.value), limit))
        elif one.missing is None:
            differs = say.percent(one.disagreement.value)
            parts.append(say("{0} disagrees too often ({1}) for {2}: send it up", one.model, differs, limit))
        else:
            missing = say.number(one.missing)
            parts.append(say("{0}: {1} more comparisons until it may be trusted", one.model, missing))
    if not told:
        parts.append(say("no lower model has been compared: send it to the reference"))
    return say("; ").join(parts)
