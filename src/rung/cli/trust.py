"""``rung trust``: what has been proved about lower models, what is missing, what it costs. Reads the store's file.

Orders are left in the same file: a running gateway takes them within seconds, otherwise the next one does at its
start. Nothing here asks a model.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import click
import orjson

from rung.cli.config import as_json, named_file
from rung.cli.ledger import PICO, dollars
from rung.config import Settings, load
from rung.errors import RungError, StoreError
from rung.ladder.trust import Cell
from rung.learning.told import describe, ordered, restored, words
from rung.store import trust as store
from rung.store.semantic import scopes

DONE = {"reset": "starts anew", "pin": "is held open, whatever its labels say", "close": "is closed"}


@click.group(invoke_without_command=True)
@named_file
@as_json
@click.pass_context
def command(context: click.Context, path: Path | None, as_json: bool) -> None:
    """Which calls may stop lower, and why. Alone: a line for every cell."""
    if context.invoked_subcommand is not None:
        return
    settings, kept, cells = _read(path)
    rows = [_row(kept, name, cell) for name, cell in ordered(cells)]
    hits = semantic(settings)
    if as_json:
        click.echo(orjson.dumps({**_all(settings, kept, rows), "semantic": hits}).decode())
        return
    for line in semantic_lines(hits):
        click.echo(line)
    if not rows:
        click.echo("nothing yet: cells appear with calls to 'auto' that a lower model could have answered")
        click.echo(_state(settings))
        return
    for line in table(rows):
        click.echo(line)
    for order in kept.orders:
        click.echo(f"told, not yet taken: {order.action} {order.cell}")
    cap = f"{settings.trust.usd_per_day:g}"
    click.echo(f"comparing cost {dollars(kept.spent_pico)} of ${cap} today; {kept.jobs} comparisons wait")
    click.echo("rung trust explain CELL says why, and what is missing")


@command.command()
@click.argument("cell")
@named_file
@as_json
def explain(cell: str, path: Path | None, as_json: bool) -> None:
    """Say in words why CELL (its id, or the beginning of it) is as it is, and what it lacks."""
    _, kept, cells = _read(path)
    name = find(cell, cells)
    lines = words(cells[name])
    changes = [(at, what) for at, of, what in kept.changes if of == name]
    if as_json:
        history = [{"at": at, "what": what} for at, what in changes]
        told = {**_row(kept, name, cells[name]), "words": lines, "changes": history}
        click.echo(orjson.dumps(told).decode())
        return
    for line in lines:
        click.echo(line)
    if kept.judged.get(name):
        click.echo(f"{kept.judged[name]} of its labels are judged: a model said whether the answers agree.")
    good, bad = kept.feedback.get(name, (0, 0))
    if good + bad:
        click.echo(f"Callers said of its answers: {good} right, {bad} wrong.")
    for at, what in changes:
        click.echo(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))}  {what}")


@command.command()
@click.argument("cell")
@named_file
@as_json
def reset(cell: str, path: Path | None, as_json: bool) -> None:
    """Forget what was learnt about CELL and start gathering evidence anew."""
    _order("reset", cell, path, as_json)


@command.command()
@click.argument("cell")
@named_file
@as_json
def pin(cell: str, path: Path | None, as_json: bool) -> None:
    """Let CELL answer everything, proved or not, until it is reset. This promises nothing."""
    _order("pin", cell, path, as_json)


@command.command()
@click.argument("cell")
@named_file
@as_json
def close(cell: str, path: Path | None, as_json: bool) -> None:
    """Let CELL answer nothing and learn nothing until it is reset."""
    _order("close", cell, path, as_json)


@command.command()
@click.option(
    "--local", "file", type=click.Path(exists=True, path_type=Path), help="A real model (GGUF) as the lower one."
)
@click.option("--calls", default=240, show_default=True, type=click.IntRange(1, 2000), help="How many calls.")
def demo(file: Path | None, calls: int) -> None:
    """Watch cells open, or stay shut, on simulated traffic: no key, no network, about ten seconds."""
    from rung.cli.trust_demo import show

    asyncio.run(show(file, calls))


def find(said: str, cells: dict[str, Cell]) -> str:
    """The one cell whose id begins with `said`. Raises RungError if there is none, or several."""
    found = [name for name in cells if name.startswith(said.lower())] if said else []
    if len(found) == 1:
        return found[0]
    if not found:
        raise RungError(f"there is no cell {said!r}; rung trust lists them", code="unknown_cell")
    raise RungError(f"{said!r} may be {', '.join(sorted(found))}; give more of it", code="unknown_cell")


def table(rows: list[dict[str, Any]]) -> list[str]:
    """A line for every cell: what is promised, what was measured (of how many), what it brings."""
    head = ("cell", "task", "model", "limit", "state", "labels", "disagree", "at most", "of", "from", "may answer")
    lines = [(*head, "saved net", "learning")]
    for row in rows:
        known = row["disagreement"] is not None
        lines.append(
            (
                row["cell"],
                row["task"] + (" (judged)" if row.get("judged") else ""),
                row["model"] + (" (simulated)" if row["simulated"] else ""),
                f"{row['limit'] * 100:g}%",
                row["state"] + (" (pinned)" if row["pinned"] else ""),
                str(row["labels"]),
                f"{row['disagreement']:.1%}" if known else "-",
                f"{row['upper']:.1%}" if known else "-",
                f"{row['denominator']} {'answers' if row['of'].startswith('answers') else 'calls'}",
                "-" if row["threshold"] is None else f"{row['threshold']:.2f}",
                f"{row['share']:.0%}",
                signed(row["net_pico"]),
                dollars(row["learning_pico"]),
            )
        )
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def signed(pico: int) -> str:
    return dollars(pico) if pico >= 0 else f"-{dollars(-pico)}"


def _order(action: str, said: str, path: Path | None, as_json: bool) -> None:
    settings, _, cells = _read(path)
    name = find(said, cells)
    try:
        store.give_order(settings.paths.trust, name, action, time.time())
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{settings.paths.trust} cannot be written: {error}") from None
    if as_json:
        click.echo(orjson.dumps({"cell": name, "action": action}).decode())
    else:
        click.echo(f"{name} {DONE[action]}, as soon as a gateway takes note: in seconds, or at its next start")


def cells(path: Path | None) -> list[dict[str, Any]]:
    """Every cell of the file as plain data (`rung.learning.told.describe`)."""
    _, kept, found = _read(path)
    return [describe(name, cell, kept.costs.get(name, 0)) for name, cell in ordered(found)]


def _read(path: Path | None) -> tuple[Settings, store.Kept, dict[str, Cell]]:
    """Settings, the file as it is, and its cells; nothing is not an error."""
    settings = load(os.environ, path, cwd=Path.cwd())
    if not settings.paths.trust.exists():
        return settings, store.NOTHING, {}
    kept = store.read(settings.paths.trust, time.time())
    found = {name: restored(snapshot) for name, snapshot in kept.cells.items()}
    return settings, kept, {name: cell for name, cell in found.items() if cell is not None}


def _row(kept: store.Kept, name: str, cell: Cell) -> dict[str, Any]:
    """`describe`, with what only the file knows."""
    good, bad = kept.feedback.get(name, (0, 0))
    known = {"feedback_right": good, "feedback_wrong": bad, "judged": kept.judged.get(name, 0)}
    return {**describe(name, cell, kept.costs.get(name, 0)), **known}


def _all(settings: Settings, kept: store.Kept, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "cells": rows,
        "waiting": kept.jobs,
        "spent_today_pico": kept.spent_pico,
        "daily_pico": round(settings.trust.usd_per_day * PICO),
        "orders": [{"cell": order.cell, "action": order.action} for order in kept.orders],
    }


def semantic(settings: Settings) -> list[dict[str, Any]]:
    """The semantic cache's scopes, as its file has them."""
    if not settings.paths.semantic.exists():
        return []
    found = scopes(settings.paths.semantic)
    return [{"scope": one.scope.hex(), "tenant": one.tenant, **orjson.loads(one.told)} for one in found]


def semantic_lines(rows: list[dict[str, Any]]) -> list[str]:
    """A line for every scope: its bound is per request, hits and misses together."""
    told = []
    for row in rows:
        bound = f"at most {row['bound']:.1%} of requests wrong ({row['confidence']:.0%} sure)"
        proof = bound if row["state"] == "open" else "nothing proved yet: it serves nothing"
        told.append(
            f"semantic  scope {row['scope'][:8]}  {row['tenant']}  {row['state']}  limit {row['limit']:.1%}  {proof}  "
            f"{row['requests']} requests, {row['hits']} hits, {row['wrong_known']} known wrong"
        )
    return told


def _state(settings: Settings) -> str:
    """Why nothing may be happening."""
    if not settings.trust.enabled:
        return "trust.enabled is false: nothing is compared"
    if settings.ladder.reference is None:
        return "there is no reference to compare with: set a provider's key"
    return f"the reference is {settings.ladder.reference}"
