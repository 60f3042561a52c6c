"""P(same answer) from a candidate's features: a ridge logistic regression, refitted on recent labelled calls."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_KEPT = 4096
_RIDGE = 1.0
_STEPS, _HALVINGS = 25, 12


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
        """Refit on the last few thousand: Newton's method with halved steps, drawn towards the prior."""
        if not self.fitted:
            return
        held = min(self._seen, _KEPT)
        inputs, sign, weight = self._inputs[:held], 2 * self._same[:held] - 1, self._weight[:held]
        found = self._weights.copy()
        cost = self._cost(inputs, sign, weight, found)
        for _ in range(_STEPS):
            doubt = 1 / (1 + np.exp(np.clip(sign * (inputs @ found), -30, 30)))
            gradient = inputs.T @ (weight * sign * doubt) - _RIDGE * (found - self._prior)
            curve = (inputs * (weight * doubt * (1 - doubt))[:, None]).T @ inputs + _RIDGE * np.eye(len(found))
            step = np.linalg.solve(curve, gradient)
            for _ in range(_HALVINGS):
                new = self._cost(inputs, sign, weight, found + step)
                if new <= cost:
                    break
                step = step / 2
            else:
                break
            found += step
            if cost - new < 1e-6 * cost:
                break
            cost = new
        self._weights = found

    def _cost(self, inputs: Array, sign: Array, weight: Array, found: Array) -> float:
        """The negative log-likelihood with the ridge, which every step must lower."""
        away = found - self._prior
        return float(weight @ np.logaddexp(0, -sign * (inputs @ found)) + _RIDGE / 2 * (away @ away))
