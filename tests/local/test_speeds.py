"""Speeds are learnt from use, foretell the next call, and outlive a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.local import speeds
from rung.local.speeds import RATE, Kept, Speed, Speeds, Timings, Trial, keep, kept, timings


def test_the_first_answer_counts_whole_and_later_ones_their_share() -> None:
    speed = Speed()
    speed.learn(Timings(100, 1000.0, 50, 1000.0))
    assert speed == Speed(prompt=100.0, generation=50.0, output=50.0, answers=1)
    speed.learn(Timings(100, 500.0, 20, 1000.0))
    assert speed.prompt == pytest.approx(100 + RATE * 100)
    assert speed.generation == pytest.approx(50 - RATE * 30)


def test_a_few_tokens_say_nothing_about_speed() -> None:
    speed = Speed(prompt=100.0, generation=50.0)
    speed.learn(Timings(3, 1000.0, 2, 1000.0))
    assert (speed.prompt, speed.generation, speed.output) == (100.0, 50.0, 2.0)


def test_a_prediction_is_reading_and_writing() -> None:
    speed = Speed(prompt=100.0, generation=20.0, output=60.0)
    assert speed.predict(200, None) == pytest.approx(2.0 + 3.0)
    assert speed.predict(200, 10) == pytest.approx(2.0 + 0.5)
    assert Speed().predict(10_000, 10_000) == 0.0  # nothing is known: nothing is foretold


@given(st.lists(st.tuples(st.integers(16, 4000), st.floats(0.5, 500.0)), min_size=1, max_size=30))
def test_the_mean_stays_within_what_was_seen(seen: list[tuple[int, float]]) -> None:
    speed = Speed()
    for tokens, rate in seen:
        speed.learn(Timings(tokens, tokens / rate * 1e3, tokens, tokens / rate * 1e3))
    rates = [rate for _, rate in seen]
    assert min(rates) * 0.999 <= speed.generation <= max(rates) * 1.001


TIMES = b'"timings":{"prompt_n":7,"prompt_ms":1.5,"predicted_n":3,"predicted_ms":2.5,"cache_n":4}'


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"id":"a",' + TIMES + b"}", True),
        (b'data: {"id":"a"}\n\ndata: {' + TIMES + b"}\n\n", True),
        (b'{"choices":[]}', False),
        (b'{"text":"\\"timings\\":{}"}', False),
        (b'{"timings":3}', False),
        (b'{"timings":{"prompt_n":', False),
        (b"", False),
    ],
)
def test_times_are_found_where_they_stand(data: bytes, found: bool) -> None:
    assert timings(data) == (Timings(7, 1.5, 3, 2.5) if found else None)


def test_speeds_outlive_a_restart(tmp_path: Path) -> None:
    first = Speeds(tmp_path / "models")
    first.load()
    first.of("a").learn(Timings(100, 1000.0, 50, 1000.0))
    first.of("never used")
    first.save()
    second = Speeds(tmp_path / "models")
    second.load()
    assert second.of("a") == first.of("a")
    assert set(kept(tmp_path / "models").used) == {"a"}


@pytest.mark.parametrize("content", [b"", b"{", b'{"used": {"a": 1}}', b"\xff"])
def test_a_damaged_file_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "speeds.json").write_bytes(content)
    told = Speeds(tmp_path)
    told.load()
    assert told.of("a") == Speed()


def test_what_is_tried_meanwhile_is_kept_too(tmp_path: Path) -> None:
    told = Speeds(tmp_path)
    told.of("a").loaded(1.0)
    tried = Trial(4, 30.0, 9.0, 1, "2026-11-22")
    keep(tmp_path, Kept({"a.gguf": tried}, {}))
    told.save()
    assert kept(tmp_path) == Kept({"a.gguf": tried}, {"a": Speed(load=1.0)})


def test_a_disk_that_refuses_costs_nothing_else(tmp_path: Path) -> None:
    told = Speeds(tmp_path / "file" / "models")
    (tmp_path / "file").write_text("")
    told.of("a").loaded(1.0)
    told.save()


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "_MOST", 3)
    told = Speeds(tmp_path)
    for number in range(10):
        told.of(str(number)).loaded(1.0)
        told.of("0").loaded(1.0)  # used again and again: it stays
    told.save()
    assert set(kept(tmp_path).used) == {"0", "8", "9"}
