"""An update is installed beside the old file, serves only once it has been tried, and leaves the old one if not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest
from local_fakes import FakeIndex, model

from rung.errors import ModelFileError
from rung.local import fit, installed, pull, update, upkeep
from rung.local.catalogue import Row
from rung.local.hardware import Hardware
from rung.local.identity import sha256_of
from rung.local.installed import Version, serving

OLD, NEW, NEWER = b"old weights" * 50, b"new weights" * 60, b"newer weights" * 70


def row_of(content: bytes, version: str = "1.0") -> Row:
    made = model(content, slice_bytes=1024)
    assert made.mirror is not None
    return msgspec.structs.replace(made, mirror=msgspec.structs.replace(made.mirror, version=version))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def index(tmp_path: Path, folder: Path) -> FakeIndex:
    """Has all three; the old one is installed as a pull leaves it."""
    index = FakeIndex(tmp_path / "index")
    for content, version in ((OLD, "1.0"), (NEW, "2.0"), (NEWER, "3.0")):
        index.publish(row_of(content, version), content)
    get(row_of(OLD), folder, index)
    return index


def get(row: Row, folder: Path, index: FakeIndex) -> Path:
    return pull.pull(row, folder, say=lambda line: None, progress=lambda *_: None, ways=pull.Ways(pip=index.pip))


def bring(row: Row, folder: Path, index: FakeIndex, probe: update.Probe = lambda path: None) -> Version:
    ways = pull.Ways(pip=index.pip)
    return update.update(row, folder, probe=probe, say=lambda line: None, progress=lambda *_: None, ways=ways)


def content(row: Row, folder: Path) -> bytes:
    version = serving(row, folder)
    assert version is not None
    path = folder / version.file
    assert sha256_of(path, folder) == version.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    return path.read_bytes()


def test_an_update_is_counted(folder: Path, index: FakeIndex) -> None:
    bring(row_of(NEW, "2.0"), folder, index)
    (mine,) = upkeep.kept(folder).values()
    assert mine.total() == upkeep.Day(updates=1)


def test_what_was_pulled_serves_on_when_the_catalogue_moves(folder: Path, index: FakeIndex) -> None:
    new = row_of(NEW, "2.0")
    assert content(new, folder) == OLD
    assert pull.state(new, folder) == "older"
    found = update.outdated(new, folder)
    assert found is not None
    assert found.sha256 == row_of(OLD).sha256
    assert update.outdated(row_of(OLD), folder) is None


def test_an_update_serves_after_its_trial_and_can_be_taken_back(folder: Path, index: FakeIndex) -> None:
    new, tried = row_of(NEW, "2.0"), list[bytes]()

    def probe(path: Path) -> None:
        tried.append(path.read_bytes())
        assert content(new, folder) == OLD  # not switched yet

    version = bring(new, folder, index, probe)
    assert tried == [NEW]
    assert content(new, folder) == NEW
    assert version.file == f"tiny.{new.sha256[:8]}.gguf"
    assert pull.state(new, folder) == "ready"
    assert installed.back(new, folder) is not None
    assert content(new, folder) == OLD
    assert installed.back(new, folder) is not None
    assert content(new, folder) == NEW


def test_an_update_that_fails_its_trial_changes_nothing(folder: Path, index: FakeIndex) -> None:
    new = row_of(NEW, "2.0")
    before = sorted(path.name for path in folder.iterdir())

    def probe(path: Path) -> None:
        raise ModelFileError("it says nothing")

    with pytest.raises(ModelFileError, match="was removed, for it failed its trial"):
        bring(new, folder, index, probe)
    assert content(new, folder) == OLD
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_wrong_hash_never_comes_to_a_trial(folder: Path, index: FakeIndex) -> None:
    new = row_of(NEW, "2.0")
    index.publish(new, NEW[:-1] + b"!")
    with pytest.raises(ModelFileError, match="wrong sha256 and was removed"):
        bring(new, folder, index, lambda path: pytest.fail("tried"))
    assert content(new, folder) == OLD


def test_two_files_are_kept_not_all_there_ever_were(folder: Path, index: FakeIndex) -> None:
    bring(row_of(NEW, "2.0"), folder, index)
    newer = row_of(NEWER, "3.0")
    assert content(newer, folder) == NEW
    bring(newer, folder, index)
    assert content(newer, folder) == NEWER
    assert not (folder / "tiny.gguf").exists()
    assert installed.back(newer, folder) is not None
    assert content(newer, folder) == NEW


def test_remove_takes_every_file_of_the_model(folder: Path, index: FakeIndex) -> None:
    new = row_of(NEW, "2.0")
    bring(new, folder, index)
    assert pull.remove(new, folder)
    assert serving(new, folder) is None
    assert [path.name for path in folder.glob("*.gguf*") if not path.name.endswith(".lock")] == []


def test_a_list_that_names_files_elsewhere_is_not_believed(folder: Path, index: FakeIndex, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(NEW)
    told = installed.Installed(Version("../other.gguf", len(NEW), "f00d"))
    (folder / "installed.json").write_bytes(msgspec.json.encode({"tiny:1b": told}))
    assert content(row_of(OLD), folder) == OLD


def test_the_updated_file_is_what_is_chosen(folder: Path, index: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    new = row_of(NEW, "2.0")
    bring(new, folder, index)
    monkeypatch.setattr(fit, "rows", lambda: (new,))
    found = fit.chosen_model("auto", folder, Hardware(4, 1 << 40, 1 << 40), context=4096)
    assert found is not None
    assert (found.alias, found.path.read_bytes(), found.sha256) == ("tiny-1b", NEW, new.sha256)


@pytest.mark.parametrize("told", [b"", b"{", b"[]", b'{"tiny:1b": 3}', b"\xff"])
def test_a_damaged_list_is_an_empty_one(folder: Path, index: FakeIndex, told: bytes) -> None:
    (folder / "installed.json").write_bytes(told)
    assert content(row_of(OLD), folder) == OLD
