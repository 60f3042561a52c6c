"""``rung bench trust --data FILE``: is the promise kept, and what does it let through, on rows whose truth is known.

A row (JSONL): ``{"prompt", "weak", "strong", "weak_response"?, "strong_response"?, "domain"?}``; `weak` and `strong`
are 0 or 1 (wrong or right), or points. Truth decides the risk here; how often the two answers differ is told apart.
Exit code 1: the promise was broken more often than delta allows. What each figure means: docs/trust.md.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
import orjson

from rung.ladder.trust.compare import COMPARATORS
from rung.report.trust_rows import BadRows, disagreement, load
from rung.report.trust_trials import Fitted, Plan, bench

_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSONL file.")
@click.option(
    "--alpha", default=0.05, show_default=True, type=_SHARE, help="Most wrong answers among those answered low."
)
@click.option("--delta", default=0.1, show_default=True, type=_SHARE, help="Chance that the promise is ever broken.")
@click.option("--labels", default=650, show_default=True, type=click.IntRange(1, 100_000), help="Labels in each run.")
@click.option(
    "--runs", default=200, show_default=True, type=click.IntRange(1, 100_000), help="Runs, each with its own labels."
)
@click.option("--seed", default=0, show_default=True, help="Of folds, forests, splits and draws.")
@click.option(
    "--compare",
    "comparator",
    type=click.Choice(sorted(COMPARATORS)),
    help="How the two answers are compared, where both are given.",
)
@click.option("--curves", is_flag=True, help="With --json: the risk at every share answered low, for a chart.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    data: Path,
    alpha: float,
    delta: float,
    labels: int,
    runs: int,
    seed: int,
    comparator: str | None,
    curves: bool,
    as_json: bool,
) -> None:
    """Replay rows with known outcomes: is the promise kept, how much is answered low, what do others do."""
    started = time.process_time()
    try:
        rows = load(data)
    except BadRows as error:
        raise click.UsageError(str(error)) from None
    fitted = Fitted(rows, seed)
    found = bench(fitted, Plan(alpha, delta, labels, runs, seed))
    found["disagreement"] = disagreement(rows, comparator or "")
    found["cpu_seconds"] = round(time.process_time() - started, 1)
    if curves:
        found["curves"] = fitted.curves()
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    else:
        click.echo(text(found))
    kept = [found, found["once"], *([found["disjoint"]] if found["disjoint"] else [])]
    if any(one["violations"] > one["violations_allowed"] for one in kept):
        sys.exit(1)


def text(found: dict[str, Any]) -> str:
    """The figures as a page for a terminal."""
    runs, alpha = found["runs"], found["alpha"]
    lines = [
        f"{found['rows']} rows, {found['score']} score ({found['folds']} folds), the weak model is wrong in "
        f"{found['weak_wrong']:.1%}; promise: at most {alpha:.1%} wrong among answers given, "
        f"{1 - found['delta']:.0%} confidence, {found['labels']} labels, {runs} runs, seed {found['seed']}",
        "",
        f"{'':24}{'broken':>10}{'answered low':>14}{'p10':>8}{'wrong':>8}",
        _line("any time", found),
        _line("once", found["once"]),
    ]
    product = found["disjoint"]
    if product:
        lines += [_line("product, any time", product), _line("product, once", product["once"])]
    controls = found["controls"]
    lines.append(_line("naive tuned", controls["naive_tuned"]))
    lines += [
        _line(f"{name.replace('_', ' ')} only", controls[name])
        for name in ("prompt_length", "domain")
        if controls[name]
    ]
    for name in ("always_weak", "random_same_budget", "best_fixed_threshold", "oracle"):
        one = controls[name]
        wrong = "-" if one["error"] is None else f"{one['error']:.1%}"
        lines.append(f"{name.replace('_', ' '):24}{'-':>10}{one['answered_low']:>14.1%}{'':8}{wrong:>8}")
    lines += ["", f"allowed: {found['violations_allowed']} of {runs} broken promises"]
    if found["apgr"] is not None:
        low, high = found["apgr_ci95"]
        lines.append(
            f"order of calls: APGR {found['apgr']:.3f} ({low:.3f} to {high:.3f}), CPT50 {found['cpt50']:.1f} %, "
            f"CPT80 {found['cpt80']:.1f} % (in-domain labels: not like for like with published routers)"
        )
    if found["refused"]:
        lines.append(f"refused in {found['refused']} of {runs} runs: nothing below the reference could be proved")
    if found["escalation_floor"] > 0:
        lines.append(
            f"even a perfect selector must send up (mu - alpha)/(1 - alpha) = {found['escalation_floor']:.1%} of the "
            f"calls (proved from one run's labels: {found['escalation_floor_proved']:.1%})"
        )
    apart = found["disagreement"]
    if apart:
        lines.append(
            f"apart from the truth: {apart['disagree']:.1%} disagree with the reference ({apart['comparator']}), which "
            f"is itself wrong in {apart['reference_wrong']:.1%}; {apart['agree_but_wrong']:.1%} agree and are wrong"
        )
    return "\n".join(lines)


def _line(name: str, one: dict[str, Any]) -> str:
    wrong = "-" if one["error_mean"] is None else f"{one['error_mean']:.1%}"
    broken = f"{one['violations']}/{one['runs']}"
    return f"{name:24}{broken:>10}{one['answered_low_mean']:>14.1%}{one['answered_low_p10']:>8.1%}{wrong:>8}"
