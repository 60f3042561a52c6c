from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_fakes import gguf

from rung.errors import ModelFileError
from rung.local.gguf import Header, read_header

WHOLE = gguf()


def read(tmp_path: Path, content: bytes) -> Header:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(content)
    return read_header(path)


def test_the_shape_is_read(tmp_path: Path) -> None:
    header = read(tmp_path, WHOLE)
    assert header.architecture == "qwen2"
    assert (header.layers, header.kv_heads, header.head_dim, header.context_length) == (2, 2, 64, 4096)
    assert header.vocabulary == 3
    assert header.has_chat_template
    assert header.min_file_bytes == len(WHOLE)


@pytest.mark.parametrize(
    ("kind", "name", "repacked"),
    [(12, "blk.0.attn_k.weight", 144), (12, "token_embd.weight", 0), (14, "blk.0.attn_k.weight", 0)],
)
def test_only_q4_k_outside_the_embedding_is_repacked(tmp_path: Path, kind: int, name: str, repacked: int) -> None:
    assert read(tmp_path, gguf(kind=kind, name=name) + bytes(256)).q4_k_bytes == repacked


def test_a_tensor_type_nobody_knows_only_loosens_the_size_check(tmp_path: Path) -> None:
    assert read(tmp_path, gguf(kind=999)).min_file_bytes == len(WHOLE) - 144


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a GGUF"),
        (b"<html>not found</html>", "not a GGUF"),
        (b"GGUF", "damaged"),
        (gguf(version=1), "version 1"),
        (WHOLE[:-1], "cut off"),
        (WHOLE[:200], "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1), "damaged"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(ModelFileError, match=says):
        read(tmp_path, content)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="missing"):
        read_header(tmp_path / "none.gguf")
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_header(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, len(WHOLE) - 1))
def test_every_truncation_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(ModelFileError):
        read(tmp_path, WHOLE[:cut])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(place=st.integers(4, len(WHOLE) - 1), value=st.integers(0, 255))
def test_damage_never_raises_anything_else(tmp_path: Path, place: int, value: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[place] = value
    try:
        read(tmp_path, bytes(damaged))
    except ModelFileError:
        pass
