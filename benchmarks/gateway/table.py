#!/usr/bin/env python3
"""The Markdown report of one results file: python3 benchmarks/gateway/table.py RESULTS.json"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import dataclass
from typing import Any

Results = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """One thing that has to be reached: `value` at most (or, with `least`, at least) `limit`."""

    what: str
    value: float | None
    limit: float
    unit: str = ""
    least: bool = False

    def reached(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.least else self.value <= self.limit


def rows_of(results: Results, target: str, case: str) -> list[dict[str, Any]]:
    """One row per repetition; empty if this was not measured."""
    return list(results["targets"].get(target, {}).get("rows", {}).get(case, []))


def median(results: Results, target: str, case: str, key: str) -> float | None:
    values = [row[key] for row in rows_of(results, target, case) if row["good"]]
    return statistics.median(values) if values else None


def pairs(results: Results, mine: str, other: str, case: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Rows of two targets, measured seconds apart in the same repetition."""
    both = zip(rows_of(results, mine, case), rows_of(results, other, case), strict=False)
    return [(a, b) for a, b in both if a["good"] and b["good"]]


def added_ms(results: Results, target: str, case: str, key: str) -> float | None:
    """Median over repetitions of this target's time minus the direct call's, in ms."""
    differences = [(mine[key] - direct[key]) / 1000 for mine, direct in pairs(results, target, "direct", case)]
    return statistics.median(differences) if differences else None


def ratio(results: Results, mine: str, other: str, case: str = "c16") -> float | None:
    """Median over repetitions of the two CPU costs' ratio."""
    ratios = [a["cpu_us"] / b["cpu_us"] for a, b in pairs(results, mine, other, case) if b["cpu_us"]]
    return statistics.median(ratios) if ratios else None


def bars(results: Results) -> list[Bar]:
    """The required figures of the data plane, each from this one run."""
    rung = results["targets"].get("rung", {})
    told = [
        Bar("CPU per call / LiteLLM's", ratio(results, "rung", "litellm"), 1 / 100),
        Bar("CPU per call / Portkey's", ratio(results, "rung", "portkey"), 1 / 12),
        Bar("CPU per call / TensorZero's", ratio(results, "rung", "tensorzero"), 1 / 2.5),
        Bar("CPU per call / ferrogw's", ratio(results, "rung", "ferrogw"), 1 / 2.5),
        Bar("CPU per call / nginx's", ratio(results, "rung", "nginx"), 5),
        Bar("goal: CPU per call", median(results, "rung", "c16", "cpu_us"), 100, "µs"),
        Bar("goal: CPU per call / rolter's", ratio(results, "rung", "rolter"), 1),
        Bar("CPU per exact hit", median(results, "rung-hit", "c16", "cpu_us"), 60, "µs"),
        Bar("goal: CPU per exact hit", median(results, "rung-hit", "c16", "cpu_us"), 45, "µs"),
        Bar("added at a 60 ms upstream", added_ms(results, "rung", "wait60", "p50_us"), 1, "ms"),
        Bar("streams of 20 chunks, 16 at once", median(results, "rung", "stream_c16", "rps"), 4000, "/s", least=True),
    ]
    auto = median(results, "rung-auto", "c16", "cpu_us")
    told.append(Bar("CPU per `auto` call down to the reference", auto and auto / 1000, 1, "ms"))
    told.append(Bar("resident memory after warm-up", rung.get("rss_mb"), 50, "MB"))
    told.append(Bar("start to first answer", rung.get("start_s"), 0.5, "s"))
    return told


def number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def proxied(results: Results) -> list[str]:
    lines = [
        "| target | version | CPU µs/call | calls/s, 1 at once | 16 | 64 | p50 / p99 ms, 16 | added ms at 60 ms "
        "| streams/s, 16 | CPU µs/stream | first chunk added ms | RSS MB | start s | bad |",
        "|---|---|" + "---:|" * 12,
    ]
    for name, target in results["targets"].items():
        if target["hit"]:
            continue
        p50, p99 = (median(results, name, "c16", key) for key in ("p50_us", "p99_us"))
        cells = [
            name,
            target["version"],
            number(median(results, name, "c16", "cpu_us")),
            number(median(results, name, "c1", "rps")),
            number(median(results, name, "c16", "rps")),
            number(median(results, name, "c64", "rps")),
            f"{number(p50 and p50 / 1000, 2)} / {number(p99 and p99 / 1000, 2)}",
            number(added_ms(results, name, "wait60", "p50_us"), 2),
            number(median(results, name, "stream_c16", "rps")),
            number(median(results, name, "stream_c16", "cpu_us")),
            number(added_ms(results, name, "stream60", "first_p50_us"), 2),
            number(target["rss_mb"], 1),
            number(target["start_s"], 2),
            str(sum(case["bad"] for case in target["cases"].values())),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def hits(results: Results) -> list[str]:
    lines = [
        "| exact hit | CPU µs/hit | hits/s, 16 at once | p50 µs, 1 at once | p50 ms of a hit, 60 ms upstream | bad |"
    ]
    lines.append("|---|" + "---:|" * 5)
    for name, target in results["targets"].items():
        if target["hit"]:
            wait = median(results, name, "wait60", "p50_us")
            cells = [
                name,
                number(median(results, name, "c16", "cpu_us")),
                number(median(results, name, "c16", "rps")),
                number(median(results, name, "c1", "p50_us")),
                number(wait and wait / 1000, 2),
                str(sum(case["bad"] for case in target["cases"].values())),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return lines if len(lines) > 2 else []


def bar_lines(results: Results) -> list[str]:
    lines = ["| bar | measured | required | reached |", "|---|---:|---:|---|"]
    for bar in bars(results):
        digits = 4 if bar.limit < 0.1 else 2 if bar.limit < 20 else 0
        reached = {True: "yes", False: "**no**", None: "not measured"}[bar.reached()]
        value, limit = number(bar.value, digits), number(bar.limit, digits)
        lines.append(
            f"| {bar.what} | {value} {bar.unit} | {'≥' if bar.least else '≤'} {limit} {bar.unit} | {reached} |"
        )
    return lines


def noise(results: Results) -> list[str]:
    rows = [row for t in results["targets"].values() for each in t["rows"].values() for row in each]
    worst = max((row["foreign"] for row in rows), default=0)
    typical = statistics.median([row["foreign"] for row in rows]) if rows else 0
    problems = sorted(
        f"- {name}, {case}: {row['problem']}"
        for name, target in results["targets"].items()
        for case, row in target["cases"].items()
        if row["problem"]
    )
    absent = [f"- {name}: left out: {why}" for name, why in results["absent"].items()]
    about = (
        f"Medians of {results['repetitions']} interleaved repetitions. CPU that other jobs used meanwhile: "
        f"median {typical:.2f}, worst {worst:.2f} cores."
    )
    return [about, *(["", *problems] if problems else []), *(["", *absent] if absent else [])]


def markdown(results: Results) -> str:
    where = results["machine"]
    head = [
        f"# Gateways, {results['date'][:10]}",
        "",
        f"{where['cpu']}, {where['cores']} cores, {where['memory_gb']} GB, Linux {where['kernel']}, "
        f"Python {where['python']}.",
    ]
    blocks = [head, noise(results), proxied(results), hits(results)]
    if "rung" in results["targets"]:
        blocks.append(bar_lines(results))
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        print(markdown(json.load(file)), end="")
