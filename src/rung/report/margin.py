"""What a rung adds at the margin: the same traffic with it and without it.

Without rung R, every call R answered would have gone on to the reference, and nobody would have waited for R where
it declined. What the reference takes for such a call is the mean of what it really took for the same task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from rung.report.figures import Basis
from rung.report.sketch import GROUPS, Interval, bootstrap, weighted
from rung.report.traffic import Part, Traffic

FEW = 5
"""answers of the reference to a task from which its mean is taken; with fewer, that of all tasks"""


class Margin(msgspec.Struct, frozen=True):
    """One rung's share in what happened. `money` in dollars and `seconds`, saved (above 0) or lost, per 1,000 calls
    of all traffic; `calls` it answered; `errors`: answers that differ from the reference's, per 1,000 calls."""

    rung: str
    model: str
    calls: int
    asked: int
    money: Interval
    seconds: Interval
    errors: Interval | None
    basis: Basis
    """``measured``; ``predicted`` where the reference never answered such a task; ``simulated`` where it, or the rung's
    own answers, were"""


def margin(
    traffic: Traffic,
    rung: str,
    model: str,
    reference: str,
    *,
    task: str = "",
    disagreement: Mapping[str, Interval] = {},
    seed: int = 1,
) -> Margin:
    """The margin of `rung` and `model` (empty: every model of it). `reference`: ``provider:model``; `task`: only in
    the calls of this task, which then are the 1,000.

    `disagreement`: by task, the share of its answers that differ from the reference's, as trust has measured it; what
    it answered without being measured is left out of `Margin.errors`.
    """
    tasks = [task] if task else sorted({name for name, *_ in (*traffic.answered, *traffic.vain)})
    money, ms, asked = [0.0] * GROUPS, [0.0] * GROUPS, 0
    answers: dict[str, int] = {}
    anything = traffic.of(rung="cloud", model=reference)
    basis: Basis = "measured" if anything.calls else "predicted"
    simulated = False
    for name in tasks:
        part = _merged(traffic.answered, name, rung, model)
        own, vain = part.sums, _merged(traffic.vain, name, rung, model).sums
        told = traffic.of(rung="cloud", model=reference, task=name)
        if told.calls < FEW:
            told = anything
            basis = "predicted" if any(own.calls) else basis
        simulated = simulated or bool(told.simulated and any(own.calls)) or bool(part.simulated)
        cost, wait = (told.money / told.calls if told.calls else 0.0), told.mean_ms
        for group in range(GROUPS):
            money[group] += own.calls[group] * cost - own.money[group] - vain.money[group]
            ms[group] += own.calls[group] * wait - own.ms[group] - vain.ms[group]
        answers[name] = sum(own.calls)
        asked += sum(own.calls) + sum(vain.calls)
    total = _all_calls(traffic, task)

    def per_thousand(saved: Sequence[float], unit: float) -> Interval:
        return bootstrap(
            lambda weights: 1000 * weighted(saved, weights) / unit / max(1.0, weighted(total, weights)), seed=seed
        )

    differing = [(count, disagreement[name]) for name, count in answers.items() if name in disagreement]
    errors = None
    if differing:
        value, low, high = (
            1000 * sum(count * getattr(one, bound) for count, one in differing) / max(1, sum(total))
            for bound in ("value", "low", "high")
        )
        errors = Interval(value, low, high)
    if simulated:
        basis = "simulated"
    saved = per_thousand(money, 1e12)
    return Margin(rung, model, sum(answers.values()), asked, saved, per_thousand(ms, 1e3), errors, basis)


def _merged(parts: dict[tuple[str, str, str], Part], task: str, rung: str, model: str) -> Part:
    whole = Part()
    for (its_task, its_rung, its_model), part in parts.items():
        if its_task == task and its_rung == rung and model in ("", its_model):
            whole.merge(part)
    return whole


def _all_calls(traffic: Traffic, task: str) -> list[int]:
    """Calls by group: every call that was answered has exactly one answering attempt."""
    return traffic.of(task=task).sums.calls
