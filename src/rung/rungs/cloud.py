"""A model behind a provider's API, asked as ``provider:model``.

Also serves a backend on this host (vLLM, LM Studio, llama-server): it `stays_here` only if the user declared
it private and its address is a loopback one. As part of ``auto`` it is then named ``local`` and `unproved`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from rung.answer import Answer, Declined
from rung.call import Call
from rung.ladder.breaker import Breaker
from rung.providers.estimate import Correction, prompt_tokens
from rung.providers.flow import Flow
from rung.wire.client import Deadlines, Response

CLEARLY = 1.3
"""times the context from which an estimate leaves no doubt: 95 of 100 are nearer to the truth (docs/costs.md)"""

_LONG = 32 * 1024
_SOMETIMES = 32
"""bytes of a call from which its count of tokens is always learnt from, and how often it is of a shorter one: an
estimate takes some ten microseconds"""

_SLACK = 0.05
"""seconds a call may outlive its own deadline here: most calls allow as much as we do, and have just come"""


class Provider(Protocol):
    """What this rung needs of a wire adapter (`providers/`)."""

    async def chat(self, call: Call, model: str, deadlines: Deadlines) -> Answer: ...


@runtime_checkable
class Prefixed(Protocol):
    """An adapter whose provider can be given the beginning of an answer (if `takes_prefix`)."""

    @property
    def takes_prefix(self) -> bool: ...

    async def resume(self, call: Call, model: str, so_far: str, deadlines: Deadlines) -> Answer: ...


class Straight(Protocol):
    """A model that can be asked without waiting; see `rung.providers.openai_compatible.Straight`."""

    def send(self, call: Call, deadlines: Deadlines, then: Callable[[], None]) -> Response | None: ...

    def read(self, response: Response) -> Answer | None: ...

    def flow(self, call: Call, response: Response, idle: float) -> Flow | None: ...

    def events(self, flow: Flow) -> None: ...


@runtime_checkable
class Sender(Protocol):
    """An adapter that may have such models."""

    def straight(self, model: str) -> Straight | None: ...


class CloudRung:
    """One model of one provider."""

    def __init__(
        self,
        provider: Provider,
        provider_name: str,
        model: str,
        *,
        deadlines: Deadlines,
        stays_here: bool = False,
        rung_name: str = "cloud",
        unproved: bool = False,
        breaker: Breaker | None = None,
        context: int | None = None,
        correction: Correction | None = None,
    ) -> None:
        """`context`: tokens the model can hold, if that is known; `correction`: what its counts are to our
        estimates, which is learnt here."""
        self.name = rung_name
        self.model = f"{provider_name}:{model}"
        self.stays_here = stays_here
        self.breaker = breaker
        """asked by the ladder before every attempt, and told how it went"""
        self._provider = provider
        self._model = model
        self._names = (provider_name, model)
        self._deadlines = deadlines
        self._unproved = unproved
        self.context = context if context is not None else sys.maxsize
        """tokens, and so bytes at least, that it can hold"""
        self._correction = correction
        self._answers = 0

    async def attempt(self, call: Call) -> Answer | Declined:
        if len(call.raw) > self.context and self.estimate(call) > self.context * CLEARLY:  # a token is a byte at least
            told = round(self.estimate(call), -3)
            return Declined(f"context_overflow: ~{told:,} tokens estimated > {self.context:,}")
        return self._ours(await self._provider.chat(call, self._model, self._limits(call)))

    def straight(self, limit: float) -> tuple[Straight, Deadlines] | None:
        """How calls that need nothing changed are sent, and for how long if they may last for `limit` seconds; None
        where they cannot be sent so."""
        if self._unproved or not isinstance(self._provider, Sender):
            return None
        straight = self._provider.straight(self._model)
        if straight is None:
            return None
        told = self._deadlines
        return straight, Deadlines(told.connect, told.first_byte, told.idle, min(told.total, limit))

    async def resume(self, call: Call, so_far: str) -> Answer | Declined:
        """The rest of an answer that begins with `so_far`, where the model's API can be given that."""
        if not isinstance(self._provider, Prefixed) or not self._provider.takes_prefix:
            return Declined("no_prefix: this model cannot be given the beginning of its answer")
        return self._ours(await self._provider.resume(call, self._model, so_far, self._limits(call)))

    def estimate(self, call: Call) -> int:
        """Tokens of the prompt as this model would count them: an estimate."""
        tokens = prompt_tokens(call)
        return tokens if self._correction is None else self._correction.tokens(*self._names, tokens)

    def _limits(self, call: Call) -> Deadlines:
        limits = self._deadlines
        left = call.remaining()
        if left < limits.total - _SLACK:
            return Deadlines(limits.connect, limits.first_byte, limits.idle, left)
        return limits

    def _ours(self, answer: Answer) -> Answer:
        answer.rung = self.name
        answer.evidence.unproved = self._unproved
        return answer

    def settle(self, call: Call, answer: Answer | None, stored: bytes | None) -> None:
        """Learn what its count of a prompt is to our estimate: from every long one, and now and then from others."""
        if self._correction is None or answer is None or answer.model != self.model:
            return
        usage = answer.evidence.usage
        if usage is None:
            return
        self._answers += 1
        if len(call.raw) >= _LONG or not self._answers % _SOMETIMES:
            self._correction.learn(*self._names, prompt_tokens(call), usage.prompt_tokens)
