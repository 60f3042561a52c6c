"""Other ways to decide, replayed beside ours on the same streams and vectors: exact match, thresholds, GPTCache's rule.

None of them is ours: each stores what it missed, serves its nearest entry, and never learns but where said.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rung.cli.bench_semantic_replay import Floats, Ints, Replayed, Store, Stream

GPTCACHE_COSINE = 0.6
"""GPTCache 0.1.44 as it comes: ``(4 - d²) / 4 ≥ 0.8`` with d the Euclidean distance of unit vectors"""

_AUDIT = 0.05
_REFIT = 250


def exact(data: Stream, order: Ints, limit: float, seed: int) -> Replayed:
    """Serves only the same text, white space aside."""
    out = _empty(order)
    seen: dict[str, int] = {}
    for at, row in enumerate(order.tolist()):
        text = " ".join(data.prompts[row].split())
        if text in seen:
            _hit(out, at, data, row, seen[text])
        else:
            seen[text] = row
    return out


def threshold(least: float) -> Callable[[Stream, Ints, float, int], Replayed]:
    """Serves the nearest entry from a fixed cosine on."""

    def rule(data: Stream, order: Ints, limit: float, seed: int) -> Replayed:
        out = _empty(order)
        store = Store(data)
        for at, row in enumerate(order.tolist()):
            entry, likeness = next(store.nearest(row, 1), (-1, -1.0))
            if likeness >= least:
                _hit(out, at, data, row, entry)
            else:
                store.add(row)
        return out

    return rule


def online_threshold(data: Stream, order: Ints, limit: float, seed: int) -> Replayed:
    """Serves from the lowest cosine whose estimated error per request is within the limit.

    Estimated every 250 requests from misses and from audits of 5 % of the hits, weighted; no margin for chance.
    """
    out = _empty(order)
    store = Store(data)
    rng = np.random.default_rng(seed)
    least = 2.0
    likenesses: Floats = np.zeros(len(order), np.float32)
    losses: Floats = np.zeros(len(order), np.float32)
    for at, row in enumerate(order.tolist()):
        entry, likeness = next(store.nearest(row, 1), (-1, -1.0))
        served = likeness >= least
        wrong = entry >= 0 and data.classes[entry] != data.classes[row]
        likenesses[at] = likeness
        if served:
            _hit(out, at, data, row, entry)
            if rng.random() < _AUDIT:
                out.labels_audit += 1
                losses[at] = wrong / _AUDIT
        else:
            out.labels_miss += 1
            losses[at] = float(wrong)
            store.add(row)
        if at % _REFIT == _REFIT - 1:
            ranked = np.argsort(-likenesses[: at + 1], kind="stable")
            fits = np.nonzero(np.cumsum(losses[ranked]) <= limit * (at + 1))[0]
            least = float(likenesses[ranked[fits[-1]]]) if len(fits) else 2.0
    return out


def _empty(order: Ints) -> Replayed:
    return Replayed(np.zeros(len(order), bool), np.zeros(len(order), bool), 0)


def _hit(out: Replayed, at: int, data: Stream, row: int, entry: int) -> None:
    out.hits[at] = True
    if data.classes[entry] != data.classes[row]:
        out.wrong[at] = True
        out.traps_served += data.traps[row] or data.traps[entry]


RULES: dict[str, Callable[[Stream, Ints, float, int], Replayed]] = {
    "exact": exact,
    "cosine 0.95": threshold(0.95),
    "cosine 0.9": threshold(0.9),
    "cosine 0.8": threshold(0.8),
    "gptcache's rule": threshold(GPTCACHE_COSINE),
    "online threshold": online_threshold,
}
