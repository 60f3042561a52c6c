"""``rung prices``: the price table, its date, and what holds at this minute or in every state."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson

from rung.cli.config import as_json, named_file
from rung.config import load_here
from rung.providers.prices import PICO_PER_TOKEN, STALE_DAYS, PriceBook, Rates

COLUMNS = ("model", "input", "cached", "write", "write_long", "output", "context", "storage_hour", "changes")
STATE_COLUMNS = ("model", "input", "cached", "write", "write_long", "output", "state")
_TEXT = ("model", "changes", "state")


@click.command()
@named_file
@as_json
@click.option("--at", type=click.DateTime(), help="As of this UTC time instead of now.")
@click.option("--states", is_flag=True, help="One line for each service tier, peak hours and prompt size.")
@click.argument("provider", default="")
def command(path: Path | None, as_json: bool, at: datetime | None, states: bool, provider: str) -> None:
    """Print prices in USD per 1,000,000 tokens as of now, of PROVIDER (or one PROVIDER:MODEL) or of all."""
    today = datetime.now(UTC)
    moment = today if at is None else at.replace(tzinfo=UTC)
    book = PriceBook.load(load_here(path).prices)
    models = [provider] if book.known(provider) else book.model_ids(provider)
    if not models:
        raise click.UsageError(f'no prices for {provider!r}; add them to rung.toml: [prices."{provider}:MODEL"]')
    rows = [line for model in models for line in (state_rows if states else rows_now)(book, model, moment)]
    age, stale = book.age_days(today.date()), book.stale(today.date())
    if as_json:
        told = {"as_of": book.as_of, "age_days": age, "stale": stale, "now": moment, "models": rows}
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
        return
    click.echo(f"USD per 1,000,000 tokens, prices of {book.as_of}, at {moment:%Y-%m-%d %H:%M} UTC")
    table([{name: "" if value is None else str(value) for name, value in row.items()} for row in rows])
    if stale:
        click.echo(f"warning: these prices are {age} days old (more than {STALE_DAYS}); update rung", err=True)


def rows_now(book: PriceBook, model: str, at: datetime) -> list[dict[str, Any]]:
    """One model's line; numbers are None where nobody knows the price."""
    price = book.price(model)
    line: dict[str, Any] = dict.fromkeys(COLUMNS)
    line.update(model=model, context=book.context(model))
    if price is not None:
        line |= _dollars(price.rates(at))
        stored = price.fields.get("cache_storage_per_hour")
        line["storage_hour"] = None if stored is None else float(stored)
        line["changes"] = "; ".join(price.changes())
    return [line]


def state_rows(book: PriceBook, model: str, at: datetime) -> list[dict[str, Any]]:
    """A line for each state a model's price can be in; one empty line where nobody knows the price."""
    price = book.price(model)
    states = [] if price is None else list(price.states(at))
    unknown: dict[str, Any] = {**dict.fromkeys(STATE_COLUMNS), "model": model, "state": "unknown"}
    return [{"model": model, **_dollars(rates), "state": state} for state, rates in states] or [unknown]


def _dollars(rates: Rates) -> dict[str, float]:
    picos = (rates.input, rates.cache_read, rates.cache_write, rates.cache_write_long, rates.output)
    return dict(zip(COLUMNS[1:6], (pico / PICO_PER_TOKEN for pico in picos), strict=True))


def table(rows: list[dict[str, str]]) -> None:
    """Columns as wide as their content, numbers to the right."""
    lines = [{name: name for name in rows[0]}, *rows]
    widths = {name: max(len(line[name]) for line in lines) for name in rows[0]}
    for line in lines:
        cells = [text.ljust(widths[name]) if name in _TEXT else text.rjust(widths[name]) for name, text in line.items()]
        click.echo("  ".join(cells).rstrip())
