"""Does `rung doctor` foretell right? For every model found: a trial of a few seconds, as ``rung doctor --probe`` does
it, then real calls of the four kinds of task, cold and warm; what was foretold from the trial against what came.

    python benchmarks/local/foretold.py FOLDER_OF_GGUF_FILES [THREADS [OUT]]

Writes benchmarks/results/local_foretold.json, or OUT. The machine must be quiet.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from datetime import date
from pathlib import Path

import msgspec

from rung.local.bandwidth import probe
from rung.local.engine import Engine
from rung.local.gguf import read_header
from rung.local.predict import TASKS, Measured, Rate, pace, seconds
from rung.local.trial import trial
from rung.local.tuning import Tuning
from rung.wire.client import Client, Deadlines

BAR = 0.25
CONTEXT = 4096
WORDS = [
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "woman",
    "life",
    "child",
    "world",
    "school",
    "state",
    "family",
    "student",
    "group",
    "country",
]


async def tasks(model: Path, threads: int) -> list[dict[str, float | str]]:
    """Real tokens per second and seconds of every task: once with an empty cache, then with its fixed part read."""
    tuning = Tuning(drafts=None)  # these texts repeat words: drafts would gain what they do not gain in real ones
    engine = Engine(model, alias="foretold", threads=threads, context=CONTEXT, delays=(), tuning=tuning)
    client, rng, rows = Client(), random.Random(7), []
    try:
        await engine.start()
        assert await engine.ready(300), engine.detail
        origin = engine.origin
        assert origin is not None
        head = f"authorization: Bearer {engine.api_key}\r\ncontent-type: application/json\r\n".encode()

        async def ask(prompt: str, output: int) -> tuple[dict[str, float], float]:
            told = {"prompt": prompt, "n_predict": output, "ignore_eos": True, "cache_prompt": True, "temperature": 0}
            started = time.monotonic()
            answer = await client.fetch(
                origin, "POST", "/completion", head, msgspec.json.encode(told), Deadlines(5, 600, 600, 900)
            )
            return msgspec.json.decode(answer.body)["timings"], time.monotonic() - started

        def text(tokens: int) -> str:
            return " ".join(rng.choices(WORDS, k=tokens))  # every word is one token of these vocabularies

        for task in TASKS:
            fixed = text(task.fixed)
            for warm in (False, True):
                timings, took = await ask(f"{fixed} {text(task.fresh)}", task.output)
                rows.append({"task": task.name, "warm": warm, "seconds": took, **timings})
    finally:
        await client.aclose()
        await engine.stop()
    return rows


def main() -> int:
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    machine, results, worst = probe(threads), [], 0.0
    for model in sorted(Path(sys.argv[1]).glob("*.gguf")):
        header = read_header(model)
        tried = asyncio.run(trial(model, threads=threads, context=CONTEXT))
        raw, told = pace(header, machine), pace(header, machine, measured=tried)
        rows = asyncio.run(tasks(model, threads))
        real = Measured(_rate(rows, "prompt"), _rate(rows, "predicted"), threads)
        off = {
            "prompt": tried.prompt / real.prompt - 1,
            "generation": tried.generation / real.generation - 1,
        }
        worst = max(worst, *(abs(value) for value in off.values()))
        for row in rows:
            task = next(task for task in TASKS if task.name == row["task"])
            best, most = seconds(task, told, warm=bool(row["warm"]))
            row["foretold"] = [best, most]
        results.append(
            {
                "model": model.name,
                "tried": msgspec.to_builtins(tried),
                "real": msgspec.to_builtins(real),
                "off": off,
                "uncorrected_range_holds": {
                    "prompt": _within(raw.prompt, real.prompt),
                    "generation": _within(raw.generation, real.generation),
                },
                "tasks": rows,
            }
        )
        print(f"{model.name:<42} prompt {tried.prompt:6.1f} -> {real.prompt:6.1f} ({off['prompt']:+.0%})   "
              f"generation {tried.generation:5.1f} -> {real.generation:5.1f} ({off['generation']:+.0%})")  # fmt: skip
    told_all = {
        "what": "tokens per second after a trial of some seconds, against those of real tasks",
        "date": date.today().isoformat(),
        "threads": threads,
        "probe": msgspec.to_builtins(machine),
        "bar": BAR,
        "worst": worst,
        "models": results,
    }
    out = Path(sys.argv[3] if len(sys.argv) > 3 else "benchmarks/results/local_foretold.json")
    out.write_text(json.dumps(told_all, indent=1) + "\n")
    print(f"worst {worst:.0%}, bar {BAR:.0%}")
    return worst > BAR


def _rate(rows: list[dict[str, float | str]], what: str) -> float:
    """Tokens per second over all tasks together."""
    return sum(float(row[f"{what}_n"]) for row in rows) / sum(float(row[f"{what}_ms"]) for row in rows) * 1e3


def _within(rate: Rate, value: float) -> bool:
    return rate.low <= value <= rate.high


if __name__ == "__main__":
    sys.exit(main())
