"""The nearest of many unit vectors: an exact scan of few, an index of many, and one file for the index.

New vectors are scanned exactly until `settle` has moved them into the index, a few at a time, so that nobody waits
for an insertion. The index is a usearch HNSW graph (Malkov and Yashunin, 2018) of 16-bit floats.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger("rung.store")

EXACT = 5_000
"""vectors up to which all are scanned: about 0.5 ms of one core; an index answers in as much"""

TAIL = 256
"""vectors that stay outside an index"""

SLICE = 8
"""vectors moved into the index before readers get a turn (about 1 ms each at 100,000)"""

_MAGIC = b"rung-vectors-1\0\0"
_LINKS, _ADDING, _SEARCHING = 16, 96, 96

Vector = NDArray[np.float32]


class Vectors:
    """Vectors of `width` numbers by id. Safe to use from several threads."""

    def __init__(self, width: int, *, exact: int = EXACT) -> None:
        self._width = width
        self._exact = exact
        self._lock = threading.Lock()
        self._ids: NDArray[np.int64] = np.zeros(64, np.int64)
        self._rows: Vector = np.zeros((64, width), np.float32)
        self._held = 0
        self._place: dict[int, int] = {}
        self._index: Any = None
        self._indexed: set[int] = set()

    def __len__(self) -> int:
        return self._held + len(self._indexed)

    @property
    def scanned(self) -> int:
        """Vectors outside the index."""
        return self._held

    @property
    def indexed(self) -> int:
        return len(self._indexed)

    def add(self, name: int, vector: NDArray[Any]) -> None:
        """Add one, in the place of what `name` was."""
        with self._lock:
            self._add(name, vector)

    def remove(self, names: Collection[int]) -> None:
        """Forget them. The index keeps a removed vector's numbers until it is made anew (`rebuild`)."""
        with self._lock:
            for name in names:
                self._remove(name)

    def search(self, vector: Vector, count: int) -> list[tuple[int, float]]:
        """(id, cosine) of the nearest `count`, nearest first."""
        found: list[tuple[int, float]] = []
        with self._lock:
            if self._held:
                like = self._rows[: self._held] @ vector
                few = min(count, self._held)
                top = np.argpartition(-like, few - 1)[:few]
                found = [(int(self._ids[at]), float(like[at])) for at in top]
            if self._indexed:
                matches = self._index.search(vector.astype(np.float16), count, threads=1)
                away = np.asarray(matches.distances).tolist()
                near = zip(np.asarray(matches.keys).tolist(), away, strict=True)
                found += [(int(name), 1.0 - distance) for name, distance in near if name in self._indexed]
        found.sort(key=lambda one: -one[1])
        return found[:count]

    def settle(self) -> bool:
        """Move a few vectors into the index, if there are so many that one pays; False if there is nothing to do."""
        with self._lock:
            if len(self) <= self._exact or self._held <= TAIL:
                return False
            if self._index is None:
                self._index = _new_index(self._width)
            few = min(SLICE, self._held - TAIL)
            names = self._ids[:few].copy()
            self._index.add(names, self._rows[:few].astype(np.float16), threads=1)
            for name in names.tolist():
                self._drop(name)
                self._indexed.add(name)
            return True

    def rebuild(self) -> None:
        """Take everything out of the index: nothing of what was removed is left in memory."""
        with self._lock:
            index, names = self._index, list(self._indexed)
            self._index, self._indexed = None, set()
            for name in names:
                self._add(name, np.asarray(index.get(name)))
            self._rows[self._held :] = 0

    def save(self, path: Path) -> bool:
        """Write the index to `path`, whole or not at all; False if there is none."""
        with self._lock:
            if self._index is None or not self._indexed:
                return False
            data = bytes(self._index.save())
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            file.write(_MAGIC + blake2b(data, digest_size=32).digest())
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        return True

    def load(self, path: Path, truth: Mapping[int, bytes]) -> None:
        """Fill with `truth` (id -> 16-bit vector), taking from the index at `path` what agrees with it.

        An index that is missing, cut, of another shape or of other vectors costs time, never a wrong answer.
        """
        index = _read(path, self._width) if path.exists() and len(truth) > self._exact else None
        with self._lock:
            if index is not None:
                stale = []
                for name in np.asarray(index.keys).tolist():
                    wanted = truth.get(name)
                    if wanted is not None and np.asarray(index.get(name)).tobytes() == wanted:
                        self._indexed.add(name)
                    else:
                        stale.append(name)
                for name in stale:
                    index.remove(name)
                self._index = index if self._indexed else None
            for name, data in truth.items():
                if name not in self._indexed:
                    self._add(name, np.frombuffer(data, np.float16))

    def vector(self, name: int) -> bytes:
        """The stored vector as 16-bit floats. Raises KeyError."""
        with self._lock:
            if name in self._indexed:
                return bytes(np.asarray(self._index.get(name)).tobytes())
            return bytes(self._rows[self._place[name]].astype(np.float16).tobytes())

    def _add(self, name: int, vector: NDArray[Any]) -> None:
        self._remove(name)
        if self._held == len(self._ids):
            self._ids = np.concatenate((self._ids, np.zeros_like(self._ids)))
            self._rows = np.concatenate((self._rows, np.zeros_like(self._rows)))
        self._ids[self._held] = name
        # what is scanned is what is stored: 16 bits, so that an index changes no order
        self._rows[self._held] = np.asarray(vector, np.float16)
        self._place[name] = self._held
        self._held += 1

    def _remove(self, name: int) -> None:
        if name in self._indexed:
            self._indexed.discard(name)
            self._index.remove(name)
        elif name in self._place:
            self._drop(name)

    def _drop(self, name: int) -> None:
        """Out of the rows that are scanned; the last one takes its place."""
        at, last = self._place.pop(name), self._held - 1
        if at != last:
            moved = int(self._ids[last])
            self._ids[at], self._rows[at] = moved, self._rows[last]
            self._place[moved] = at
        self._rows[last] = 0
        self._held = last


def _new_index(width: int) -> Any:
    from usearch.index import Index  # noqa: PLC0415 - the [semantic] extra's native code, only for many vectors

    return Index(
        ndim=width,
        metric="ip",
        dtype="f16",
        connectivity=_LINKS,
        expansion_add=_ADDING,
        expansion_search=_SEARCHING,
    )


def _read(path: Path, width: int) -> Any:
    """The index in a file, None if it is not whole or of another width."""
    try:
        data = path.read_bytes()
    except OSError as error:
        log.warning("%s cannot be read (%s); the index is made anew", path, error)
        return None
    body = memoryview(data)[48:]
    if data[:16] != _MAGIC or data[16:48] != blake2b(body, digest_size=32).digest():
        log.warning("%s is not whole; the index is made anew", path.name)
        return None
    index = _new_index(width)
    try:
        index.load(bytes(body))
    except (RuntimeError, ValueError) as error:
        log.warning("%s cannot be used (%s); the index is made anew", path.name, error)
        return None
    return index if index.ndim == width else None
