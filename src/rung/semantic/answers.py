"""Which answer a prompt will get: a linear model over the answers seen so far, learned online.

Every miss tells whether its answer equals a stored one, so prompts gather under answers. The model is a softmax
over the answers with at least `_ENOUGH` prompts, plus one row for "another answer", taught by the prompts whose
answer nobody else shares. It is trained by small steps (AdaGrad: Duchi et al., JMLR 2011) on what was just seen and
on a sample of what was seen before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rung.semantic.grams import Numbers, Vector, width

_ROWS = 384
_ENOUGH = 2
_EXAMPLES = 8192
_LONGEST = 512
"""hashed numbers kept of an example: the largest"""
_BATCH, _REPLAY = 8, 64
_RATE, _SHRINK, _SCALE = 0.1, 1e-5, 4.0
OTHER = 0
"""the row of all answers without one of their own"""


@dataclass(frozen=True, slots=True)
class Guess:
    """What the model makes of one prompt: log-probabilities and logits, row by row; the two highest logits."""

    logits: Vector
    log_p: Vector
    first: float
    second: float

    def best(self, count: int) -> list[int]:
        """The likeliest rows, likeliest first; at most `count`."""
        if len(self.logits) > count:
            top = np.argpartition(self.logits, len(self.logits) - count)[-count:]
            return [int(row) for row in top[np.argsort(-self.logits[top], kind="stable")]]
        return [int(row) for row in np.argsort(-self.logits, kind="stable")]


class AnswerModel:
    """Online softmax over answers. Not thread-safe; `learn` is for after the reply, `guess` for before."""

    def __init__(self, embedding: int, rng: Generator) -> None:
        self._rng = rng
        self._embedding = embedding
        # one column for each answer: so the few rows a prompt's hashed numbers point at lie together
        self._weights = np.zeros((width(embedding), 64), np.float32)
        self._squares = np.full_like(self._weights, 1e-6)
        self._used = 1
        self._row_of: dict[int, int] = {}
        self._answer_of: list[int] = [-1]
        self._members: dict[int, int] = {}
        self._examples = np.zeros((256, embedding), np.float16)
        self._places: list[NDArray[np.uint16]] = []
        self._values: list[NDArray[np.float16]] = []
        self._labels: NDArray[np.int64] = np.full(256, -1, np.int64)
        self._seen = 0
        self._fresh: list[int] = []

    def guess(self, said: Numbers) -> Guess:
        """Logits and log-probabilities of every row for one prompt."""
        weights = self._weights[:, : self._used]
        logits = said.embedding @ weights[: self._embedding]
        logits += said.values @ weights[said.places + self._embedding]
        logits *= _SCALE
        high = float(logits.max())
        second = float(np.partition(logits, -2)[-2]) if len(logits) > 1 else high
        return Guess(logits, logits - (high + float(np.log(np.exp(logits - high).sum()))), high, second)

    def row(self, answer: int) -> int:
        """The answer's row, `OTHER` where it has none."""
        return self._row_of.get(answer, OTHER)

    def answer(self, row: int) -> int:
        """The answer whose row this is, -1 for `OTHER`."""
        return self._answer_of[row]

    def members(self, answer: int) -> int:
        """Prompts seen under the answer."""
        return self._members.get(answer, 0)

    def learn(self, said: Numbers, answer: int) -> None:
        """One prompt and the answer it got."""
        count = self._members[answer] = self._members.get(answer, 0) + 1
        if count >= _ENOUGH and answer not in self._row_of:
            self._promote(answer)
        self._keep(said, answer)
        if len(self._fresh) >= _BATCH:
            self._step()

    def merge(self, answer: int, into: int) -> None:
        """Two answers turned out to be one."""
        self._members[into] = self._members.get(into, 0) + self._members.pop(answer, 0)
        self._labels[self._labels == answer] = into
        row = self._row_of.pop(answer, None)
        if row is not None and into not in self._row_of:
            self._row_of[into] = row
            self._answer_of[row] = into
        elif row is not None:
            self._answer_of[row] = -1
            self._weights[:, row] = -self._weights[:, self._row_of[into]]
        elif self._members[into] >= _ENOUGH and into not in self._row_of:
            self._promote(into)

    def _promote(self, answer: int) -> None:
        if self._used < _ROWS:
            row = self._used
            self._used += 1
            if row == self._weights.shape[1]:
                self._weights = np.concatenate((self._weights, np.zeros_like(self._weights)), axis=1)
                self._squares = np.concatenate((self._squares, np.full_like(self._squares, 1e-6)), axis=1)
            self._answer_of.append(answer)
        else:
            row = min(range(1, self._used), key=lambda one: self._members.get(self._answer_of[one], 0))
            if self._members.get(self._answer_of[row], 0) + 1 >= self._members[answer]:
                return
            self._row_of.pop(self._answer_of[row], None)
            self._answer_of[row] = answer
            self._weights[:, row] = 0
            self._squares[:, row] = 1e-6
        self._row_of[answer] = row

    def _keep(self, said: Numbers, answer: int) -> None:
        """Into the sample of examples: all until it is full, then an even sample of everything seen."""
        self._seen += 1
        held = len(self._places)
        if held == len(self._labels) < _EXAMPLES:
            self._examples = np.concatenate((self._examples, np.zeros_like(self._examples)))
            self._labels = np.concatenate((self._labels, np.full_like(self._labels, -1)))
        places, values = said.places, said.values
        if len(places) > _LONGEST:
            largest = np.argpartition(-np.abs(values), _LONGEST - 1)[:_LONGEST]
            places, values = places[largest], values[largest]
        if held < len(self._labels):
            at = held
            self._places.append(places.astype(np.uint16))
            self._values.append(values.astype(np.float16))
        else:
            at = int(self._rng.integers(self._seen))
            if at >= held:
                at = int(self._rng.integers(held))
            self._places[at], self._values[at] = places.astype(np.uint16), values.astype(np.float16)
        self._examples[at] = said.embedding
        self._labels[at] = answer
        self._fresh.append(at)

    def _step(self) -> None:
        replayed = self._rng.integers(len(self._places), size=_REPLAY)
        batch = np.concatenate((np.array(self._fresh, np.int64), replayed))
        self._fresh.clear()
        if self._used < 2:
            return
        inputs = np.zeros((len(batch), len(self._weights)), np.float32)
        inputs[:, : self._embedding] = self._examples[batch]
        hashed = inputs[:, self._embedding :]
        for row, at in zip(hashed, batch.tolist(), strict=True):
            row[self._places[at]] = self._values[at]
        wanted = np.array([self._row_of.get(answer, OTHER) for answer in self._labels[batch].tolist()])
        weights = self._weights[:, : self._used]
        wrong = _SCALE * (inputs @ weights)
        wrong -= wrong.max(axis=1, keepdims=True)
        np.exp(wrong, out=wrong)
        wrong /= wrong.sum(axis=1, keepdims=True)
        wrong[np.arange(len(batch)), wanted] -= 1
        gradient = inputs.T @ wrong
        gradient *= np.float32(_SCALE / len(batch))
        gradient += np.float32(_SHRINK) * weights
        squares = self._squares[:, : self._used]
        squares += gradient * gradient
        weights -= np.float32(_RATE) * gradient / np.sqrt(squares)
