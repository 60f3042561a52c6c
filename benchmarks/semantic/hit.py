#!/usr/bin/env python3
"""What a semantic hit costs through HTTP, door to door: python benchmarks/semantic/hit.py [--hits 1000] [--out FILE]

A real `rung serve` with default settings and a limit of 1 %, a simulated reference that knows the truth, a client
with one connection. The scope is opened with wordings of some topics. What is measured asks for the same topics in
wordings that were never used, so that no other cache can answer; what was no hit is told apart. CPU is the whole
gateway process, user and kernel, from /proc: a share of the hits is audited meanwhile, and that counts too. With
``--instructions`` the same window is counted by callgrind: user space only, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from serving import Client, run

TOPICS = (
    "parcel tracking", "garden hoses", "piano lessons", "bread ovens", "mountain huts", "contact lenses",
    "paper lanterns", "river ferries", "wool carpets", "stage lighting", "bicycle pumps", "coffee roasting",
)  # fmt: skip
BEFORE = ("", "Please ", "Hi, ", "Hello, ", "Hi there, ", "Good morning, ", "Hey, ", "Thanks in advance, ", "Kindly ")
WAYS = (
    "tell me about {}", "explain {} to me", "could you explain {}", "give me an overview of {}", "describe {}",
    "I would like to know more about {}", "can you tell me about {}", "what should I know about {}",
)  # fmt: skip
AFTER = ("", ".", "?", " please", ", thanks", ", thank you", " if you can", " in a few words")
TOML = "[trust]\nusd_per_day = 100\nbacklog = 1000\n"
"""beside the defaults: a day's traffic is asked in seconds"""


def wordings(seed: int) -> list[tuple[str, str]]:
    """All (wording, topic), shuffled: half of them open the scope, the others are asked afterwards."""
    every = [
        (f"{b}{way.format(topic)}{a}", topic) for b, way, a, topic in itertools.product(BEFORE, WAYS, AFTER, TOPICS)
    ]
    random.Random(seed).shuffle(every)
    return every


def measure(hits: int, wrapper: tuple[str, ...] = ()) -> dict[str, Any]:
    """The scope is opened with half of the wordings and some strangers; then `hits` of the other half are asked."""
    every = wordings(1)
    known, fresh = every[: len(every) // 2], every[len(every) // 2 :]
    strangers = [(f"Translate the word {number:x} of the list", "") for number in range(4096, 4096 + 400)]
    truth = {text: f"About {topic}." if topic else f"No. {text}" for text, topic in [*every, *strangers]}

    def work(client: Client) -> dict[str, Any]:
        at_start = client.memory()
        opening = 0
        dice = random.Random(2)
        cell: dict[str, Any] = {}
        for opening, (text, _) in enumerate(known, 1):
            client.ask(text)
            if dice.random() < 0.1:
                client.ask(strangers[opening % len(strangers)][0])
            if opening % 100 == 0:
                client.settled()
                cell = client.cells()[0]
                if cell["state"] == "open" and cell["hits"] > 1000:
                    break
        counting = _Counting(client.pid) if wrapper else None
        before, used, began = client.stats(), client.cpu(), time.perf_counter()
        seen: Counter[str] = Counter()
        wrong = 0
        for text, topic in fresh[:hits]:
            by, said, way = client.ask(text)
            seen[by if by == "semantic" else way] += 1
            wrong += said != f"About {topic}."
        seconds = time.perf_counter() - began
        client.settled()
        cpu = client.cpu() - used
        after = client.stats()
        found = {
            "calls": hits,
            "hits": seen.pop("semantic", 0),
            "others": dict(seen),
            "wrong": wrong,
            "audits_beside": after["audited"] - before["audited"],
            "wall_ms_each": round(1e3 * seconds / hits, 3),
            "opened_with": opening,
            "memory_mib": {"at_start": round(at_start, 1), "now": round(client.memory(), 1)},
            "cell": {name: cell.get(name) for name in ("state", "limit", "bound", "requests")},
        }
        if counting is None:
            found["cpu_ms_each"] = round(1e3 * cpu / hits, 3)
        else:
            found["instructions_each"] = counting.total() // hits
        return found

    # under callgrind a look takes fifty times as long
    found: dict[str, Any] = run(truth, TOML + "[semantic]\ndeadline = 5\n" * bool(wrapper), work, wrapper)
    return found


class _Counting:
    """Callgrind's count from now on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._control("--instr=on")
        self._control("--zero")

    def total(self) -> int:
        self._control("--dump")
        dumps = sorted(Path(tempfile.gettempdir()).glob(f"{OUT}.*"), key=lambda path: path.stat().st_mtime)
        found = re.search(r"^(?:totals|summary): (\d+)", dumps[-1].read_text(), re.MULTILINE) if dumps else None
        if found is None:
            raise RuntimeError("callgrind wrote no totals")
        return int(found[1])

    def _control(self, order: str) -> None:
        subprocess.run(["callgrind_control", order, str(self._pid)], check=True, capture_output=True, timeout=60)


OUT = "rung-hit-callgrind"

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hits", type=int, default=1000)
    parser.add_argument("--instructions", action="store_true", help="count them by callgrind: slow")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    callgrind = ("valgrind", "--tool=callgrind", "--instr-atstart=no")
    kept = f"--callgrind-out-file={Path(tempfile.gettempdir()) / OUT}"
    told = measure(asked.hits, (*callgrind, kept) if asked.instructions else ())
    print(json.dumps(told))
    if asked.out is not None:
        asked.out.write_text(json.dumps(told, indent=1) + "\n")
    sys.exit(0 if told["hits"] >= 0.99 * told["calls"] else 1)
