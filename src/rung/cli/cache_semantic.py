"""``rung cache inspect|export|import``: what the semantic cache's file holds. No gateway is needed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import click
import msgspec
import orjson

from rung.cli.config import as_json, named_file
from rung.config import load
from rung.errors import RungError
from rung.ladder.checks import texts_of
from rung.store.db import open_database
from rung.store.migrations import SEMANTIC
from rung.store.semantic import Entry, SemanticStore, listed, restored
from rung.store.writer import Writer

FORMAT = "rung-semantic-1"

SHOWN = 100
"""characters of a prompt and of an answer that a line shows"""

tenant_option = click.option("--tenant", help="Only this tenant's, as the ledger shows it.")
match_option = click.option("--match", help="Only those that hold this text, in the prompt or the answer, in any case.")


@click.command()
@tenant_option
@match_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many, the newest first.")
@named_file
@as_json
def inspect(tenant: str | None, match: str | None, limit: int, path: Path | None, as_json: bool) -> None:
    """Show what the semantic cache has on disk. Prompts stored as hashes only are not shown: nobody has them."""
    found = [_shown(entry) for entry in listed(file_of(path), tenant, match, limit)]
    if as_json:
        click.echo(orjson.dumps(found).decode())
        return
    if not found:
        click.echo("no such entry")
    for one in found:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(one["created"]))
        prompt = "(stored as a hash only)" if one["prompt"] is None else _short(one["prompt"])
        click.echo(f"{one['id']}  {at}  {one['tenant']}  scope {one['scope'][:8]}  {one['hits']} hits  {one['model']}")
        click.echo(f"  {prompt}\n  -> {_short(one['answer'])}")


@click.command()
@click.argument("file", type=click.File("wb"))
@tenant_option
@match_option
@named_file
def export(file: IO[bytes], tenant: str | None, match: str | None, path: Path | None) -> None:
    """Write entries to FILE (- for standard output), one JSON object a line. What was learnt is not among them."""
    count = 0
    for entry in listed(file_of(path), tenant, match, -1):
        file.write(_line(entry) + b"\n")
        count += 1
    click.echo(f"{count} entries written", err=True)


@click.command("import")
@click.argument("file", type=click.File("rb"))
@named_file
def import_(file: IO[bytes], path: Path | None) -> None:
    """Add the entries of FILE, as `export` wrote it. Stop the gateway first: it gives numbers of its own.

    They serve the same tenants and scopes as before; a scope is proved anew by the calls that come.
    """
    target = file_of(path)
    entries = list(_read(file))
    with closing(open_database(target, SEMANTIC)) as db:
        following = db.execute("SELECT coalesce(max(id), 0) + 1 FROM entries").fetchone()[0]
        answers: dict[bytes, int] = {
            bytes(scope): most + 1
            for scope, most in db.execute("SELECT scope, max(answer) FROM entries GROUP BY scope")
        }
    writer = Writer()
    store = SemanticStore(target, writer)
    for number, entry in enumerate(entries):
        entry.id = following + number
        entry.answer += answers.get(entry.scope, 0)  # what is called 3 there is not what is called 3 here
        store.put(entry)
        if store.channel.queued > 1000:
            store.flush(60.0)
    good = writer.close(60.0)
    if not good or store.channel.dropped:
        raise RungError(f"{target} could not take all entries; is its disk full?")
    click.echo(f"{len(entries)} entries added")


def purge_offline(tenant: str | None, match: str | None, path: Path | None) -> int:
    """Purge the file itself, and every index beside it; -> how many entries."""
    target = file_of(path)
    writer = Writer()
    try:
        gone = SemanticStore(target, writer).purge(tenant, match)
    except OSError as error:
        raise RungError(str(error)) from None
    finally:
        writer.close()
    for index in target.parent.glob("semantic-*.vectors*"):
        index.unlink(missing_ok=True)
    return gone


def file_of(config: Path | None) -> Path:
    """The semantic cache's file of these settings."""
    return load(os.environ, config, cwd=Path.cwd()).paths.semantic


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "scope": entry.scope.hex(),
        "tenant": entry.tenant,
        "created": entry.created,
        "expires": entry.expires,
        "hits": entry.hits,
        "model": entry.stored.model,
        "embedder": entry.embedder,
        "prompt": entry.prompt,
        "answer": "".join(texts_of(entry.stored.data, whole=entry.stored.shape == "whole")),
    }


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def _line(entry: Entry) -> bytes:
    told = {"format": FORMAT, **msgspec.to_builtins(entry)}  # bytes become base64
    return orjson.dumps(told)


def _read(file: IO[bytes]) -> Iterator[Entry]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            told = orjson.loads(line)
            if told.pop("format") != FORMAT:
                raise ValueError("another format")
            yield restored(told)
        except (ValueError, KeyError, TypeError, AttributeError, msgspec.MsgspecError) as error:
            raise RungError(f"line {number} is no entry of rung cache export ({error})") from None
