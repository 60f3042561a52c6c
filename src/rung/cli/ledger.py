"""``rung ledger``: what was asked, who answered, what it cost. Reads the file; no gateway needed."""

from __future__ import annotations

import os
import re
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import orjson

from rung.cli.config import as_json, named_file
from rung.config import load
from rung.store.ledger import Total, tail, totals

PICO = 10**12
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

ledger_file = click.option(
    "--file", "ledger", type=click.Path(path_type=Path), help="Read this ledger instead of the configuration's."
)


@click.group()
def command() -> None:
    """Look at the record of climbs."""


@command.command("tail")
@click.option("-n", "count", default=10, show_default=True, type=click.IntRange(0), help="How many of the last.")
@click.option("-f", "--follow", is_flag=True, help="Go on as climbs happen, until Ctrl-C.")
@ledger_file
@named_file
@as_json
def tail_command(count: int, follow: bool, ledger: Path | None, path: Path | None, as_json: bool) -> None:
    """Print the last climbs, oldest first, one a line."""
    try:
        for row in tail(_where(ledger, path), count, follow=follow):
            click.echo(orjson.dumps(_jsonable(row)).decode() if as_json else line(row))
    except KeyboardInterrupt:
        return


@command.command("totals")
@click.option("--since", default="24h", show_default=True, help="How far back: 90s, 15m, 24h, 7d, 2w.")
@ledger_file
@named_file
@as_json
def totals_command(since: str, ledger: Path | None, path: Path | None, as_json: bool) -> None:
    """Calls, tokens and costs per rung and model."""
    found = totals(_where(ledger, path), time.time() - seconds(since))
    if as_json:
        click.echo(orjson.dumps({"since": since, "totals": [asdict(total) for total in found]}).decode())
        return
    if not found:
        click.echo(f"no climbs in the last {since}")
        return
    for text in table(found):
        click.echo(text)


def seconds(since: str) -> float:
    """``24h`` -> 86400.0."""
    match = re.fullmatch(r"(\d{1,9})([smhdw])", since.strip())
    if match is None:
        raise click.BadParameter(f"{since!r} is no time span; try 90s, 15m, 24h, 7d or 2w", param_hint="--since")
    return float(int(match[1]) * UNITS[match[2]])


def line(row: dict[str, Any]) -> str:
    """One climb for a person: when, status, time, who, tokens, cost, the way up."""
    at = datetime.fromtimestamp(row["started_at"]).strftime("%m-%d %H:%M:%S")
    who = f"{row['rung']} {row['model']}" if row["model"] not in ("", row["rung"]) else row["rung"] or "-"
    tokens = (
        "" if row["input_tokens"] is None else f"{_input(row)}+{row['output_tokens'] + row['reasoning_tokens']} tok"
    )
    marks = "".join(f" {name}" for name in ("private", "unproved", "simulated") if row[name])
    marks += f" {row['purpose']}" if row["purpose"] else ""
    cells = (
        f"{at}  {row['status']}  {row['total_ms']:9.1f} ms",
        f"{who:<32}",
        f"{tokens:>14}",
        dollars(row["cost_pico"]),
    )
    return "  ".join((*cells, f"{way(row['attempts'])}{marks}"))


def way(attempts: str) -> str:
    """The way up on one line: ``tool=declined:not_a_tool_task, exact=miss, cloud=answered``."""
    steps = []
    for attempt in orjson.loads(attempts):
        code = (attempt.get("reason") or "").partition(":")[0]
        steps.append(f"{attempt['rung']}={attempt['outcome']}" + (f":{code}" if code else ""))
    return ", ".join(steps)


def dollars(pico: int | None) -> str:
    """Pico-dollars as dollars; an unknown price is said, never 0."""
    return "$ unknown" if pico is None else f"${pico / PICO:.6f}"


def table(found: list[Total]) -> list[str]:
    """Columns as wide as their content."""
    rows: list[tuple[str, ...]] = [
        ("rung", "model", "calls", "answered", "input", "cached", "output", "mean ms", "cost")
    ]
    for total in found:
        cost = dollars(total.cost_pico) + (f" + {total.unknown_costs} unknown" if total.unknown_costs else "")
        mean = "-" if total.mean_ms is None else f"{total.mean_ms:.1f}"
        counts = (total.calls, total.answered, _input(asdict(total)), total.cache_read_tokens)
        output = total.output_tokens + total.reasoning_tokens
        model = total.model + (" (simulated)" if total.simulated else "")
        who = total.purpose or total.rung or "(none)"
        rows.append((who, model, *(str(count) for count in (*counts, output)), mean, cost))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        sides = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(sides).rstrip())
    return lines


def _input(row: dict[str, Any]) -> int:
    return int(row["input_tokens"] + row["cache_read_tokens"] + row["cache_write_tokens"])


def _where(ledger: Path | None, config: Path | None) -> Path:
    return ledger if ledger is not None else load(os.environ, config, cwd=Path.cwd()).ledger.path


def _jsonable(row: dict[str, Any]) -> dict[str, Any]:
    """The row with what JSON can hold: flags, the attempts as a list, bytes as text."""
    told = dict(row)
    for name in ("private", "stream", "simulated", "unproved"):
        told[name] = bool(told[name])
    told["attempts"] = orjson.loads(told["attempts"])
    told["fingerprint"] = told["fingerprint"].hex() if told["fingerprint"] is not None else None
    for name in ("request_text", "answer_text"):
        if told[name] is not None:
            told[name] = bytes(told[name]).decode(errors="replace")
    return told
