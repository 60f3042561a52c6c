"""``rung doctor``: can this machine run a local model, which one, how fast?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path

import click
import orjson

from rung.config.paths import paths
from rung.errors import ModelFileError
from rung.local import catalogue, discover
from rung.local.bandwidth import probe
from rung.local.build import compiled_for, engine_version
from rung.local.doctor import Candidate, Finding, examine, rule_of_thumb
from rung.local.fit import Room, no_room, room_for
from rung.local.found import Found, find
from rung.local.gguf import read_header
from rung.local.hardware import Hardware, disk_free, look
from rung.local.installed import serving
from rung.local.known import known
from rung.local.predict import Probe
from rung.local.remote import remote_header
from rung.local.setup import describe, find_setup, setup_for, tuning_of
from rung.local.trial import measured_here, recall, remember, trial
from rung.wire.client import Client

MiB = 1024 * 1024
_BAR = 24
_PROBE_SECONDS = 1.0


@click.command()
@click.argument("models", nargs=-1)
@click.option("--probe", "try_out", is_flag=True, help="Run the models that are here for a few seconds, and remember.")
@click.option(
    "--tune", is_flag=True, help="Also try them with other settings, a minute each, and keep what answers soonest."
)
@click.option(
    "--context", type=click.IntRange(512, 1_048_576), help="Tokens; left out: 8192, or 4096 where memory is short."
)
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads to predict for; left out: all cores but one.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(
    models: tuple[str, ...], try_out: bool, tune: bool, context: int | None, threads: int | None, as_json: bool
) -> None:
    """Say what fits and how fast it would be, before anything is downloaded.

    MODELS: also look at these: a GGUF file, its https address (only the header is fetched), a name from the list.
    Exit 1 if no model that was looked at fits.
    """
    machine = look()
    folder = paths(os.environ).models
    count = threads or machine.engine_threads
    if try_out or tune:
        _try(folder, models, machine, count, context, tune=tune)
    speed = probe(count, seconds=_PROBE_SECONDS)
    found, running = _found(), asyncio.run(_running())
    version = engine_version()
    built = compiled_for() if version else ()
    findings = examine(_candidates(models, folder), machine, speed, disk_free=disk_free(folder), context=context)
    if as_json:
        told = {
            "machine": asdict(machine) | {"usable_ram": machine.usable_ram, "disk_free": disk_free(folder)},
            "engine": {"version": version, "instructions": built} if version else None,
            "probe": asdict(speed),
            "context": context,
            "rule_of_thumb": dict(zip(("met", "missing"), rule_of_thumb(machine), strict=True)),
            "files": [{"name": one.name, "keeper": one.keeper, "path": str(one.path)} for one in found],
            "running": [
                {"software": one.software, "version": one.version, "at": one.origin.label, "models": one.models}
                for one in running
            ],
            "models": [asdict(one) for one in findings],
        }
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
    else:
        _show_machine(machine, speed, folder, built)
        _show_models(findings, count, wanted=bool(models))
        _show_running(running)
        _show_files(found)
    if all(one.verdict == "does not fit" for one in findings):
        raise SystemExit(1)


def _candidates(named: tuple[str, ...], folder: Path) -> Iterator[Candidate]:
    listed = [_from_catalogue(row, folder) for row in catalogue.rows()]
    listed += [Candidate(one.name, one, f"from docs: {one.source}") for one in known()]
    names = {one.name for one in listed}
    yield from (one for one in listed if not named or one.name in named)
    for name in named:
        if name.startswith(("https://", "http://")):
            yield Candidate(name.rpartition("/")[2], remote_header(name), "its header, read remotely")
        elif name not in names:
            yield _from_file(name, folder)


def _from_catalogue(row: catalogue.Row, folder: Path) -> Candidate:
    return Candidate(row.name, row, "catalogue", serving(row, folder) is not None, measured_here(row, folder))


def _from_file(name: str, folder: Path) -> Candidate:
    """A GGUF file by its path, or a model some other program keeps, by the name it has there."""
    path = next((one.path for one in _found() if one.name == name), Path(name).expanduser())
    if not path.is_file():
        known_here = ", ".join(one.name for one in known())
        raise ModelFileError(f"there is no file or model {name!r}; try a path, an https address, or {known_here}")
    return Candidate(name, read_header(path), "its header", True, recall(folder, path.name, path.stat().st_size))


def _try(
    folder: Path, named: tuple[str, ...], machine: Hardware, threads: int, context: int | None, *, tune: bool
) -> None:
    rows = [row for row in catalogue.rows() if not named or row.name in named]
    files = [folder / version.file for row in rows if (version := serving(row, folder))]
    files += [path for name in named if (path := Path(name)).is_file()]
    if not files:
        raise ModelFileError("there is no model here to try; get one with: rung models pull default")
    for path in files:
        click.echo(f"trying {path.name} with {threads} thread{'s' * (threads > 1)} ...", err=True)
        room = _room(path, machine, context)
        setup = None
        if tune:
            found = find_setup(path, threads=threads, context=room.context, repack=room.repack, say=_say)
            setup, measured = asyncio.run(found)
            _say(f"kept: {describe(setup)}")
        else:
            tuning = tuning_of(setup_for(path, folder, threads=threads, repack=room.repack))
            measured = asyncio.run(trial(path, threads=threads, context=room.context, tuning=tuning))
        remember(folder, path, measured, date.today().isoformat(), setup)


def _room(path: Path, machine: Hardware, context: int | None) -> Room:
    """Raises ModelFileError if there is not memory enough to try it."""
    size, shape = path.stat().st_size, read_header(path)
    room = room_for(size, shape, machine, context=context)
    if room is None:
        raise no_room(path.name, size, shape, machine, context=context)
    return room


def _say(line: str) -> None:
    click.echo(f"  {line}", err=True)


async def _running() -> list[discover.Found]:
    """What serves models here already, at its usual port."""
    client = Client()
    try:
        return await discover.discover(client)
    finally:
        await client.aclose()


def _found() -> list[Found]:
    home = Path.home()
    stores = [Path(told)] if (told := os.environ.get("OLLAMA_MODELS")) else []
    stores += [home / ".ollama/models", Path("/usr/share/ollama/.ollama/models")]
    folders = [
        ("LM Studio", home / ".lmstudio/models"),
        ("LM Studio", home / ".cache/lm-studio/models"),
        ("llama.cpp", home / ".cache/llama.cpp"),
        ("Hugging Face", home / ".cache/huggingface/hub"),
    ]
    return find(ollama=stores, folders=folders)


# ---- for people ----


def _show_machine(machine: Hardware, speed: Probe, folder: Path, built: tuple[str, ...]) -> None:
    ram = f"{machine.usable_ram / MiB:,.0f} of {(machine.ram_total or 0) / MiB:,.0f} MiB of memory free"
    cores = f"{machine.cores} cores"
    if machine.physical_cores not in (None, machine.cores):
        cores += f" ({machine.physical_cores} in the machine)"
    click.echo(f"{machine.processor or 'processor'}: {cores}, {ram}, {disk_free(folder) / MiB:,.0f} MiB of disk")
    click.echo(f"instructions: {' '.join(machine.instructions) or 'not known'}")
    unused = [one for one in machine.instructions if one not in built] if built else []
    if unused:
        click.echo(
            f"the engine here was compiled without {' '.join(unused)}: one compiled on this machine is quicker "
            "(docs/local.md, An engine for this processor)"
        )
    for gpu in machine.gpus:
        memory = f", {gpu.memory / MiB:,.0f} MiB" if gpu.memory else ""
        click.echo(f"GPU: {gpu.name}{memory} (the embedded engine computes on the CPU; an Ollama here would use it)")
    click.echo(
        f"measured with {speed.threads} thread{'s' * (speed.threads > 1)}: memory {speed.read / 1e9:.1f} GB/s, "
        f"computing {speed.compute / 1e6:,.0f} MB/s of BLAKE2b"
    )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > machine.cores / 2:
        click.echo(
            f"this machine is busy (load {load:.1f}): what was just measured is too low, try again when it is calm"
        )
    met, missing = rule_of_thumb(machine)
    click.echo(f'the rule of thumb "8 cores, 16 GB, a GPU" {"is met" if met else f"says no ({missing})"}; measured:')


def _show_models(findings: list[Finding], threads: int, *, wanted: bool) -> None:
    click.echo()
    most = max((one.ram for one in findings), default=1)
    for one in findings:
        bar = ("#" * max(1, round(_BAR * one.ram / most))).ljust(_BAR)
        click.echo(f"{one.name:<22} {bar} {one.ram / MiB:>7,.0f} MiB  {one.verdict}: {one.why}")
        if one.pace is not None and one.room is not None:
            told = one.pace
            if not one.room.repack:
                click.echo(f"{'':<22} its weights stay as they are in the file, for want of memory: somewhat slower")
            docs = one.source.startswith("from docs")
            basis = "measured" if told.basis == "measured" else "predicted, shape from docs" if docs else "predicted"
            click.echo(
                f"{'':<22} reads {told.prompt.low:,.0f}-{told.prompt.high:,.0f}, writes {told.generation.low:,.0f}-"
                f"{told.generation.high:,.0f} tokens/s ({basis})"
            )
            for task in () if docs and not wanted else one.tasks:
                cold, warm = (f"{_short(low)}-{_short(high)} s" for low, high in (task.cold, task.warm))
                click.echo(f"{'':<22}   {task.task:<30} cold {cold:<13} warm {warm}")
    lengths = sorted({one.room.context for one in findings if one.room is not None}, reverse=True)
    context = " or ".join(f"{one:,}" for one in lengths)
    held = f"memory with {context} tokens of context, " if context else ""
    click.echo(f"\n{held}speed with {threads} thread{'s' * (threads > 1)};")
    click.echo("predicted figures are ranges; `rung doctor --probe` runs what is here and corrects them")
    if any(one.source.startswith("from docs") for one in findings):
        click.echo("shape from docs: rung has no verified file of it to pull; --json names the document")


def _show_running(running: list[discover.Found]) -> None:
    for one in running:
        models = ", ".join(one.models[:6]) + (f" and {len(one.models) - 6} more" if len(one.models) > 6 else "")
        name = f"{one.software} {one.version}".rstrip()
        click.echo(f"runs here: {name} at {one.origin.label}: {models or 'no model'}")


def _show_files(found: list[Found]) -> None:
    for one in found[:12]:
        click.echo(f"also here: {one.name} ({one.keeper}); look at it with: rung doctor {one.name}")


def _short(number: float) -> str:
    return f"{number:.1f}" if number < 9.95 else f"{number:.0f}"
