"""What a rung adds at the margin: the same traffic with it and without it.

Without rung R, every call R answered would have gone on to the reference, and nobody would have waited for R where
it declined. What the reference takes for such a call is the mean of what it really took for the same task.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rung.report.sketch import GROUPS, Interval, Sums, bootstrap, weighted
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
    basis: str
    """``measured``, or ``predicted`` where the reference never answered such a task"""


def margin(
    traffic: Traffic, rung: str, model: str, reference: str, *, disagreement: Interval | None = None, seed: int = 1
) -> Margin:
    """The margin of `rung` and `model` (empty: every model of it). `reference`: ``provider:model``.

    `disagreement`: share of its answers that differ from the reference's, as trust has measured it.
    """
    tasks = sorted({task for task, *_ in (*traffic.answered, *traffic.vain)})
    mine, vain, costs, waits, basis = [], [], [], [], "measured"
    anything = traffic.of(rung="cloud", model=reference)
    for task in tasks:
        own = _merged(traffic.answered, task, rung, model)
        mine.append(own.sums)
        vain.append(_merged(traffic.vain, task, rung, model).sums)
        told = traffic.of(rung="cloud", model=reference, task=task)
        if told.calls < FEW:
            told = anything
            basis = "predicted" if own.calls else basis
        costs.append(told.money / told.calls if told.calls else 0.0)
        waits.append(told.mean_ms)
    total = _all_calls(traffic)

    def per_thousand(saved: float, weights: Sequence[int]) -> float:
        return 1000 * saved / max(1.0, weighted(total, weights))

    def money(weights: Sequence[int]) -> float:
        saved = sum(
            weighted(own.calls, weights) * cost - weighted(own.money, weights) - weighted(lost.money, weights)
            for own, lost, cost in zip(mine, vain, costs, strict=True)
        )
        return per_thousand(saved / 1e12, weights)

    def seconds(weights: Sequence[int]) -> float:
        saved = sum(
            weighted(own.calls, weights) * wait - weighted(own.ms, weights) - weighted(lost.ms, weights)
            for own, lost, wait in zip(mine, vain, waits, strict=True)
        )
        return per_thousand(saved / 1e3, weights)

    answered = sum(sum(one.calls) for one in mine)
    errors = None
    if disagreement is not None:
        share = 1000 * answered / max(1, sum(total))
        errors = Interval(share * disagreement.value, share * disagreement.low, share * disagreement.high)
    return Margin(
        rung,
        model,
        answered,
        answered + sum(sum(one.calls) for one in vain),
        bootstrap(money, seed=seed),
        bootstrap(seconds, seed=seed),
        errors,
        basis if anything.calls else "predicted",
    )


def _merged(parts: dict[tuple[str, str, str], Part], task: str, rung: str, model: str) -> Part:
    whole = Part()
    for (its_task, its_rung, its_model), part in parts.items():
        if its_task == task and its_rung == rung and model in ("", its_model):
            whole.merge(part)
    return whole


def _all_calls(traffic: Traffic) -> list[int]:
    """Calls by group: every call that was answered has exactly one answering attempt."""
    whole = Sums()
    for part in traffic.answered.values():
        whole.merge(part.sums)
    assert len(whole.calls) == GROUPS
    return whole.calls
