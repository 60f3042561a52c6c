"""When to serve: an any-time-valid proof that the policy's measured error is under the limit, and its end.

The error is per request: wrong hits / all requests. A few levels of caution are set up, each a threshold on
P(same answer) chosen so that the error estimated from recent labels is a fixed share of the limit. What is tested
is each level as a policy, threshold and calibration included, because every score and threshold is fixed before
the label it is tested on. The test is a betting process (Waudby-Smith & Ramdas, "Estimating means of bounded random
variables by betting", 2024): with w = 1/π for a labelled call and 0 for an unlabelled hit, Z = 1 for a wrong hit,

    K ← K · (1 + λ·(limit − w·Z)),   E = mean of K over a few λ,

a supermartingale while the error is at least the limit, so by Ville's inequality P(E ever ≥ 1/δ) ≤ δ. Levels open
in a fixed order, each proved by itself. An open level closes by an e-CUSUM on the same labels (Shin, Ramdas and
Rinaldo, "E-detectors", 2024): M ← max(M, 1) · (1 + λ·(w·Z − limit)).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHARES = (0.15, 0.3, 0.45, 0.6, 0.7)
"""of the limit: what each level's threshold aims at"""

_BETS = np.array([0.98, 0.7, 0.5, 0.35, 0.25, 0.15, 0.08])
_ALARMS = np.array([0.5, 1.0, 2.0, 3.0, 5.0])
_STEP_DOWN, _CLOSE = 60.0, 300.0
_WINDOW = 4000
_LEAST = 300
_PROVING = 3000
_AUDITS = (1.0, 0.25, 0.06)
"""least share of hits audited: until `_PROVEN` is open (for `_PROVING` requests at most), until all is open, after"""
_PROVEN = 3
_EPOCH = 2000
_CLEAR = 0.8
_NEVER = 2.0


@dataclass(slots=True)
class _Seen:
    score: float
    weight: float
    wrong: bool


class Control:
    """Evidence for one category. `limit`: wrong hits per request; `delta`: the chance of a false opening."""

    def __init__(self, limit: float, delta: float = 0.1) -> None:
        self.limit, self.delta = limit, delta
        self.level = -1
        self.requests = 0
        self.closed = 0
        self._since = 0
        self._epoch_at = _EPOCH
        self._recent: deque[_Seen] = deque(maxlen=_WINDOW)
        self._thresholds = [_NEVER] * len(SHARES)
        self._wealth = np.ones((len(SHARES), len(_BETS)))
        self._best = np.ones(len(SHARES))
        self._alarm = np.ones(len(_ALARMS))

    @property
    def threshold(self) -> float:
        """What P(same answer) must reach to be served; above 1 while nothing is open."""
        return self._thresholds[self.level] if self.level >= 0 else _NEVER

    @property
    def bound(self) -> float:
        """Upper bound of the served policy's error per request, valid at any time; 1 while nothing is open."""
        return self.limit if self.level >= 0 else 1.0

    def _base(self) -> float:
        if self.level < _PROVEN and self.requests - self._since < _PROVING:
            return _AUDITS[0]
        return _AUDITS[1] if self.level < len(SHARES) - 1 else _AUDITS[2]

    def pi(self, score: float) -> float:
        """With what probability a hit of this score is audited: more where it is less certain."""
        return max(self._base(), min(0.5, math.sqrt(max(0.0, 1 - score))))

    def unlabelled(self, score: float) -> None:
        """A hit that was not audited."""
        self._count(score, 0.0, False)

    def labelled(self, score: float, wrong: bool, pi: float) -> None:
        """A call whose answer was compared: every miss (`pi` 1), and a hit audited with probability `pi`."""
        self._count(score, 1 / pi, wrong)

    def _count(self, score: float, weight: float, wrong: bool) -> None:
        heaviest = max(weight, 1 / self._base())
        self.requests += 1
        self._recent.append(_Seen(score, weight, wrong))
        bets = np.minimum(_BETS, 0.95 / heaviest)
        lost = np.array([weight if wrong and score >= threshold else 0.0 for threshold in self._thresholds])
        ready = np.array([threshold < _NEVER for threshold in self._thresholds])
        self._wealth *= np.where(ready[:, None], 1 + bets * (self.limit - lost[:, None]), 1.0)
        # not `mean`, a function of Python's, which costs as much as all the rest
        np.maximum(self._best, np.add.reduce(self._wealth, axis=1) / len(_BETS), out=self._best)
        while self.level + 1 < len(SHARES) and self._best[self.level + 1] >= 1 / self.delta:
            self.level += 1
            self._alarm[:] = 1
        if self.level >= 0:
            self._watch(float(lost[self.level]), heaviest)
        if self.requests >= self._epoch_at:
            self._renew()

    def _watch(self, lost: float, heaviest: float) -> None:
        self._alarm = np.maximum(self._alarm, 1.0) * (1 + _ALARMS / heaviest * (lost - self.limit))
        alarm = float(np.add.reduce(self._alarm)) / len(_ALARMS)
        if self.level > 0 and alarm >= _STEP_DOWN:
            self._step_down()
        elif alarm >= _CLOSE:
            self.close()

    def _step_down(self) -> None:
        """A level less; the one left has to be proved again."""
        self._wealth[self.level :] = 1
        self._best[self.level :] = 1
        self._alarm[:] = 1
        self.level -= 1

    def close(self) -> None:
        """Back to shadow, with fresh evidence."""
        self.level = -1
        self.closed += 1
        self._since = self.requests
        self._recent.clear()
        self._thresholds = [_NEVER] * len(SHARES)
        self._wealth[:] = 1
        self._best[:] = 1
        self._alarm[:] = 1
        self._epoch_at = self.requests + _EPOCH

    def _renew(self) -> None:
        """A new epoch, twice as long: evidence starts again, and a level that lost in the old one is given up."""
        self._epoch_at = self._since + 2 * (self.requests - self._since)
        if self.level > 0 and self._wealth[self.level].mean() < 1:
            self._step_down()
        self._wealth[:] = 1
        self._best[:] = 1

    def refit(self) -> None:
        """Set every level's threshold from the recent requests.

        What is told, the sum of 1 - P over those at or above a threshold, is corrected by what was measured: the
        ratio of wrong to told where labels are, and the share that is wrong however certain P is (a floor no
        calibration of P sees), both drawn towards no correction while labels are few.
        """
        if len(self._recent) < _LEAST:
            return
        score = np.array([one.score for one in self._recent])
        weight = np.array([one.weight for one in self._recent])
        wrong = np.array([one.weight * one.wrong for one in self._recent])
        clear = score >= 0.99
        floor = (wrong[clear].sum() + 1) / (weight[clear].sum() + 500)
        doubt = np.maximum(1 - score, floor)
        near = score >= _CLEAR
        ratio = (wrong[near].sum() + 8) / ((weight * doubt)[near].sum() + 8)
        order = np.argsort(-score, kind="stable")
        risk = np.cumsum(doubt[order]) * max(float(ratio), 0.25) / len(score)
        for at, share in enumerate(SHARES):
            fits = int(np.searchsorted(risk, share * self.limit, side="right"))
            self._thresholds[at] = float(score[order[fits - 1]]) if fits else _NEVER
