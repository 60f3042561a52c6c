"""``rung config``: check what the environment and rung.toml say, show what comes of it, list every key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import orjson

from rung.config import Settings, load_here
from rung.config.describe import keys as all_keys
from rung.config.describe import markdown
from rung.errors import ConfigError

named_file = click.option(
    "--config", "path", type=click.Path(path_type=Path), help="Read this file instead of the first rung.toml found."
)
as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group()
def command() -> None:
    """Check or show the configuration."""


@command.command()
@named_file
@as_json
def check(path: Path | None, as_json: bool) -> None:
    """Say everything that is wrong (exit 2) or worth a look (exit 0)."""
    try:
        settings = load_here(path)
    except ConfigError as error:
        if not as_json:
            raise
        _print({"ok": False, "source": None, "problems": error.problems, "warnings": [], "advice": []})
        raise SystemExit(2) from None
    if as_json:
        source = None if settings.source is None else str(settings.source)
        advice, warnings = settings.advice, settings.warnings
        _print({"ok": True, "source": source, "problems": [], "warnings": warnings, "advice": advice})
        return
    _tell(settings)


def _tell(settings: Settings) -> None:
    for warning in settings.warnings:
        click.echo(f"warning: {warning}", err=True)
    if settings.advice:
        click.echo("# to choose them, or others, put this into rung.toml:")
        for line in settings.advice:
            click.echo(line)
    on = ", ".join(settings.providers) or "none"
    click.echo(f"# {settings.source or 'no rung.toml'}: good. Providers: {on}. Reference: {settings.ladder.reference}")


@command.command()
@named_file
@as_json
def show(path: Path | None, as_json: bool) -> None:
    """Print the settings in force, defaults included. Secrets are masked."""
    shown = load_here(path).shown()
    if as_json:
        _print(shown)
        return
    for name, value in shown.items():
        if not isinstance(value, dict):
            click.echo(f"{name} = {_inline(value)}")
    for name, value in shown.items():
        if isinstance(value, dict):
            _section(name, value)


@command.command()
@as_json
@click.option("--markdown", "as_markdown", is_flag=True, help="As in docs/configuration.md.")
def keys(as_json: bool, as_markdown: bool) -> None:
    """List every key of rung.toml with its default and meaning."""
    if as_markdown:
        click.echo(markdown(), nl=False)
        return
    listed = list(all_keys())
    if as_json:
        _print([{"table": key.table, "key": key.name, "default": key.default, "doc": key.doc} for key in listed])
        return
    table = ""
    for key in listed:
        if key.table != table:
            table = key.table
            click.echo(f"\n[{table}]")
        click.echo(f"{f'{key.name} = {key.default}' if key.default else key.name:40} # {key.doc}")


def _section(name: str, values: dict[str, Any]) -> None:
    """A table as TOML would write it, its own tables after it."""
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    if plain or not values:
        click.echo(f"\n[{name}]")
    for key, value in plain.items():
        click.echo(f"{key} = {_inline(value)}")
    for key, value in values.items():
        if isinstance(value, dict) and value:
            _section(f"{name}.{key}", value)


def _inline(value: Any) -> str:
    return "none" if value is None else orjson.dumps(value).decode()


def _print(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
