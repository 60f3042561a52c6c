"""Make the recording that ``rung demo`` and ``rung verdict --sample`` show: real runs of rung, a few minutes.

    python scripts/record_demo.py --models FOLDER [--model qwen2.5-coder:1.5b] [--note "busy with other work"]

The local model is real and runs here; Groq, DeepSeek and Gemini are simulated at their usual speeds, and marked so
climb by climb. Every answer of the reference that can be compared is (trust.share = 1), so that there is evidence.
No text and no path is kept.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson

from rung import __version__, config
from rung.cli.demo_mix import Ask, mix
from rung.cli.recorded import FILE, Recording, label, save
from rung.gateway import Gateway
from rung.local.hardware import look
from rung.local.upkeep import kept
from rung.sim import RealClock, Scenario, simulator
from rung.store.ledger import ClimbRow, tail

SEED = 9
DOWN = {"faults": [{"kind": "status", "status": 503, "rate": 1.0}]}
OUTAGES = {0.5: ("groq",), 0.52: ("groq", "deepseek"), 0.53: ()}
"""who is down from which share of the calls on"""

LITTLE = {"thinking": "low"}
SCENARIO: dict[str, Any] = {
    "groq": {"models": {"openai/gpt-oss-120b": LITTLE}},
    "deepseek": LITTLE,
    "gemini": LITTLE,
}
TOML = """
[ladder]
reference = "groq:openai/gpt-oss-120b"
fallback = ["deepseek:deepseek-flash", "gemini:gemini-3.8-flash"]
[trust]
share = 1.0
cpu_share = 1.0
[local]
backend = "embedded"
model = "{model}"
idle_unload = 0
"""


@click.command()
@click.option("--models", type=click.Path(exists=True, path_type=Path), required=True, help="Folder of GGUF files.")
@click.option("--model", default="qwen2.5-coder:1.5b", show_default=True, help="Its name in the catalogue.")
@click.option("--calls", default=260, show_default=True, type=click.IntRange(20))
@click.option("--note", default="", help="What else is to be known of this machine.")
@click.option("--out", default=FILE, type=click.Path(path_type=Path), help="Where to write it.  [default: the package]")
def main(models: Path, model: str, calls: int, note: str, out: Path) -> None:
    """See the module."""
    asyncio.run(_record(models, model, list(mix(calls, SEED)), note, out))


async def _record(models: Path, model: str, asked: list[Ask], note: str, out: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="rung-record-") as folder:
        home = Path(folder)
        scenario = await asyncio.to_thread(_prepare, home, models, asked)
        async with simulator(scenario, seed=SEED, clock=RealClock()) as sim:
            toml = TOML.format(model=model)
            for name in ("groq", "deepseek", "gemini"):
                toml += f'[providers.{name}]\nbase_url = "{sim.url(name)}"\nkey = "simulated"\n'
            await asyncio.to_thread((home / "rung.toml").write_text, toml)
            settings = config.load({"RUNG_HOME": folder, "HOME": folder}, home / "rung.toml", cwd=home)
            started = time.monotonic()
            async with Gateway(settings) as gateway:
                await _ready(gateway)
                await _ask_all(gateway, asked, lambda down: sim.use(_scenario(scenario, down)))
                cells = gateway.trust_cells()["cells"]
            took = (time.monotonic() - started) / 60
        await asyncio.to_thread(_keep, settings, cells, took, note, out)


def _prepare(home: Path, models: Path, asked: list[Ask]) -> dict[str, Any]:
    """Models where rung looks for them; the true answers as a file for the simulators."""
    (home / "models").mkdir()
    for file in models.glob("*.gguf"):
        (home / "models" / file.name).symlink_to(file.absolute())
    truths = [{"question": one.text, "answer": one.answer} for one in asked if one.answer]
    (home / "truth.jsonl").write_bytes(b"\n".join(map(orjson.dumps, truths)))
    return {**SCENARIO, "answers": {"truth": str(home / "truth.jsonl")}}


def _scenario(usual: dict[str, Any], down: tuple[str, ...]) -> Scenario:
    return Scenario.of({**usual, **{name: {**usual[name], **DOWN} for name in down}})


async def _ready(gateway: Gateway) -> None:
    """Wait for the local model: a recording without it is none."""
    while (state := gateway.readiness()[1])["local"] == "loading":  # noqa: ASYNC110 (nothing tells)
        await asyncio.sleep(0.5)
    if state["local"] != "ready":
        raise click.ClickException(f"the local model is not here: {state}")


async def _ask_all(gateway: Gateway, asked: list[Ask], outage: Callable[[tuple[str, ...]], None]) -> None:
    proving = gateway.proving
    assert proving is not None
    plan = {round(share * len(asked)): down for share, down in OUTAGES.items()}
    for number, one in enumerate(asked):
        if number in plan:
            outage(plan[number])
        result = await gateway.chat(one.messages, **one.told)
        await proving.learner.idle.wait()
        if number % 20 == 0:
            click.echo(f"{number:4}  {one.kind:15} {result.path}")


def _keep(settings: config.Settings, cells: list[dict[str, Any]], minutes: float, note: str, out: Path) -> None:
    if not cells:
        raise click.ClickException("nothing was compared: not a recording to show")
    climbs = [_plain(number, row) for number, row in enumerate(tail(settings.ledger.path, 1_000_000), 1)]
    machine = look()
    told = [{name: value for name, value in cell.items() if not name.startswith("wait")} for cell in cells]
    recording = Recording(
        date=datetime.now(UTC).date().isoformat(),
        machine=", ".join(filter(None, (machine.processor, f"{machine.cores} cores", note))),
        rung=__version__,
        reference=settings.ladder.reference or "",
        local=told[0]["model"],
        minutes=minutes,
        climbs=climbs,
        cells=told,
        upkeep=kept(settings.paths.models),
    )
    click.echo(f"{save(recording, out):,} bytes, {len(climbs)} climbs: {label(recording)}")


_DROPPED = ("id", "fingerprint", "tenant", "request_text", "answer_text")
_USUAL = ClimbRow("", 0.0)


def _plain(number: int, row: dict[str, Any]) -> dict[str, Any]:
    """A row of the ledger, only what is not usual in it and says nothing about anybody."""
    kept = {name: value for name, value in row.items() if name not in _DROPPED and value != getattr(_USUAL, name)}
    kept |= {"request_id": f"recorded-{number:04}", "tenant": "recorded"}
    kept |= {name: bool(row[name]) for name in ("private", "stream", "simulated", "unproved") if row[name]}
    return {**kept, "attempts": orjson.loads(row["attempts"])}


if __name__ == "__main__":
    main()
