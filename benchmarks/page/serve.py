"""A gateway in front of simulators, with traffic, for ``look.mjs`` beside it: prints its URL, serves until killed.

Everything is simulated and labelled so on the page: a reference, a lower model that agrees with it in some tasks,
and a third provider that is down. ``--quiet``: no traffic after the start (an idle gateway).
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from itertools import cycle
from pathlib import Path

from rung import config
from rung.cli.trust_demo import LOWER, REFERENCE, _scenario, questions
from rung.doors.app import App
from rung.doors.server import running
from rung.errors import RungError
from rung.gateway import Gateway
from rung.sim import RealClock, simulator

TOML = """
[local]
enabled = false
[ladder]
reference = "openai:{reference}"
fallback = ["groq:openai/gpt-oss-120b"]
[trust]
max_error = 0.05
share = 1.0
cpu_share = 1.0
usd_per_day = 1.0
[retry]
attempts = 1
[providers.openai]
base_url = "{openai}"
key = "simulated"
[providers.here]
base_url = "{openai}"
private_host = true
models.strong = "{lower}"
[providers.groq]
base_url = "{groq}"
"""
LEARNT = 320
"""calls before the page is looked at, so that cells have opened"""

MANUAL = "You are the support assistant of a bicycle shop. " + "Be exact, be brief, be kind. " * 800
BROKEN = {"faults": [{"kind": "status", "status": 503, "rate": 1.0}]}


async def main(quiet: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="rung-page-") as folder:
        home = Path(folder)
        asked = list(questions(4000))
        scenario = await asyncio.to_thread(_scenario, home, asked)
        async with simulator({**scenario, "groq": BROKEN}, seed=1, clock=RealClock(speed=20)) as sim:
            text = TOML.format(reference=REFERENCE, lower=LOWER, openai=sim.url("openai"), groq=sim.url("groq"))
            settings = await asyncio.to_thread(_settings, home, text)
            async with Gateway(settings) as gateway, running(App(gateway)) as url:
                await _learn(gateway, asked[:LEARNT])
                print(url, os.getpid(), flush=True)
                if quiet:
                    await asyncio.Event().wait()
                await _talk(gateway, asked[LEARNT:])


def _settings(home: Path, text: str) -> config.Settings:
    (home / "rung.toml").write_text(text)
    return config.load({"RUNG_HOME": str(home), "HOME": str(home)}, home / "rung.toml", cwd=home)


async def _learn(gateway: Gateway, asked: list[tuple[str, str, str]]) -> None:
    assert gateway.proving is not None
    for number, (task, text, _) in enumerate(asked):
        await gateway.chat([{"role": "user", "content": text}], task=task, session=f"s{number}")
        await gateway.proving.learner.idle.wait()
    for number in range(4):
        system = MANUAL if number % 2 else f"It is 10:0{number} h. {MANUAL}"
        messages = [{"role": "system", "content": system}, {"role": "user", "content": f"My chain squeaks {number}."}]
        await gateway.chat(messages, model=f"openai:{REFERENCE}", session="shop")
    for _ in range(8):
        await _ask(gateway, "Hello?", model="groq:openai/gpt-oss-120b")


async def _talk(gateway: Gateway, asked: list[tuple[str, str, str]]) -> None:
    for number, (task, text, _) in enumerate(cycle(asked)):
        kind = number % 5
        if kind == 1:
            await _ask(gateway, f'Minify this JSON: [{number}, {{"a": null}}]')
        elif kind == 3:
            await _ask(gateway, "Why is the sky blue?", temperature=0)
        else:
            await _ask(gateway, text, task=task, session=f"t{number}", private=number % 25 == 0)
        await asyncio.sleep(0.4)


async def _ask(gateway: Gateway, text: str, model: str = "auto", **told: object) -> None:
    try:
        await gateway.chat([{"role": "user", "content": text}], model=model, **told)
    except RungError as error:
        print(error, file=sys.stderr)


asyncio.run(main("--quiet" in sys.argv))
