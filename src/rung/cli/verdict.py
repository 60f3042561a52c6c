"""``rung verdict``: is a local model worth it, here, on this traffic?"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click
import msgspec
from msgspec.structs import replace

from rung.cli import recorded
from rung.cli.config import as_json, named_file
from rung.cli.ledger import ledger_file, seconds
from rung.cli.trust import cells
from rung.config import Settings, load_here
from rung.local.catalogue import rows
from rung.local.hardware import look
from rung.local.trial import measured_here
from rung.providers.prices import PriceBook
from rung.report.figures import Assumptions
from rung.report.importers import read_traffic
from rung.report.page import html
from rung.report.render import markdown, text
from rung.report.traffic import Traffic
from rung.report.verdict import Verdict
from rung.report.what_if import WhatIf, parse
from rung.report.words import LANGUAGES, Language, Words
from rung.verdicts import from_ledger, from_recorded, weigh, who


@click.command()
@click.argument("traffic", required=False, type=click.Path(path_type=Path))
@click.option("--since", default="30d", show_default=True, help="How far back in the ledger: 24h, 7d, 4w.")
@click.option("--run", default="", help="Only this replay (rung replay run --name).")
@click.option("--sample", is_flag=True, help="A packaged recording, for people who have no traffic yet.")
@click.option("--what-if", "wishes", multiple=True, help="hardware=8c/32GB/RTX4060 model=NAME price.groq*2 traffic*10")
@click.option("--limit", default=0.05, show_default=True, type=click.FloatRange(0.001, 0.5), help="Your error limit.")
@click.option("--hour-usd", default=60.0, show_default=True, type=click.FloatRange(0), help="An hour of your work.")
@click.option(
    "--upkeep-minutes", default=10.0, show_default=True, type=click.FloatRange(0), help="A local model takes a month."
)
@click.option(
    "--watts", type=click.FloatRange(0), help="Of this machine while it generates.  [default: measured, else 35]"
)
@click.option("--kwh-usd", default=0.30, show_default=True, type=click.FloatRange(0), help="Price of electricity.")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write one self-contained page here.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown.")
@click.option("--language", default="en", show_default=True, type=click.Choice(LANGUAGES), help="Of the report.")
@ledger_file
@named_file
@as_json
def command(
    traffic: Path | None,
    since: str,
    run: str,
    sample: bool,
    wishes: tuple[str, ...],
    limit: float,
    hour_usd: float,
    upkeep_minutes: float,
    watts: float | None,
    kwh_usd: float,
    page: Path | None,
    as_markdown: bool,
    language: Language,
    ledger: Path | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Weigh a local model against the cloud, from the ledger or from a TRAFFIC file (see `rung replay run --help`).

    Exit 1 if there are not enough data.
    """
    try:
        what_if = parse(wishes)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--what-if") from None
    settings = load_here(path)
    told, say = _assumed(settings, watts, kwh_usd, hour_usd, upkeep_minutes, limit), Words(language)
    if sample:
        verdict = recorded.weighed(settings, what_if=what_if, assumptions=told, say=say)
    else:
        found = ledger or settings.ledger.path
        verdict = _verdict(settings, traffic, found, since, run, what_if, told, path, say)
    if page is not None:
        page.write_text(html(verdict))
    if as_json:
        click.echo(msgspec.json.encode(verdict).decode())
    else:
        click.echo(markdown(verdict) if as_markdown else text(verdict), nl=False)
    if verdict.conclusion.kind == "not_enough_data":
        raise SystemExit(1)


def _assumed(
    settings: Settings, watts: float | None, kwh_usd: float, hour_usd: float, upkeep_minutes: float, limit: float
) -> Assumptions:
    """The watts are those said, else those `rung doctor --probe` read, else the usual ones."""
    plain = Assumptions(kwh_usd=kwh_usd, hour_usd=hour_usd, upkeep_minutes=upkeep_minutes, limit=limit)
    if watts is not None:
        return replace(plain, watts=watts)
    tried = (measured_here(row, settings.paths.models) for row in rows())
    read = next((one.watts for one in tried if one is not None and one.watts), None)
    return plain if read is None else replace(plain, watts=read, watts_basis="measured")


def _verdict(
    settings: Settings,
    file: Path | None,
    ledger: Path,
    since: str,
    run: str,
    what_if: WhatIf,
    assumptions: Assumptions,
    path: Path | None,
    say: Words,
) -> Verdict:
    labels: tuple[str, ...] = ()
    if file is not None:
        reference, _ = who(settings, Traffic(), what_if, look())
        prices = PriceBook.load(settings.prices)
        seen = asyncio.run(from_recorded(list(read_traffic(file)), reference, prices))
        labels = (
            say("predicted from {0}: the tools really ran, repeats were counted, the rest is estimated", file.name),
        )
    elif ledger.exists():
        seen = from_ledger(ledger, since=time.time() - seconds(since), run=run)
    else:
        seen = Traffic()
    told = cells(path)
    return weigh(settings, told, traffic=seen, what_if=what_if, assumptions=assumptions, labels=labels, say=say)
