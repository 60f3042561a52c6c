from __future__ import annotations

import pytest

from rung.local.catalogue import rows
from rung.local.known import Known, known

PUBLISHED = {
    # bytes of public Q4_K_M files of the same shape, as listed on 2026-11-22
    "qwen2.5-coder:7b": 4_683_074_240,
    "phi4-mini": 2_491_874_688,
    "phi4": 9_053_114_816,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_computed_sizes_are_near_the_published_ones(name: str) -> None:
    (model,) = (one for one in known() if one.name == name)
    assert model.bytes == pytest.approx(PUBLISHED[name], rel=0.025)


def test_the_recipe_gives_the_measured_file() -> None:
    real = next(row for row in rows() if row.name == "qwen2.5-coder:1.5b")
    told = Known(
        "x", "", "", layers=28, hidden=1536, feed_forward=8960, heads=12, kv_heads=2, head_dim=128,
        vocabulary=151936, tied=False, context_length=32768, ollama="", source="",
    )  # fmt: skip
    assert told.bytes == pytest.approx(real.bytes, rel=0.002)
    assert told.q4_k_bytes == real.q4_k_bytes
    assert told.read_bytes == pytest.approx(real.read_bytes, rel=0.001)
    assert {kind: real.kinds[kind] for kind in told.kinds} == told.kinds


def test_none_can_be_pulled_and_each_names_its_source() -> None:
    assert not {one.name for one in known()} & {row.name for row in rows()}
    assert all(one.source for one in known())
