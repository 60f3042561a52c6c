"""In which order models are asked that stand for each other: by what this call should cost, or how soon they speak.

Pure: offers in, order out. The reference is not sorted, it is who the user would otherwise pay; what is sorted are
the models that answer when it cannot.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from rung.ladder.rung import Rung

USUAL_OUTPUT = 400
"""tokens of an answer, while nothing has been learnt about its kind"""

_RECENT = 1 / 16
"""weight of the newest answer in what is learnt"""

_MODELS = 512


class Offer(msgspec.Struct, frozen=True, gc=False):
    """What asking one model for one call would mean.

    `price`: expected pico-dollars, None if unknown. `seconds`: to its first content, as learnt; None if unknown.
    `down`: it is not asked at the moment, because it failed.
    """

    model: str
    price: int | None = None
    seconds: float | None = None
    down: bool = False


class Rates(msgspec.Struct, frozen=True, gc=False):
    """Pico-dollars per token."""

    input: int
    cache_read: int
    output: int


def expected_price(rates: Rates, prompt: float, cached: float, output: float) -> int:
    """Pico-dollars of `prompt` tokens, of which `cached` should be read from the prompt cache, and an answer."""
    read = min(cached, prompt)
    return round(read * rates.cache_read + (prompt - read) * rates.input + output * rates.output)


def arrange(
    rungs: Sequence[Rung], sortable: Sequence[Rung], by: str, offer: Callable[[Rung], Offer]
) -> tuple[tuple[Rung, ...], tuple[Offer, ...]]:
    """`rungs` with those that are `sortable` in the order of `by` (``price``, ``latency`` or ``listed``), the others in
    their places; and the offers that were compared, in their order.

    Who is down comes last, and of the others who is unknown. Ties keep their order.
    """
    places = [place for place, rung in enumerate(rungs) if rung in sortable]
    if by == "listed" or len(places) < 2:
        return tuple(rungs), ()
    offers = [(offer(rungs[place]), rungs[place]) for place in places]
    offers.sort(key=lambda made: _rank(made[0], by))
    arranged = list(rungs)
    for place, (_, rung) in zip(places, offers, strict=True):
        arranged[place] = rung
    return tuple(arranged), tuple(made for made, _ in offers)


def _rank(offer: Offer, by: str) -> tuple[bool, float]:
    value = offer.price if by == "price" else offer.seconds
    return offer.down, math.inf if value is None else value


def told(offers: Sequence[Offer], by: str) -> str:
    """Why they are asked in this order, in a line."""
    if not offers:
        return ""
    what = "expected price" if by == "price" else "time to the first content"
    return f"by {what}: " + ", ".join(_told(offer, by) for offer in offers)


def _told(offer: Offer, by: str) -> str:
    if by == "price":
        value = "price unknown" if offer.price is None else f"~{offer.price / 1e12:.6f} USD"
    else:
        value = "not measured yet" if offer.seconds is None else f"~{offer.seconds:.2f} s"
    return f"{offer.model} {value}{' (down)' if offer.down else ''}"


class Seen:
    """What answers have been like: the tokens of a kind of call, and how soon each model speaks. Bounded."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[str, float] = OrderedDict()
        self._speaks: OrderedDict[tuple[str, bool], float] = OrderedDict()

    def output(self, task: str, limit: int | None = None) -> float:
        """Tokens an answer to such a call should have; `limit`: the caller's own."""
        usual = self._tokens.get(task, USUAL_OUTPUT)
        return usual if limit is None else min(usual, limit)

    def seconds(self, model: str, stream: bool) -> float | None:
        """Seconds to the first content of a stream, or to a whole answer: the geometric mean, fading."""
        log = self._speaks.get((model, stream))
        return None if log is None else math.exp(log)

    def answered(self, task: str, tokens: int) -> None:
        if tokens > 0:
            _fade(self._tokens, task, tokens)

    def spoke(self, model: str, stream: bool, seconds: float) -> None:
        _fade(self._speaks, (model, stream), math.log(max(seconds, 1e-3)))


def _fade(kept: OrderedDict[Any, float], key: Any, value: float) -> None:
    before = kept.pop(key, value)
    kept[key] = before + (value - before) * _RECENT
    if len(kept) > _MODELS:
        kept.popitem(last=False)
