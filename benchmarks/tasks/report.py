"""Write benchmarks/results/tasks.json and tasks.md: what the classifier says of every file there is.

    python benchmarks/tasks/report.py [--data FOLDER]

`--data`: the folder of the evaluation data; without it only our own files are replayed. First replays are a record
(`first_replays.json`), not measured again: the rounds but the last have trained the head since.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from generate import rows as own_rows

from rung.cli.bench_tasks import figures, replay

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
UNSEEN = ("natural_qa", "trivia_qa", "mmlu", "arc_challenge", "jsonschemabench")
"""sources of the routing file that train nothing"""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def files(data: Path | None) -> dict[str, list[dict[str, Any]]]:
    found = {"own wordings (trained)": own_rows(3)}
    for path in sorted(HERE.glob("round_*.jsonl")):
        found[path.stem + (" (unseen)" if path.stem == "round_6" else " (trained)")] = lines(path)
    tools = [
        {key: row[key] for key in ("prompt", "messages", "system", "response_format") if key in row}
        | {"task_type": "validation_formatting"}
        for path in sorted((HERE.parent / "tools").glob("*.jsonl"))
        for row in lines(path)
        if row["expect"] == "tool"
    ]
    found["benchmarks/tools, what a tool answers (unseen by the head)"] = tools
    if data is not None:
        routing = lines(data / "routing" / "tasks.jsonl")
        unseen = [row for row in routing if any(name in row["source"] for name in UNSEEN)]
        found |= {"routing/tasks (mixed)": routing, "routing/tasks, sources that train nothing": unseen}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    out: dict[str, Any] = {"first_replays": json.loads((HERE / "first_replays.json").read_text("utf-8")), "now": {}}
    table = ["| file | n | macro-F1 | p50 µs | p99 µs |", "|---|---|---|---|---|"]
    detail: list[str] = []
    for name, rows in files(parser.parse_args().data).items():
        guesses, times = replay(rows)
        found = figures([row["task_type"] for row in rows], guesses, times)
        out["now"][name] = found
        table.append(f"| {name} | {found['n']} | {found['macro_f1']:.3f} | {found['p50_us']} | {found['p99_us']} |")
        detail += [
            f"\n## {name}\n",
            "| class | support | precision | recall | by rule | precision |",
            "|---|" + "---|" * 5,
        ]
        for task, one in found["per_class"].items():
            cells = [one[key] for key in ("support", "precision", "recall", "by_rule", "by_rule_precision")]
            detail.append(f"| {task} | " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")
    (RESULTS / "tasks.json").write_text(json.dumps(out, indent=1, ensure_ascii=False) + "\n", "utf-8")
    text = "# Task classes\n\nBy `benchmarks/tasks/report.py`; what the figures mean: docs/tasks.md.\n\n"
    (RESULTS / "tasks.md").write_text(text + "\n".join(table + detail) + "\n", "utf-8")


if __name__ == "__main__":
    main()
