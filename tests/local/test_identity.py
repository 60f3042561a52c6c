"""A file's hash is computed once, and again whenever the file changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from rung.errors import ModelFileError
from rung.local import identity
from rung.local.identity import sha256_of


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were hashed."""
    real, seen = hashlib.file_digest, list[str]()

    def digest(file, kind):  # type: ignore[no-untyped-def]
        seen.append(Path(file.name).name)
        return real(file, kind)

    monkeypatch.setattr(identity.hashlib, "file_digest", digest)
    return seen


def test_a_file_is_hashed_once_until_it_changes(tmp_path: Path, counted: list[str]) -> None:
    path, models = tmp_path / "mine.gguf", tmp_path / "models"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        os.utime(path, ns=(0, int.from_bytes(content)))
        for _ in range(2):
            assert sha256_of(path, models) == hashlib.sha256(content).hexdigest()
    assert counted == ["mine.gguf", "mine.gguf"]
    assert not (tmp_path / "mine.gguf.verified").exists()  # nothing is left in folders of the user's own


def test_a_disk_that_refuses_costs_only_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"one")
    (tmp_path / "models").write_text("no folder")
    assert sha256_of(path, tmp_path / "models") == hashlib.sha256(b"one").hexdigest()


def test_what_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="missing; get it with `rung models pull`"):
        sha256_of(tmp_path / "none.gguf", tmp_path)
    (tmp_path / "folder.gguf").mkdir()
    with pytest.raises(ModelFileError, match="cannot be read"):
        sha256_of(tmp_path / "folder.gguf", tmp_path)


def test_the_memory_of_hashes_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: list[str]) -> None:
    monkeypatch.setattr(identity, "_MOST", 2)
    for name in ("a", "b", "c", "c", "b", "a"):
        path = tmp_path / name
        path.write_bytes(name.encode())
        os.utime(path, ns=(0, 0))
        sha256_of(path, tmp_path / "models")
    assert counted == ["a", "b", "c", "a"]
