"""What the two local models are good for, beside the tools: `rung bench local`, task by task, and its report.

    python benchmarks/local/quality.py --models FOLDER                 # about 2 hours of one core; goes on where it was
    python benchmarks/local/quality.py --models FOLDER --report-only   # write the report of what there is

Outcomes are kept in ``benchmarks/.work/local_quality.jsonl``; the report is ``results/local_quality.md`` and ``.json``;
``--failures FILE`` writes the failed cases.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import msgspec

from rung.cli.bench_local import figures, read_known, table
from rung.cli.bench_local_cases import TASKS, cases
from rung.cli.bench_local_run import key_of

HERE = Path(__file__).resolve().parents[1]
KEPT = HERE / ".work" / "local_quality.jsonl"
OUT = HERE / "results" / "local_quality.json"
FILES = ("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf")
ORDER = ("lint", "label", "short", "extract", "code", "json")
"""the cheap ones first"""


def report(count: int, seed: int, failures: Path | None) -> str:
    """Write the figures of all outcomes kept for these cases; -> the same as Markdown."""
    keys = {key_of(case) for case in cases(seed, count, tuple(TASKS))}
    outcomes = [one for (_, key), one in read_known(KEPT).items() if key in keys]
    rows = figures(outcomes, ["tool", *(Path(name).stem for name in FILES)])
    told = {"date": date.today().isoformat(), "seed": seed, "cases": count, "threads": 1, "rows": rows}
    OUT.write_text(json.dumps(told, indent=2) + "\n")
    if failures is not None:
        failed = [one for one in outcomes if one.right is False]
        failures.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in failed))
    lines = [
        f"# What local models are good for, {told['date']}",
        "",
        f"`rung bench local`: {count} cases a task, seed {seed}, greedy, 1 thread. Processor seconds are the engine's",
        "own and hardly depend on what else runs; wall times do. Shares are of the cases asked so far, with their 95 %",
        "interval (Wilson). A rung that declines is not wrong: the call goes to the next one.",
        "",
        table(rows),
        "",
    ]
    for row in rows:
        if "confident" in row and row["confident"]["n"]:
            sure = row["confident"]
            lines.append(
                f"- {row['model']}, {row['task']}: {sure['right']} of {sure['n']} right where the label has at least "
                f"95 % of the probability ({sure['n'] / row['n']:.0%} of the cases)."
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of the two GGUF files")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report-only", action="store_true")
    parser.add_argument("--failures", type=Path, help="write the failed cases here, JSONL")
    told = parser.parse_args()
    KEPT.parent.mkdir(exist_ok=True)
    for name in () if told.report_only else FILES:
        if not (told.models / name).exists():
            print(f"skipped: {name} is not in {told.models}")
            continue
        for task in ORDER:
            command = [
                sys.executable,
                "-m",
                "rung",
                "bench",
                "local",
                "--model",
                str(told.models / name),
                "--task",
                task,
            ]
            command += ["--cases", str(told.cases), "--seed", str(told.seed), "--resume", str(KEPT)]
            subprocess.run(command, check=True)
    OUT.with_suffix(".md").write_text(report(told.cases, told.seed, told.failures))
    print(OUT.with_suffix(".md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
