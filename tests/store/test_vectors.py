"""Nearest vectors: the scan and the index agree, one file holds the index, and what is not whole is made anew."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("usearch")

import semantic_child as child  # noqa: E402

from rung.store.semantic import SemanticStore  # noqa: E402
from rung.store.vectors import TAIL, Vectors  # noqa: E402
from rung.store.writer import Writer  # noqa: E402

COUNT = 700


@pytest.fixture(scope="module")
def rows() -> dict[int, np.ndarray]:
    return {name: child.vector(name) for name in range(COUNT)}


def filled(rows: dict[int, np.ndarray], exact: int) -> Vectors:
    vectors = Vectors(child.WIDTH, exact=exact)
    for name, row in rows.items():
        vectors.add(name, row)
    while vectors.settle():
        pass
    return vectors


def test_a_scan_finds_the_nearest_in_order(rows: dict[int, np.ndarray]) -> None:
    vectors = filled(rows, COUNT)
    assert vectors.indexed == 0
    found = vectors.search(rows[5], 4)
    true = sorted(rows, key=lambda name: -float(rows[name] @ rows[5]))[:4]
    assert [name for name, _ in found] == true
    assert found[0] == (5, pytest.approx(1.0, abs=1e-3))


def test_an_index_takes_over_when_there_are_many(rows: dict[int, np.ndarray]) -> None:
    vectors = filled(rows, 100)
    assert (len(vectors), vectors.scanned) == (COUNT, TAIL)
    assert all(vectors.search(row, 1)[0][0] == name for name, row in rows.items())


def test_what_is_removed_is_not_found_and_a_rebuild_leaves_no_trace(
    rows: dict[int, np.ndarray], tmp_path: Path
) -> None:
    vectors, path = filled(rows, 100), tmp_path / "index"
    vectors.save(path)
    held = [name for name, row in rows.items() if row.astype(np.float16).tobytes() in path.read_bytes()]
    assert len(held) == COUNT - TAIL
    scanned = next(name for name in rows if name not in held)
    vectors.remove([held[0], scanned])
    assert all(vectors.search(rows[name], 1)[0][0] != name for name in (held[0], scanned))
    vectors.rebuild()
    while vectors.settle():
        pass
    vectors.save(path)
    assert len(vectors) == COUNT - 2
    assert rows[held[0]].astype(np.float16).tobytes() not in path.read_bytes()


def test_a_saved_index_is_taken_over_where_it_agrees_with_the_truth(
    rows: dict[int, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "index"
    assert filled(rows, 100).save(path)
    truth = {name: row.astype(np.float16).tobytes() for name, row in rows.items()}
    one, two, three = [name for name, data in truth.items() if data in path.read_bytes()][:3]
    truth[one], truth[two] = truth[two], truth[one]  # the index is of another state of the file
    del truth[three]
    again = Vectors(child.WIDTH, exact=100)
    again.load(path, truth)
    assert again.indexed == COUNT - TAIL - 3
    assert again.search(rows[two], 1)[0][0] == one
    assert again.search(rows[three], 1)[0][0] != three
    assert again.vector(one) == truth[one]


@pytest.mark.parametrize("broken", ["cut", "flipped", "empty", "other width"])
def test_an_index_that_is_not_whole_is_made_anew(rows: dict[int, np.ndarray], tmp_path: Path, broken: str) -> None:
    path = tmp_path / "index"
    filled(rows, 100).save(path)
    data = path.read_bytes()
    if broken == "flipped":
        data = data[:500] + bytes([data[500] ^ 1]) + data[501:]
    path.write_bytes({"cut": data[:-9], "empty": b""}.get(broken, data))
    width = child.WIDTH if broken != "other width" else 2 * child.WIDTH
    truth = {name: np.resize(row, width).astype(np.float16).tobytes() for name, row in rows.items()}
    again = Vectors(width, exact=100)
    again.load(path, truth)
    assert (again.indexed, len(again)) == (0, COUNT)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_at_any_moment_no_vector_gets_another_answer(tmp_path: Path) -> None:
    """A child inserts and saves indexes; each start begins with what the last kill has left."""
    dice, reached, indexed = random.Random(7), 0, 0
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, child.__file__, str(tmp_path)], stdout=subprocess.PIPE, env={**os.environ}
        ) as process:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], 120)[0]
            held, taken_over = map(int, process.stdout.readline().split())
            assert held >= reached  # what was once on disk stays there
            reached, indexed = held, max(indexed, taken_over)
            time.sleep(dice.uniform(0.0, 0.15))
            process.kill()
    store = SemanticStore(tmp_path / "semantic.sqlite3", Writer())
    entries = {one.id: one for one in store.load(child.SCOPE, time.time())[1]}
    assert len(entries) > child.EXACT
    assert indexed > 0
    vectors = Vectors(child.WIDTH, exact=child.EXACT)
    vectors.load(tmp_path / "index", {name: one.vector for name, one in entries.items()})
    for name, one in entries.items():
        assert one.stored.data == b'{"answer": "%d"}' % name
        found, like = vectors.search(child.vector(name), 1)[0]
        assert entries[found].prompt == f"prompt {name}"
        assert like > 0.99
