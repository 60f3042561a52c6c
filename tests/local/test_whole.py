from __future__ import annotations

from pathlib import Path

import pytest

from rung.local.whole import replace_whole


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "told.json"
    replace_whole(path, b"one")
    replace_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert [one.name for one in path.parent.iterdir()] == ["told.json"]


def test_what_cannot_be_written_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "told.json"
    path.mkdir()
    with pytest.raises(OSError, match="told"):
        replace_whole(path, b"two")
    assert path.is_dir()
