"""Serve or decline: candidates among the neighbours, P(same answer) for each, and what is learned from labels.

`Decider` is one partition's judgement (one tenant, one scope). It stores no text and searches nothing: it is given
the query and its nearest neighbours, and says what to serve. Call `decide` before the reply; after it `observe`
with what the reference's answer turned out to equal, or `passed` for a hit that was not audited.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec
import numpy as np

from rung.semantic.answers import OTHER, AnswerModel, Guess
from rung.semantic.calibrate import Array, Calibrator
from rung.semantic.control import Control
from rung.semantic.grams import Numbers, Vector, numbers
from rung.semantic.pairs import Difference, Words, differences, head, words
from rung.semantic.veto import signature, veto

COMPARED = 8
"""stored answers a new reference answer is compared with, at most"""

_VOTERS = 8
_CANDIDATES = 3
_CERTAIN = 0.98
"""P(same answer) from which no further candidate is looked at"""
_REFIT = 250
_KEYS, _EACH, _TRIED = 16, 3, 4
"""signatures remembered per answer, entries per signature, entries tried per candidate"""
_FEATURES = 14
_QUARANTINED, _NEAR = 256, 0.8
"""wrong hits remembered; cosine from which a query lies in a wrong hit's neighbourhood"""


class Neighbour(msgspec.Struct, frozen=True, gc=False):
    """A stored entry near the query. `similarity`: cosine; `answer`: what `observe` returned."""

    entry: int
    answer: int
    similarity: float
    prompt: str
    key: int
    """the stored prompt's `Decision.key`"""
    age: float = 0.0
    """seconds"""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one call. `p` is P(same answer) of the best candidate, served or not.

    `entry` and `answer` are that candidate's (-1 where there is none); `audit`: compare the served answer with the
    reference's afterwards; `pi`: the probability with which that was drawn, 1 for a miss; `compare`: the answers the
    reference's is to be compared with.
    """

    serve: bool
    entry: int
    answer: int
    p: float
    bound: float
    reason: str
    audit: bool
    pi: float
    compare: tuple[int, ...]
    key: int
    """of the prompt's signature: store it with the entry"""
    numbers: Numbers = field(repr=False)
    features: Array | None = field(repr=False)
    words: Words = field(repr=False)


class _Around:
    """The neighbours by answer: the nearest one's similarity (nearest answer first), the youngest's age in seconds, how
    many are among the first `_VOTERS`."""

    def __init__(self, near: list[tuple[int, Neighbour]]) -> None:
        self.near = near
        self.closest: dict[int, float] = {}
        self.ages: dict[int, float] = {}
        self.votes: dict[int, int] = {}
        for place, (answer, one) in enumerate(near):
            if answer not in self.closest:
                self.closest[answer], self.ages[answer] = one.similarity, one.age
            elif one.age < self.ages[answer]:
                self.ages[answer] = one.age
            if place < _VOTERS:
                self.votes[answer] = self.votes.get(answer, 0) + 1

    def different(self, answer: int) -> float:
        """Similarity of the nearest with another answer."""
        return next((like for other, like in self.closest.items() if other != answer), 0.0)


@dataclass(slots=True)
class _Candidate:
    answer: int
    entry: int
    features: Array
    p: float = 0.0


class Decider:
    """Learns which stored answer a prompt will get, and serves while its measured error is under `limit`.

    `limit`: wrong hits per request; `embedding`: numbers in a query's embedding; `seed` makes audits and training
    reproducible.
    """

    def __init__(self, embedding: int, limit: float = 0.01, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._embedding = embedding
        self._answers = AnswerModel(embedding, self._rng)
        self._calibrator = Calibrator(_prior())
        self.control = Control(limit)
        self._merged: dict[int, int] = {}
        self._next = 0
        self._refit_at = _REFIT
        self._wrong: deque[tuple[int, Vector]] = deque(maxlen=_QUARANTINED)
        self._kept: dict[int, dict[int, list[tuple[int, Words]]]] = {}

    def decide(self, prompt: str, embedding: Vector, neighbours: Sequence[Neighbour]) -> Decision:
        """Judge one call. `neighbours`: the nearest stored entries, nearest first; `embedding` has unit length."""
        told = numbers(embedding, prompt)
        said = words(prompt)
        key = said.signature.key
        guess = self._answers.guess(told)
        merged = self._merged
        around = _Around([(self.answer(one.answer) if one.answer in merged else one.answer, one) for one in neighbours])
        order = self._ranked(guess, around)
        best: _Candidate | None = None
        reason = "no_candidate"
        for answer in order[:_CANDIDATES]:
            if self._is_quarantined(answer, embedding):
                reason = "quarantined" if reason == "no_candidate" else reason
                continue
            candidate, why = self._candidate(answer, said, guess, around)
            if candidate is None:
                reason = f"veto_{why}" if reason == "no_candidate" else reason
                continue
            candidate.p = self._calibrator.p(candidate.features)
            if best is None or candidate.p > best.p:
                best = candidate
                if best.p >= _CERTAIN:
                    break
        compare = tuple(order[:COMPARED])
        if best is None:
            return Decision(
                False, -1, -1, 0.0, self.control.bound, reason, False, 1.0, compare, key, told, None, said
            )  # fmt: skip
        serve = best.p >= self.control.threshold
        pi = self.control.pi(best.p) if serve else 1.0
        audit = serve and float(self._rng.random()) < pi
        if best.answer not in compare:
            compare = (best.answer, *compare[: COMPARED - 1])
        reason = "served" if serve else ("shadow" if self.control.level < 0 else "uncertain")
        return Decision(
            serve, best.entry, best.answer, best.p, self.control.bound, reason, audit, pi, compare, key,
            told, best.features, said,
        )  # fmt: skip

    def answer(self, given: int) -> int:
        """The answer's present number: two that proved equal are one."""
        while given in self._merged:
            given = self._merged[given]
        return given

    @property
    def due(self) -> bool:
        """Will the next call that is counted refit what decides? That takes tens of milliseconds."""
        return self.control.requests + 1 >= self._refit_at

    def passed(self, decision: Decision) -> None:
        """A hit that was served and not audited."""
        self.control.unlabelled(decision.p)
        self._refit()

    def observe(self, decision: Decision, equal: Sequence[int]) -> int:
        """The reference answered: `equal` are those of `decision.compare` it equals. -> the answer's number."""
        same = [self.answer(one) for one in equal]
        answer = same[0] if same else self._new()
        for other in same[1:]:
            if other != answer:
                self._merge(other, answer)
        if decision.features is not None:
            right = self.answer(decision.answer) == answer
            if decision.serve and not right:
                self.quarantine(decision)
            self._calibrator.add(decision.features, right, 1 / decision.pi)
            self.control.labelled(decision.p, not right, decision.pi)
        else:
            self.control.labelled(0.0, False, 1.0)
        self._answers.learn(decision.numbers, answer)
        self._refit()
        return answer

    def quarantine(self, decision: Decision) -> None:
        """A hit was wrong, by an audit or by feedback: its answer is not served near its query any more."""
        self._wrong.append((self.answer(decision.answer), decision.numbers.embedding))

    def forget(self, entries: Collection[int]) -> None:
        """Entries are gone: they are never served again. What was learned from them in numbers stays."""
        gone = set(entries)
        for kept in self._kept.values():
            for key in list(kept):
                kept[key] = [one for one in kept[key] if one[0] not in gone]
                if not kept[key]:
                    del kept[key]

    def resume(self, following: int) -> None:
        """Numbers below `following` were given to answers: entries may be newer than what was learnt."""
        self._next = max(self._next, following)

    def _is_quarantined(self, answer: int, embedding: Vector) -> bool:
        return any(wrong == answer and float(vector @ embedding) >= _NEAR for wrong, vector in self._wrong)

    def stored(self, entry: int, answer: int, said: Words) -> None:
        """An entry was stored under an answer: it may be served where no near one may."""
        answer = self.answer(answer)
        if self._answers.row(answer) == OTHER:
            return
        kept = self._kept.setdefault(answer, {})
        if said.signature.key in kept or len(kept) < _KEYS:
            same = kept.setdefault(said.signature.key, [])
            same.append((entry, said))
            del same[:-_EACH]

    def _refit(self) -> None:
        if self.control.requests < self._refit_at:
            return
        self._refit_at = self.control.requests + _REFIT
        self._calibrator.fit()
        if self._calibrator.fitted:
            self.control.refit()

    def _new(self) -> int:
        self._next += 1
        return self._next - 1

    def _merge(self, answer: int, into: int) -> None:
        self._merged[answer] = into
        self._answers.merge(answer, into)
        self._wrong = deque(
            ((into if wrong == answer else wrong, vector) for wrong, vector in self._wrong), _QUARANTINED
        )
        kept = self._kept.setdefault(into, {})
        for key, same in self._kept.pop(answer, {}).items():
            kept[key] = [*same, *kept.get(key, [])][-_EACH:]

    def _ranked(self, guess: Guess, around: _Around) -> list[int]:
        """Answers worth comparing with, likeliest first: the model's and the neighbours', one after the other."""
        told = [self._answers.answer(row) for row in guess.best(COMPARED + 1) if row != OTHER]
        seen = list(around.closest)
        mixed = [one for pair in zip(told, seen, strict=False) for one in pair]
        mixed += told[len(seen) :] + seen[len(told) :]
        return [one for one in dict.fromkeys(mixed) if one >= 0]

    def _candidate(self, answer: int, said: Words, guess: Guess, around: _Around) -> tuple[_Candidate | None, str]:
        """The answer's entry that may be served, with its features; or why none may."""
        closest = around.closest.get(answer, 0.0)
        why = ""
        for entry, other in islice(self._possible(answer, said.signature.key, around), _TRIED):
            found = differences(said, other, closest)
            if not found.veto:
                return _Candidate(answer, entry, self._features(answer, said, found, guess, around)), ""
            why = found.veto
        if not why:
            same = next((one.prompt for theirs, one in around.near if theirs == answer), None)
            why = veto(said.signature, signature(same)) if same is not None else "unlike"
        return None, why

    def _possible(self, answer: int, key: int, around: _Around) -> Iterator[tuple[int, Words]]:
        """Entries with this answer whose numbers, dates, negation or code are the query's: near ones first."""
        if answer in around.closest:
            for theirs, one in around.near:
                if theirs == answer and one.key == key:
                    yield one.entry, words(one.prompt)
        yield from self._kept.get(answer, {}).get(key, ())

    def _features(self, answer: int, said: Words, found: Difference, guess: Guess, around: _Around) -> Array:
        row = self._answers.row(answer)
        log_p = max(float(guess.log_p[row]), -8.0) if row != OTHER else -8.0
        odds = log_p - math.log(max(1e-4, 1 - math.exp(log_p))) if log_p < 0 else 9.0
        margin = -4.0
        if row != OTHER:
            mine = float(guess.logits[row])
            margin = mine - (guess.second if mine >= guess.first else guess.first)
        closest = around.closest.get(answer, 0.0)
        return np.array(
            (
                1.0,
                odds,
                max(-4.0, min(8.0, margin)),
                float(row == OTHER),
                closest,
                closest - around.different(answer),
                around.votes.get(answer, 0) / _VOTERS,
                math.log1p(self._answers.members(answer)),
                max(-6.0, min(6.0, head(found))),
                float(found.same),
                max(-8.0, float(guess.log_p[OTHER])),
                float(said.signature.program is not None),
                max(0.0, closest - 0.8),
                math.log1p(max(0.0, around.ages.get(answer, 0.0)) / 86400),
            )
        )


def _prior() -> Array:
    prior = np.zeros(_FEATURES)
    prior[0], prior[1], prior[5], prior[8], prior[9] = -1.0, 0.4, 4.0, 0.4, 2.0
    return prior
