"""Draw docs/pictures/local-models.svg: memory and speed of the models people ask about, on three machines.

    python benchmarks/local/picture.py

Memory is computed (see benchmarks/results/local_ram.json for how well); speeds are predicted.
"""

from __future__ import annotations

from pathlib import Path

from rung.local.catalogue import rows
from rung.local.doctor import Candidate, Finding, examine
from rung.local.fit import MiB
from rung.local.hardware import Hardware
from rung.local.known import known
from rung.local.predict import Probe

GiB = 1024 * MiB
MACHINES = (
    ("2 cores, 8 GB", Hardware(2, 8 * GiB, 6 * GiB), Probe(1, 20e9, 850e6)),
    ("4 cores, 16 GB", Hardware(4, 16 * GiB, 13 * GiB), Probe(3, 35e9, 3 * 850e6)),
    ("8 cores, 32 GB", Hardware(8, 32 * GiB, 28 * GiB), Probe(7, 50e9, 7 * 850e6)),
)
COLOURS = {"runs well": "#2e7d32", "runs slowly": "#b26a00", "does not fit": "#9e9e9e"}
LEFT, BAR, COLUMN, LINE, TOP = 160, 200, 118, 34, 64


def main() -> None:
    models = [*sorted(rows(), key=lambda row: row.bytes), *known()]
    looked = [
        examine([Candidate(one.name, one, "") for one in models], machine, probe, disk_free=1 << 50, context=8192)
        for _, machine, probe in MACHINES
    ]
    most = max(one.ram for one in looked[-1])
    width, height = LEFT + BAR + 70 + COLUMN * len(MACHINES), TOP + LINE * len(models) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" '
        'font-size="13" role="img" aria-label="Memory and predicted speed of local models on three machines">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        text(LEFT, 28, "memory it needs", bold=True),
        text(LEFT, 46, "with 8,192 tokens of context", colour="#666666"),
    ]
    for place, (name, _, _) in enumerate(MACHINES):
        parts.append(text(LEFT + BAR + 70 + COLUMN * place, 28, name, bold=True))
    parts.append(text(LEFT + BAR + 70, 46, "tokens/s written, predicted", colour="#666666"))
    for line, first in enumerate(looked[-1]):
        y = TOP + LINE * line
        length = max(3, round(BAR * first.ram / most))
        parts.append(text(8, y + 15, first.name))
        parts.append(f'<rect x="{LEFT}" y="{y + 2}" width="{length}" height="18" rx="3" fill="#4a6fa5"/>')
        parts.append(text(LEFT + length + 6, y + 15, f"{first.ram / GiB:.1f} GB"))
        for place, findings in enumerate(looked):
            found = findings[line]
            x = LEFT + BAR + 70 + COLUMN * place
            parts.append(f'<circle cx="{x + 6}" cy="{y + 11}" r="6" fill="{COLOURS[found.verdict]}"/>')
            parts.append(text(x + 18, y + 15, speed(found)))
    x = 8
    for verdict, colour in COLOURS.items():
        parts.append(f'<circle cx="{x + 6}" cy="{height - 18}" r="6" fill="{colour}"/>')
        parts.append(text(x + 18, height - 14, verdict))
        x += 120
    parts.append("</svg>")
    target = Path("docs/pictures/local-models.svg")
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(parts) + "\n")


def speed(found: Finding) -> str:
    if found.pace is None:
        return "does not fit"
    rate = found.pace.generation
    return f"{rate.low:.0f}-{rate.high:.0f}" if rate.high >= 2 else f"{rate.low:.1f}-{rate.high:.1f}"


def text(x: int, y: int, told: str, *, bold: bool = False, colour: str = "#1a1a1a") -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x}" y="{y}" fill="{colour}"{weight}>{told}</text>'


if __name__ == "__main__":
    main()
