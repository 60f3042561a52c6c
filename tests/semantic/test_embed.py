"""Embedders: from the package's own files, unit length, and clear words when something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

np = pytest.importorskip("numpy")

from rung.errors import ConfigError  # noqa: E402
from rung.semantic.embed import ROWS, load  # noqa: E402


def test_wordllama_is_the_default_and_of_unit_length() -> None:
    pytest.importorskip("tokenizers")
    pytest.importorskip("wordllama")
    embedder = load()
    one, other, far = (embedder.embed(text) for text in ("Where is my parcel?", "where's my package", "prime numbers"))
    assert len(one) == embedder.width == next(row.width for row in ROWS if row.name == "wordllama")
    assert float(one @ one) == pytest.approx(1, abs=1e-4)
    assert one @ other > one @ far
    assert "wordllama" in embedder.version
    assert not embedder.embed("").any()


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wordllama, minilm"):
        load("bert")
    with pytest.raises(ConfigError, match=r"vocab\.txt"):
        load("minilm")
    with pytest.raises(ConfigError, match=r"vocab\.txt"):
        load("minilm", vocabulary=tmp_path / "vocab.txt")
