"""How fast a model would be here, foretold as a range and corrected by what was measured.

A generated token reads every weight once (memory) and computes with it (cores); a prompt is read in batches, so
only computing counts. Time per token = bytes / bandwidth + weights x cost of their quantisation / threads; the
cost was fitted to llama.cpp runs of three models on one machine, so what is foretold elsewhere has a wide range.
Naive bandwidth alone overstates small models on few cores 1.5 to 4.5 times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Protocol

_REFERENCE = 850e6
"""bytes/s of BLAKE2b on one core of the machine the costs were measured on (AMD EPYC of the Zen 4 class, AVX2 build)"""

_GENERATE = {"Q4_K": 16.0, "Q6_K": 16.0, "Q5_K": 20.0, "Q4_0": 20.0, "Q8_0": 40.0, "Q5_0": 80.0, "Q4_1": 105.0}
_PROMPT = {"Q4_K": 24.0, "Q6_K": 24.0, "Q5_K": 28.0, "Q4_0": 26.0, "Q8_0": 30.0, "Q5_0": 42.0, "Q4_1": 105.0}
_OTHER = 50.0
"""picoseconds of one reference core per weight, by quantisation"""

_WIDEST = {"uncorrected": (0.5, 1.4), "corrected": (0.7, 1.3), "measured": (0.85, 1.15)}
"""how far from the middle the truth may lie: a model never run here, one beside a model that was, one that was"""


class Weights(Protocol):
    """What of a model counts for its speed; a GGUF header or a documented shape gives it."""

    @property
    def read_bytes(self) -> int: ...
    @property
    def kinds(self) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True)
class Probe:
    """What `threads` threads did together. `read`: bytes/s of memory. `compute`: bytes/s through BLAKE2b."""

    threads: int
    read: float
    compute: float


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens per second: the middle and the range it should lie in."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one model reads prompts and generates, and how that is known: ``uncorrected``, ``corrected``
    (by another model measured here) or ``measured``."""

    prompt: Rate
    generation: Rate
    basis: str


@dataclass(frozen=True, slots=True)
class Measured:
    """Tokens per second one model really reached with `threads` threads; `watts` where they could be read."""

    prompt: float
    generation: float
    threads: int
    watts: float | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of call people mean. Tokens: `fixed` are the same every time (a warm cache has read them),
    `fresh` are new, `output` are generated."""

    name: str
    fixed: int
    fresh: int
    output: int


TASKS = (
    Task("format 1 KB", 40, 380, 380),
    Task("classify", 160, 60, 3),
    Task("extract 6 fields", 120, 180, 70),
    Task("answer 200 tokens, 2k context", 2000, 48, 200),
)


def pace(
    model: Weights, probe: Probe, *, measured: Measured | None = None, beside: Iterable[tuple[Pace, Measured]] = ()
) -> Pace:
    """Foretell `model` on the machine of `probe`.

    `measured`: what this very model reached here. `beside`: (what was foretold uncorrected, what was measured) for
    other models on this machine: their median ratio corrects this one.
    """
    if measured is not None:
        share = probe.threads / measured.threads  # asked for another number of threads: as if it scaled
        return _around(measured.prompt * share, measured.generation * share, "measured")
    prompt, generation = _middle(model, probe)
    known = [(real.prompt / told.prompt.middle, real.generation / told.generation.middle) for told, real in beside]
    if not known:
        return _around(prompt, generation, "uncorrected")
    return _around(prompt * median(p for p, _ in known), generation * median(g for _, g in known), "corrected")


def seconds(task: Task, rates: Pace, *, warm: bool) -> tuple[float, float]:
    """-> (best, worst) seconds until the whole answer is there; loading the model not included.

    `warm`: what every call of the task has in common has been read before.
    """
    read = task.fresh if warm else task.fixed + task.fresh
    best = read / rates.prompt.high + task.output / rates.generation.high
    worst = read / rates.prompt.low + task.output / rates.generation.low
    return best, worst


def _middle(model: Weights, probe: Probe) -> tuple[float, float]:
    cores = probe.compute / _REFERENCE
    generate = model.read_bytes / probe.read + _cost(model, _GENERATE) / cores
    return cores / _cost(model, _PROMPT), 1 / generate


def _cost(model: Weights, table: Mapping[str, float]) -> float:
    """Seconds of one reference core per token."""
    return sum(weights * table.get(kind, _OTHER) for kind, weights in model.kinds.items()) * 1e-12


def _around(prompt: float, generation: float, basis: str) -> Pace:
    low, high = _WIDEST[basis]
    return Pace(Rate(prompt * low, prompt, prompt * high), Rate(generation * low, generation, generation * high), basis)
