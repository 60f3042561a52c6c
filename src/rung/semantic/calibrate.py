"""P(same answer) from a candidate's features: a ridge logistic regression, refitted on recent labelled calls."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_KEPT = 4096
_RIDGE = 1.0
_STEPS = 8


class Calibrator:
    """Weights are those given until enough was seen; each example carries 1/π, the inverse of its label's chance."""

    def __init__(self, prior: Array, least: int = 40) -> None:
        self._prior = prior
        self._weights = prior.copy()
        self._least = least
        self._inputs = np.zeros((_KEPT, len(prior)))
        self._same = np.zeros(_KEPT)
        self._weight = np.zeros(_KEPT)
        self._seen = 0

    @property
    def fitted(self) -> bool:
        """Whether enough labels have come for a fit."""
        return self._seen >= self._least

    def p(self, features: Array) -> float:
        """The probability for one candidate."""
        logit = float(features @ self._weights)
        return 1 / (1 + math.exp(-min(max(logit, -30.0), 30.0)))

    def add(self, features: Array, same: bool, weight: float) -> None:
        """One labelled candidate."""
        at = self._seen % _KEPT
        self._inputs[at], self._same[at], self._weight[at] = features, same, weight
        self._seen += 1

    def fit(self) -> None:
        """Refit on the last few thousand (iteratively reweighted least squares, drawn towards the prior)."""
        held = min(self._seen, _KEPT)
        if not self.fitted:
            return
        inputs, same, weight = self._inputs[:held], self._same[:held], self._weight[:held]
        found = self._weights.copy()
        for _ in range(_STEPS):
            p = 1 / (1 + np.exp(-np.clip(inputs @ found, -30, 30)))
            gradient = inputs.T @ (weight * (same - p)) - _RIDGE * (found - self._prior)
            curve = (inputs * (weight * p * (1 - p))[:, None]).T @ inputs + _RIDGE * np.eye(len(found))
            step = np.linalg.solve(curve, gradient)
            size = float(np.abs(step).max())
            found += step if size < 4 else step * (4 / size)
            if size < 1e-4:
                break
        self._weights = found
