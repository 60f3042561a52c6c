"""The table of the verdict: a column for every candidate, a row for everything people ask about."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rung.report.figures import PROGRAMS, UNKNOWN, Basis, Candidate, Evidence, Figure
from rung.report.sketch import Interval
from rung.report.traffic import Part, Traffic
from rung.report.words import Words

MiB = 1024 * 1024


class Column(msgspec.Struct, frozen=True):
    """One candidate. `figures`: by the names of `ROWS`."""

    name: str
    calls: int
    figures: dict[str, Figure]


ROWS = (
    "latency p50", "latency p95", "first token", "cost per 1,000 calls", "quality", "memory", "disk", "install",
    "upkeep", "privacy",
)  # fmt: skip


def columns(
    traffic: Traffic, candidates: Sequence[Candidate], evidence: Sequence[Evidence], reference: str, say: Words
) -> tuple[Column, ...]:
    """The programs and caches together, then every candidate."""
    tokens = mean_tokens(traffic)
    return (_programs(traffic, say), *(_model(traffic, one, evidence, reference, tokens, say) for one in candidates))


def mean_tokens(traffic: Traffic) -> tuple[int, int]:
    """(prompt, output) tokens of an average call that a model answered."""
    models = Part()
    for (_, rung, _), part in traffic.answered.items():
        if rung not in PROGRAMS:
            models.merge(part)
    return models.prompt_tokens // max(1, models.calls), models.output_tokens // max(1, models.calls)


def _programs(traffic: Traffic, say: Words) -> Column:
    part = Part()
    for rung in PROGRAMS:
        part.merge(traffic.of(rung=rung))
    figures = _times(part, traffic, say) | {
        "cost per 1,000 calls": _money(part, traffic, say),
        "quality": Figure(say("proved, or the same call's own answer"), "stated"),
        "memory": Figure(say("in the gateway's own"), "stated"),
        "disk": Figure(say("the cache's file"), "stated"),
        "install": Figure(say("comes with rung"), "stated"),
        "upkeep": Figure(say("none"), "stated"),
        "privacy": Figure(say("stays on this machine"), "stated"),
    }
    return Column(say("tools + caches"), part.calls, figures)


def _model(
    traffic: Traffic, one: Candidate, evidence: Sequence[Evidence], reference: str, tokens: tuple[int, int], say: Words
) -> Column:
    part = traffic.of(rung=one.rung, model=one.model)
    times = _times(part, traffic, say)
    if not part.calls and one.seconds is not None:
        best, worst = one.seconds(*tokens)
        middle = (best + worst) / 2
        told = say("{0} s ({1} to {2})", *(say.number(value, ".1f") for value in (middle, best, worst)))
        times["latency p50"] = Figure(told, "predicted", 1e3 * middle, 1e3 * best, 1e3 * worst)
    figures = times | {
        "cost per 1,000 calls": _money(part, traffic, say) if part.calls else _priced(one, tokens, say),
        "quality": _quality(one, evidence, reference, say),
        "memory": _memory(one, say),
        "disk": _bytes(one.disk, one.rung, one.disk_basis, say),
        "install": Figure(one.install, "stated") if one.install else UNKNOWN,
        "upkeep": one.upkeep,
        "privacy": Figure(say("leaves this machine") if one.leaves else say("stays on this machine"), "stated"),
    }
    return Column(one.model, part.calls, figures)


def _times(part: Part, traffic: Traffic, say: Words) -> dict[str, Figure]:
    basis = basis_of(part, traffic)
    return {
        "latency p50": _ms(part.times.quantile(0.5), basis, say),
        "latency p95": _ms(part.times.quantile(0.95), basis, say),
        "first token": _ms(part.firsts.quantile(0.5), basis, say),
    }


def _ms(value: float | None, basis: Basis, say: Words) -> Figure:
    if value is None:
        return UNKNOWN
    if value >= 1000:
        return Figure(f"{say.number(value / 1e3, '.2f')} s", basis, value)
    return Figure(f"{say.number(value) if value >= 10 else say.short(value, 2)} ms", basis, value)


def basis_of(part: Part, traffic: Traffic) -> Basis:
    """A figure with simulated calls in it is a simulated figure."""
    return "predicted" if traffic.predicted else "simulated" if part.simulated else "measured"


def _money(part: Part, traffic: Traffic, say: Words) -> Figure:
    known = part.calls - part.unknown
    if not known:
        return UNKNOWN
    value = 1000 * part.money / known / 1e12
    text = say.usd(value)
    if part.unknown:
        text = say("{0} ({1} of unknown price left out)", text, say.number(part.unknown))
    return Figure(text, basis_of(part, traffic), value)


def _priced(one: Candidate, tokens: tuple[int, int], say: Words) -> Figure:
    cost = one.price(*tokens) if one.price is not None else None
    if cost is None:
        return UNKNOWN
    return Figure(say.usd(cost / 1e9), "predicted", cost / 1e9)


def _quality(one: Candidate, evidence: Sequence[Evidence], reference: str, say: Words) -> Figure:
    if one.model == reference:
        return Figure(say("the reference"), "stated")
    told = [this for this in evidence if this.model == one.model and this.labels]
    if not told:
        return Figure(say("never compared"), "unknown")
    labels = sum(this.labels for this in told)
    share = pooled(told)
    basis: Basis = "judged" if any(this.judged for this in told) else "measured"
    if any(this.simulated for this in told):
        basis = "simulated"
    figures = (say.percent(value, 1) for value in (share.value, share.low, share.high))
    text = say("differs in {0} ({1} to {2}; {3} compared)", *figures, say.number(labels))
    return Figure(text, basis, share.value, share.low, share.high)


def pooled(told: Sequence[Evidence]) -> Interval:
    """Disagreement over several tasks, weighted by labels; there must be some."""
    labels = sum(one.labels for one in told)
    value, low, high = (
        sum(one.labels * getattr(one.disagreement, name) for one in told) / labels for name in ("value", "low", "high")
    )
    return Interval(value, low, high)


def _memory(one: Candidate, say: Words) -> Figure:
    found = _bytes(one.ram, one.rung, one.ram_basis, say)
    if one.fits:
        return found
    return msgspec.structs.replace(found, text=say("{0}: does not fit", found.text))


def _bytes(value: int | None, rung: str, basis: Basis, say: Words) -> Figure:
    if value is None:
        return Figure(say("none here"), "stated", 0.0) if rung == "cloud" else UNKNOWN
    return Figure(f"{say.number(value / MiB)} MiB", basis, float(value))
