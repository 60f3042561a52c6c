"""What a cell still needs, and what it can never do: the numbers behind `rung trust`, and their words."""

from __future__ import annotations

import math

import msgspec

from rung.ladder.trust.bounds import clopper_pearson, escalation_floor, log_opening_evidence, lower, upper
from rung.ladder.trust.cell import Cell

_FAR = 100_000
"""labels beyond which "never at this rate" is said"""


class Forecast(msgspec.Struct, frozen=True):
    """Where a cell stands. Labels are weighted; bounds are any-time bounds, each at the cell's delta."""

    labels: float
    """of all calls of the cell"""
    disagreement: float | None
    """among all of them"""
    lower: float
    upper: float
    next_threshold: float | None
    """None: all have opened"""
    next_labels: float
    """labels at or above it"""
    next_disagreement: float | None
    labels_missing: int | None
    """at or above the next threshold, if they go on as so far; None: never at this rate"""
    sessions_missing: int
    escalation_floor: float
    """the least share of calls that must go up, even with a perfect selector; 0: none need to"""
    coverage: float
    """share of the labelled calls at or above the threshold in force"""
    accepted_labels: float
    """labels at or above the threshold in force: the denominator of the next two"""
    accepted_disagreement: float | None
    accepted_upper: float


def forecast(cell: Cell) -> Forecast:
    opening, delta, alpha = cell.opening, cell.rules.delta, cell.key.limit
    labels, wrong = opening.labels, opening.disagreements
    low = lower(labels, wrong, delta)
    following = opening.levels[opening.passed] if opening.passed < len(opening.levels) else None
    inside = opening.levels[opening.passed - 1] if opening.passed else None
    floor = escalation_floor(low, alpha) if cell.rules.per == "accepted" else max(0.0, low - alpha)
    return Forecast(
        labels=labels,
        disagreement=wrong / labels if labels else None,
        lower=low,
        upper=upper(labels, wrong, delta),
        next_threshold=following.threshold if following else None,
        next_labels=following.labels if following else 0.0,
        next_disagreement=following.disagreements / following.labels if following and following.labels else None,
        labels_missing=missing(following.labels, following.disagreements, alpha, delta) if following else 0,
        sessions_missing=max(0, cell.rules.sessions - len(cell.sessions)),
        escalation_floor=floor,
        coverage=inside.covered / labels if inside and labels else 0.0,
        accepted_labels=inside.labels if inside else 0.0,
        accepted_disagreement=inside.disagreements / inside.labels if inside and inside.labels else None,
        accepted_upper=upper(inside.labels, inside.disagreements, delta) if inside else 1.0,
    )


def missing(labels: float, disagreements: float, alpha: float, delta: float) -> int | None:
    """Further labels until the opening test passes, if disagreements go on as so far; None: never at this rate.

    With none seen yet it counts on none; otherwise the rate so far.
    """
    rate = disagreements / labels if labels else 0.0

    def passes(more: int) -> bool:
        return log_opening_evidence(labels + more, disagreements + rate * more, alpha) >= math.log(1 / delta)

    if passes(0):
        return 0
    high = 1
    while not passes(high):
        high *= 2
        if high > _FAR:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high


def explain(cell: Cell) -> list[str]:
    """Why the cell is in its state, what is missing, and what cannot be: a sentence a line."""
    ahead = forecast(cell)
    promise = "of its answers" if cell.rules.per == "accepted" else "of all calls"
    limit = f"{cell.key.limit * 100:g}% {promise} may differ from the reference"
    lines = [f"{cell.state}: {_why(cell)}."]
    if cell.state == "open" and not cell.pinned and not cell.refused:
        lines.append(_open_words(cell, ahead))
    if ahead.disagreement is not None:
        lines.append(
            f"On all of its calls {_count(ahead.labels, 'label')} so far, {ahead.disagreement:.1%} disagree "
            f"(any-time bounds {ahead.lower:.1%} to {ahead.upper:.1%}); at most {limit}."
        )
    if cell.refused:
        low, _ = clopper_pearson(cell.reference_pairs, cell.reference_disagreements, cell.rules.delta)
        lines.append(
            f"The reference differs from itself in {cell.reference_disagreements} of {cell.reference_pairs} repeats "
            f"(at least {low:.1%}): a limit of {cell.key.limit * 100:g}% cannot be proved against it."
        )
    if ahead.escalation_floor > 0:
        lines.append(
            f"Even a perfect selector would have to send at least {ahead.escalation_floor:.1%} of the calls up."
        )
    if cell.state == "quarantined":
        lines.append(f"{_count(cell.waiting, 'label')} pass before evidence is gathered again.")
    elif cell.state == "shadow" and cell.opening.passed and ahead.sessions_missing:
        lines.append(f"The test has passed; labels from {_count(ahead.sessions_missing, 'more session')} are missing.")
    elif cell.state in ("shadow", "open") and ahead.next_threshold is not None:
        lines.append(_next_words(cell, ahead))
    return lines


def _why(cell: Cell) -> str:
    epoch = f"epoch {cell.epoch}"
    return {
        "new": "nothing is proved yet",
        "evidence": f"the test passed in {epoch}",
        "pinned": "held open by the user, nothing is promised",
        "user": "closed by the user" if cell.state == "closed" else f"reset by the user, {epoch}",
        "net_value": "it cost more than it saved",
        "drift": f"audits said the disagreement had risen above the limit, {epoch}",
        "feedback": f"users reported more wrong answers than the limit allows, {epoch}",
        "quarantine_over": f"gathering fresh evidence, {epoch}",
    }.get(cell.reason, f"{cell.reason}, {epoch}")


def _open_words(cell: Cell, ahead: Forecast) -> str:
    return (
        f"It answers calls that score {cell.threshold:.3g} or more, {ahead.coverage:.0%} of them: "
        f"{_count(ahead.accepted_labels, 'label')}, {ahead.accepted_disagreement or 0:.1%} disagree, "
        f"at most {ahead.accepted_upper:.1%} at any time with {1 - cell.rules.delta:.0%} confidence."
    )


def _next_words(cell: Cell, ahead: Forecast) -> str:
    where = "To answer" if cell.state == "shadow" else "To answer more, down to"
    reach = "every call" if not ahead.next_threshold else f"calls that score {ahead.next_threshold:.3g} or more"
    if ahead.labels_missing is None:
        seen = f"{ahead.next_disagreement or 0:.1%} of {_count(ahead.next_labels, 'label')} disagree"
        return f"{where} {reach}: not at this rate ({seen})."
    parts = []
    if ahead.labels_missing:
        parts.append(f"about {_count(ahead.labels_missing, 'more label')} there, if they go on like this")
    if ahead.sessions_missing:
        parts.append(f"labels from {_count(ahead.sessions_missing, 'more session')}")
    return f"{where} {reach}: {' and '.join(parts) or 'nothing is missing'}."


def _count(number: float, noun: str) -> str:
    return f"{number:.0f} {noun}{'' if round(number) == 1 else 's'}"
