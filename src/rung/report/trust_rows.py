"""Rows with known outcomes for `rung bench trust`, and scores for them that no row's own outcome has touched."""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rung.ladder.trust.compare import Outcome, compare
from rung.ladder.trust.features import evidence, final_number
from rung.ladder.trust.forest import Forest, grow
from rung.ladder.trust.score import out_of_fold, split

_SMOOTH = 5.0
"""rows of the average that each domain starts with"""


class BadRows(ValueError):
    """A file that cannot be replayed. The message names the line and says what a row needs."""


@dataclass(slots=True)
class Row:
    """One question with two known outcomes. `weak` and `strong` are grades, 0 or 1 for wrong or right."""

    prompt: str
    weak: float
    strong: float | None
    wrong: bool
    weak_text: str | None
    strong_text: str | None
    domain: str
    evidence: dict[str, float] = field(default_factory=dict)


def load(path: Path) -> list[Row]:
    """The rows of a JSONL file, ``{prompt, weak, strong?, weak_response?, strong_response?, domain?}``.

    Grades other than 0 and 1 are taken as points, and "wrong" then means fewer points than the strong answer got.
    Raises BadRows naming the line.
    """
    found: list[tuple[dict[str, Any], float, float | None]] = []
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRows(f"{path}: not UTF-8: {error}") from None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise BadRows(f"{where}: not JSON: {error}") from None
        if not isinstance(row, dict) or not isinstance(row.get("prompt"), str):
            raise BadRows(f'{where}: a row needs "prompt" (text), "weak" and "strong" (0 or 1, or points)')
        found.append((row, _grade(row, "weak", where), _grade(row, "strong", where) if "strong" in row else None))
    if not found:
        raise BadRows(f"{path}: no rows")
    strongs = [strong for _, _, strong in found if strong is not None]
    graded = any(grade not in (0.0, 1.0) for grade in [*strongs, *(weak for _, weak, _ in found)])
    if graded and len(strongs) < len(found):
        raise BadRows(f"{path}: where grades are points, every row needs both weak and strong")
    texts = all(_text(row, "weak_response") is not None for row, _, _ in found)
    rows = [_row(row, weak, strong, graded) for row, weak, strong in found]
    for one in rows:
        one.evidence = evidence(one.prompt, one.weak_text if texts else None)
    return rows


def _row(row: Mapping[str, Any], weak: float, strong: float | None, graded: bool) -> Row:
    wrong = weak < (strong or 0.0) if graded else weak == 0.0
    domain = row.get("domain")
    return Row(
        row["prompt"],
        weak,
        strong,
        wrong,
        _text(row, "weak_response"),
        _text(row, "strong_response"),
        "" if domain is None else str(domain),
    )


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    return value if isinstance(value, str) else None


def _grade(row: Mapping[str, Any], name: str, where: str) -> float:
    value = row.get(name)
    if isinstance(value, (bool, int, float)) and math.isfinite(value):
        return float(value)
    raise BadRows(f'{where}: "{name}" must be 0 or 1 (or points), not {value!r}')


Goal = Callable[[Row], bool]


def right(row: Row) -> bool:
    """What trust is about: the weak answer is right."""
    return not row.wrong


def no_gain(row: Row) -> bool:
    """Sending it up would not have helped."""
    return (row.strong or 0.0) <= row.weak


def loss(row: Row) -> bool:
    """Sending it up would have done harm."""
    return (row.strong or 0.0) < row.weak


def scores_out_of_fold(rows: Sequence[Row], *, folds: int, seed: int, goal: Goal = right) -> list[float]:
    """Each row's chance of `goal`, from a score fitted on the other folds."""
    scores = [0.5] * len(rows)
    for fold in split([goal(row) for row in rows], folds, seed):
        held = set(fold)
        kept = [row for at, row in enumerate(rows) if at not in held]
        if not kept:
            continue
        model = Model(kept, seed=seed, goal=goal)
        for at in fold:
            scores[at] = model.score(rows[at])
    return scores


class Model:
    """A score fitted on rows: their evidence, and how often `goal` was met in their domain."""

    def __init__(self, rows: Sequence[Row], *, seed: int, goal: Goal = right) -> None:
        self._seed = seed
        self._met = [goal(row) for row in rows]
        self._rates = DomainRates(rows, goal)
        self._known = [dict(row.evidence) for row in rows]
        self._forest: Forest | None = None
        if all(self._met) or not any(self._met):
            return
        if self._rates.any:
            self._add_rates(rows, goal)
        self._forest = grow(self._known, self._met, seed=seed)

    def _add_rates(self, rows: Sequence[Row], goal: Goal) -> None:
        """Rates of the other folds: a row's own outcome must not hide in its domain's rate."""
        for fold in split(self._met, 5, self._seed + 1):
            held = set(fold)
            others = DomainRates([row for at, row in enumerate(rows) if at not in held], goal)
            for at in fold:
                self._known[at]["domain_rate"] = others.of(rows[at].domain)

    def score(self, row: Row) -> float:
        """Between 0 and 1. Without both outcomes among its rows it knows nothing, and says 0.5."""
        if self._forest is None:
            return 0.5
        known = dict(row.evidence)
        if self._rates.any:
            known["domain_rate"] = self._rates.of(row.domain)
        return self._forest.answer(known)

    def held_out(self) -> list[float]:
        """Scores of the rows it was fitted on, each from a fit without it: what thresholds are taken from."""
        return [0.5] if self._forest is None else out_of_fold(self._known, self._met, seed=self._seed)


class DomainRates:
    """How often `goal` was met in each domain, drawn towards the average where rows are few."""

    def __init__(self, rows: Sequence[Row], goal: Goal = right) -> None:
        self._base = sum(map(goal, rows)) / max(len(rows), 1)
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for row in rows:
            sums[row.domain][0] += goal(row)
            sums[row.domain][1] += 1
        self.any = len(sums) > 1
        self._rates = {name: (met + _SMOOTH * self._base) / (n + _SMOOTH) for name, (met, n) in sums.items()}

    def of(self, domain: str) -> float:
        return self._rates.get(domain, self._base)


def domain_scores(rows: Sequence[Row], *, folds: int, seed: int, goal: Goal = right) -> list[float] | None:
    """The control "domain alone": each row's domain rate from the other folds; None if there is one domain only."""
    if not DomainRates(rows, goal).any:
        return None
    scores = [0.0] * len(rows)
    for fold in split([goal(row) for row in rows], folds, seed):
        held = set(fold)
        rates = DomainRates([row for at, row in enumerate(rows) if at not in held], goal)
        for at in fold:
            scores[at] = rates.of(rows[at].domain)
    return scores


def order_by_gain(score: Callable[[Goal], list[float] | None]) -> list[float] | None:
    """An order of calls, those that gain most from going up first: P(gain) - P(loss), each estimated by `score`."""
    stays, harmed = score(no_gain), score(loss)
    if stays is None or harmed is None:
        return None
    return [one + other for one, other in zip(stays, harmed, strict=True)]


def length_scores(rows: Sequence[Row]) -> list[float]:
    """The control "prompt length": the share of prompts that are longer."""
    lengths = sorted(len(row.prompt) for row in rows)
    place = {length: at for at, length in enumerate(lengths)}
    return [1 - place[len(row.prompt)] / len(rows) for row in rows]


def disagreement(rows: Sequence[Row], comparator: str = "") -> dict[str, Any] | None:
    """How often the weak answer differs from the strong one, beside the truth; None where texts are missing."""
    both = [(row, row.weak_text, row.strong_text) for row in rows]
    pairs = [(row, weak, strong) for row, weak, strong in both if weak is not None and strong is not None]
    if not pairs:
        return None
    name = comparator or _comparator(pairs)
    differs = [compare(name, weak, strong) is not Outcome.AGREES for _, weak, strong in pairs]
    total = len(pairs)
    return {
        "comparator": name,
        "rows": total,
        "disagree": sum(differs) / total,
        "weak_wrong": sum(row.wrong for row, _, _ in pairs) / total,
        "reference_wrong": sum(row.strong == 0 for row, _, _ in pairs) / total,
        "agree_but_wrong": sum(row.wrong and not other for (row, _, _), other in zip(pairs, differs, strict=True))
        / total,
        "disagree_but_right": sum(other and not row.wrong for (row, _, _), other in zip(pairs, differs, strict=True))
        / total,
    }


def _comparator(pairs: Sequence[tuple[Row, str, str]]) -> str:
    """Numbers where nearly all references end in one, labels where answers are short, else text."""
    sample = pairs if len(pairs) <= 500 else random.Random(0).sample(list(pairs), 500)  # noqa: S311 (no secret)
    if sum(final_number(strong.strip()[-80:]) is not None for _, _, strong in sample) >= 0.8 * len(sample):
        return "number"
    short = sum(max(len(weak.strip()), len(strong.strip())) <= 80 for _, weak, strong in sample)
    return "label" if short >= 0.8 * len(sample) else "text"
