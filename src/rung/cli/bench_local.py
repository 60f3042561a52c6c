"""``rung bench local``: what is a local model good for here? How right and how slow, beside the tools.

Cases are made from a seed, with their truth (`rung.cli.bench_local_cases`), or read from ``--data FILE``. Times
are of this machine as busy as it is; processor time, where it can be had, hardly depends on that.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from rung.cli.bench_local_cases import TASKS, Case, cases
from rung.cli.bench_local_code import interpreter
from rung.cli.bench_local_run import CONTEXT, UNANSWERED, Outcome, Subject, ask, embedded, key_of, tools
from rung.cli.bench_local_run import served as hosted
from rung.config.paths import paths
from rung.errors import ConfigError, ModelFileError
from rung.local.fit import chosen_model
from rung.local.hardware import Hardware, look
from rung.report.compare import wilson as interval
from rung.rungs.tool import ToolRung

Z = 1.959964
"""of a two-sided 95 % interval"""


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), as shares; (0, 1) without any case."""
    found = interval(right, count, Z)
    return (0.0, 1.0) if found is None else (found.low, found.high)


def load_cases(path: Path) -> list[Case]:
    """The cases of a JSONL file. Raises click.UsageError naming the line that is none."""
    rows: list[Case] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise click.UsageError(f"{path}:{number}: not JSON: {error}") from None
        if not isinstance(row, dict) or row.get("task") not in TASKS or not isinstance(row.get("prompt"), str):
            raise click.UsageError(f"{path}:{number}: a case needs task ({', '.join(TASKS)}), prompt and truth")
        if "truth" not in row:
            raise click.UsageError(f"{path}:{number}: a case needs its truth")
        rows.append(row)
    if not rows:
        raise click.UsageError(f"{path}: no cases")
    return rows


def figures(outcomes: list[Outcome], order: list[str]) -> list[dict[str, Any]]:
    """One row per model and task: n, right, share with its interval, times in seconds."""
    out = []
    for name in order:
        for task in TASKS:
            group = [one for one in outcomes if one.model == name and one.task == task]
            if group:
                out.append(_row(name, task, group))
    return out


def _row(name: str, task: str, group: list[Outcome]) -> dict[str, Any]:
    judged = [one for one in group if one.right is not None]
    right = sum(bool(one.right) for one in judged)
    low, high = wilson(right, len(judged))
    lost = sum(one.problem.startswith(UNANSWERED) for one in group)
    row: dict[str, Any] = {"model": name, "task": task, "n": len(judged), "declined": len(group) - len(judged) - lost}
    if lost:
        row["unanswered"] = lost
    if not judged:
        return row
    times = sorted(one.seconds for one in judged)
    spent = [one.cpu for one in judged if one.cpu is not None]
    row |= {
        "right": right,
        "share": round(right / len(judged), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "p50_s": round(statistics.median(times), 4),
        "p95_s": round(times[min(len(times) - 1, int(len(times) * 0.95))], 4),
        "cpu_p50_s": round(statistics.median(spent), 3) if spent else None,
    }
    confident = [one for one in judged if one.probability is not None and one.probability >= 0.95]
    if any(one.probability is not None for one in judged):
        row["confident"] = {"n": len(confident), "right": sum(bool(one.right) for one in confident)}
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| task | who | right | share (95 %) | p50 s | p95 s | CPU p50 s |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        for row in (row for row in rows if row["task"] == task):
            if not row["n"]:
                lines.append(f"| {task} | {row['model']} | declines | | | | |")
                continue
            share = f"{row['share']:.1%} ({row['low']:.1%}–{row['high']:.1%})"
            cpu = "" if row["cpu_p50_s"] is None else f"{row['cpu_p50_s']:.2f}"
            lines.append(
                f"| {task} | {row['model']} | {row['right']}/{row['n']} | {share} | {row['p50_s']:.3g} | "
                f"{row['p95_s']:.3g} | {cpu} |"
            )
    return "\n".join(lines)


Known = dict[tuple[str, str], Outcome]


async def run(
    subjects: Sequence[AbstractAsyncContextManager[Subject]],
    asked: list[Case],
    known: Known,
    keep: Callable[[Outcome], None],
) -> list[Outcome]:
    """Every case to every subject, one after the other, `keep` told each; what is `known` is not asked again."""
    out: list[Outcome] = []
    for manager in subjects:
        async with manager as subject:
            for case in asked:
                outcome = known.get((subject.name, key_of(case)))
                if outcome is None:
                    outcome = await ask(subject, case)
                    if not outcome.problem.startswith(UNANSWERED):
                        await asyncio.to_thread(keep, outcome)
                out.append(outcome)
    return out


def read_known(resume: Path | None) -> Known:
    """The outcomes an earlier run has kept."""
    if resume is None or not resume.exists():
        return {}
    rows = [msgspec.json.decode(line, type=Outcome) for line in resume.read_bytes().splitlines()]
    return {(row.model, row.key): row for row in rows}


def _append(resume: Path | None, outcome: Outcome) -> None:
    if resume is not None:
        with resume.open("ab") as file:
            file.write(msgspec.json.encode(outcome) + b"\n")


def model_file(name: str, machine: Hardware) -> tuple[str, Path]:
    """A catalogue name or the path of a GGUF file -> (its short name, the file).

    Raises ModelFileError if there is none or it would not fit.
    """
    chosen = chosen_model(name, paths(os.environ).models, machine, context=CONTEXT)
    if chosen is None:
        raise ModelFileError(f"there is no model {name}; get it with `rung models pull {name}`")
    return chosen.alias, chosen.path


@click.command("local")
@click.option("--model", "models", multiple=True, help="A pulled model, or a GGUF file. May be given again.")
@click.option("--served", multiple=True, metavar="URL MODEL", type=(str, str), help="A local server's model: its /v1.")
@click.option("--task", "chosen", multiple=True, type=click.Choice(list(TASKS)), help="Only these. May be given again.")
@click.option("--cases", "count", default=200, show_default=True, help="Cases of each task.")
@click.option("--seed", default=1, show_default=True, help="Another seed makes other cases.")
@click.option("--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Cases of your own, JSONL.")
@click.option("--threads", default=1, show_default=True, help="Of the embedded engine.")
@click.option("--resume", type=click.Path(dir_okay=False, path_type=Path), help="Keep outcomes here; go on from them.")
@click.option("--failures", type=click.Path(dir_okay=False, path_type=Path), help="Write the failed cases here, JSONL.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    models: tuple[str, ...],
    served: tuple[tuple[str, str], ...],
    chosen: tuple[str, ...],
    count: int,
    seed: int,
    data: Path | None,
    threads: int,
    resume: Path | None,
    failures: Path | None,
    as_json: bool,
) -> None:
    """What is a local model good for here: how right, how slow, beside the tools."""
    asked = load_cases(data) if data else cases(seed, count, chosen or tuple(TASKS))
    if any(case["task"] == "code" for case in asked) and asyncio.run(interpreter()) is None:
        click.echo("code is left out: no sandbox here can run Python", err=True)
        asked = [case for case in asked if case["task"] != "code"]
    machine = look()
    try:
        named = [model_file(name, machine) for name in models]
        ours = (embedded(name, path, threads) for name, path in named)
        subjects = (tools(ToolRung()), *ours, *(hosted(url, name) for url, name in served))
        outcomes = asyncio.run(run(subjects, asked, read_known(resume), partial(_append, resume)))
    except (ModelFileError, ConfigError) as error:
        raise click.ClickException(error.message) from None
    rows = figures(outcomes, ["tool", *(name for name, _ in named), *(name for _, name in served)])
    failed = [one for one in outcomes if one.right is False]
    if failures is not None:
        failures.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in failed))
    if as_json:
        click.echo(json.dumps({"seed": seed, "threads": threads, "rows": rows}))
        return
    click.echo(table(rows))
    if failed and failures is None:
        click.echo(f"\n{len(failed)} failed; --failures FILE keeps them")
