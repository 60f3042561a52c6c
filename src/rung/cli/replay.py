"""``rung replay``: recorded traffic through a ladder of your choice, and two such runs compared."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec

from rung import config
from rung.cli.config import as_json, named_file
from rung.gateway import Gateway
from rung.ladder.trust.compare import Outcome, comparator_for
from rung.ladder.trust.compare import compare as say_the_same
from rung.replay import Progress, Replay, finished, ladder, names, runs
from rung.report.compare import Comparison, Ran, compare
from rung.report.importers import Recorded, read_traffic

PICO = 10**12


@click.group()
def command() -> None:
    """Send recorded traffic through a chosen ladder; the results land in the ledger under a name."""


@command.command("run")
@click.argument("traffic", type=click.Path(path_type=Path))
@click.option("--ladder", "told", required=True, help="Rungs in order: tool,exact,local,groq or groq:MODEL.")
@click.option("--name", required=True, help="The run's name; a run of this name is taken up where it stopped.")
@click.option("--cap-usd", type=click.FloatRange(0), help="Never spend more; every price must be known.")
@click.option(
    "--pace", type=click.FloatRange(0, min_open=True), help="1 as recorded, 2 twice as fast; left out: at once."
)
@click.option("--at-once", default=4, show_default=True, type=click.IntRange(1, 64), help="Calls under way together.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many calls.")
@named_file
@as_json
def run_command(
    traffic: Path,
    told: str,
    name: str,
    cap_usd: float | None,
    pace: float | None,
    at_once: int,
    limit: int | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Replay TRAFFIC: a JSONL of chat requests, a batch file, LiteLLM's log, a HAR, or a folder of prompts.

    Exit 1 if the cap ended it early.
    """
    if not _good(name):
        raise click.BadParameter("letters, digits, dots, dashes and underscores, at most 64", param_hint="--name")
    cap = None if cap_usd is None else round(cap_usd * PICO)
    progress = asyncio.run(_run(traffic, told.split(","), name, cap, pace, at_once, limit, path))
    if as_json:
        click.echo(msgspec.json.encode(progress).decode())
    else:
        click.echo(_said(progress))
        click.echo(f"compare it with another run: rung replay compare {name} OTHER")
    if progress.capped:
        raise SystemExit(1)


async def _run(
    traffic: Path,
    told: list[str],
    name: str,
    cap: int | None,
    pace: float | None,
    at_once: int,
    limit: int | None,
    path: Path | None,
) -> Progress:
    settings = await asyncio.to_thread(config.load_here, path)
    # Texts are what a comparison reads: they are the traffic file's own.
    settings = replace(settings, ledger=replace(settings.ledger, enabled=True, store_text=True))
    done = await asyncio.to_thread(finished, settings.ledger.path, name)
    async with Gateway(settings) as gateway:
        rungs = ladder(gateway, [one.strip() for one in told if one.strip()])
        replay = Replay(gateway, rungs, name, cap=cap, at_once=at_once, pace=pace, on_progress=_bar)
        return await replay.run(_first(read_traffic(traffic), limit), done)


def _first(calls: Iterator[Recorded], limit: int | None) -> Iterator[Recorded]:
    for number, one in enumerate(calls):
        if limit is not None and number >= limit:
            return
        yield one


@command.command("list")
@named_file
@as_json
def list_command(path: Path | None, as_json: bool) -> None:
    """Print the names of the runs the ledger has."""
    found = names(config.load_here(path).ledger.path)
    click.echo(msgspec.json.encode(found).decode() if as_json else "\n".join(found) or "no run yet")


@command.command("compare")
@click.argument("first")
@click.argument("second")
@click.option("--show", default=5, show_default=True, type=click.IntRange(0), help="Differing calls printed.")
@named_file
@as_json
def compare_command(first: str, second: str, show: int, path: Path | None, as_json: bool) -> None:
    """Set run SECOND against run FIRST, call by call. Exit 1 if they have no call in common."""
    ledger = config.load_here(path).ledger.path
    told = compare(runs(ledger, first), runs(ledger, second), _same)
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        _show(told, first, second, show)
    if not told.calls:
        raise SystemExit(1)


def _same(one: Ran, other: Ran) -> bool:
    """By the task's comparator; free text, which has none, must be the same text."""
    if one.text == other.text:
        return True
    name = comparator_for(one.task, {})
    return name is not None and say_the_same(name, one.text, other.text) is Outcome.AGREES


def _good(name: str) -> bool:
    return 0 < len(name) <= 64 and all(sign.isalnum() or sign in "._-" for sign in name) and name.isascii()


# ---- for people ----


def _bar(progress: Progress) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{_said(progress)}", nl=False, err=True)


def _said(progress: Progress) -> str:
    parts = [f"{progress.done:,} calls", f"{progress.spent / PICO:.6f} USD"]
    parts += [f"{progress.skipped:,} done before"] if progress.skipped else []
    parts += [f"{progress.failed:,} failed"] if progress.failed else []
    parts += [f"{progress.unknown:,} of unknown price"] if progress.unknown else []
    parts += ["stopped: the next call might have gone over the cap"] if progress.capped else []
    return ", ".join(parts)


def _show(told: Comparison, first: str, second: str, show: int) -> None:
    click.echo(f"{told.calls:,} calls in both, {told.missing:,} in one only")
    rows: list[tuple[str, Any]] = [
        ("says the same", told.agree and f"{told.agree.value:.1%} ({told.agree.low:.1%} to {told.agree.high:.1%})"),
        ("time per call", told.ms and f"{told.ms.value:+,.0f} ms ({told.ms.low:+,.0f} to {told.ms.high:+,.0f})"),
        ("faster", told.faster is not None and f"{told.faster:.0%} of the calls (p = {told.p_faster:.2g})"),
        ("cost per 1,000 calls", told.cost and f"{told.cost.value * 1000:+.4f} USD "
         f"({told.cost.low * 1000:+.4f} to {told.cost.high * 1000:+.4f}; {told.priced:,} of known price)"),
        ("answered by one only", f"{first} {told.only_first}, {second} {told.only_second} (p = {told.p_answered:.2g})"),
    ]  # fmt: skip
    for name, text in rows:
        if text:
            click.echo(f"{name:<22} {text}")
    for rung, (ones, others) in sorted(told.rungs.items(), key=lambda pair: -max(pair[1])):
        click.echo(f"{'answered by ' + rung:<22} {first} {ones:,}, {second} {others:,}")
    for one in told.differing[:show]:
        click.echo(f"\ncall {one.number} ({one.task})")
        for name, ran in ((first, one.first), (second, one.second)):
            click.echo(f"  {name} [{ran.rung or ran.outcome}]: {' '.join(ran.text.split())[:300]}")
    if len(told.differing) > show:
        click.echo(f"\n{len(told.differing) - show:,} more differ; --show N or --json prints them")
