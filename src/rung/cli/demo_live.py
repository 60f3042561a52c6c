"""The second part of ``rung demo``: a recorded day, then live calls that fill the ladder, then the verdict on both.

The providers are simulated at their usual speeds. The local model is real where one is installed and fits; nothing
is ever downloaded.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from rung.cli import recorded
from rung.cli.demo_mix import Ask, mix
from rung.cli.demo_scenes import settle, truths
from rung.config import Settings
from rung.config.paths import paths
from rung.doors.app import App
from rung.doors.server import running
from rung.errors import RungError
from rung.gateway import Gateway
from rung.local.fit import chosen_model
from rung.local.hardware import look
from rung.report.conclude import KINDS
from rung.report.page import html
from rung.report.verdict import Verdict
from rung.result import Result
from rung.sim import RealClock, Scenario, simulator
from rung.store.ledger import Ledger
from rung.store.writer import Writer
from rung.verdicts import from_ledger, weigh

SEED = 5
MOST = 5000
"""calls made up at most"""

EVERY = 8.0
"""seconds between two lines of the live view"""

PAUSE = 0.25
"""seconds between two calls: a page is watched by a person"""

OUTAGE = (0.6, 0.7)
"""when the reference is down, as shares of the time"""

_DISPLAYS = {"DISPLAY", "WAYLAND_DISPLAY"}

DOWN = {"faults": [{"kind": "status", "status": 503, "rate": 1.0}]}
LITTLE = {"thinking": "low"}
SCENARIO: dict[str, Any] = {
    "groq": {"models": {"openai/gpt-oss-120b": LITTLE}},
    "deepseek": LITTLE,
    "openai": {},
}

TOML = """
[ladder]
reference = "groq:openai/gpt-oss-120b"
fallback = ["deepseek:deepseek-flash"]

[providers.groq]
base_url = "{groq}"

[providers.deepseek]
base_url = "{deepseek}"
"""
REAL = """
[local]
backend = "embedded"
"""
STAND_IN = """
[local]
enabled = false

[providers.here]
base_url = "{openai}"
private_host = true
models.strong = "gpt-6-luna"
"""


class Touring(Gateway):
    """A gateway that knows what the recording knew, for the page as for the verdict."""

    def __init__(self, settings: Settings, known: list[dict[str, Any]]) -> None:
        super().__init__(settings)
        self._known = known

    def trust_cells(self) -> dict[str, Any]:
        told = super().trust_cells()
        return {**told, "cells": [*told["cells"], *self._known]}


class Counts:
    """What each rung did so far."""

    def __init__(self) -> None:
        self._ms: dict[str, list[float]] = {}
        self._pico: dict[str, int] = {}
        self.failed = 0

    def add(self, result: Result, ms: float) -> None:
        self._ms.setdefault(result.rung, []).append(ms)
        self._pico[result.rung] = self._pico.get(result.rung, 0) + (result.cost or 0)

    def line(self, seconds: float) -> str:
        """``0:16   41 calls  tool 29 % 0.3 ms ...``: share, median time and money of every rung."""
        calls = sum(map(len, self._ms.values()))
        parts = [
            f"{rung} {len(found) / calls:4.0%} {statistics.median(found):6.1f} ms ${self._pico[rung] / 1e12:.5f}"
            for rung in ("tool", "exact", "semantic", "local", "cloud")
            if (found := self._ms.get(rung))
        ]
        failed = f"  {self.failed} failed" if self.failed else ""
        return f"{int(seconds) // 60}:{int(seconds) % 60:02} {calls:4} calls  " + " | ".join(parts) + failed


async def show(home: Path, seconds: float, page: Path) -> None:
    """Make calls for `seconds`, with what is kept in the empty folder `home`, then weigh what was seen and write the
    verdict to `page`."""
    recording = await asyncio.to_thread(recorded.load)
    asked = list(mix(MOST, SEED))
    scenario = {**SCENARIO, "answers": {"truth": str(await asyncio.to_thread(truths, home, asked))}}
    async with simulator(scenario, seed=SEED, clock=RealClock()) as sim:
        toml = TOML + (REAL if await asyncio.to_thread(_model_here, home) else STAND_IN)
        settings = await asyncio.to_thread(settle, home, toml.format(**{name: sim.url(name) for name in SCENARIO}))
        await asyncio.to_thread(_fill, settings, recording)
        click.echo(f"\n{recorded.label(recording)}")
        async with Touring(settings, recording.cells) as gateway, running(App(gateway)) as url:
            click.echo(f"{gateway.summary()} [providers simulated]")
            click.echo(f"watch it: {url}/\n")
            await _live(gateway, asked, seconds, lambda down: sim.use(Scenario.of(_broken(scenario, down))))
            told = gateway.trust_cells()
            cells = told["cells"]
            _say_semantic(told.get("semantic", ()))
    verdict = await asyncio.to_thread(_weigh, settings, cells, recording)
    await asyncio.to_thread(_tell, verdict, page)


def _tell(verdict: Verdict, page: Path) -> None:
    """The end: the verdict in short, and the page it stands on, opened where somebody sits in front of a browser."""
    page.write_text(html(verdict))
    click.echo(f"\n{KINDS[verdict.conclusion.kind].upper()}: {verdict.conclusion.text}")
    for line in (*(number.text for number in verdict.conclusion.numbers), *verdict.labels):
        click.echo(f"  - {line}")
    click.echo(f"the whole of it: {page.absolute().as_uri()}")
    if sys.stdout.isatty() and (sys.platform in ("darwin", "win32") or _DISPLAYS & os.environ.keys()):
        click.launch(str(page.absolute()))


async def _live(gateway: Gateway, asked: Iterable[Ask], seconds: float, outage: Callable[[bool], None]) -> None:
    """Ask until the time is over; a line now and then."""
    counts, started, shown, down = Counts(), time.monotonic(), 0.0, False
    for one in asked:
        now = time.monotonic() - started
        if now >= seconds:
            break
        if (OUTAGE[0] <= now / seconds < OUTAGE[1]) != down:
            down = not down
            outage(down)
            click.echo(f"{'':5}the reference is {'down' if down else 'back'} [simulated]")
        asked_at = time.perf_counter()
        try:
            counts.add(await gateway.chat(one.messages, **one.told), (time.perf_counter() - asked_at) * 1e3)
        except RungError:
            counts.failed += 1
        if now - shown >= EVERY:
            shown = now
            click.echo(counts.line(now))
        await asyncio.sleep(PAUSE)
    click.echo(counts.line(time.monotonic() - started))


def _say_semantic(scopes: Iterable[Mapping[str, Any]]) -> None:
    """What became of the rung that serves nothing before it is proved: two minutes are too short for that."""
    watched = sum(scope["requests"] for scope in scopes)
    if any(scope["state"] == "open" for scope in scopes):
        click.echo(f"{'':5}semantic: open, {watched} requests watched")
    elif watched:
        click.echo(f"{'':5}semantic: in shadow, {watched} requests watched; about 1,000 alike are needed to prove it")


def _broken(usual: dict[str, Any], down: bool) -> dict[str, Any]:
    return {**usual, "groq": {**usual["groq"], **DOWN}} if down else usual


def _model_here(home: Path) -> bool:
    """Is there a model of the user's that fits? Then this home shows it as its own."""
    models = paths(os.environ).models
    if find_spec("xllamacpp") is not None and chosen_model("auto", models, look(), context=8192) is not None:
        try:
            (home / "models").symlink_to(models, target_is_directory=True)
            return True
        except OSError:  # Windows grants this to few
            pass
    click.echo("\nno local model is installed that fits: a simulated one stands in (rung models list)")
    return False


def _fill(settings: Settings, recording: recorded.Recording) -> None:
    """The recorded day, as the ledger of the day before."""
    ledger = Ledger(settings.ledger.path, Writer())
    ledger.write(recorded.rows(recording, time.time()))
    ledger.close()


def _weigh(settings: Settings, cells: list[dict[str, Any]], recording: recorded.Recording) -> Verdict:
    seen = from_ledger(settings.ledger.path)
    return weigh(settings, cells, traffic=seen, labels=(f"{recorded.label(recording)}; then live calls",))
