"""What learning needs of a gateway."""

from __future__ import annotations

from typing import Protocol

from rung.answer import Usage
from rung.call import Call
from rung.ladder.climb import Climb
from rung.ladder.rung import Rung


class World(Protocol):
    """A gateway's means, put at the disposal of learning; `rung.proving` has them."""

    def rung(self, model: str) -> Rung | None:
        """Who answers as `model`, None if nobody does any more."""
        ...

    def version(self, rung: Rung) -> str:
        """Hash of the model file of a rung on this machine, empty while unknown or for another rung."""
        ...

    async def ask(self, call: Call, rung: Rung) -> Climb:
        """Ask this rung alone, for `call.purpose`, and write it down. What goes wrong is in the climb's `error`."""
        ...

    def cost(self, model: str, usage: Usage) -> int | None:
        """Pico-dollars the model would take for that now, None if unknown."""
        ...

    def busy(self, rung: Rung) -> bool:
        """Is this model of this machine at work, or wanted?"""
        ...

    def wanted(self, rung: Rung) -> bool:
        """Does a caller wait for this model of this machine?"""
        ...
