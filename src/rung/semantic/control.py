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

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHARES = (0.15, 0.3, 0.45, 0.6, 0.75)
"""of the limit: what each level's threshold aims at"""

_BETS = np.array([0.98, 0.7, 0.5, 0.35, 0.25, 0.15, 0.08])
_ALARMS = np.array([0.5, 1.0, 2.0, 3.0, 5.0])
_CLOSE = 300.0
_WINDOW = 4000
_LEAST = 300
_FEWEST_PI = 0.08
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
        self._recent: deque[_Seen] = deque(maxlen=_WINDOW)
        self._thresholds = [_NEVER] * len(SHARES)
        self._wealth = np.ones((len(SHARES), len(_BETS)))
        self._best = np.ones(len(SHARES))
        self._alarm = np.ones(len(_ALARMS))
        self.closed = 0

    @property
    def threshold(self) -> float:
        """What P(same answer) must reach to be served; above 1 while nothing is open."""
        return self._thresholds[self.level] if self.level >= 0 else _NEVER

    @property
    def would_serve(self) -> float:
        """The threshold of the level being proved, for a shadow's sake."""
        return self._thresholds[min(self.level + 1, len(SHARES) - 1)]

    @property
    def bound(self) -> float:
        """Upper bound of the served policy's error per request, valid at any time; 1 while nothing is open."""
        return self.limit if self.level >= 0 else 1.0

    def pi(self, score: float) -> float:
        """With what probability a hit of this score is audited: more where it is less certain."""
        return min(0.5, max(_FEWEST_PI, float(np.sqrt(max(0.0, 1 - score)))))

    def unlabelled(self, score: float) -> None:
        """A hit that was not audited."""
        self._count(score, 0.0, False)

    def labelled(self, score: float, wrong: bool, pi: float) -> None:
        """A call whose answer was compared: every miss (`pi` 1), and a hit audited with probability `pi`."""
        self._count(score, 1 / pi, wrong)

    def _count(self, score: float, weight: float, wrong: bool) -> None:
        self.requests += 1
        self._recent.append(_Seen(score, weight, wrong))
        heaviest = 1 / _FEWEST_PI if self.level >= 0 else 1.0
        bets = np.minimum(_BETS, 0.95 / heaviest)
        lost = np.array([weight if wrong and score >= threshold else 0.0 for threshold in self._thresholds])
        ready = np.array([threshold < _NEVER for threshold in self._thresholds])
        factors = 1 + bets * (self.limit - lost[:, None])
        self._wealth *= np.where(ready[:, None], factors, 1.0)
        np.maximum(self._best, self._wealth.mean(axis=1), out=self._best)
        while self.level + 1 < len(SHARES) and self._best[self.level + 1] >= 1 / self.delta:
            self.level += 1
            self._alarm[:] = 1
        if self.level >= 0:
            self._watch(lost[self.level], heaviest)

    def _watch(self, lost: float, heaviest: float) -> None:
        self._alarm = np.maximum(self._alarm, 1.0) * (1 + _ALARMS / heaviest * (lost - self.limit))
        if self._alarm.mean() >= _CLOSE:
            self.close()

    def close(self) -> None:
        """Back to shadow, with fresh evidence."""
        self.level = -1
        self.closed += 1
        self._recent.clear()
        self._thresholds = [_NEVER] * len(SHARES)
        self.renew()

    def renew(self) -> None:
        """A new epoch: evidence starts again; what is open stays open until its own labels close it."""
        self._wealth[:] = 1
        self._best[:] = 1
        self._alarm[:] = 1

    def refit(self) -> None:
        """Set every level's threshold from the recent labels."""
        if len(self._recent) < _LEAST:
            return
        score = np.array([one.score for one in self._recent])
        weight = np.array([one.weight for one in self._recent])
        lost = np.array([one.weight * one.wrong for one in self._recent])
        order = np.argsort(-score, kind="stable")
        n = len(score)
        measured = np.cumsum(lost[order]) / n
        told = np.cumsum(np.where(weight[order] >= 0, 1 - score[order], 0)) / n
        risk = np.maximum.accumulate(0.5 * (measured + told) + 0.2 / n)
        for at, share in enumerate(SHARES):
            fits = np.nonzero(risk <= share * self.limit)[0]
            self._thresholds[at] = float(score[order[fits[-1]]]) if len(fits) else _NEVER
