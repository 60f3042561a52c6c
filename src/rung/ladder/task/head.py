"""The learned guess where no rule holds: one multinomial logistic regression over named features.

The weights are whole numbers in ``weights.txt``, made by scripts/train_tasks.py (sources and licences: docs/tasks.md).
A guess costs one dictionary look-up per feature; nothing but the standard library is needed.
"""

from __future__ import annotations

from functools import cache
from math import exp, sqrt
from pathlib import Path
from typing import NamedTuple

from rung.ladder.task.features import features
from rung.ladder.task.reading import Reading
from rung.ladder.task.rules import may_be_formatting

NEVER = -1e9
"""`validation_formatting` leads towards the local rung: not said where nothing speaks of form or validity"""
DOUBT = 0.30
"""below this confidence a guess is `other`"""


class Weights(NamedTuple):
    classes: tuple[str, ...]
    bias: tuple[float, ...]
    scale: float
    of: dict[str, tuple[tuple[int, int], ...]]
    """feature -> (class, weight) where the weight counts"""


def guess(reading: Reading) -> tuple[str, float, str]:
    """The likeliest task, its probability, and the features that spoke most for it."""
    weights = load()
    known = [(name, held) for name in features(reading) if (held := weights.of.get(name)) is not None]
    scores = [0] * len(weights.classes)
    for _, held in known:
        for at, weight in held:
            scores[at] += weight
    unit = weights.scale / sqrt(len(known)) if known else 0.0
    logits = [bias + unit * score for bias, score in zip(weights.bias, scores, strict=True)]
    if not may_be_formatting(reading):
        logits[weights.classes.index("validation_formatting")] = NEVER
    top = max(logits)
    parts = [exp(logit - top) for logit in logits]
    best = logits.index(top)
    confidence = parts[best] / sum(parts)
    if confidence < DOUBT:
        return "other", round(1 - confidence, 3), f"nothing is likely; {weights.classes[best]} at {confidence:.2f} most"
    return weights.classes[best], round(confidence, 3), _why(known, best)


def _why(known: list[tuple[str, tuple[tuple[int, int], ...]]], best: int) -> str:
    """The heaviest ideas and marks. Never a word of the prompt: this text goes to headers and records."""
    spoke = [(weight, name) for name, held in known for at, weight in held if at == best and weight > 0]
    told = dict.fromkeys(name.lstrip("!@*01") for _, name in sorted(spoke, reverse=True) if name[0] in "!*")
    return "learned: " + (", ".join(list(told)[:3]) or "from single words")


@cache
def load() -> Weights:
    """The weights, read once (some 20 ms)."""
    lines = (Path(__file__).parent / "weights.txt").read_text("utf-8").splitlines()
    classes, biases = zip(*(one.split(":") for one in lines[1].split(" ")), strict=True)
    of = {}
    for line in lines[3:]:
        name, held = line.split("\t")
        of[name] = tuple((int(one[0], 16), int(one[1:])) for one in held.split(" "))
    return Weights(classes, tuple(map(float, biases)), float(lines[2]), of)
