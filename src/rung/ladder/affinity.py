"""Sessions stay with the model whose prompt cache is warm, for as long as leaving costs more than staying.

The price of a turn at a model: of P prompt tokens H can be read from its cache, so it costs H at the read price,
P - H at the price of writing, and the usual answer at the price of output. A session leaves its home only when the
home fails, or when a model that the policy would rather ask is cheaper than that, cold. Then it stays there. Models
whose price is unknown are never a reason to move. Bounded memory, no I/O.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from rung.answer import Usage
from rung.call import Call, Prefix
from rung.ladder.attempt import Attempt
from rung.ladder.rung import Rung

_MODELS_EACH = 4
"""models remembered for one session"""

_MODELS = 512
"""models whose promised reads are compared with what came"""

_RECENT = 1 / 8
"""weight of the newest turn in what is learnt"""


class Rates(Protocol):
    """Pico-dollars per token."""

    @property
    def cache_read(self) -> int: ...
    @property
    def cache_write(self) -> int: ...
    @property
    def output(self) -> int: ...


RatesOf = Callable[[str, int], Rates | None]
"""(``provider:model``, prompt tokens) -> what it costs now, None if unknown"""

LifeOf = Callable[[str], float]
"""``provider:model`` -> seconds its prompt cache lives unused; 0: none is known"""


class Warm(msgspec.Struct):
    """What one model was last sent by a session."""

    ends: bytes
    tokens: float
    """prompt tokens per byte"""
    at: float


class Session(msgspec.Struct):
    home: str
    warm: dict[str, Warm]
    output: float
    """tokens of its usual answer"""


class Affinity:
    """Which model each session should be asked first.

    `clock`: seconds, monotonic. `max_sessions`: the least recently used are forgotten.
    """

    def __init__(
        self, rates: RatesOf, life: LifeOf, *, clock: Callable[[], float] = time.monotonic, max_sessions: int = 10_000
    ) -> None:
        self.clock = clock
        self._rates = rates
        self._life = life
        self._max = max_sessions
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._kept_word: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def home(self, prefix: Prefix) -> str:
        """The model a session stays with, empty if it is new."""
        session = self._sessions.get(prefix.session)
        return "" if session is None else session.home

    def order(self, prefix: Prefix, rungs: Sequence[Rung]) -> Sequence[Rung]:
        """`rungs` with the model this session should stay with before the other models off this machine."""
        session = self._sessions.get(prefix.session)
        if session is None:
            return rungs
        away = [place for place, rung in enumerate(rungs) if not rung.stays_here]
        models = [rungs[place].model for place in away]
        if session.home not in models[1:] or not self._cached(session, session.home, prefix):
            return rungs
        staying = self._price(session, session.home, prefix)
        chosen = session.home
        for model in models[: models.index(session.home)]:
            moving = self._price(session, model, prefix)
            if staying is not None and moving is not None and moving < staying:
                chosen = model
                break
        place = away[models.index(chosen)]
        first = away[0]
        return (*rungs[:first], rungs[place], *rungs[first:place], *rungs[place + 1 :])

    def cached(self, prefix: Prefix, model: str) -> float:
        """Tokens of this prompt that the model's cache should still hold from earlier turns of its session."""
        session = self._sessions.get(prefix.session)
        return 0.0 if session is None else self._cached(session, model, prefix)

    def learn(self, call: Call, attempts: Sequence[Attempt], model: str, usage: Usage | None) -> None:
        """A climb has ended with an answer of `model`, which is off this machine."""
        prefix = call.prefix
        if prefix is None:
            return
        now = self.clock()
        session = self._sessions.get(prefix.session)
        if session is None:
            session = self._sessions[prefix.session] = Session(model, {}, 0.0)
            if len(self._sessions) > self._max:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(prefix.session)
        if usage is not None:
            self._compare(session, model, prefix, usage)
            answer = float(usage.completion_tokens)
            session.output += (answer - session.output) * (_RECENT if session.output else 1.0)
        if not any(one.model == session.home and one.reason == "hedge_lost" for one in attempts):
            session.home = model  # a home that only was too slow this time has read its prompt too, and stays
        per_byte = usage.prompt_tokens / prefix.sizes[-1] if usage is not None else 0.25
        session.warm.pop(model, None)
        session.warm[model] = Warm(prefix.ends, per_byte, now)
        while len(session.warm) > _MODELS_EACH:
            del session.warm[next(iter(session.warm))]

    def _cached(self, session: Session, model: str, prefix: Prefix) -> float:
        """Tokens of this prompt that the model's cache should still hold."""
        warm = session.warm.get(model)
        if warm is None or self.clock() - warm.at >= self._life(model):
            return 0.0
        same = prefix.common(warm.ends)
        return prefix.sizes[same - 1] * warm.tokens if same else 0.0

    def _price(self, session: Session, model: str, prefix: Prefix) -> float | None:
        """Pico-dollars this turn would cost at `model`, None if unknown."""
        warm = session.warm.get(model) or next(reversed(session.warm.values()))
        tokens = prefix.sizes[-1] * warm.tokens
        rates = self._rates(model, int(tokens))
        if rates is None:
            return None
        read = min(tokens, self._cached(session, model, prefix)) * self._kept_word.get(model, 1.0)
        return read * rates.cache_read + (tokens - read) * rates.cache_write + session.output * rates.output

    def _compare(self, session: Session, model: str, prefix: Prefix, usage: Usage) -> None:
        """How much of what should have been read was: caches promise nothing, and some tell nothing."""
        expected = self._cached(session, model, prefix)
        if expected < 1:
            return
        if len(self._kept_word) >= _MODELS and model not in self._kept_word:
            del self._kept_word[next(iter(self._kept_word))]
        before = self._kept_word.get(model, 1.0)
        self._kept_word[model] = before + (min(1.0, usage.cache_read_tokens / expected) - before) * _RECENT
