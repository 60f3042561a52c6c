from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from rung.local.bandwidth import probe
from rung.local.catalogue import row
from rung.local.predict import TASKS, Measured, Probe, pace, seconds

ONE, TWO = Probe(1, 20.5e9, 850e6), Probe(2, 38e9, 1700e6)


@dataclass
class Weights:
    read_bytes: int
    kinds: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("name", "machine", "prompt", "generation"),
    [  # measured with a calm machine: shared anchors, "local", section 3
        ("qwen2.5-coder:1.5b", ONE, 27, 13.6),
        ("qwen2.5-coder:1.5b", TWO, 65, 21.9),
        ("qwen2.5-coder:0.5b", ONE, 60, 18.5),
        ("qwen2.5-coder:0.5b", TWO, 137, 35),
        ("smollm2:135m", ONE, 85, 46),
        ("smollm2:135m", TWO, 200, 87),
    ],
)
def test_what_was_measured_lies_in_the_range(name: str, machine: Probe, prompt: float, generation: float) -> None:
    told = pace(row(name), machine)
    assert told.basis == "uncorrected"
    assert told.prompt.low <= prompt <= told.prompt.high
    assert told.generation.low <= generation <= told.generation.high


def test_a_measurement_replaces_the_prediction_and_scales_with_threads() -> None:
    model = Weights(10**9, {"Q4_K": 10**9})
    told = pace(model, TWO, measured=Measured(30.0, 10.0, threads=1))
    assert told.basis == "measured"
    assert (told.prompt.middle, told.generation.middle) == (60.0, 20.0)


def test_another_models_measurement_corrects() -> None:
    model, other = Weights(10**9, {"Q4_K": 10**9}), Weights(2 * 10**9, {"Q4_K": 2 * 10**9})
    plain, beside = pace(model, ONE), pace(other, ONE)
    slow = Measured(beside.prompt.middle / 2, beside.generation.middle / 4, 1)
    told = pace(model, ONE, beside=[(beside, slow)])
    assert told.basis == "corrected"
    assert told.prompt.middle == pytest.approx(plain.prompt.middle / 2)
    assert told.generation.middle == pytest.approx(plain.generation.middle / 4)


def test_unknown_quantisations_are_foretold_too() -> None:
    assert pace(Weights(10**9, {"other": 10**9}), ONE).generation.low > 0


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_warm_is_never_slower_than_cold(task) -> None:
    told = pace(row("qwen2.5-coder:1.5b"), ONE)
    (cold_best, cold_worst), (warm_best, warm_worst) = (seconds(task, told, warm=warm) for warm in (False, True))
    assert 0 < warm_best <= cold_best
    assert warm_best < warm_worst <= cold_worst


def test_a_thread_that_is_late_measures_too() -> None:
    told = probe(2, seconds=0.0, buffer=1 << 22)
    assert told.read > 0
    assert told.compute > 0


def test_the_probe_measures_something() -> None:
    told = probe(2, seconds=0.02, buffer=1 << 20)
    assert told.threads == 2
    assert told.read > 1e6
    assert told.compute > 1e5
