"""What the two local models are good for, beside the tools: `rung bench local`, task by task, and its report.

    python benchmarks/local/quality.py --models FOLDER                 # about 3 hours of one core; goes on where it was
    python benchmarks/local/quality.py --models FOLDER --model 1.5b    # one of them: both may run beside each other
    python benchmarks/local/quality.py --models FOLDER --report-only   # write the report of what there is
    python benchmarks/local/quality.py --models FOLDER --judge-again   # what was said, by the judges as they are now

Outcomes are kept in ``benchmarks/.work/local_quality.jsonl``; the report is ``results/local_quality.md`` and ``.json``;
``--failures FILE`` writes the failed cases.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import msgspec

from rung.cli.bench_local import figures, read_known, table
from rung.cli.bench_local_cases import TASKS, cases
from rung.cli.bench_local_run import judge, key_of

HERE = Path(__file__).resolve().parents[1]
KEPT = HERE / ".work" / "local_quality.jsonl"
OUT = HERE / "results" / "local_quality.json"
FILES = ("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf")
SIZES = ("0.5b", "1.5b")
ORDER = ("lint", "label", "short", "code", "json", "extract")


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


async def judge_again(count: int, seed: int) -> int:
    """Judge every outcome kept for these cases anew; -> how many came out otherwise."""
    asked = {key_of(case): case for case in cases(seed, count, tuple(TASKS))}
    known, changed = read_known(KEPT), 0
    for outcome in known.values():
        case = asked.get(outcome.key)
        if case is None or outcome.right is None or not (outcome.said or outcome.right):
            continue
        problem = await judge(case, outcome.said, by_tool=outcome.model == "tool")
        changed += outcome.right is not (not problem)
        outcome.right, outcome.problem, outcome.prompt = not problem, problem, case["prompt"] if problem else ""
    KEPT.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in known.values()))
    return changed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of the two GGUF files")
    parser.add_argument("--model", choices=SIZES, help="only this one")
    parser.add_argument("--task", action="append", choices=ORDER, help="only these")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report-only", action="store_true")
    parser.add_argument("--judge-again", action="store_true", help="with no other run under way")
    parser.add_argument("--failures", type=Path, help="write the failed cases here, JSONL")
    told = parser.parse_args()
    KEPT.parent.mkdir(exist_ok=True)
    if told.judge_again:
        print(f"{asyncio.run(judge_again(told.cases, told.seed))} judged otherwise")
    for size, name in zip(SIZES, () if told.report_only or told.judge_again else FILES, strict=False):
        if told.model not in (None, size):
            continue
        if not (told.models / name).exists():
            print(f"skipped: {name} is not in {told.models}")
            continue
        for task in told.task or ORDER:
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
