from __future__ import annotations

import subprocess
from importlib import metadata
from importlib.util import find_spec

import pytest

from rung.local.build import compiled_for, engine_version, read_info

WHEEL = "CPU : SSE3 = 1 | SSSE3 = 1 | AVX = 1 | AVX2 = 1 | F16C = 1 | FMA = 1 | BMI2 = 1 | REPACK = 1 | "


@pytest.mark.parametrize(
    ("told", "has"),
    [
        (WHEEL, ("avx2", "fma", "f16c")),
        (WHEEL + "AVX512 = 1 | AVX512_VNNI = 1 | ", ("avx2", "fma", "f16c", "avx512f", "avx512_vnni")),
        ("CPU : AVX2 = 0 | FMA = 1 | ", ("fma",)),
        ("CPU : NEON = 1 | ARM_FMA = 1 | MATMUL_INT8 = 1 | DOTPROD = 1 | ", ("neon", "asimddp", "i8mm")),
        ("", ()),
        ("Traceback (most recent call last)", ()),
    ],
)
def test_what_the_engine_says_of_itself(told: str, has: tuple[str, ...]) -> None:
    assert read_info(told) == has


def test_an_engine_that_hangs_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(*command: object, **told: object) -> None:
        raise subprocess.TimeoutExpired("python", 30.0)

    monkeypatch.setattr(subprocess, "run", hangs)
    assert compiled_for() == ()


def test_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", none)
    assert engine_version() == ""


@pytest.mark.skipif(find_spec("xllamacpp") is None, reason="the engine is not installed: pip install 'rung[local]'")
def test_the_one_that_is_installed() -> None:
    assert engine_version()
    assert {"avx2", "neon"} & set(compiled_for())
