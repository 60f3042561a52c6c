"""What learning may cost: so much a day, reserved before it is spent, and on disk before that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import count

from rung.call import new_request_id
from rung.store import trust as store

PICO = 10**12

WAIT_FOR_DISK = 5.0
"""seconds a reservation has to reach the disk; else nothing is spent"""


class Purse:
    """`daily`: USD a day (UTC), for everything asked in the background. `clock`: unix seconds.

    What was reserved and never settled counts in full: a process that died in between may have spent it.
    """

    def __init__(self, kept: store.TrustStore, daily: float, clock: Callable[[], float] = time.time) -> None:
        self.daily_pico = round(daily * PICO)
        self._kept = kept
        self._clock = clock
        self._day = store.today(clock())
        self._spent = 0
        self._numbers = count(1)
        self._name = new_request_id()

    def load(self, spent_pico: int) -> None:
        """Go on from what was spent today before the start."""
        self._spent += spent_pico

    @property
    def spent_pico(self) -> int:
        """Today, open reservations included."""
        self._turn()
        return self._spent

    def affords(self, pico: int) -> bool:
        return self.spent_pico + pico <= self.daily_pico

    async def reserve(self, pico: int) -> Spend | None:
        """Set `pico` aside; None if the day's money does not reach, or the disk cannot remember it."""
        if not self.affords(pico):
            return None
        spend = Spend(self, f"{self._name}-{next(self._numbers)}", self._day, pico)
        self._spent += pico
        self._kept.put(store.reserve(spend.id, self._day, pico))
        if not await asyncio.to_thread(self._kept.flush, WAIT_FOR_DISK):
            return None  # it stays reserved: the row may yet be written
        return spend

    def settle(self, spend: Spend, pico: int | None) -> store.Statement | None:
        """The statement that says what it cost; None where nobody knows, and the whole reserve stays spent."""
        if pico is None:
            return None
        if spend.day == self._day:
            self._spent += pico - spend.reserved
        return store.settle(spend.id, pico)

    def pay(self, spend: Spend, pico: int | None) -> None:
        """`settle`, and write it down by itself."""
        if (statement := self.settle(spend, pico)) is not None:
            self._kept.put(statement)

    def _turn(self) -> None:
        day = store.today(self._clock())
        if day != self._day:
            self._day, self._spent = day, 0


class Spend:
    """Money set aside for one attempt."""

    __slots__ = ("day", "id", "reserved")

    def __init__(self, purse: Purse, spend_id: str, day: str, reserved: int) -> None:
        self.id = spend_id
        self.day = day
        self.reserved = reserved
