"""What does one step of the model cost that decides k tokens at once, in steps of one? It bounds what drafts can gain.

    python benchmarks/local/batch_cost.py --models FOLDER --out benchmarks/results/local_batch_cost.json   # 6 minutes

A draft of d tokens is checked in one step of d + 1 tokens. Steps of k tokens are made by k conversations that are
answered at once, each with its next token; that computes what a check computes, logits for every token included.
Needs a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from rung.local.engine import Engine
from rung.local.tuning import Tuning
from rung.wire.client import Client, Deadlines

FILES = {"0.5b": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "1.5b": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"}
SIZES = (1, 2, 3, 4, 5, 8, 9, 12, 16, 17)
STEPS = 10


async def cost(path: Path, threads: int, repack: bool) -> dict[int, float]:
    """Milliseconds of a step, by how many tokens it decides: of its fastest conversation."""
    tuning = Tuning(drafts=None, repack=repack, kept_prompts=0)
    engine = Engine(path, alias="m", threads=threads, context=256, slots=max(SIZES), delays=(), tuning=tuning)
    client = Client()
    try:
        await engine.start()
        assert await engine.ready(300), engine.detail
        origin = engine.origin
        assert origin is not None
        head = f"authorization: Bearer {engine.api_key}\r\ncontent-type: application/json\r\n".encode()

        async def ask(place: int, steps: int) -> float:
            told = {
                "prompt": f"{place}", "id_slot": place, "n_predict": steps,
                "ignore_eos": True, "temperature": 0, "cache_prompt": True,
            }  # fmt: skip
            answer = await client.fetch(
                origin, "POST", "/completion", head, msgspec.json.encode(told), Deadlines(5, 300, 300, 300)
            )
            timings = msgspec.json.decode(answer.body)["timings"]
            return float(timings["predicted_ms"]) / max(1, timings["predicted_n"] - 1)

        out: dict[int, float] = {}
        for size in (1, *SIZES):
            took = await asyncio.gather(*(ask(place, STEPS) for place in range(size)))
            out[size] = min(out.get(size, 1e9), *took)
        return out
    finally:
        await client.aclose()
        await engine.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of the two GGUF files")
    parser.add_argument("--model", action="append", choices=list(FILES))
    parser.add_argument("--threads", type=int, action="append")
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    if not all((told.models / name).exists() for name in FILES.values()):
        print(f"skipped: {', '.join(FILES.values())} are not all in {told.models}")
        return 0
    rows: list[dict[str, Any]] = []
    print("ms of a step of one token; then steps of one that a step of k tokens costs")
    for model in told.model or FILES:
        for threads in told.threads or (1, 2):
            for repack in (True, False):
                took = asyncio.run(cost(told.models / FILES[model], threads, repack))
                times = {size: round(ms / took[1], 2) for size, ms in took.items()}
                row = {"model": model, "threads": threads, "repack": repack, "one_ms": round(took[1], 1)}
                rows.append(row | {"cost": times})
                print(f"{model} {threads} thread(s), {'repacked' if repack else 'as in the file'}: {took[1]:.1f} ms; ",
                      " ".join(f"{size}:{share:.2f}" for size, share in times.items()), flush=True)  # fmt: skip
    if told.out is not None:
        made = {"date": date.today().isoformat(), "cores": os.cpu_count(), "xllamacpp": version("xllamacpp")}
        made["load"] = [round(one, 2) for one in os.getloadavg()]
        told.out.write_text(json.dumps(made | {"rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
