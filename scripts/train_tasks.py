"""Train the head of `rung.ladder.task` and write its weights; with --check, only say how good it would be.

    PYTHONPATH=src python scripts/train_tasks.py --data tasks.jsonl [--check]

Needs numpy, scipy and scikit-learn, which rung does not: use an environment of their own. `--data` is the folder
of the evaluation data (docs/tasks.md); of it only the sources in `MAY_SHIP` train what ships. The rest of the
training data is benchmarks/tasks/: our own wordings, and the rounds named in `ROUNDS`. Without --data our own
wordings train alone.
"""

# mypy: ignore-errors
# (its libraries are not among the development tools)

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks" / "tasks")]

from generate import rows as own_rows  # noqa: E402

from rung.cli.bench_tasks import body_of  # noqa: E402
from rung.ladder.task import TASKS, rules  # noqa: E402
from rung.ladder.task.features import features  # noqa: E402
from rung.ladder.task.reading import read  # noqa: E402

TASKS_FOLDER = ROOT / "benchmarks" / "tasks"
WEIGHTS = ROOT / "src" / "rung" / "ladder" / "task" / "weights.txt"
MAY_SHIP = {
    "mbpp": "CC BY 4.0",
    "gsm8k": "MIT",
    "math": "MIT",
    "commonsense_qa": "MIT",
    "gpqa": "CC BY 4.0",
    "agentverse-logicgrid": "Apache-2.0",
    "args-as-extraction": "Apache-2.0 (BFCL)",
    "simple_python": "Apache-2.0 (BFCL)",
    "multiple": "Apache-2.0 (BFCL)",
    "parallel": "Apache-2.0 (BFCL)",
    "openai/human-eval": "MIT",
    "florinpop17/app-ideas": "MIT",
    "mmlu_test": "MIT",
    "clinc150": "CC BY 3.0",
    "banking77": "CC BY 4.0",
}
"""Not: natural_qa, arc_challenge (share-alike), trivia_qa (questions of others), mmlu (holds RACE: research only),
jsonschemabench (no licence)."""
ROUNDS: tuple[str, ...] = ("round_1", "round_2", "round_3", "round_4", "round_5")
FEWEST = 3
"""a feature must stand in so many rows"""
STRENGTH = 0.6
"""C of the logistic regression"""


def source_of(row: dict[str, Any]) -> str:
    """The source a row is held out with."""
    source = str(row["source"])
    if source.startswith(("ulab-uiuc/", "bfcl-eval")):
        return source.split(":", 1)[1]
    return source if source.startswith(("own:", "round:", "banking77+")) else source.split(":")[0]


def training_rows(data: Path | None) -> list[dict[str, Any]]:
    """Everything that may train what ships."""
    rows = own_rows(4)
    for name in ROUNDS:
        rows += [row | {"source": f"round:{name}"} for row in lines(TASKS_FOLDER / f"{name}.jsonl")]
    if data is not None:
        rows += [row for row in lines(data / "routing" / "tasks.jsonl") if source_of(row) in MAY_SHIP]
        rows += exams(data) + commands(data) + queries(data)
    return rows


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def exams(data: Path) -> list[dict[str, Any]]:
    """MMLU's test questions (MIT), with their choices and without; not those of mathematics."""
    dice = random.Random(1)
    rows = [row for row in lines(data / "routing" / "routellm_mmlu.jsonl") if not _MATHS.search(row["domain"])]
    out = []
    for row in dice.sample(rows, 420):
        prompt = row["prompt"].removesuffix("\nAnswer:") if dice.random() < 0.7 else row["prompt"]
        if dice.random() < 0.45:
            prompt = prompt.split("\nA. ")[0]
        out.append({"prompt": prompt, "task_type": "knowledge_qa", "source": "mmlu_test"})
    return out


_MATHS = re.compile("math|algebra|statistics|econometrics|physics|formal_logic")


def commands(data: Path) -> list[dict[str, Any]]:
    """Utterances to an assistant (CLINC150, CC BY 3.0) whose intent says the class."""
    of_intent = {intent: task for task, intents in INTENTS.items() for intent in intents.split()}
    seen: Counter[str] = Counter()
    out = []
    for row in lines(data / "semantic_cache" / "clinc150_stream.jsonl"):
        intent = row["answer_class"]
        seen[intent] += 1
        if intent in of_intent and seen[intent] <= 14:
            out.append({"prompt": row["prompt"], "task_type": of_intent[intent], "source": "clinc150"})
    return out


INTENTS = {
    "function_calling": """weather timer alarm reminder_update book_flight book_hotel restaurant_reservation play_music
        text make_call uber traffic directions calendar_update shopping_list_update todo_list_update smart_home
        change_volume order exchange_rate time current_location flight_status car_rental pay_bill transfer balance
        restaurant_suggestion gas schedule_meeting meeting_schedule find_phone""",
    "translation": "translate",
    "math": "calculator",
    "knowledge_qa": "definition",
    "chat_writing": "tell_joke greeting meal_suggestion recipe thank_you travel_suggestion goodbye",
    "other": "what_is_your_name who_made_you are_you_a_bot how_old_are_you repeat yes no maybe what_can_i_ask_you",
}
"""CLINC150's intents that belong to one of our classes"""


def queries(data: Path) -> list[dict[str, Any]]:
    """Customers' real sentences (BANKING77, CC BY 4.0) under our own wordings for classification."""
    dice = random.Random(2)
    texts = [row["prompt"] for row in lines(data / "semantic_cache" / "banking77_stream.jsonl")[:3000]]
    rows = own_rows(6, seed=99, fill={"ticket": dice.sample(texts, 300), "review": dice.sample(texts, 60)})
    rows = [row for row in rows if row["task_type"] == "classification"]
    return [row | {"source": "banking77+" + row["source"]} for row in dice.sample(rows, min(len(rows), 150))]


def weigh(rows: list[dict[str, Any]]) -> np.ndarray:
    """Every class weighs the same (but for PRIOR); within it a source weighs with the square root of its rows."""
    sources = Counter((row["task_type"], source_of(row)) for row in rows)
    raw = np.array([sources[row["task_type"], source_of(row)] ** -0.5 for row in rows])
    totals: dict[str, float] = defaultdict(float)
    for row, weight in zip(rows, raw, strict=True):
        totals[row["task_type"]] += weight
    share = [PRIOR.get(row["task_type"], 1.0) / totals[row["task_type"]] for row in rows]
    return raw * np.array(share) * len(rows) / len(totals)


class Head:
    """A multinomial logistic regression over named features."""

    def __init__(self, seen: list[set[str]], rows: list[dict[str, Any]], strength: float = STRENGTH) -> None:
        counts = Counter(name for each in seen for name in each)
        self.names = sorted(name for name, count in counts.items() if count >= FEWEST)
        self.place = {name: at for at, name in enumerate(self.names)}
        model = LogisticRegression(C=strength, max_iter=300)
        model.fit(self.matrix(seen), [row["task_type"] for row in rows], sample_weight=weigh(rows))
        self.classes = list(model.classes_)
        self.weights, self.bias = model.coef_, model.intercept_

    def matrix(self, seen: list[set[str]]) -> csr_matrix:
        """Rows of features, each scaled to unit length, so that a long prompt says no more than a short one."""
        data, columns, ends = [], [], [0]
        for each in seen:
            known = [self.place[name] for name in each if name in self.place]
            columns += known
            data += [len(known) ** -0.5 * SCALE] * len(known)
            ends.append(len(columns))
        return csr_matrix((data, columns, ends), shape=(len(seen), len(self.names)))

    def predict(self, seen: list[set[str]], form: list[bool]) -> list[str]:
        """The likeliest classes; `form`: whether a row may be formatting at all, as in `rung.ladder.task.head`."""
        scores = self.matrix(seen) @ self.weights.T + self.bias
        scores[~np.array(form), self.classes.index("validation_formatting")] = -np.inf
        return [self.classes[at] for at in scores.argmax(axis=1)]


SCALE = 6.0
PRIOR = {"other": 0.4}
"""`other` is what is left: it must not draw calls of which little is known"""


def told(head: Head, rows: list[dict[str, Any]], readings: list[Any], seen: list[set[str]]) -> list[str]:
    """What rules and head together say."""
    ruled = [rules.decide(reading) for reading in readings]
    form = [rules.may_be_formatting(reading) for reading in readings]
    return [one.task if one else guess for one, guess in zip(ruled, head.predict(seen, form), strict=True)]


def macro_f1(wanted: list[str], said: list[str], show: bool = False) -> float:
    scores = []
    for task in [one for one in TASKS if one in set(wanted)]:
        hit = sum(a == b == task for a, b in zip(wanted, said, strict=True))
        put, there = said.count(task), wanted.count(task)
        scores.append(2 * hit / (put + there) if put + there else 0.0)
        if show:
            wrong = Counter(b for a, b in zip(wanted, said, strict=True) if a == task != b).most_common(4)
            print(f"  {task:24} n {there:4}  p {hit / put if put else 0:.3f}  r {hit / there:.3f}  {dict(wrong)}")
    return sum(scores) / len(scores)


def held_with(row: dict[str, Any]) -> str:
    """The group a row is held out with: its source; for our wordings a tenth of the families, all classes at once."""
    source = source_of(row).removeprefix("banking77+")
    return f"own families {crc32(source.encode()) % 10}" if source.startswith("own:") else source


def check(rows: list[dict[str, Any]], readings: list[Any], seen: list[set[str]]) -> None:
    """A five-fold split, then every source held out in its turn; our own families in ten groups of whole families."""
    wanted = [row["task_type"] for row in rows]
    dice = np.random.default_rng(0)
    fold = dice.permutation(len(rows)) % 5
    held_by = {"split": [str(one) for one in fold], "source": [held_with(row) for row in rows]}
    for name, groups in held_by.items():
        said = [""] * len(rows)
        for group in sorted(set(groups)):
            train = [at for at, one in enumerate(groups) if one != group]
            test = [at for at, one in enumerate(groups) if one == group]
            head = Head([seen[at] for at in train], [rows[at] for at in train])
            answers = told(head, rows, [readings[at] for at in test], [seen[at] for at in test])
            for at, answer in zip(test, answers, strict=True):
                said[at] = str(answer)
            if name == "source":
                right = sum(said[at] == wanted[at] for at in test)
                print(f"    {group:32} {right}/{len(test)} = {right / len(test):.2f}")
        print(f"{name}: macro-F1 {macro_f1(wanted, said, show=True):.3f}")
        given = [at for at, row in enumerate(rows) if "family" in row]
        real = macro_f1([wanted[at] for at in given], [said[at] for at in given], show=True)
        print(f"{name}, the routing file's rows alone (n {len(given)}): macro-F1 {real:.3f}")


def write(head: Head, path: Path) -> None:
    """The weights as text: a head line of classes and biases, then a feature a line with its integers."""
    top = np.abs(head.weights).max()
    scale = 99 / top  # the head multiplies the whole numbers by SCALE / scale / sqrt(features)
    whole = np.rint(head.weights * scale).astype(int)
    lines = [
        "# Weights of rung.ladder.task.head, made by scripts/train_tasks.py; the sources are in docs/tasks.md.",
        " ".join(f"{task}:{bias:.4f}" for task, bias in zip(head.classes, head.bias, strict=True)),
        f"{SCALE / scale:.6f}",
    ]
    for name, column in zip(head.names, whole.T, strict=True):
        held = [f"{at:x}{value}" for at, value in enumerate(column) if abs(value) >= SMALLEST]
        if held:
            lines.append(name + "\t" + " ".join(held))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{path.name}: {len(lines) - 3} features, {path.stat().st_size / 1000:.0f} kB")


SMALLEST = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rows = training_rows(options.data)
    readings = [read(body_of(row)) for row in rows]
    seen = [features(reading) for reading in readings]
    if options.check:
        check(rows, readings, seen)
        return
    write(Head(seen, rows), WEIGHTS)


if __name__ == "__main__":
    main()
