#!/usr/bin/env python3
"""Everything docs/trust.md reports: python3 benchmarks/trust/run.py --data FOLDER [--runs 200] [--only NAME]

FOLDER holds routellm_gsm8k.jsonl and routellm_mmlu.jsonl (RouteLLM's outcomes, Ong et al. 2024; not in this
repository); without them only the simulations run. Writes benchmarks/results/trust.json, trust.md and the charts.
About a quarter of an hour of one core; `--only` runs one part and keeps the others' figures.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

from chart import Line, chart
from simulate import simulate

from rung.ladder.trust.bounds import escalation_floor
from rung.ladder.trust.opening import Opening
from rung.report.trust_rows import disagreement, load
from rung.report.trust_trials import Fitted, Plan, bench

RESULTS = Path(__file__).parents[1] / "results"
GSM8K_LIMITS = (0.05, 0.15, 0.20, 0.25, 0.30, 0.35)
MMLU_LIMITS = (0.20, 0.25)


def replayed(
    fitted: Fitted, name: str, limits: tuple[float, ...], labels: int, runs: int, seeds: int
) -> dict[str, Any]:
    found: dict[str, Any] = {"file": name, "rows": len(fitted.rows), "disagreement": disagreement(fitted.rows)}
    found["limits"] = {f"{alpha:g}": bench(fitted, Plan(alpha, 0.1, labels, runs)) for alpha in limits}
    found["curves"] = {name: thinned(points) for name, points in fitted.curves().items()}
    found["other_seeds"] = [
        bench(Fitted(fitted.rows, seed), Plan(0.25, 0.1, labels, runs, seed)) for seed in range(1, seeds)
    ]  # the same promise with other folds, forests and draws
    return found


def thinned(points: list[tuple[float, float]], most: int = 150) -> list[tuple[float, float]]:
    step = max(1, len(points) // most)
    return [(round(x, 4), round(y, 4)) for x, y in [*points[::step], points[-1]]]


def risk_coverage(found: dict[str, Any], alpha: float) -> str:
    figures = found["limits"][f"{alpha:g}"]
    mu = figures["weak_wrong"]
    perfect = [(at / 100, max(0.0, (at / 100 - 1 + mu) / (at / 100))) for at in range(5, 101)]
    kept = figures["answered_low_mean"]
    lines = [
        Line("rung's score", [point for point in found["curves"]["score"] if point[0] >= 0.05]),
        Line("prompt length", [point for point in found["curves"]["prompt_length"] if point[0] >= 0.05]),
        Line("random", [(0.05, mu), (1.0, mu)]),
        Line("perfect selector", perfect),
        Line(f"the limit, {alpha:.0%}", [(0.0, alpha), (1.0, alpha)], dashed=True),
        Line(f"opened: {kept:.0%} on average", [(kept, 0.0), (kept, 0.5)], dashed=True),
    ]
    note = (
        f"{found['file']}, {found['rows']} rows, scores out of fold; {figures['labels']} labels, {figures['runs']} runs"
    )
    return chart(
        "Wrong answers by share answered low", note, "share of calls answered low", "wrong among them", lines, y_max=0.5
    )


def promise(found: dict[str, Any]) -> str:
    limits = sorted(found["limits"].items(), key=lambda pair: float(pair[0]))

    def series(*path: str) -> list[tuple[float, float]]:
        out = []
        for alpha, figures in limits:
            for name in path:
                figures = figures[name]
            out.append((float(alpha), figures["violation_rate"]))
        return out

    lines = [
        Line("any time", series()),
        Line("naive tuned", series("controls", "naive_tuned")),
        Line("one look", series("once")),
        Line("product, any time", series("disjoint")),
        Line("promised at most", [(0.05, 0.1), (0.35, 0.1)], dashed=True),
    ]
    note = f"{found['file']}: share of {limits[0][1]['runs']} runs that ever opened a threshold above the limit"
    return chart(
        "The promise and what was kept", note, "limit (alpha)", "runs that broke it", lines, x_max=0.4, y_max=0.6
    )


def learning(fitted: Fitted, name: str, runs: int) -> tuple[str, dict[str, Any]]:
    """Share answered low by labels spent, looked at after each."""
    world, most, found = fitted.population(), 1300, {}
    for alpha in (0.20, 0.25, 0.30):
        total = [0.0] * (most + 1)
        for run in range(runs):
            opening = Opening.at(world.thresholds)
            for at, row in enumerate(world.draw(most, random.Random(f"learning/{run}")), 1):
                opening.observe(world.scores[row], world.wrong[row], alpha, 0.1)
                total[at] += world.covered[opening.passed - 1] if opening.passed else 0.0
        found[f"{alpha:g}"] = [(float(at), round(total[at] / runs, 4)) for at in range(0, most + 1, 20)]
    lines = [Line(f"limit {float(alpha):.0%}", points) for alpha, points in found.items()]
    note = f"{name}, any time, mean of {runs} runs"
    return chart("What learning buys", note, "labels", "answered low", lines, x_max=most), found


def page(results: dict[str, Any]) -> str:
    """The tables of docs/trust.md and more, as Markdown."""
    out = ["# Trust: is the promise kept, and what does it let through", "", "Made by `benchmarks/trust/run.py`."]
    for name in ("gsm8k", "mmlu"):
        if name in results:
            out += ["", *_file_table(results[name])]
    if "simulated" in results:
        out += ["", *_simulated_tables(results["simulated"])]
    return "\n".join(out) + "\n"


def _file_table(found: dict[str, Any]) -> list[str]:
    any_limit = next(iter(found["limits"].values()))
    low, high = any_limit["apgr_ci95"]
    out = [
        f"## {found['file']}: {found['rows']} rows, {any_limit['score']} score, {any_limit['labels']} labels, "
        f"{any_limit['runs']} runs, confidence 90 %",
        "",
        f"Weak wrong in {any_limit['weak_wrong']:.1%}. APGR {any_limit['apgr']:.3f} ({low:.3f} to {high:.3f}), "
        f"CPT50 {any_limit['cpt50']:.1f} %, CPT80 {any_limit['cpt80']:.1f} % (in-domain labels; not like for like with "
        "published routers).",
        "",
        "Share answered low (runs that broke the promise):",
        "",
        "| limit | any time | once | product, any time | product, once | naive | best fixed | oracle | must go up |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for alpha, one in found["limits"].items():
        product = one["disjoint"]
        cells = [_cell(one), _cell(one["once"]), _cell(product), _cell(product["once"])]
        cells.append(_cell(one["controls"]["naive_tuned"]))
        cells += [f"{one['controls'][name]['answered_low']:.3f}" for name in ("best_fixed_threshold", "oracle")]
        cells.append(f"{escalation_floor(one['weak_wrong'], float(alpha)):.1%}")
        out.append(f"| {float(alpha):.0%} | {' | '.join(cells)} |")
    if found["other_seeds"]:
        told = "; ".join(
            f"{_cell(one)}, {_cell(one['once'])}, {_cell(one['disjoint'])}, "
            f"APGR {one['apgr']:.3f}, CPT50 {one['cpt50']:.1f}"
            for one in found["other_seeds"]
        )
        out += ["", f"At 25 % with other seeds (any time, one look, product any time): {told}."]
    return out


def _cell(one: dict[str, Any]) -> str:
    return f"{one['answered_low_mean']:.3f} ({one['violations']}/{one['runs']})"


def _simulated_tables(found: dict[str, Any]) -> list[str]:
    out = [
        f"## Simulated cells, limit 5 %, confidence 90 %, up to {found['most_labels']:,} labels",
        "",
        "| true disagreement | ever opened | labels p50 / p90 | anchor |",
        "|---|---|---|---|",
    ]
    for row in found["opening"]:
        took = "-" if row["labels_p50"] is None else f"{row['labels_p50']:.0f} / {row['labels_p90']:.0f}"
        anchor = "-" if row["anchor_p50_p90"] is None else " / ".join(map(str, row["anchor_p50_p90"]))
        out.append(f"| {row['true_disagreement']:.2%} | {row['ever_opened']['share']:.1%} | {took} | {anchor} |")
    lying, looks = found["lying_score_ever_opened"], found["repeated_clopper_pearson_ever_opened"]
    out += [
        "",
        f"Lying score, 5.004 % in all: opened in {lying['pooled']['share']:.1%} of runs with pooled labels, "
        f"{lying['weighted']['share']:.1%} with weighted ones. Repeated Clopper-Pearson looks opened a cell of "
        f"5.01 % in {looks['0.0501']['share']:.1%}, of 6 % in {looks['0.06']['share']:.1%}.",
        "",
        "| audits | accepted calls to close after 2 → 15 %, p50 / p90 | closed within 2,000 | wrong served p50 / p90 | "
        "false closes in 20,000 at 2 % | audits per 20,000 |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in found["drift"].items():
        out.append(
            f"| 3 %, {name} | {one['accepted_until_closed_p50']:,.0f} / {one['accepted_until_closed_p90']:,.0f} | "
            f"{one['closed_within_2000']['share']:.1%} | {one['wrong_served_meanwhile_p50']} / "
            f"{one['wrong_served_meanwhile_p90']} | {one['false_closes_within_20000_at_0.02']['share']:.1%} | "
            f"{one['audits_per_20000_at_0.02']} |"
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--only", choices=["gsm8k", "mmlu", "simulated"])
    given = parser.parse_args()
    stored = RESULTS / "trust.json"
    results: dict[str, Any] = json.loads(stored.read_text()) if stored.exists() else {}
    for name, limits, labels, seeds in (("gsm8k", GSM8K_LIMITS, 650, 3), ("mmlu", MMLU_LIMITS, 2000, 1)):
        path = given.data / f"routellm_{name}.jsonl" if given.data else None
        if given.only not in (None, name):
            continue
        if path is None or not path.exists():
            print(f"skipped {name}: no routellm_{name}.jsonl in --data")
            continue
        fitted = Fitted(load(path), 0)
        results[name] = replayed(fitted, path.name, limits, labels, given.runs, seeds)
        (RESULTS / f"trust-{name}-risk.svg").write_text(risk_coverage(results[name], 0.25))
        if name == "gsm8k":
            (RESULTS / "trust-promise.svg").write_text(promise(results[name]))
            drawn, results[name]["learning"] = learning(fitted, path.name, given.runs)
            (RESULTS / "trust-learning.svg").write_text(drawn)
    if given.only in (None, "simulated"):
        results["simulated"] = simulate(given.simulations, 0)
    stored.write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "trust.md").write_text(page(results))
    print(page(results))


if __name__ == "__main__":
    main()
