"""Which settings of the engine answer soonest here? Tried, not foretold.

What is tried differs from one machine to the next: copied weights pay where computing is scarce, long batches where
memory is slow, fewer threads where cores share what they compute with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec.structs import replace

from rung.local.predict import Measured
from rung.local.speeds import Setup
from rung.local.trial import setup_of, trial
from rung.local.tuning import DEFAULT_TUNING, Tuning

READ, WRITTEN = 300, 100
"""tokens of an ordinary call"""

GAIN = 1.1
"""times sooner that another setting must answer, twice in a row, to be taken: trials differ by nearly as much"""

LONG_BATCH = 128
"""prompt tokens read at once, at most: a caller that left is noticed only between two batches"""


def call_seconds(measured: Measured) -> float:
    """What an ordinary call would take."""
    return READ / measured.prompt + WRITTEN / measured.generation


async def find_setup(
    model: Path, *, threads: int, context: int, repack: bool = True, say: Callable[[str], None] = lambda line: None
) -> tuple[Setup, Measured]:
    """Try other settings one after the other, from those it would have -> the ones to keep, and what they reached.

    `threads`, `context`, `repack`: the most there are cores and memory for. Raises ModelFileError as `trial` does.
    """

    async def tried(setup: Setup) -> Measured:
        measured = await trial(model, threads=setup.threads, context=context, tuning=tuning_of(setup))
        say(f"{describe(setup)}: {call_seconds(measured):.1f} s")
        return measured

    best = Setup(threads, DEFAULT_TUNING.batch, repack)
    reached = await tried(best)
    for change in _changes(best):
        other = replace(best, **change)
        measured = await tried(other)
        if call_seconds(measured) * GAIN > call_seconds(reached):
            continue
        reached, again = await tried(best), await tried(other)  # a neighbour may have slowed the first down
        if call_seconds(again) * GAIN <= call_seconds(reached):
            best, reached = other, again
    return best, reached


def _changes(setup: Setup) -> Iterator[dict[str, int | bool]]:
    if setup.repack:
        yield {"repack": False}
    yield {"batch": LONG_BATCH}
    if setup.threads >= 4:
        yield {"threads": setup.threads // 2}


def setup_for(model: Path, models_dir: Path, *, threads: int, repack: bool) -> Setup:
    """What was found for the file, within the cores and the memory there are now, or else the usual. Blocks."""
    try:
        found = setup_of(models_dir, model.name, model.stat().st_size)
    except OSError:  # whoever loads it says so
        found = None
    if found is None:
        return Setup(threads, DEFAULT_TUNING.batch, repack)
    return Setup(min(threads, found.threads), found.batch, repack and found.repack)


def tuning_of(setup: Setup) -> Tuning:
    """The engine's settings but for the threads."""
    return replace(DEFAULT_TUNING, batch=setup.batch, repack=setup.repack)


def describe(setup: Setup) -> str:
    """For people."""
    weights = "weights copied" if setup.repack else "weights as in the file"
    return f"{setup.threads} thread{'s' * (setup.threads > 1)}, batches of {setup.batch}, {weights}"
