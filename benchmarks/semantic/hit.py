"""CPU time of a semantic hit through HTTP, door to door: python benchmarks/semantic/hit.py [--hits 1000] [--out FILE]

A gateway in this process; a child asks it over one connection, so that its own time is not counted. The scope is opened
with 600 calls first, under a limit of 20 % that is soon proved. What runs beside a hit counts too: audits, and the
upstream that answers them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rung import config
from rung.doors.app import App
from rung.doors.server import running
from rung.gateway import Gateway
from rung.sim import Clock, simulator

TOPICS = ("parcel tracking", "garden hoses", "piano lessons", "bread ovens", "mountain huts", "contact lenses")
WAYS = ("Tell me about {}", "Please tell me about {}", "Explain {} to me", "Could you explain {}?", "What is {}?")
TOML = """
[local]
enabled = false
[exact]
enabled = false
[trust]
usd_per_day = 100
[semantic]
max_error = 0.2
deadline = 1
"""
CHILD = """
import http.client, json, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
texts, seen = json.loads(sys.argv[4]), {}
asking = http.client.HTTPConnection(host, port)
for at in range(count):
    message = {"role": "user", "content": texts[at % len(texts)]}
    body = json.dumps({"model": "auto", "messages": [message]})
    asking.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    answer = asking.getresponse()
    answer.read()
    by = answer.headers["x-rung"]
    seen[by] = seen.get(by, 0) + 1
print(json.dumps(seen))
"""


async def main(hits: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        rows = [{"question": way.format(topic), "answer": f"About {topic}."} for topic in TOPICS for way in WAYS]
        (home / "truth.jsonl").write_text("\n".join(map(json.dumps, rows)))
        fast = {"first_token": {"median": 0.0001}, "tokens_per_second": {"median": 1e6}}
        scenario = {"answers": {"truth": str(home / "truth.jsonl")}, "openai": fast}
        async with simulator(scenario, clock=Clock(datetime.now(UTC))) as sim:
            toml = f'{TOML}[providers.openai]\nbase_url = "{sim.url("openai")}"\nkey = "k"\n'
            (home / "rung.toml").write_text(toml)
            told = config.load({"RUNG_HOME": folder, "HOME": folder}, home / "rung.toml", cwd=home)
            async with Gateway(told) as gateway, running(App(gateway)) as url:
                texts = [row["question"] for row in rows]
                random.Random(1).shuffle(texts)
                await ask(url, 1200, texts)
                assert gateway.remembering is not None
                await gateway.remembering.hits.idle.wait()
                before = gateway.cache_stats()["semantic"]["audited"]
                used = time.process_time()
                seen = await ask(url, hits, texts)
                cpu = time.process_time() - used
                audits = gateway.cache_stats()["semantic"]["audited"] - before
    return {"calls": hits, "answered_by": seen, "audits_beside": audits, "cpu_ms_each": round(1e3 * cpu / hits, 3)}


async def ask(url: str, count: int, texts: list[str]) -> dict[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, host, port, str(count), json.dumps(texts), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    seen: dict[str, int] = json.loads(out)
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hits", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    found = asyncio.run(main(asked.hits))
    print(json.dumps(found))
    if asked.out is not None:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")
