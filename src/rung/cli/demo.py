"""``rung demo``: the whole of rung without a key, in two minutes; ``--short`` in seconds, as a smoke test."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import click

from rung.cli import demo_live, demo_scenes


@click.command()
@click.option("--short", is_flag=True, help="Only the scenes, seconds; exit 1 if one is not as it should be.")
@click.option("--seconds", default=90, show_default=True, type=click.IntRange(5, 3600), help="How long calls are live.")
@click.option(
    "--html", "page", type=click.Path(path_type=Path), help="Where to write the verdict.  [default: a new folder]"
)
def command(short: bool, seconds: int, page: Path | None) -> None:
    """Show what rung does: no key, no network, nothing downloaded. The providers are simulated.

    Each thing once; then a recorded day and live calls, on the page and here; then the verdict on them.
    """
    with tempfile.TemporaryDirectory(prefix="rung-demo-") as folder:
        wrong = asyncio.run(demo_scenes.show(Path(folder)))
    if not short:
        page = page or Path(tempfile.mkdtemp(prefix="rung-verdict-")) / "verdict.html"
        with tempfile.TemporaryDirectory(prefix="rung-demo-") as folder:
            asyncio.run(demo_live.show(Path(folder), seconds, page))
    if wrong:
        click.echo(f"not as it should be: {', '.join(wrong)}", err=True)
        raise SystemExit(1)
