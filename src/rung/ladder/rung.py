"""The protocol every rung keeps. The ladder knows this, and no concrete rung."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rung.answer import Answer, Declined
from rung.call import Call


@runtime_checkable
class Rung(Protocol):
    """Something that can answer a call.

    Attributes:
        name: the word in records and headers: ``tool``, ``exact``, ``local``, ``cloud``...
        model: ``provider:model`` for a model, the rung's own name otherwise.
        stays_here: True if an attempt can never open a connection off this machine, nor resolve a name.
            Only such rungs are ever asked for a private call.

    A rung may also have a `breaker` (`rung.ladder.breaker.Breaker`): the ladder then asks it before every attempt.
    And an `estimate`: a function of the call that tells how many tokens its prompt should have there.
    One whose answers take no waiting may have ``look(call)``, a plain method that says the same as `attempt`, or None
    if it would have to wait: `attempt` is then asked as if nothing had been.
    """

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def stays_here(self) -> bool: ...

    async def attempt(self, call: Call) -> Answer | Declined:
        """Answer, or decline with a reason. A `rung.errors.Fault` means it tried and failed.

        Must not block the event loop, must honour `call.deadline`, and must stop upstream work when
        cancelled or when the answer's stream is closed.
        """
        ...

    def settle(self, call: Call, answer: Answer | None, stored: bytes | None) -> None:
        """Called exactly once when the climb of a call this rung was asked for has ended.

        `answer` is the one that was served whole (None if nothing was, or it was cut); `stored` is its
        full data as sent (JSON body or the concatenated SSE frames), None if it was too large to keep.
        Must not raise and must not block: it is where the exact cache learns and lets followers go.
        """
        ...
