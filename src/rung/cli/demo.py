"""``rung demo``: a climb, a warm prompt cache, a hedge and an outage, without a key. The providers are simulated."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rung import config
from rung.doors.reply import usd
from rung.gateway import Gateway
from rung.result import Result
from rung.sim import RealClock, Scenario, simulator

LEARNING = 76
"""calls after which the hedge may know what is late"""

SCENARIO = {
    # answers come 20 times faster than these figures; the call after the learning never begins
    "groq": {"first_token": 0.4, "tokens_per_second": 500, "script": ["ok"] * (LEARNING + 3) + [{"kind": "stall"}]},
    "deepseek": {"first_token": 0.8, "tokens_per_second": 100},
}
OUTAGE = {"groq": {"faults": [{"kind": "status", "status": 503, "rate": 1.0}]}}

TOML = """
[local]
enabled = false

[ladder]
reference = "groq:openai/gpt-oss-120b"
fallback = ["deepseek:deepseek-flash"]

[hedge]
enabled = true

[providers.groq]
base_url = "{groq}"

[providers.deepseek]
base_url = "{deepseek}"
"""
MANUAL = "You are the support assistant of a bicycle shop. " + "Be exact, be brief, be kind. " * 800


@click.command()
def command() -> None:
    """Show what rung does, on simulated providers: no key, no network, about five seconds."""
    asyncio.run(_show())


async def _show() -> None:
    async with simulator(SCENARIO, seed=1, clock=RealClock(speed=20)) as sim:
        with tempfile.TemporaryDirectory(prefix="rung-demo-") as folder:
            toml = TOML.format(groq=sim.url("groq"), deepseek=sim.url("deepseek"))
            settings = await asyncio.to_thread(_settings, Path(folder), toml)
            async with Gateway(settings) as gateway:
                await _tour(gateway, lambda: sim.use(Scenario.of(OUTAGE)))


def _settings(home: Path, toml: str) -> config.Settings:
    (home / "rung.toml").write_text(toml)
    return config.load({"RUNG_HOME": str(home), "HOME": str(home)}, home / "rung.toml", cwd=home)


async def _tour(gateway: Gateway, begin_outage: Callable[[], None]) -> None:
    async def ask(text: str) -> Result:
        return await gateway.chat([{"role": "user", "content": text}], temperature=1)

    click.echo(_line("a program", await ask('Minify this JSON: {"a": [1, 2]}')))
    click.echo(_line("a climb", await ask("Why is the sky blue?")))
    history: list[dict[str, Any]] = [{"role": "system", "content": MANUAL}]
    history.append({"role": "user", "content": "My chain squeaks."})
    answer = await gateway.chat(history, temperature=1, session="s1")
    history += [answer.message, {"role": "user", "content": "And now it skips."}]
    click.echo(_line("a warm prefix", await gateway.chat(history, temperature=1, session="s1")))
    for number in range(LEARNING):  # until it is known how long a first content takes
        await ask(f"Question {number}")
    click.echo(_line("a hedge", await ask("One more question")))
    begin_outage()
    click.echo(_line("an outage", await ask("Are you there?")))


def _line(what: str, result: Result) -> str:
    label = " [simulated]" if result.simulated else ""
    usage = result.usage
    cached = ""
    if usage is not None and usage.cache_read_tokens:
        cached = f"; {usage.cache_read_tokens} of {usage.prompt_tokens} prompt tokens were cached"
    way = result.path.replace("tool=declined:not_a_tool_task, ", "").replace("exact=bypass, ", "")
    return f"{what + ':':15} {way}; {result.model}, {usd(result.cost)} USD{cached}{label}"
