#!/usr/bin/env python3
"""The semantic cache as a caller meets it: a stream through HTTP from cold, and what the replay foretells for it.

    python benchmarks/semantic/through_http.py --data FILE [--seed 0] [--rows N] [--set 'volatile_ttl = 60'] [--out OUT]

A real ``rung serve`` with default settings (limit 1 %, default embedder) in front of a simulated reference that
answers every prompt by its class; one client asks row after row, no faster than is learnt. FILE has lines of
``{"prompt", "answer_class"}``; without it nothing is done. A day's traffic is asked in minutes, so the purse for
comparing is widened. Beside it the same rows in the same order through the replay of `rung bench semantic`; prompts
that the settings keep out (they speak of the present or of one's own affairs) count there as misses too.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from serving import Client, run

from rung.cli.bench_semantic import load_rows
from rung.cli.bench_semantic_replay import TAIL, replay, stream
from rung.semantic.admit import volatile
from rung.semantic.embed import load

TOML = "[trust]\nusd_per_day = {money}\n[semantic]\n{settings}\n"


def through_http(rows: list[dict[str, Any]], toml: str) -> dict[str, Any]:
    """Ask all rows, one after the other."""
    truth = {row["prompt"]: _answer(row) for row in rows}

    def work(client: Client) -> dict[str, Any]:
        hits, wrong, opened = np.zeros(len(rows), bool), np.zeros(len(rows), bool), None
        why: Counter[str] = Counter()
        began, used, start = time.perf_counter(), client.cpu(), client.memory()
        compared = 0
        for at, row in enumerate(rows):
            by, said, way = client.ask(row["prompt"])
            compared += "semantic=miss" in way and by == "cloud"
            if at % 10 == 9:
                _learnt(client, compared)
            hits[at] = by == "semantic"
            wrong[at] = by == "semantic" and said != truth[row["prompt"]]
            why[by if by != "cloud" else way.partition("semantic=")[2].partition(",")[0] or way] += 1
            if at % 50 == 49 and opened is None:
                cells = client.cells()
                opened = at + 1 if cells and cells[0]["state"] == "open" else None
        client.settled(300)
        cell, stats = client.cells()[0], client.stats()
        return {
            "requests": len(rows),
            "opened_after": opened,
            **_figures(hits, wrong),
            "answered_by": dict(why),
            "audits": stats["audited"],
            "audits_wrong": stats["wrong"],
            "labels_miss": stats["compared"],
            "not_learnt": stats["dropped"],
            "cell": cell,
            "seconds": round(time.perf_counter() - began, 1),
            "gateway_cpu_ms_a_call": round(1e3 * (client.cpu() - used) / len(rows), 2),
            "gateway_mib": {"start": round(start, 1), "end": round(client.memory(), 1)},
        }

    found: dict[str, Any] = run(truth, toml, work)
    return found


def _learnt(client: Client, misses: int) -> None:
    """Wait until nearly all is learnt: real callers do not ask hundreds of questions a second one after the other."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        told = client.stats()
        if told["audits_waiting"] < 3 and told["compared"] + told["dropped"] >= misses - 12:
            return
        time.sleep(0.01)


def foretold(rows: list[dict[str, Any]], limit: float, seeds: int, kept_out: bool) -> dict[str, Any]:
    """The replay of the same rows in the same order; `seeds`: how often, with other draws of audits."""
    known = [row for row in rows if not (kept_out and volatile(row["prompt"]))]
    data = stream(known, load())
    place = np.array([at for at, row in enumerate(rows) if not (kept_out and volatile(row["prompt"]))])
    every = []
    for seed in range(seeds):
        out = replay(data, np.arange(len(known)), limit, seed)
        hits, wrong = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
        hits[place], wrong[place] = out.hits, out.wrong
        opened = int(place[out.first_open]) if out.first_open < len(known) else None
        every.append({"opened_after": opened, **_figures(hits, wrong), "audits": out.labels_audit})
    return {name: [one[name] for one in every] for name in every[0]}


def _figures(hits: Any, wrong: Any) -> dict[str, Any]:
    return {
        "hits": int(hits.sum()),
        "wrong": int(wrong.sum()),
        "hit_rate": round(float(hits.mean()), 4),
        "hit_rate_last5000": round(float(hits[-TAIL:].mean()), 4),
        "wrong_per_request": round(float(wrong.mean()), 5),
    }


def _answer(row: dict[str, Any]) -> str:
    return f"That is a matter of {row['answer_class']}."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="0: the order of the file")
    parser.add_argument("--rows", type=int, help="only the first so many")
    parser.add_argument("--set", dest="settings", default="", help="lines for [semantic], beside the defaults")
    parser.add_argument("--usd-per-day", type=float, default=100.0)
    parser.add_argument("--replays", type=int, default=3)
    parser.add_argument("--out", type=Path, help="results are added to this file")
    told = parser.parse_args()
    if not told.data.exists():
        print(f"skipped: {told.data} is not there", file=sys.stderr)
        return 0
    rows, _ = load_rows(told.data)
    if told.seed:
        random.Random(told.seed).shuffle(rows)
    rows = rows[: told.rows]
    toml = TOML.format(money=told.usd_per_day, settings=told.settings)
    found = {
        "settings": told.settings or "default",
        "http": through_http(rows, toml),
        "replay": foretold(rows, 0.01, told.replays, "volatile_ttl" not in told.settings),
    }
    print(json.dumps(found))
    if told.out is not None:
        kept = json.loads(told.out.read_text()) if told.out.exists() else {}
        kept[f"{told.data.stem} seed {told.seed}: {found['settings']}"] = found
        told.out.write_text(json.dumps(kept, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
