"""``rung bench tasks --data FILE``: how well is the kind of a call told, and how fast?

A row (JSONL): ``{"prompt": text or a list of messages, "task_type": class, "system"?, "tools"?, "response_format"?}``
(``messages`` may stand for ``prompt``). Macro-F1 is the mean over the classes that are in the file.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from rung.ladder.task import TASKS, Guess, classify, warm

MAX_FAILURES = 200
_BESIDE = ("tools", "functions", "tool_choice", "response_format")


def load_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file. Raises click.UsageError naming the line that is not a row."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise click.UsageError(f"{path}:{number}: not JSON: {error}") from None
        if not isinstance(row, dict) or not isinstance(row.get("task_type"), str):
            raise click.UsageError(f"{path}:{number}: a row needs prompt (or messages) and task_type")
        if not isinstance(row.get("messages", row.get("prompt")), str | list):
            raise click.UsageError(f"{path}:{number}: prompt must be text or a list of messages")
        rows.append(row)
    if not rows:
        raise click.UsageError(f"{path}: no rows")
    return rows


def body_of(row: dict[str, Any]) -> dict[str, Any]:
    """The chat request of a row."""
    given = row.get("messages", row.get("prompt"))
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else list(given or ())
    if row.get("system"):
        messages.insert(0, {"role": "system", "content": row["system"]})
    return {"model": "auto", "messages": messages} | {name: row[name] for name in _BESIDE if name in row}


def replay(rows: list[dict[str, Any]]) -> tuple[list[Guess], list[float]]:
    """Every row classified, and the CPU time of each in µs."""
    warm()
    guesses: list[Guess] = []
    times: list[float] = []
    for body in map(body_of, rows):
        start = time.process_time_ns()
        guesses.append(classify(body))
        times.append((time.process_time_ns() - start) / 1000)
    return guesses, times


def figures(wanted: list[str], guesses: list[Guess], times: list[float]) -> dict[str, Any]:
    """The bench's figures. A class's precision is null when nothing was put into it; `by_rule` tells the same of the
    guesses that a rule made: how many, and which share of them was right. Times in µs of CPU."""
    pairs = list(zip(wanted, guesses, strict=True))
    hit = Counter(want for want, guess in pairs if guess.task == want)
    said = Counter(guess.task for guess in guesses)
    support = Counter(wanted)
    ruled = Counter(guess.task for guess in guesses if guess.by_rule)
    ruled_hit = Counter(want for want, guess in pairs if guess.by_rule and guess.task == want)
    classes: dict[str, Any] = {}
    for task in dict.fromkeys((*TASKS, *sorted(support))):  # a class we don't know counts against us
        if not support[task] and not said[task]:
            continue
        precision = hit[task] / said[task] if said[task] else None
        recall = hit[task] / support[task] if support[task] else None
        classes[task] = {
            "support": support[task],
            "precision": None if precision is None else round(precision, 4),
            "recall": None if recall is None else round(recall, 4),
            "f1": round(2 * hit[task] / (said[task] + support[task]), 4),
            "by_rule": ruled[task],
            "by_rule_precision": round(ruled_hit[task] / ruled[task], 4) if ruled[task] else None,
        }
    ordered = sorted(times)
    return {
        "n": len(pairs),
        "macro_f1": round(sum(classes[task]["f1"] for task in support) / len(support), 4),
        "accuracy": round(sum(hit.values()) / len(pairs), 4),
        "per_class": classes,
        "p50_us": round(ordered[len(ordered) // 2], 1),
        "p99_us": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 1),
    }


def failures(rows: list[dict[str, Any]], guesses: list[Guess]) -> list[dict[str, Any]]:
    """The rows told wrongly, at most `MAX_FAILURES`."""
    wrong = [(row, guess) for row, guess in zip(rows, guesses, strict=True) if guess.task != row["task_type"]]
    return [
        {
            "prompt": str(row.get("messages", row.get("prompt")))[:300],
            "task_type": row["task_type"],
            "guess": guess.task,
            "confidence": guess.confidence,
            "by_rule": guess.by_rule,
            "why": guess.why,
        }
        for row, guess in wrong[:MAX_FAILURES]
    ]


@click.command("tasks")
@click.option("--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, help="JSONL rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(data: Path, as_json: bool) -> None:
    """Replay prompts through the task classifier: macro-F1, precision and recall per class, CPU time."""
    rows = load_rows(data)
    guesses, times = replay(rows)
    found = figures([row["task_type"] for row in rows], guesses, times)
    if as_json:
        click.echo(json.dumps(found | {"failures": failures(rows, guesses)}, ensure_ascii=False))
        return
    click.echo(f"{'class':24}{'support':>8}{'precision':>11}{'recall':>8}{'by rule':>9}{'precision':>11}")
    for task, one in found["per_class"].items():
        cells = [one[name] for name in ("support", "precision", "recall", "by_rule", "by_rule_precision")]
        shown = ["-" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells]
        click.echo(f"{task:24}{shown[0]:>8}{shown[1]:>11}{shown[2]:>8}{shown[3]:>9}{shown[4]:>11}")
    click.echo(f"macro-F1 {found['macro_f1']:.3f}   accuracy {found['accuracy']:.3f}   n {found['n']}")
    click.echo(f"CPU p50 {found['p50_us']:.0f} us   p99 {found['p99_us']:.0f} us")
    for failure in failures(rows, guesses)[:20]:
        click.echo(f"- {failure['task_type']} told as {failure['guess']}: {failure['prompt'][:100]!r}")
