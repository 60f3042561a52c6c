"""``rung sim``: the providers, simulated, on one port of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import click

from rung.errors import ConfigError
from rung.sim import RealClock, Scenario, Simulator
from rung.sim.scenario import PROVIDERS

PORT = 7900


@click.command()
@click.option("--scenario", "path", type=click.Path(path_type=Path), help="TOML file; see docs/simulators.md.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: any free one.")
@click.option("--seed", type=int, help="Another throw of the dice than the scenario's.")
@click.option("--speed", type=click.FloatRange(min=0.001), default=1.0, show_default=True, help="10: ten times faster.")
@click.option("--print-config", is_flag=True, help="Print a rung.toml that uses the simulators, and stop.")
def command(path: Path | None, port: int, seed: int | None, speed: float, print_config: bool) -> None:
    """Simulate every provider, to try rung without keys or to rehearse an outage. Ctrl-C stops it."""
    scenario = Scenario.of({}) if path is None else Scenario.load(path)
    sim = Simulator(scenario, seed=seed, clock=RealClock(scenario.start, speed=speed))
    if print_config:
        if not port:
            raise click.UsageError("--print-config needs the port that will be used: --port N")
        sim.port = port
        click.echo(rung_toml(sim))
        return
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(sim, port))


def rung_toml(sim: Simulator) -> str:
    """The part of a `rung.toml` that points every provider at the simulator; no key is needed then."""
    tables = [f'[providers.{name}]\nbase_url = "{sim.url(name)}"\n' for name in PROVIDERS]
    return "# every answer from here is simulated\n" + "\n".join(tables)


async def _serve(sim: Simulator, port: int) -> None:
    stop = asyncio.Event()
    if sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        await sim.start(port=port)
    except OSError as error:
        raise ConfigError(f"cannot listen on port {port}: {error.strerror}; choose another with --port") from None
    try:
        click.echo(f"simulated providers listen on http://127.0.0.1:{sim.port}")
        for name in PROVIDERS:
            click.echo(f"  {name:<10} {sim.url(name)}")
        click.echo(f"for rung.toml: rung sim --port {sim.port} --print-config; books: /sim/books")
        await stop.wait()
    finally:
        await sim.aclose()
