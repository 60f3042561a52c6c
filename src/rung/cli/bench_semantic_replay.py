"""Replays for ``rung bench semantic``: a stream through the judgement of `rung.semantic`, online and from cold.

Labels come only as the product would get them. A miss is answered by the reference, whose answer is compared with
the at most eight stored answers the decision names. A hit is compared only when its audit was drawn beforehand.
Nothing of a prompt is stored when it was a hit without an audit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung.semantic.decide import Decider, Decision, Neighbour
from rung.semantic.embed import Embedder

WARM_UP, CHECKPOINT, TAIL = 3000, 1000, 5000
NEIGHBOURS = 16
_KEPT = 400
_QUOTIENTS = np.array([1.5, 2.0, 3.0, 4.0, 6.0])

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(slots=True)
class Stream:
    """Rows in file order with their vectors, and for each the rows most like it, best first."""

    prompts: list[str]
    classes: list[str]
    traps: list[bool]
    vectors: Floats
    near: NDArray[np.int32]
    alike: Floats

    def __len__(self) -> int:
        return len(self.prompts)


def stream(rows: list[dict[str, Any]], embedder: Embedder) -> Stream:
    """Embed the rows and find each one's nearest, once for all orders."""
    vectors = np.stack([embedder.embed(row["prompt"]) for row in rows])
    count = len(rows)
    kept = min(_KEPT, count - 1)
    near = np.zeros((count, kept), np.int32)
    alike = np.zeros((count, kept), np.float32)
    for start in range(0, count, 512):
        likeness = vectors[start : start + 512] @ vectors.T
        rows_here = np.arange(len(likeness))
        likeness[rows_here, start + rows_here] = -2
        top = np.argpartition(-likeness, kept - 1, axis=1)[:, :kept]
        found = np.take_along_axis(likeness, top, 1)
        order = np.argsort(-found, axis=1, kind="stable")
        near[start : start + 512] = np.take_along_axis(top, order, 1)
        alike[start : start + 512] = np.take_along_axis(found, order, 1)
    return Stream(
        [row["prompt"] for row in rows],
        [str(row["answer_class"]) for row in rows],
        [str(row.get("kind", "")).startswith("trap") for row in rows],
        vectors,
        near,
        alike,
    )


class Store:
    """What has been stored so far in one replay, searched by vector."""

    def __init__(self, data: Stream) -> None:
        self._data = data
        self._has = np.zeros(len(data), bool)
        self._rows: list[int] = []

    def add(self, row: int) -> None:
        """Store a row."""
        self._has[row] = True
        self._rows.append(row)

    def nearest(self, row: int, count: int) -> Iterator[tuple[int, float]]:
        """The stored rows most like this one, with their cosine, best first: what an exact index would give."""
        found = np.nonzero(self._has[self._data.near[row]])[0][:count]
        if len(found) == min(count, len(self._rows)):
            return zip(self._data.near[row, found].tolist(), self._data.alike[row, found].tolist(), strict=True)
        rows = np.array(self._rows)
        likeness = self._data.vectors[rows] @ self._data.vectors[row]
        best = np.argsort(-likeness, kind="stable")[:count]
        return zip(rows[best].tolist(), likeness[best].tolist(), strict=True)


@dataclass(slots=True)
class Replayed:
    """One order: per request whether it was a hit and whether that was wrong; counts; microseconds per decision."""

    hits: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    first_open: int
    labels_miss: int = 0
    labels_audit: int = 0
    traps_served: int = 0
    microseconds: Floats | None = None


def orders(count: int, how_many: int) -> Iterator[Ints]:
    """File order first, then shuffles with the seeds 1, 2, ..."""
    for seed in range(how_many):
        order = np.arange(count)
        if seed:
            np.random.default_rng(seed).shuffle(order)
        yield order


def replay(data: Stream, order: Ints, limit: float, seed: int, embedder: Embedder | None = None) -> Replayed:
    """One order from cold. With an `embedder`, embedding is done again and counted in the times."""
    return _Replay(data, limit, seed).run(order, embedder)


class _Replay:
    def __init__(self, data: Stream, limit: float, seed: int) -> None:
        self._data = data
        self._decider = Decider(data.vectors.shape[1], limit, seed)
        self._store = Store(data)
        self._answers = np.full(len(data), -1, np.int64)
        self._keys = np.zeros(len(data), np.int64)
        self._class_of: dict[int, str] = {}

    def run(self, order: Ints, embedder: Embedder | None) -> Replayed:
        count = len(order)
        out = Replayed(np.zeros(count, bool), np.zeros(count, bool), count)
        times = np.zeros(count, np.float32)
        for at, row in enumerate(order.tolist()):
            neighbours = [
                Neighbour(one, int(self._answers[one]), like, self._data.prompts[one], int(self._keys[one]))
                for one, like in self._store.nearest(row, NEIGHBOURS)
            ]
            prompt, vector = self._data.prompts[row], self._data.vectors[row]
            started = time.perf_counter()
            if embedder is not None:
                vector = embedder.embed(prompt)
            decision = self._decider.decide(prompt, vector, neighbours)
            times[at] = (time.perf_counter() - started) * 1e6
            if self._decider.control.level >= 0:
                out.first_open = min(out.first_open, at)
            if decision.serve:
                self._hit(out, at, row, decision)
            else:
                out.labels_miss += 1
                self._learn(row, decision)
        out.microseconds = times
        return out

    def _hit(self, out: Replayed, at: int, row: int, decision: Decision) -> None:
        data = self._data
        out.hits[at] = True
        if data.classes[decision.entry] != data.classes[row]:
            out.wrong[at] = True
            out.traps_served += data.traps[row] or data.traps[decision.entry]
        if decision.audit:
            out.labels_audit += 1
            self._learn(row, decision)
        else:
            self._decider.passed(decision)

    def _learn(self, row: int, decision: Decision) -> None:
        """The reference's answer is there: compare it with those named, and store it."""
        wanted = self._data.classes[row]
        equal = [answer for answer in decision.compare if self._class_of.get(answer) == wanted]
        answer = self._decider.observe(decision, equal)
        self._class_of.setdefault(answer, wanted)
        self._answers[row], self._keys[row] = answer, decision.key
        self._store.add(row)
        self._decider.stored(row, answer, decision.words)


def judged(out: Replayed, limit: float) -> tuple[bool, float]:
    """Whether an any-time-valid test rejects "the rate is at most the limit" at 5 %, and the worst checkpoint.

    Cumulative since warm-up, looked at every `CHECKPOINT` requests. The test is a mixture of likelihood ratios
    against the limit (Ville: rejects with probability at most 5 %, whenever one looks).
    """
    start = max(WARM_UP, out.first_open)
    wrong = out.wrong[start:]
    looks = np.arange(CHECKPOINT, len(wrong) + 1, CHECKPOINT)
    if not len(looks):
        return False, 0.0
    seen = np.cumsum(wrong)[looks - 1]
    rates = np.minimum(_QUOTIENTS * limit, 0.5)[:, None]
    logs = seen * np.log(rates / limit) + (looks - seen) * np.log((1 - rates) / (1 - limit))
    evidence = np.exp(np.minimum(logs, 700)).mean(axis=0)
    return bool((evidence >= 20).any()), float((seen / looks).max())
