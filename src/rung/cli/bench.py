"""``rung bench``: replay data, yours or ours, and print what came out."""

from __future__ import annotations

import click

from rung.cli.bench_hedging import command as hedging
from rung.cli.bench_local import command as local
from rung.cli.bench_semantic import command as semantic
from rung.cli.bench_tasks import command as tasks
from rung.cli.bench_tools import command as tools
from rung.cli.bench_trust import command as trust


@click.group()
def command() -> None:
    """Replay your own data: how right, how fast. Each takes --data FILE and --json."""


command.add_command(hedging, "hedging")
command.add_command(local, "local")
command.add_command(semantic, "semantic")
command.add_command(tasks, "tasks")
command.add_command(tools, "tools")
command.add_command(trust, "trust")
