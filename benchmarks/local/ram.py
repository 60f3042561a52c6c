"""Is the memory estimate right? Loads every model found at three context sizes, and at one without copied weights,
reads prompts until those that lost their slot fill the memory kept for them, and compares the engine process's peak
(VmHWM) with `rung.local.fit.ram_needed`.

Kept prompts are given 32 MiB here instead of 128, which is read in a quarter of the time; ``--whole`` gives them all.

    python benchmarks/local/ram.py FOLDER_OF_GGUF_FILES    # 10 minutes of one core, 40 with --whole

Writes benchmarks/results/local_ram.json. Memory does not depend on how busy the machine is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from datetime import date
from pathlib import Path

import msgspec
from msgspec.structs import replace

from rung.local.engine import Engine
from rung.local.fit import MiB, ram_needed
from rung.local.gguf import read_header
from rung.local.tuning import Tuning
from rung.wire.client import Client, Deadlines

CONTEXTS = (2048, 8192, 16384)
LEAN = 4096
SENTENCE = "Reading this sentence again and again takes up room in the cache. "
"""14 tokens, about"""
BAR = 0.10


async def peak(model: Path, context: int, tuning: Tuning, per_token: int) -> int:
    """Bytes the engine's process held at most. `per_token`: bytes of KV."""
    engine = Engine(model, alias="ram", threads=1, context=context, delays=(), tuning=tuning)
    client = Client()
    try:
        await engine.start()
        assert await engine.ready(300), engine.detail
        assert engine.origin is not None
        head = f"authorization: Bearer {engine.api_key}\r\ncontent-type: application/json\r\n".encode()
        tokens = min(context - 64, 1000)
        for number in range(tuning.kept_prompts // (tokens * per_token) + 2):
            prompt = f"{number}. " + SENTENCE * (tokens // 14)
            body = msgspec.json.encode({"prompt": prompt, "n_predict": 16})
            await client.fetch(engine.origin, "POST", "/completion", head, body, Deadlines(5, 600, 600, 900))
        status = await asyncio.to_thread(Path(f"/proc/{engine.pid}/status").read_text)
        found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024
    finally:
        await client.aclose()
        await engine.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--whole", action="store_true", help="128 MiB of kept prompts")
    parser.add_argument("--context", type=int, action="append", help="only these context sizes")
    asked = parser.parse_args()
    usual = Tuning(kept_prompts=(128 if asked.whole else 32) * MiB)
    rows = []
    for model in sorted(asked.folder.glob("*.gguf")):
        header = read_header(model)
        ways = [*((one, usual) for one in asked.context or CONTEXTS), (LEAN, replace(usual, repack=False))]
        for context, tuning in ways:
            told = ram_needed(model.stat().st_size, header, context=context, tuning=tuning)
            per_token = 2 * header.layers * header.kv_heads * header.head_dim * 2
            real = asyncio.run(peak(model, context, tuning, per_token))
            row = {"model": model.name, "context": context, "repack": tuning.repack}
            rows.append(row | {"estimate": told, "peak": real, "ratio": told / real})
            way = f"{context:>6} {'copied' if tuning.repack else 'as is':<7}"
            print(f"{model.name:<45} {way} {told / MiB:>7.0f} {real / MiB:>7.0f} MiB {told / real - 1:>+7.1%}")
    worst = max(abs(row["ratio"] - 1) for row in rows)
    result = {
        "what": "estimate of rung.local.fit.ram_needed against the peak of the engine's process (VmHWM), bytes",
        "date": date.today().isoformat(),
        "threads": 1,
        "kept_prompts": usual.kept_prompts,
        "bar": BAR,
        "worst": round(worst, 4),
        "rows": rows,
    }
    Path("benchmarks/results/local_ram.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"worst {worst:.1%}, bar {BAR:.0%}")
    return worst > BAR


if __name__ == "__main__":
    sys.exit(main())
