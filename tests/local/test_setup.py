from __future__ import annotations

from pathlib import Path

import pytest

from rung.local import setup
from rung.local.predict import Measured
from rung.local.setup import describe, find_setup
from rung.local.speeds import Setup
from rung.local.trial import trial
from rung.local.tuning import Tuning

MODEL = Path("m.gguf")


class Machine:
    """Speeds by setting; `slow` trials, by their number, take twice as long because somebody else was busy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slow: tuple[int, ...] = (), **gains: float) -> None:
        self.tried: list[Setup] = []
        self._slow, self._gains = slow, gains
        monkeypatch.setattr(setup, "trial", self.trial)

    async def trial(self, model: Path, *, threads: int, context: int, tuning: Tuning) -> Measured:
        assert (model, context) == (MODEL, 4096)
        self.tried.append(Setup(threads, tuning.batch, tuning.repack))
        speed = 0.5 if len(self.tried) in self._slow else 1.0
        if not tuning.repack:
            speed *= self._gains.get("as_it_is", 1.0)
        if tuning.batch > 32:
            speed *= self._gains.get("batch", 1.0)
        if threads < 6:
            speed *= self._gains.get("threads", 1.0)
        return Measured(30.0 * speed, 10.0 * speed, threads)


async def find(threads: int = 6, *, repack: bool = True) -> Setup:
    found, measured = await find_setup(MODEL, threads=threads, context=4096, repack=repack)
    assert measured.threads == found.threads
    return found


async def test_what_gains_little_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, as_it_is=1.05, batch=0.9, threads=1.09)
    assert await find() == Setup(6, 32, True)
    assert machine.tried == [Setup(6, 32, True), Setup(6, 32, False), Setup(6, 128, True), Setup(3, 32, True)]


async def test_what_gains_enough_is_taken_and_built_upon(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, as_it_is=1.3, threads=1.2)
    assert await find() == Setup(3, 32, False)
    assert Setup(6, 128, False) in machine.tried


async def test_it_must_gain_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, slow=(1,))
    assert await find() == Setup(6, 32, True)


async def test_few_threads_are_not_halved_and_weights_there_is_no_room_for_not_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    assert await find(2, repack=False) == Setup(2, 32, False)
    assert machine.tried == [Setup(2, 32, False), Setup(2, 128, False)]


def test_a_setup_in_words() -> None:
    assert describe(Setup(1, 32, True)) == "1 thread, batches of 32, weights copied"
    assert describe(Setup(3, 128, False)) == "3 threads, batches of 128, weights as in the file"


@pytest.mark.model
async def test_a_real_model_runs_with_other_settings(smollm2: Path) -> None:
    measured = await trial(smollm2, threads=1, context=1024, tuning=Tuning(batch=128, repack=False))
    assert measured.generation > 1
