"""The table of the verdict: a column for every candidate, a row for everything people ask about."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rung.report.figures import PROGRAMS, UNKNOWN, Basis, Candidate, Evidence, Figure
from rung.report.sketch import Interval
from rung.report.traffic import Part, Traffic

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
    traffic: Traffic, candidates: Sequence[Candidate], evidence: Sequence[Evidence], reference: str
) -> tuple[Column, ...]:
    """The programs and caches together, then every candidate."""
    tokens = mean_tokens(traffic)
    return (_programs(traffic), *(_model(traffic, one, evidence, reference, tokens) for one in candidates))


def mean_tokens(traffic: Traffic) -> tuple[int, int]:
    """(prompt, output) tokens of an average call that a model answered."""
    models = Part()
    for (_, rung, _), part in traffic.answered.items():
        if rung not in PROGRAMS:
            models.merge(part)
    return models.prompt_tokens // max(1, models.calls), models.output_tokens // max(1, models.calls)


def _programs(traffic: Traffic) -> Column:
    part = Part()
    for rung in PROGRAMS:
        part.merge(traffic.of(rung=rung))
    figures = _times(part, traffic) | {
        "cost per 1,000 calls": _money(part, traffic),
        "quality": Figure("proved, or the same call's own answer", "stated"),
        "memory": Figure("in the gateway's own", "stated"),
        "disk": Figure("the cache's file", "stated"),
        "install": Figure("comes with rung", "stated"),
        "upkeep": Figure("none", "stated"),
        "privacy": Figure("stays on this machine", "stated"),
    }
    return Column("tools + caches", part.calls, figures)


def _model(
    traffic: Traffic, one: Candidate, evidence: Sequence[Evidence], reference: str, tokens: tuple[int, int]
) -> Column:
    part = traffic.of(rung=one.rung, model=one.model)
    times = _times(part, traffic)
    if not part.calls and one.seconds is not None:
        best, worst = one.seconds(*tokens)
        middle = (best + worst) / 2
        times["latency p50"] = Figure(f"{middle:.1f} s ({best:.1f} to {worst:.1f})", "predicted", 1e3 * middle,
                                      1e3 * best, 1e3 * worst)  # fmt: skip
    figures = times | {
        "cost per 1,000 calls": _money(part, traffic) if part.calls else _priced(one, tokens),
        "quality": _quality(one, evidence, reference),
        "memory": _bytes(one.ram, one.rung) if one.fits else Figure(f"{_mib(one.ram)}: does not fit", "predicted"),
        "disk": _bytes(one.disk, one.rung),
        "install": Figure(one.install, "stated") if one.install else UNKNOWN,
        "upkeep": Figure(one.upkeep, "stated") if one.upkeep else UNKNOWN,
        "privacy": Figure("leaves this machine" if one.leaves else "stays on this machine", "stated"),
    }
    return Column(one.model, part.calls, figures)


def _times(part: Part, traffic: Traffic) -> dict[str, Figure]:
    return {
        "latency p50": _ms(part.times.quantile(0.5), basis_of(part, traffic)),
        "latency p95": _ms(part.times.quantile(0.95), basis_of(part, traffic)),
        "first token": _ms(part.firsts.quantile(0.5), basis_of(part, traffic)),
    }


def _ms(value: float | None, basis: Basis) -> Figure:
    if value is None:
        return UNKNOWN
    text = f"{value / 1e3:.2f} s" if value >= 1000 else f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"
    return Figure(text, basis, value)


def basis_of(part: Part, traffic: Traffic) -> Basis:
    """A figure with simulated calls in it is a simulated figure."""
    return "predicted" if traffic.predicted else "simulated" if part.simulated else "measured"


def _money(part: Part, traffic: Traffic) -> Figure:
    known = part.calls - part.unknown
    if not known:
        return UNKNOWN
    value = 1000 * part.money / known / 1e12
    note = f" ({part.unknown:,} of unknown price left out)" if part.unknown else ""
    return Figure(f"{value:.4f} USD{note}", basis_of(part, traffic), value)


def _priced(one: Candidate, tokens: tuple[int, int]) -> Figure:
    cost = one.price(*tokens) if one.price is not None else None
    if cost is None:
        return UNKNOWN
    return Figure(f"{1000 * cost / 1e12:.4f} USD", "predicted", 1000 * cost / 1e12)


def _quality(one: Candidate, evidence: Sequence[Evidence], reference: str) -> Figure:
    if one.model == reference:
        return Figure("the reference", "stated")
    told = [this for this in evidence if this.model == one.model and this.labels]
    if not told:
        return Figure("never compared", "unknown")
    labels = sum(this.labels for this in told)
    share = pooled(told)
    basis: Basis = "judged" if any(this.judged for this in told) else "measured"
    text = f"differs in {share.value:.1%} ({share.low:.1%} to {share.high:.1%}; {labels:,} compared)"
    return Figure(text, basis, share.value, share.low, share.high)


def pooled(told: Sequence[Evidence]) -> Interval:
    """Disagreement over several tasks, weighted by labels; there must be some."""
    labels = sum(one.labels for one in told)
    value, low, high = (
        sum(one.labels * getattr(one.disagreement, name) for one in told) / labels for name in ("value", "low", "high")
    )
    return Interval(value, low, high)


def _bytes(value: int | None, rung: str) -> Figure:
    if value is None:
        return Figure("none here", "stated", 0.0) if rung == "cloud" else UNKNOWN
    return Figure(_mib(value), "predicted", float(value))


def _mib(value: int | None) -> str:
    return f"{(value or 0) / MiB:,.0f} MiB"
