"""``rung``: one command a file, loaded only when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from rung import __version__
from rung.errors import ConfigError, RungError

COMMANDS = {
    "ask": ("rung.cli.ask", "Ask one question through the ladder, without a server."),
    "bench": ("rung.cli.bench", "Replay your own data: how right, how fast."),
    "cache": ("rung.cli.cache", "Look at or empty the running gateway's cache."),
    "config": ("rung.cli.config", "Check or show the configuration."),
    "demo": ("rung.cli.demo", "What rung does, shown on simulated providers."),
    "doctor": ("rung.cli.doctor", "Would a local model run here, which one, how fast?"),
    "ledger": ("rung.cli.ledger", "What was asked, who answered, what it cost."),
    "models": ("rung.cli.models", "Local models: list, pull, verify, update, remove."),
    "prices": ("rung.cli.prices", "The price table and its date."),
    "replay": ("rung.cli.replay", "Recorded traffic through a ladder of your choice; two runs compared."),
    "serve": ("rung.cli.serve", "Start the gateway."),
    "sim": ("rung.cli.sim", "Simulate the providers: no keys, any outage."),
    "tool": ("rung.cli.tool", "Format, repair, validate, lint, convert: no model asked."),
    "trust": ("rung.cli.trust", "Which calls may stop lower, and why."),
    "verdict": ("rung.cli.verdict", "Is a local model worth it, here, on this traffic?"),
}


class _Lazy(click.Group):
    """A group that imports a command's module when the command is wanted, and not for its help line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rung")
def cli() -> None:
    """An LLM gateway that answers every call at the lowest rung it has proved it can trust."""


def main() -> None:
    """Exit 0 good, 1 the answer is no, 2 bad usage or configuration."""
    try:
        sys.exit(cli(standalone_mode=False) or 0)  # a command's ctx.exit(n) comes back as n
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except ConfigError as error:
        for line in error.problems or [error.message]:
            click.echo(line, err=True)
        sys.exit(2)
    except RungError as error:
        click.echo(f"rung: {error.message}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(141)
