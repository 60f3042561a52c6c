"""The scenes of ``rung demo``: each thing rung does, once, in seconds. The providers are simulated.

Every scene knows what it should look like, so that they are the smoke test of the whole product too.
"""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import orjson

from rung import config
from rung.cli import recorded
from rung.cli.demo_mix import Ask, mix
from rung.doors.app import App
from rung.doors.reply import usd
from rung.doors.server import running
from rung.gateway import Gateway
from rung.ladder.trust import Cell
from rung.report.conclude import KINDS
from rung.report.page import html
from rung.report.verdict import Verdict
from rung.result import Result
from rung.sim import RealClock, Scenario, simulator

LEARNING = 76
"""calls after which the hedge may know what is late"""

COMPARED = 100
"""calls that may be compared until trust must have opened a cell"""

SCENARIO: dict[str, Any] = {
    # answers come 20 times faster than these figures; the call after the learning never begins
    "groq": {"first_token": 0.4, "tokens_per_second": 500, "script": ["ok"] * (LEARNING + 3) + [{"kind": "stall"}]},
    "deepseek": {"first_token": 0.8, "tokens_per_second": 100},
    "openai": {"first_token": 0.1, "tokens_per_second": 900},
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

[trust]
share = 1.0
cpu_share = 1.0

[prices."here:gpt-6-luna"]
input = 0
output = 0

[providers.groq]
base_url = "{groq}"

[providers.deepseek]
base_url = "{deepseek}"

[providers.here]
base_url = "{openai}"
private_host = true
models.strong = "gpt-6-luna"
"""
MANUAL = "You are the support assistant of a bicycle shop. " + "Be exact, be brief, be kind. " * 800


class Scenes:
    """Shows one scene after the other; `wrong` names those that were not as they should be."""

    def __init__(self, gateway: Gateway, use: Callable[[Scenario], None]) -> None:
        self._gateway, self._use = gateway, use
        self.wrong: list[str] = []

    async def play(self, asked: list[Ask]) -> None:
        """All of them. `asked`: calls whose answers the simulators know."""
        text = "Why is the sky blue?"
        self._tell("a program", await self._ask('Minify this JSON: {"a": [1, 2]}'), "tool=answered")
        first = await self._ask(text, temperature=0)
        self._tell("a climb", first, "cloud=answered", first.simulated)
        await self._prefix()
        for number in range(LEARNING):  # until it is known how long a first content takes
            await self._ask(f"Question {number}")
        late = await self._ask("One more question")
        self._tell("a hedge", late, "cloud=cancelled:hedge_lost, cloud=answered", late.cost is None)
        again = await self._ask(text, temperature=0)
        self._tell("a repeat", again, "exact=hit", again.text == first.text)
        kept = await self._ask("My salary is 3,100 a month. Is that a lot?", private=True)
        self._tell("a private call", kept, "local=answered", kept.model == "here:gpt-6-luna" and kept.unproved)
        await self._trust(asked)
        self._use(Scenario.of(OUTAGE))
        other = await self._ask("Are you there?")
        self._tell("an outage", other, "cloud=failed:provider_server_error", other.model == "deepseek:deepseek-flash")

    async def _ask(self, text: str, **told: Any) -> Result:
        return await self._gateway.chat([{"role": "user", "content": text}], **{"temperature": 1, **told})

    async def _prefix(self) -> None:
        history: list[dict[str, Any]] = [{"role": "system", "content": MANUAL}]
        history.append({"role": "user", "content": "My chain squeaks."})
        answer = await self._gateway.chat(history, temperature=1, session="s1")
        history += [answer.message, {"role": "user", "content": "And now it skips."}]
        warm = await self._gateway.chat(history, temperature=1, session="s1")
        cached = warm.usage is not None and warm.usage.cache_read_tokens > 1000
        self._tell("a warm prefix", warm, "cloud=answered", cached)

    async def _trust(self, asked: list[Ask]) -> None:
        """The model here is compared with the reference, in the background, until it may answer instead."""
        proving = self._gateway.proving
        assert proving is not None
        opened: Cell | None = None
        for one in asked:
            result = await self._gateway.chat(one.messages, task=one.task, max_error=0.2)
            await proving.learner.idle.wait()
            opened = next((cell for cell in proving.learner.cells.values() if cell.threshold is not None), None)
            if opened is not None and result.model == "here:gpt-6-luna":
                break
        told = next((cell for cell in self._gateway.trust_cells()["cells"] if cell["state"] == "open"), None)
        if opened is None or told is None:
            self.say("trust", f"nothing was proved in {len(asked)} calls", False)
            return
        proof = f"after {told['labels']} comparisons at most {told['upper']:.0%} differ (limit 20%)"
        self._tell("trust", result, "local=answered", not result.unproved, f"; {proof}")

    def look(self, url: str) -> None:
        """The page is there. Waits for it: call it in a thread."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
        with direct.open(f"{url}/", timeout=10) as reply:
            body = reply.read()
        self.say("the page", f"{len(body)} bytes at {url}/", b"<html" in body)

    def conclude(self, verdict: Verdict) -> None:
        """The last scene: what the recorded day says."""
        good = verdict.calls >= 200 and verdict.conclusion.kind != "not_enough_data" and "<html" in html(verdict)
        self.say("a verdict", f"{KINDS[verdict.conclusion.kind]}. {verdict.conclusion.text}", good)
        for label in verdict.labels[:1]:
            click.echo(f"{'':16}[{label}]")

    def _tell(self, what: str, result: Result, steps: str, good: bool = True, more: str = "") -> None:
        self.say(what, line(result) + more, good and steps in way(result))

    def say(self, what: str, text: str, good: bool) -> None:
        click.echo(f"{what + ':':15} {text}")
        if not good:
            self.wrong.append(what)


async def show(home: Path) -> list[str]:
    """Play all scenes, with what is kept in the empty folder `home`; -> those that were not as they should be."""
    asked = [one for one in mix(8 * COMPARED, 1) if one.kind == "extraction"][:COMPARED]
    scenario = {**SCENARIO, "answers": {"truth": str(await asyncio.to_thread(truths, home, asked))}}
    async with simulator(scenario, seed=1, clock=RealClock(speed=20)) as sim:
        toml = TOML.format(**{name: sim.url(name) for name in SCENARIO})
        settings = await asyncio.to_thread(settle, home, toml)
        async with Gateway(settings) as gateway:
            scenes = Scenes(gateway, sim.use)
            await scenes.play(asked)
            async with running(App(gateway)) as url:
                await asyncio.to_thread(scenes.look, url)
            scenes.conclude(await asyncio.to_thread(recorded.weighed, settings))
    return scenes.wrong


def truths(home: Path, asked: list[Ask]) -> Path:
    """The true answers, as a file for the simulators."""
    path = home / "truth.jsonl"
    path.write_bytes(
        b"\n".join(orjson.dumps({"question": one.text, "answer": one.answer}) for one in asked if one.answer)
    )
    return path


def settle(home: Path, toml: str) -> config.Settings:
    """The settings of a home of its own, whatever the user's say."""
    (home / "rung.toml").write_text(toml)
    return config.load({"RUNG_HOME": str(home), "HOME": str(home)}, home / "rung.toml", cwd=home)


def way(result: Result) -> str:
    """The way up, without the programs and caches that had no answer."""
    return re.sub(r"(tool|exact|semantic)=(?!answered|hit)[^,]*, ", "", result.path)


def line(result: Result) -> str:
    """The way up, who answered, what it cost."""
    label = " [simulated]" if result.simulated else ""
    usage = result.usage
    cached = ""
    if usage is not None and usage.cache_read_tokens:
        cached = f"; {usage.cache_read_tokens} of {usage.prompt_tokens} prompt tokens were cached"
    return f"{way(result)}; {result.model}, {usd(result.cost)} USD{cached}{label}"
