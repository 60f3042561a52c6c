#!/usr/bin/env python3
"""A bar chart of CPU per call, as SVG: python3 benchmarks/gateway/chart.py RESULTS.json > chart.svg

The axis is logarithmic: the gateways lie three orders of magnitude apart. Colours follow the reader's light or dark
scheme.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any
from xml.sax.saxutils import escape

from table import median

WIDTH, LEFT, RIGHT, ROW, TOP = 720, 130, 90, 28, 64
TITLE = "CPU per call through each gateway (less is better, log scale)"
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 11px; fill: #57606a }
  .bar { fill: #8c959f }
  .ours { fill: #0969da }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .small { fill: #9198a1 }
    .bar { fill: #656c76 }
    .ours { fill: #4493f8 }
    .grid { stroke: #3d444d }
  }
"""


def costs(results: dict[str, Any]) -> list[tuple[str, float]]:
    """(target, CPU µs per call or hit), cheapest first; the direct call costs no gateway anything."""
    found = []
    for name in results["targets"]:
        cost = median(results, name, "c16", "cpu_us")
        if cost and name != "direct":
            found.append((name.replace("-hit", ", exact hit").replace("-auto", ", auto"), cost))
    return sorted(found, key=lambda pair: pair[1])


def label(cost: float) -> str:
    return f"{cost / 1000:.3g} ms" if cost >= 1000 else f"{cost:.0f} µs"


def svg(results: dict[str, Any]) -> str:
    rows = costs(results)
    low = 10 ** math.floor(math.log10(min((cost for _, cost in rows), default=10)))
    high = 10 ** math.ceil(math.log10(max((cost for _, cost in rows), default=100)))
    high = max(high, low * 10)
    height = TOP + ROW * len(rows) + 34

    def x(cost: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(cost / low) / math.log10(high / low)

    where = results["machine"]
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title">',
        f"<style>{STYLE}</style>",
        f'<text id="title" class="title" x="16" y="26">{TITLE}</text>',
        f'<text class="small" x="16" y="45">{escape(str(where["cpu"]))}, one core for the gateway, '
        f"{escape(results['date'][:10])}, median of {results['repetitions']}</text>",
    ]
    step = low
    while step <= high:
        out.append(f'<line class="grid" x1="{x(step):.1f}" x2="{x(step):.1f}" y1="{TOP - 6}" y2="{height - 28}"/>')
        out.append(f'<text class="small" text-anchor="middle" x="{x(step):.1f}" y="{height - 12}">{label(step)}</text>')
        step *= 10
    for i, (name, cost) in enumerate(rows):
        y = TOP + i * ROW
        kind = "ours" if name.startswith("rung") else "bar"
        out.append(f'<text text-anchor="end" x="{LEFT - 10}" y="{y + 14}">{escape(name)}</text>')
        out.append(f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{max(x(cost) - LEFT, 1):.1f}" height="19" rx="2"/>')
        out.append(f'<text x="{x(cost) + 7:.1f}" y="{y + 14}">{label(cost)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        print(svg(json.load(file)), end="")
