from __future__ import annotations

from pathlib import Path

import pytest
from local_fakes import model

from rung.errors import ModelFileError
from rung.local.predict import Measured
from rung.local.speeds import Setup, Speeds, Timings
from rung.local.trial import measured_here, recall, remember, setup_of, trial


def test_what_was_measured_is_remembered_by_file(tmp_path: Path) -> None:
    model = tmp_path / "a.gguf"
    model.write_bytes(b"GGUF")
    assert recall(tmp_path, "a.gguf", 4) is None
    remember(tmp_path / "models", model, Measured(30.5, 9.0, 2), "2026-11-22")
    assert recall(tmp_path / "models", "a.gguf", 4) == Measured(30.5, 9.0, 2)
    assert recall(tmp_path / "models", "a.gguf", 5) is None, "another file of that name"
    remember(tmp_path / "models", model, Measured(40.0, 9.5, 2), "2026-11-23")
    assert recall(tmp_path / "models", "a.gguf", 4) == Measured(40.0, 9.5, 2)


def test_the_setup_that_was_found_outlasts_later_trials(tmp_path: Path) -> None:
    model = tmp_path / "a.gguf"
    model.write_bytes(b"GGUF")
    remember(tmp_path, model, Measured(30.5, 9.0, 2), "2026-11-22")
    assert setup_of(tmp_path, "a.gguf", 4) is None
    remember(tmp_path, model, Measured(30.5, 9.0, 2), "2026-11-22", Setup(2, 128, False))
    remember(tmp_path, model, Measured(31.0, 9.0, 2), "2026-11-23")
    assert setup_of(tmp_path, "a.gguf", 4) == Setup(2, 128, False)
    assert setup_of(tmp_path, "a.gguf", 5) is None, "another file of that name"


def test_a_broken_memory_is_no_memory(tmp_path: Path) -> None:
    (tmp_path / "speeds.json").write_text('{"tried": {"a.gguf": {"bytes": "many"}}}')
    assert recall(tmp_path, "a.gguf", 4) is None


def test_use_says_more_than_a_trial(tmp_path: Path) -> None:
    row = model(b"weights")
    (tmp_path / row.file).write_bytes(b"weights")
    assert measured_here(row, tmp_path) is None
    remember(tmp_path, tmp_path / row.file, Measured(30.0, 9.0, 1, watts=25.0), "2026-11-22")
    assert measured_here(row, tmp_path) == Measured(30.0, 9.0, 1, watts=25.0)
    used = Speeds(tmp_path)
    speed = used.of(f"embedded/{row.alias}/{row.sha256[:12]}/2 threads")
    for _ in range(5):
        speed.learn(Timings(prompt_n=100, prompt_ms=2000.0, predicted_n=40, predicted_ms=4000.0))
    used.save()
    assert measured_here(row, tmp_path) == Measured(50.0, 10.0, 2, watts=25.0)
    assert measured_here(model(b"other", file="other.gguf"), tmp_path) is None


async def test_a_model_that_cannot_run_says_why(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="missing"):
        await trial(tmp_path / "none.gguf", threads=1, context=512)


@pytest.mark.model
async def test_a_real_model_tells_its_speed(smollm2: Path) -> None:
    measured = await trial(smollm2, threads=1, context=1024)
    assert measured.prompt > 1
    assert measured.generation > 1
