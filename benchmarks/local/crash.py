"""What a crash of the local engine costs the call it hits, and everybody else.

    python -m benchmarks.local.crash MODEL.gguf [MODEL.gguf ...] --rounds 20 --out benchmarks/results/local_crash.json

A gateway in process asks the real engine first and a fake cloud after it. While the engine reads a prompt it is
killed (``kill -9``), and the time from the kill to the cloud's answer is taken; between crashes it loads again.
`alone` is the same call with the engine down: what the cloud's answer takes anyway. `others`: calls to the cloud that
are under way all the time, their slowest beside their median. Bar: a crash costs under 100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from rung import config
from rung.gateway import Gateway
from rung.local.embedded import Embedded
from rung.testing import ScriptedUpstream, completion_reply

BAR_MS = 100.0
PROMPT = "Read this list of words and then say which is the longest: " + "ladder rung climb answer call " * 120


async def measure(model: Path, rounds: int) -> dict[str, Any]:
    """Crash the engine `rounds` times under a call; milliseconds."""
    with tempfile.TemporaryDirectory() as home:
        async with ScriptedUpstream(completion_reply("from the cloud")) as cloud:
            text = (
                f'[local]\nmodel = "{model}"\ncontext = 4096\n[ladder]\nlocal_in_auto = true\n'
                "[exact]\nenabled = false\n"
                f'[providers.mock]\nbase_url = "{cloud.base_url}"\nmodels.strong = "big"\n'
            )
            file = Path(home) / "rung.toml"
            file.write_text(text)
            told = config.load({"RUNG_HOME": home, "HOME": home}, file, cwd=Path(home))
            async with Gateway(told) as gateway:
                return await _rounds(gateway, rounds)


async def _rounds(gateway: Gateway, rounds: int) -> dict[str, Any]:
    backend = gateway._backends.current
    assert isinstance(backend, Embedded)
    engine = backend.engine
    engine._delays = (0.0,) * 1000  # a crash loop is the point
    crashed: list[float] = []
    others: list[float] = []
    stop = asyncio.Event()
    watching = asyncio.create_task(_others(gateway, others, stop))
    for number in range(rounds):
        while not backend.health.up:
            await backend.health.settled(60)
        asked = [{"role": "user", "content": f"{number}: {PROMPT}"}]
        call = asyncio.create_task(gateway.chat(asked, max_tokens=50))
        await asyncio.sleep(random.uniform(0.1, 0.6))
        assert engine.pid is not None
        assert not call.done(), "the model is too fast for this prompt"
        origin, killed = engine.origin, time.monotonic()
        os.kill(engine.pid, signal.SIGKILL)
        result = await call
        crashed.append((time.monotonic() - killed) * 1e3)
        assert result.text == "from the cloud"
        await engine.lost(origin, 60)
    alone: list[float] = []
    for _ in range(rounds):
        began = time.monotonic()
        await gateway.chat([{"role": "user", "content": PROMPT}], model="mock:big")
        alone.append((time.monotonic() - began) * 1e3)
    stop.set()
    await watching
    return {
        "rounds": rounds,
        "crash_ms": _told(crashed),
        "alone_ms": _told(alone),
        "others_ms": _told(others),
        "within_bar": max(crashed) < BAR_MS,
    }


async def _others(gateway: Gateway, took: list[float], stop: asyncio.Event) -> None:
    while not stop.is_set():
        began = time.monotonic()
        await gateway.chat([{"role": "user", "content": "hello"}], model="mock:big")
        took.append((time.monotonic() - began) * 1e3)
        await asyncio.sleep(0.01)


def _told(values: list[float]) -> dict[str, float]:
    values = sorted(values)
    return {
        "calls": len(values),
        "p50": round(statistics.median(values), 1),
        "p95": round(values[int(len(values) * 0.95) - 1], 1),
        "max": round(values[-1], 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    missing = [str(model) for model in told.models if not model.is_file()]
    if missing:
        print(f"no such model file: {', '.join(missing)}; get one with `rung models pull`")
        return 2
    results = {model.name: asyncio.run(measure(model.resolve(), told.rounds)) for model in told.models}
    made = {"bar_ms": BAR_MS, "cores": os.cpu_count(), "threads": "cores - 1", "models": results}
    print(orjson.dumps(made, option=orjson.OPT_INDENT_2).decode())
    if told.out:
        told.out.write_bytes(orjson.dumps(made, option=orjson.OPT_INDENT_2) + b"\n")
    return 0 if all(one["within_bar"] for one in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
