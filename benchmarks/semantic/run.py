#!/usr/bin/env python3
"""The semantic cache on evaluation files: python benchmarks/semantic/run.py --data FOLDER [--orders 20] [FILE ...]

Each FILE is a name in FOLDER without ``.jsonl``; without any, those known below that are there. Results go to
``results/semantic.json`` after every file, so that an interrupted run goes on with the others; the table and the chart
are made from it: ``results/semantic.md``, ``results/semantic.svg``. The data is not part of the project; without it
nothing is done.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chart import svg

from rung.cli.bench_semantic import load_rows
from rung.cli.bench_semantic_report import of_pairs, of_stream
from rung.semantic.embed import load

RESULTS = Path(__file__).resolve().parents[1] / "results"
BARS: dict[str, tuple[str, float, float]] = {
    "banking77_stream": ("hit_rate_last5000", 0.50, 0.60),
    "clinc150_stream": ("hit_rate_last5000", 0.42, 0.55),
    "code_recode_stream": ("hit_rate_last5000", 0.12, 0.20),
    "fow_pairs": ("should_hits_served", 0.45, 0.60),
    "fow_conversations": ("should_hits_served", 0.0, 0.0),
}
"""file: (figure, bar, goal)"""


def measure(path: Path, orders: int, limit: float, rules: bool) -> dict[str, Any]:
    """The bench's figures for one file, with the date and the machine."""
    rows, kind = load_rows(path)
    embedder = load()
    found = (
        of_stream(rows, embedder, limit, orders, rules) if kind == "stream" else of_pairs(rows, embedder, limit, rules)
    )
    return found | {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": platform.processor() or platform.machine(),
    }


def table(results: dict[str, Any]) -> str:
    """Markdown: the bars, then every rule on every stream."""
    lines = [
        "# Semantic cache: hits and wrong hits",
        "",
        "Means over the orders (file order, then shuffles). Made by `python benchmarks/semantic/run.py`.",
        "",
        "| file | orders | bar | goal | reached (lowest to highest order) | wrong / request after warm-up "
        "| worst checkpoint | orders failed | traps served |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, found in results.items():
        key, bar, goal = BARS.get(name, ("hit_rate_last5000", 0.0, 0.0))
        low, high = found.get("hit_rate_last5000_range", (found.get(key, 0.0), found.get(key, 0.0)))
        wrong = found.get("wrong_per_request_after_warm_up", found["wrong_per_request"])
        failed, worst = found.get("orders_failed", 0), found.get("worst_checkpoint", 0.0)
        lines.append(
            f"| {name} | {found['orders']} | {bar:.0%} | {goal:.0%} | {found.get(key, 0.0):.1%} "
            f"({low:.1%} to {high:.1%}) | {wrong:.2%} | {worst:.2%} | {failed} | "
            f"{found['traps_served']:g} |"
        )
    for name, found in results.items():
        if "beside" not in found:
            continue
        last = "hit_rate_last5000" if "hit_rate_last5000" in found else "should_hits_served"
        told = "hits, last 5,000" if last.startswith("hit") else "of those to be served"
        lines += [
            "",
            f"## {name}",
            "",
            f"| rule | hits | {told} | wrong / request | wrong / hit |",
            "|---|--:|--:|--:|--:|",
        ]
        for rule, one in ({"rung": found} | found["beside"]).items():
            lines.append(
                f"| {rule} | {one['hit_rate']:.1%} | {one[last]:.1%} | {one['wrong_per_request']:.2%} | "
                f"{one['wrong_per_hit']:.1%} |"
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure what is asked for and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the evaluation files")
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--max-error", type=float, default=0.01)
    parser.add_argument("--no-rules", action="store_true", help="ours only")
    parser.add_argument("files", nargs="*")
    given = parser.parse_args()
    kept = RESULTS / "semantic.json"
    results: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for name in (given.files or BARS) if given.data else ():
        path = given.data / f"{name}.jsonl"
        if not path.exists():
            print(f"{name}: not there, skipped", file=sys.stderr)
            continue
        found = measure(path, given.orders, given.max_error, not given.no_rules)
        if given.no_rules and "beside" in results.get(name, {}):
            found["beside"] = results[name]["beside"]
        results[name] = found
        kept.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{name}: {json.dumps({key: value for key, value in found.items() if key != 'beside'})}")
    (RESULTS / "semantic.md").write_text(table(results))
    (RESULTS / "semantic.svg").write_text(svg(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
