"""Does the promise hold? Runs of the opening test on a population whose risks are known.

A run draws labels with replacement from a file's rows, so the file is the whole truth: what a threshold's risk is can
be looked up, and a promise broken by bad luck in a held-out sample is not mistaken for a broken promise.
"""

from __future__ import annotations

import random
import statistics
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from rung.ladder.trust.bounds import binomial_tail, clopper_pearson, escalation_floor, lower
from rung.ladder.trust.opening import COVERAGES, Opening, grid
from rung.report.routing_curve import area, first_reaching, recovered, risk_by_coverage
from rung.report.trust_rows import Model, Row, domain_scores, length_scores, order_by_gain, scores_out_of_fold

SPLITS = 10
"""different divisions of the rows in the product protocol; the runs are spread over them"""
LEARNING = 0.3
"""share of the labels that the product protocol spends on fitting the score"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What every run promises and may spend. `seed` decides folds, forests, divisions and draws."""

    alpha: float
    delta: float
    labels: int
    runs: int
    seed: int = 0


class Population:
    """Rows with fixed scores: every threshold's share of calls and risk are known."""

    def __init__(self, scores: Sequence[float], wrong: Sequence[bool], thresholds: Sequence[float]) -> None:
        self.scores, self.wrong, self.thresholds = scores, wrong, list(thresholds)
        inside = [[bad for score, bad in zip(scores, wrong, strict=True) if score >= cut] for cut in self.thresholds]
        self.covered = [len(rows) / len(scores) for rows in inside]
        self.risk = [sum(rows) / len(rows) if rows else 0.0 for rows in inside]

    def draw(self, labels: int, dice: random.Random) -> list[int]:
        return dice.choices(range(len(self.scores)), k=labels)

    def best(self, alpha: float) -> int | None:
        """The threshold that lets most calls through at a risk of at most alpha."""
        fit = [at for at, risk in enumerate(self.risk) if risk <= alpha]
        return max(fit, key=self.covered.__getitem__, default=None)


Decide = Callable[[Population, Sequence[int], float, float], "list[int]"]
"""(population, rows labelled in order, alpha, delta) -> the thresholds opened at any time, in order"""


def any_time(population: Population, labels: Sequence[int], alpha: float, delta: float) -> list[int]:
    """The product's own test, looked at after every label."""
    opening = Opening.at(population.thresholds)
    for row in labels:
        opening.observe(population.scores[row], population.wrong[row], alpha, delta)
    return list(range(opening.passed))


def once(population: Population, labels: Sequence[int], alpha: float, delta: float) -> list[int]:
    """Clopper-Pearson in fixed sequence, one look at the end: more power, but only for that one look."""
    opened: list[int] = []
    for at, (n, k) in enumerate(_counts(population, labels)):
        if not n or not _proved(n, k, alpha, delta):
            break
        opened.append(at)
    return opened


def naive(population: Population, labels: Sequence[int], alpha: float, delta: float) -> list[int]:
    """A tuned threshold: the lowest at which the labels so far show no more than alpha."""
    fit = [at for at, (n, k) in enumerate(_counts(population, labels)) if n and k <= alpha * n]
    return fit[-1:]


@lru_cache(maxsize=100_000)
def _proved(n: int, k: int, alpha: float, delta: float) -> bool:
    return 1 - binomial_tail(n, k + 1, alpha) <= delta


def _counts(population: Population, labels: Sequence[int]) -> list[tuple[int, int]]:
    """(labels, wrong ones) at or above each threshold."""
    rising = population.thresholds[::-1]
    levels = [[0, 0] for _ in rising]
    for row in labels:
        place = bisect_right(rising, population.scores[row]) - 1
        if place >= 0:
            levels[place][0] += 1
            levels[place][1] += population.wrong[row]
    totals: list[tuple[int, int]] = []
    n = k = 0
    for more, bad in reversed(levels):
        n, k = n + more, k + bad
        totals.append((n, k))
    return totals


def summary(results: Sequence[tuple[Population, list[int]]], plan: Plan) -> dict[str, Any]:
    """Figures over runs, each (its population, the thresholds it opened)."""
    alpha, delta = plan.alpha, plan.delta
    low = [max((population.covered[at] for at in opened), default=0.0) for population, opened in results]
    broken = sum(any(population.risk[at] > alpha for at in opened) for population, opened in results)
    errors = [
        population.risk[max(opened, key=population.covered.__getitem__)] for population, opened in results if opened
    ]
    runs = len(results)
    mean = statistics.fmean(low)
    spread = 1.96 * statistics.stdev(low) / runs**0.5 if runs > 1 else 0.0
    return {
        "runs": runs,
        "violations": broken,
        "violations_allowed": allowed(runs, delta),
        "violation_rate": broken / runs,
        "violation_rate_ci95": clopper_pearson(runs, broken, 0.025),
        "refused": sum(not opened for _, opened in results),
        "answered_low_mean": mean,
        "answered_low_ci95": [max(0.0, mean - spread), min(1.0, mean + spread)],
        "answered_low_p10": sorted(low)[int(0.1 * (runs - 1))],
        "error_mean": statistics.fmean(errors) if errors else None,
    }


def allowed(runs: int, delta: float) -> int:
    """The most violations that a promise kept at exactly delta would show in 95 of 100 such benchmarks."""
    count = 0
    while binomial_tail(runs, count + 1, delta) > 0.05:
        count += 1
    return count


def repeat(population: Population, decide: Decide, plan: Plan, part: str = "") -> list[tuple[Population, list[int]]]:
    """The runs of a plan, each with labels of its own; the same seed draws the same labels for every `decide`."""
    results = []
    for run in range(plan.runs):
        drawn = population.draw(plan.labels, random.Random(f"{plan.seed}/{part}/{run}"))  # noqa: S311 (no secret)
        results.append((population, decide(population, drawn, plan.alpha, plan.delta)))
    return results


def disjoint(fitted: Fitted, plan: Plan) -> dict[str, Any] | None:
    """The product protocol: the score is fitted on 30 % of the labels, the others come from rows it never saw.

    The rest of the file is the population. None where there are too few rows to divide.
    """
    rows = fitted.rows
    learning = round(LEARNING * min(plan.labels, len(rows)))
    if learning < 10 or len(rows) - learning < 10:
        return None
    splits = min(SPLITS, plan.runs)
    looked: dict[Decide, list[tuple[Population, list[int]]]] = {any_time: [], once: []}
    for number in range(splits):
        population = fitted.divided(number, learning)
        runs = plan.runs // splits + (number < plan.runs % splits)
        share = replace(plan, labels=plan.labels - learning, runs=runs)
        for decide, results in looked.items():
            results += repeat(population, decide, share, str(number))
    return {
        "splits": splits,
        "labels_to_fit": learning,
        "labels_to_certify": plan.labels - learning,
        **summary(looked[any_time], plan),
        "once": summary(looked[once], plan),
    }


def routing(scores: Sequence[float] | None, rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """APGR and CPT (%) of an order, with a bootstrap interval over rows; None where there is no gap to recover."""
    weak, strong = [row.weak for row in rows], [row.strong or 0.0 for row in rows]
    curve = None if scores is None or any(row.strong is None for row in rows) else recovered(scores, weak, strong)
    if scores is None or curve is None:
        return {"apgr": None, "apgr_ci95": None, "cpt50": None, "cpt80": None}
    dice = random.Random(f"{seed}/bootstrap")  # noqa: S311 (no secret)
    areas = []
    for _ in range(200 if len(rows) <= 2000 else 50):
        picked = dice.choices(range(len(rows)), k=len(rows))
        again = recovered([scores[at] for at in picked], [weak[at] for at in picked], [strong[at] for at in picked])
        if again is not None:
            areas.append(area(again))
    areas.sort()
    return {
        "apgr": area(curve),
        "apgr_ci95": [areas[int(0.025 * len(areas))], areas[int(0.975 * (len(areas) - 1))]] if areas else None,
        "cpt50": 100 * first_reaching(curve, 0.5),
        "cpt80": 100 * first_reaching(curve, 0.8),
    }


class Fitted:
    """Rows with everything that no limit changes: scores out of fold, orders of calls, divisions into two parts."""

    def __init__(self, rows: Sequence[Row], seed: int) -> None:
        self.rows, self.seed = rows, seed
        self.folds = folds = 10 if len(rows) <= 2000 else 5
        self.wrong = [row.wrong for row in rows]
        self.scores = scores_out_of_fold(rows, folds=folds, seed=seed)
        self.order = order_by_gain(lambda goal: scores_out_of_fold(rows, folds=folds, seed=seed, goal=goal))
        lengths = length_scores(rows)
        domains = domain_scores(rows, folds=folds, seed=seed)
        gains = order_by_gain(lambda goal: domain_scores(rows, folds=folds, seed=seed, goal=goal))
        self.rivals = {"prompt_length": (lengths, lengths), "domain": (domains, gains)}
        """name -> (scores for thresholds, scores for the order of calls); None where all rows are of one domain"""
        self._divisions: dict[tuple[int, int], Population] = {}

    def population(self) -> Population:
        return Population(self.scores, self.wrong, grid(self.scores))

    def divided(self, number: int, learning: int) -> Population:
        """The rows that are left when `learning` of them fitted the score; thresholds come from those."""
        if (number, learning) not in self._divisions:
            order = list(self.rows)
            random.Random(f"{self.seed}/split/{number}").shuffle(order)  # noqa: S311 (no secret)
            model, rest = Model(order[:learning], seed=self.seed), order[learning:]
            self._divisions[number, learning] = Population(
                [model.score(row) for row in rest], [row.wrong for row in rest], grid(model.held_out(), COVERAGES)
            )
        return self._divisions[number, learning]

    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """The risk at every share answered low, for a chart."""
        drawn = {"score": risk_by_coverage(self.scores, self.wrong)}
        for name, (scores, _) in self.rivals.items():
            if scores is not None:
                drawn[name] = risk_by_coverage(scores, self.wrong)
        return drawn


def bench(fitted: Fitted, plan: Plan) -> dict[str, Any]:
    """Every protocol and control on one file. `plan.seed` draws the labels; the fits have their own."""
    rows, alpha, population = fitted.rows, plan.alpha, fitted.population()
    mu = sum(fitted.wrong) / len(rows)
    found = summary(repeat(population, any_time, plan), plan)
    return {
        "rows": len(rows),
        "alpha": alpha,
        "delta": plan.delta,
        "labels": plan.labels,
        "seed": plan.seed,
        "score": "post-hoc" if "answer_length" in rows[0].evidence else "pre-hoc",
        "folds": fitted.folds,
        **found,
        "answered_low_oracle": 1 - escalation_floor(mu, alpha),
        "weak_wrong": mu,
        "escalation_floor": escalation_floor(mu, alpha),
        "escalation_floor_proved": escalation_floor(_proved_risk(population, plan), alpha),
        **routing(fitted.order, rows, plan.seed),
        "trust_order": routing(fitted.scores, rows, plan.seed),
        "once": summary(repeat(population, once, plan), plan),
        "disjoint": disjoint(fitted, plan),
        "controls": controls(fitted, population, plan, found["answered_low_mean"]),
    }


def _proved_risk(population: Population, plan: Plan) -> float:
    """The weak model's own risk as a user would know it after all labels: the median lower bound of some runs."""
    bounds = []
    for run in range(min(plan.runs, 50)):
        drawn = population.draw(plan.labels, random.Random(f"{plan.seed}//{run}"))  # noqa: S311 (no secret)
        bounds.append(lower(plan.labels, sum(population.wrong[row] for row in drawn), plan.delta))
    return statistics.median(bounds)


def controls(fitted: Fitted, population: Population, plan: Plan, budget: float) -> dict[str, Any]:
    """What the same file gives to those who promise nothing, know less, or know everything.

    `budget`: the share answered low that the random control gets too.
    """
    rows = fitted.rows
    alpha, wrong = plan.alpha, population.wrong
    mu = sum(wrong) / len(wrong)
    weak = statistics.fmean(row.weak for row in rows)
    known = [row.strong for row in rows if row.strong is not None]
    strong = statistics.fmean(known) if len(known) == len(rows) else None
    best = population.best(alpha)
    found: dict[str, Any] = {
        "always_strong": {"answered_low": 0.0, "error": None, "quality": strong},
        "always_weak": {"answered_low": 1.0, "error": mu, "quality": weak},
        "random_same_budget": {
            "answered_low": budget,
            "error": mu,
            "quality": None if strong is None else budget * weak + (1 - budget) * strong,
        },
        "naive_tuned": summary(repeat(population, naive, plan), plan),
        "best_fixed_threshold": {
            "answered_low": 0.0 if best is None else population.covered[best],
            "error": None if best is None else population.risk[best],
        },
        "oracle": {
            "answered_low": 1 - escalation_floor(mu, alpha),
            "error": min(mu, alpha),
            **routing([row.weak - (row.strong or 0.0) for row in rows], rows, plan.seed),
        },
    }
    for name, (scores, order) in fitted.rivals.items():
        found[name] = None
        if scores is not None:
            other = Population(scores, wrong, grid(scores))
            found[name] = {**summary(repeat(other, any_time, plan), plan), **routing(order, rows, plan.seed)}
    return found
