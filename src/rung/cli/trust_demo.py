"""``rung trust demo``: mixed traffic against a simulated reference; one watches cells open, or stay shut and why.

The reference answers from truths made here. The lower model is simulated too, with a skill per task, or is a real
one (``--local FILE``). What is learnt lies in a folder that goes at the end.
"""

from __future__ import annotations

import asyncio
import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from rung import config
from rung.cli.trust import table
from rung.gateway import Gateway
from rung.learning.told import words
from rung.sim import RealClock, simulator

REFERENCE, LOWER = "gpt-6.1-terra", "gpt-6-luna"

SKILL = {"extraction": 1.0, "classification": 0.97, "math": 0.55, "chat_writing": 1.0}
"""share of the simulated lower model's answers that agree, by task"""

SHOWN = (20, 60, 120, 240)
"""calls after which the table is printed"""

TOML = """
[ladder]
reference = "openai:{reference}"
fallback = []
[trust]
max_error = 0.1
share = 1.0
cpu_share = 1.0
usd_per_day = 1.0
[providers.openai]
base_url = "{url}"
key = "simulated"
{lower}
"""
SIMULATED = """
[providers.here]
base_url = "{url}"
private_host = true
models.strong = "{lower}"
[local]
enabled = false
"""
REAL = """
[local]
model = "{file}"
"""
NAMES = ("Maria", "Jonas", "Aiko", "Liam", "Zoe", "Omar", "Ines", "Paul", "Nora", "Igor")


def questions(count: int, seed: int = 1) -> Iterator[tuple[str, str, str]]:
    """(task, question, the reference's answer), each asked once."""
    dice = random.Random(seed)  # noqa: S311 (no secret)
    for number in range(count):
        name, age = dice.choice(NAMES), dice.randint(18, 90)
        task = tuple(SKILL)[number % len(SKILL)]
        if task == "extraction":
            told = f"{name} turned {age}, file {number}"
            yield (
                task,
                f"Extract name and age as JSON with the keys name and age, nothing else: {told}.",
                orjson.dumps({"name": name, "age": age}).decode(),
            )
        elif task == "classification":
            mood = dice.choice(("positive", "negative"))
            said = {"positive": "loved every minute of it", "negative": "want my money back"}[mood]
            yield task, f"Answer with one word, positive or negative. Review {number}: we {said}.", mood
        elif task == "math":
            bought, price = dice.randint(2, 40), dice.randint(2, 90)
            text = f"Order {number}: {bought} books at {price} euros each. What do they cost? End with: The answer is N"
            yield task, text, f"{bought} * {price} = {bought * price}. The answer is {bought * price}"
        else:
            yield (
                task,
                f"Write a kind line to {name} for birthday {age}, card {number}.",
                f"Happy {age}th, dear {name}!",
            )


def wrong(task: str, number: int) -> str:
    """What the simulated lower model says where it fails."""
    return {"extraction": "{}", "classification": "neutral", "math": f"The answer is {number}"}.get(task, "Well.")


async def show(file: Path | None, calls: int) -> None:
    """Ask `calls` questions and print the table now and then, and at the end why each cell is as it is."""
    with tempfile.TemporaryDirectory(prefix="rung-trust-") as folder:
        home = Path(folder)
        asked = list(questions(calls))
        scenario = await asyncio.to_thread(_scenario, home, asked)
        async with simulator(scenario, seed=1, clock=RealClock(speed=2000)) as sim:
            settings = await asyncio.to_thread(_settings, home, sim.url("openai"), file)
            async with Gateway(settings) as gateway:
                await _ask_all(gateway, asked)


def _scenario(home: Path, asked: list[tuple[str, str, str]]) -> dict[str, Any]:
    """The simulated models' answers as files: the truth, and where the lower one fails."""
    dice = random.Random(2)  # noqa: S311
    truths = [{"question": text, "answer": answer} for _, text, answer in asked]
    fails = [
        {"model": LOWER, "match": f"^{re.escape(text)}$", "text": wrong(task, number)}
        for number, (task, text, _) in enumerate(asked)
        if dice.random() >= SKILL[task]
    ]
    for name, rows in (("truth", truths), ("fails", fails)):
        (home / f"{name}.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    answers = {"truth": str(home / "truth.jsonl"), "file": str(home / "fails.jsonl")}
    return {"answers": answers, "openai": {"limits": {"requests": 1_000_000}}}


def _settings(home: Path, url: str, file: Path | None) -> config.Settings:
    lower = SIMULATED.format(url=url, lower=LOWER) if file is None else REAL.format(file=file.absolute())
    (home / "rung.toml").write_text(TOML.format(reference=REFERENCE, url=url, lower=lower))
    return config.load({"RUNG_HOME": str(home), "HOME": str(home)}, home / "rung.toml", cwd=home)


async def _ask_all(gateway: Gateway, asked: list[tuple[str, str, str]]) -> None:
    proving = gateway.proving
    assert proving is not None
    lower = 0
    for number, (task, text, _) in enumerate(asked, 1):
        result = await gateway.chat([{"role": "user", "content": text}], task=task)
        lower += result.model != f"openai:{REFERENCE}"
        await proving.learner.idle.wait()
        if number in SHOWN or number == len(asked):
            click.echo(f"\nafter {number} calls, {lower} of them answered below the reference [simulated]")
            rows = gateway.trust_cells()["cells"]
            click.echo("\n".join(table(rows)) if rows else "no cell yet")
    click.echo("")
    for cell in proving.learner.cells.values():
        click.echo("\n  ".join(words(cell)))
    click.echo("chat_writing has no cell: free text is compared only by a judge that you name (trust.judge).")
