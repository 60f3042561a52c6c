"""How long a look into the semantic cache takes, embedding included.

    python benchmarks/semantic/speed.py [--entries 10000 100000] [--looks 2000] [--out FILE]

Prompts are made (two words of a topic in one of many wordings), their vectors are the embedder's own. Times are wall
and CPU time of one thread; run it on an idle machine. 1,000,000 entries take a few GB and half an hour of indexing:
``--vectors-only`` then draws vectors around centres instead of embedding prompts, and measures the search alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from rung.partition import Partition
from rung.semantic.decide import Neighbour
from rung.semantic.embed import load
from rung.semantic.veto import signature
from rung.store.semantic import Entry, digest
from rung.store.stored import Stored
from rung.store.vectors import Vectors

WAYS = (
    "Tell me about {}",
    "What is {} for?",
    "Explain {} to a beginner",
    "Why do people like {}?",
    "Where does {} begin?",
)
PARTS = [
    f"{a}{b}"
    for a in ["ba", "de", "fi", "go", "lu", "me", "ni", "po", "ra", "su", "ta", "vo", "we", "xi", "zo", "ka"]
    for b in ["ran", "tel", "mix", "dor", "lup", "gan", "ser"]
]


def prompts(count: int) -> list[str]:
    dice = random.Random(3)
    return [dice.choice(WAYS).format(" ".join(dice.choices(PARTS, k=3))) for _ in range(count)]


def quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "p50_ms": round(1e3 * statistics.median(ordered), 3),
        "p99_ms": round(1e3 * ordered[int(0.99 * len(ordered))], 3),
    }


def memory() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def whole(count: int, looks: int) -> dict[str, Any]:
    """Decide + look up, embedding included, among `count` entries."""
    embedder = load()
    before = memory()
    partition = Partition(b"s" * 16, "local", embedder, limit=0.01, store=None, clock=time.time)
    texts = prompts(count + looks)
    answer = Stored(data=b'{"choices": []}', shape="whole", model="m", rung="cloud")
    now, began = time.time(), time.process_time()
    for name, text in enumerate(texts[:count]):
        entry = Entry(
            name, b"s" * 16, "local", now, now + 1e6, name % 300, signature(text).key, digest(text), text, answer
        )  # fmt: skip
        partition._hold(entry)
        partition.vectors.add(name, embedder.embed(text))
    while partition.vectors.settle():
        pass
    building = time.process_time() - began
    learn(partition, texts)
    wall, cpu = [], []
    for text in texts[count:]:
        started, used = time.perf_counter(), time.thread_time()
        partition.decide(text)
        cpu.append(time.thread_time() - used)
        wall.append(time.perf_counter() - started)
    return {
        "entries": count,
        "indexed": partition.vectors.indexed,
        "look_wall": quantiles(wall),
        "look_cpu": quantiles(cpu),
        "building_cpu_s": round(building, 1),
        "memory_mib": round(memory() - before, 1),
    }


def learn(partition: Partition, texts: list[str]) -> None:
    """So that the model of answers has as many rows as it can have."""
    decider = partition._decider
    for at in range(800):
        text = texts[at]
        near = [Neighbour(at, at % 300, 0.9, text, signature(text).key)]
        decision = decider.decide(text, partition.embed(text), near)
        decider.observe(decision, [at % 300] if at % 300 in decision.compare else [])


def search_only(count: int, looks: int) -> dict[str, Any]:
    """The search alone, among vectors drawn around 5,000 centres."""
    rng = np.random.default_rng(1)
    before = memory()
    centres = rng.normal(size=(5000, 256)).astype(np.float32)
    vectors, began = Vectors(256), time.process_time()
    for name in range(count):
        row = centres[name % 5000] + rng.normal(size=256).astype(np.float32)
        vectors.add(name, row / np.linalg.norm(row))
        if name % 8 == 7:
            vectors.settle()
    while vectors.settle():
        pass
    building = time.process_time() - began
    wall, cpu = [], []
    for _ in range(looks):
        row = centres[rng.integers(5000)] + rng.normal(size=256).astype(np.float32)
        row /= np.linalg.norm(row)
        started, used = time.perf_counter(), time.thread_time()
        vectors.search(row, 16)
        cpu.append(time.thread_time() - used)
        wall.append(time.perf_counter() - started)
    return {
        "entries": count,
        "indexed": vectors.indexed,
        "search_wall": quantiles(wall),
        "search_cpu": quantiles(cpu),
        "building_cpu_s": round(building, 1),
        "memory_mib": round(memory() - before, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--looks", type=int, default=2000)
    parser.add_argument("--vectors-only", action="store_true")
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    found: dict[str, Any] = {"cores": os.cpu_count(), "python": sys.version.split()[0], "runs": []}
    for count in told.entries:
        run = (search_only if told.vectors_only else whole)(count, told.looks)
        print(json.dumps(run), flush=True)
        found["runs"].append(run)
    if told.out is not None:
        told.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
