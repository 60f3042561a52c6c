"""``rung tool LANGUAGE ACTION FILE``: the tools without a gateway, for pipes and scripts."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import click
import orjson

from rung.tools import ROWS, CannotAnswer, Options, Result, run
from rung.tools.answer import describe

LANGUAGES = sorted({row.language for row in ROWS})
ACTIONS = sorted({row.action for row in ROWS})
MAX_BYTES = 4_000_000
"""read from a file or a pipe; every tool's own limit is lower"""


def _indent(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """``--indent 4`` or ``--indent tab``, as the text of one level."""
    if value is None or value == "tab":
        return value and "\t"
    if not value.isdigit() or not 1 <= int(value) <= 16:
        raise click.BadParameter("a number from 1 to 16, or 'tab'")
    return " " * int(value)


@click.command()
@click.argument("language", type=click.Choice(LANGUAGES))
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@click.option("--indent", callback=_indent, metavar="N|tab", help="Spaces per level, or 'tab'.")
@click.option("--sort-keys", is_flag=True, help="Sort the keys of every object.")
@click.option("--to", "to", type=click.Choice(["json", "yaml", "toml", "csv"]), default=None, help="Target of convert.")
@click.option(
    "--schema", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSON Schema to validate against."
)
@click.option(
    "--types", type=click.Choice(["strict", "text", "infer"]), default="strict", help="What CSV cells become."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    language: str,
    action: str,
    file: str,
    indent: str | None,
    sort_keys: bool,
    to: str | None,
    schema: Path | None,
    types: str,
    as_json: bool,
) -> None:
    """Format, minify, validate, repair, convert or lint FILE ('-' or nothing: standard input).

    Exit code 0: done, or valid. 1: not valid, findings, or it cannot be done. 2: bad usage.
    """
    if action == "convert" and to is None:
        raise click.UsageError("convert needs --to")
    if schema is not None and (language, action) not in (("json", "validate"), ("json", "schema")):
        raise click.UsageError("--schema goes with: json validate")
    if action == "schema" and schema is None:
        raise click.UsageError("json schema needs --schema FILE")
    if not any((row.language, row.action) == (language, action) for row in ROWS):
        known = ", ".join(row.action for row in ROWS if row.language == language)
        raise click.UsageError(f"there is no {action} for {language}; there is: {known}")
    options = Options(
        indent=indent,
        sort_keys=sort_keys,
        to=to or "",
        schema=_read(str(schema)) if schema else "",
        types=types,
    )
    try:
        result = run(language, "schema" if schema else action, _read(file), options)
    except CannotAnswer as error:
        if as_json:
            click.echo(orjson.dumps({"ok": None, "error": error.reason}).decode())
        else:
            click.echo(f"rung: {error.reason}", err=True)
        sys.exit(1)
    _tell(result, as_json)
    sys.exit(1 if result.ok is False else 0)


def _read(file: str) -> str:
    try:
        with click.open_file(file, "rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise click.UsageError(f"{file}: more than {MAX_BYTES} bytes")
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file}: not UTF-8 at byte {error.start}") from None


def _tell(result: Result, as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps(dataclasses.asdict(result)).decode())
        return
    if result.ok is None:
        click.echo(result.text)
    elif not result.findings:
        click.echo("ok")
    for finding in result.findings:
        click.echo(describe(finding))
    for edit in result.edits:
        click.echo(edit, err=True)
