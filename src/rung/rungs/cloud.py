"""A model behind a provider's API, asked as ``provider:model``.

Also serves a backend on this host (vLLM, LM Studio, llama-server): it `stays_here` only if the user declared
it private and its address is a loopback one. As part of ``auto`` it is then named ``local`` and `unproved`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rung.answer import Answer, Declined
from rung.call import Call
from rung.ladder.breaker import Breaker
from rung.wire.client import Deadlines

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
    ) -> None:
        self.name = rung_name
        self.model = f"{provider_name}:{model}"
        self.stays_here = stays_here
        self.breaker = breaker
        """asked by the ladder before every attempt, and told how it went"""
        self._provider = provider
        self._model = model
        self._deadlines = deadlines
        self._unproved = unproved

    async def attempt(self, call: Call) -> Answer | Declined:
        return self._ours(await self._provider.chat(call, self._model, self._limits(call)))

    async def resume(self, call: Call, so_far: str) -> Answer | Declined:
        """The rest of an answer that begins with `so_far`, where the model's API can be given that."""
        if not isinstance(self._provider, Prefixed) or not self._provider.takes_prefix:
            return Declined("no_prefix: this model cannot be given the beginning of its answer")
        return self._ours(await self._provider.resume(call, self._model, so_far, self._limits(call)))

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
        """Nothing to learn yet."""
