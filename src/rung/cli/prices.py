"""``rung prices``: the price table, its date and what holds at this minute."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson

from rung.cli.config import as_json, named_file
from rung.config import load_here
from rung.providers.prices import PICO_PER_TOKEN, STALE_DAYS, PriceBook

COLUMNS = ("model", "input", "cached", "write", "output", "context", "changes")


@click.command()
@named_file
@as_json
@click.argument("provider", default="")
def command(path: Path | None, as_json: bool, provider: str) -> None:
    """Print prices in USD per 1,000,000 tokens as of now, of PROVIDER or of all."""
    now = datetime.now(UTC)
    book = PriceBook.load(load_here(path).prices)
    rows = [row(book, model, now) for model in book.model_ids(provider)]
    if not rows:
        raise click.UsageError(f'no prices for {provider!r}; add them to rung.toml: [prices."{provider}:MODEL"]')
    age = book.age_days(now.date())
    if as_json:
        told = {"as_of": book.as_of, "age_days": age, "stale": book.stale(now.date()), "now": now, "models": rows}
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
        return
    click.echo(f"USD per 1,000,000 tokens, prices of {book.as_of}, at {now:%Y-%m-%d %H:%M} UTC")
    table([{name: "" if value is None else str(value) for name, value in row.items()} for row in rows])
    if book.stale(now.date()):
        click.echo(f"warning: these prices are {age} days old (more than {STALE_DAYS}); update rung", err=True)


def row(book: PriceBook, model: str, now: datetime) -> dict[str, Any]:
    """One model's line; numbers are None where nobody knows the price."""
    price = book.price(model)
    line: dict[str, Any] = dict.fromkeys(COLUMNS)
    line.update(model=model, context=book.context(model))
    if price is not None:
        rates = price.rates(now)
        picos = (rates.input, rates.cache_read, rates.cache_write, rates.output)
        line.update(zip(COLUMNS[1:5], (pico / PICO_PER_TOKEN for pico in picos), strict=True))
        line["changes"] = "; ".join(price.changes())
    return line


def table(rows: list[dict[str, str]]) -> None:
    """Columns as wide as their content, numbers to the right."""
    lines = [dict(zip(COLUMNS, COLUMNS, strict=True)), *rows]
    widths = {name: max(len(line[name]) for line in lines) for name in COLUMNS}
    for line in lines:
        cells = [
            line[name].ljust(widths[name]) if name in ("model", "changes") else line[name].rjust(widths[name])
            for name in COLUMNS
        ]
        click.echo("  ".join(cells).rstrip())
