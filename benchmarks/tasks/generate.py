"""Prompts of every kind of call, made from our own wordings over our own payloads.

    python benchmarks/tasks/generate.py > tasks.jsonl       then: rung bench tasks --data tasks.jsonl

`wordings/CLASS.txt` holds families (``## name``) of templates, one a line: ``\\n`` is a line break, ``{slot}`` a line
of that section of `payloads.txt`, what stands before ``|||`` is a system prompt, and a prompt may begin with the
response format it is sent with (``<json>``, ``<schema: a, b>``, ``<enum: a, b>``). Wordings and payloads were written
for rung and stand under its licence (MIT). A row: ``{"prompt", "system"?, "response_format"?, "task_type",
"source"}``, where `source` is ``own:FAMILY``, so that whole families can be held out.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_FORM = re.compile(r"<(json|(?:schema|enum): [^>]*)> ")
_SLOT = re.compile(r"\{([a-z]+)\}")


def payloads() -> dict[str, list[str]]:
    """Slot -> its payloads."""
    found: dict[str, list[str]] = {}
    held: list[str] = []
    for line in (HERE / "payloads.txt").read_text("utf-8").splitlines():
        if re.fullmatch(r"\[[a-z]+\]", line):
            held = found.setdefault(line[1:-1], [])
        elif line and not line.startswith("# "):
            held.append(line)
    return found


def templates() -> Iterator[tuple[str, str, str]]:
    """Every (task, family, template)."""
    for path in sorted((HERE / "wordings").glob("*.txt")):
        family = ""
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("## "):
                family = line[3:]
            elif line:
                yield path.stem, family, line


def rows(each: int = 3, seed: int = 7, fill: dict[str, list[str]] | None = None) -> list[dict[str, Any]]:
    """`each` fillings of every template (one of a template without slots), the same for the same seed.

    `fill`: payloads to use in place of ours, by slot.
    """
    slots = payloads() | (fill or {})
    out: list[dict[str, Any]] = []
    for task, family, template in templates():
        dice = random.Random(f"{seed}:{task}:{template}")
        seen: set[str] = set()
        for _ in range(each):
            text = _SLOT.sub(partial(_choose, dice, slots), template)
            if text in seen:
                continue
            seen.add(text)
            system, bar, prompt = text.replace("\\n", "\n").partition(" ||| ")
            row: dict[str, Any] = {"prompt": prompt if bar else system, "task_type": task, "source": f"own:{family}"}
            if bar:
                row["system"] = system
            form = _FORM.match(row["prompt"])
            if form:
                row["prompt"] = row["prompt"][form.end() :]
                row["response_format"] = _response_format(form[1])
            out.append(row)
    return out


def _response_format(form: str) -> dict[str, Any]:
    """``<json>``: JSON mode; ``<schema: a, b>``: a schema of text fields; ``<enum: a, b>``: one of these labels."""
    kind, _, names = form.partition(": ")
    if kind == "json":
        return {"type": "json_object"}
    listed = names.split(", ")
    held = {"label": {"enum": listed}} if kind == "enum" else {name: {"type": "string"} for name in listed}
    schema = {"type": "object", "properties": held, "required": list(held)}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _choose(dice: random.Random, slots: dict[str, list[str]], found: re.Match[str]) -> str:
    return dice.choice(slots[found[1]]) if found[1] in slots else found[0]


if __name__ == "__main__":
    for one in rows(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        print(json.dumps(one, ensure_ascii=False))
