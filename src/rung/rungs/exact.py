"""The exact rung: the same call, answered before.

A hit takes no await: fingerprint, look-up, replay. A miss makes the call the leader of a flight; the same
call coming meanwhile waits for the leader's answer instead of paying for it again.
"""

from __future__ import annotations

import asyncio
from sys import intern
from typing import Any

import msgspec

from rung.answer import Answer, Declined
from rung.call import Call
from rung.store.exact import ExactCache
from rung.store.fingerprint import fingerprint
from rung.store.replay import REFUSED, all_ended
from rung.store.stored import Stored, shape_of, told_again

MAX_FOLLOWERS = 1000
"""calls that may wait for one leader; more climb on their own"""

CONVERT_HERE = 64 * 1024
"""bytes of an answer converted on the event loop (about 2 ms); a longer one is converted in a thread"""

GOOD_ENDS = ("stop", "tool_calls", "function_call")

NOT_STORED = ("tool", "exact", "semantic")
"""rungs whose answers are not stored: made again as fast, or served under a promise made to one call"""

NO_STORE = ("x-no-store", "no-store")
"""members that, set to true on a tool, its function or its parameters, say that calling it has side effects"""


class _Flight(msgspec.Struct, eq=False):
    """A call on its way up, and those who wait for its answer. A future's result: should they look again?"""

    leader: Call
    waiting: set[asyncio.Future[bool]] = msgspec.field(default_factory=set)


class ExactRung:
    """Answers from `cache`.

    `config_version`: any text that changes with the configuration. A call is bypassed when it asks for no
    storing, for an explicit temperature above `max_temperature`, or for several choices unless `cache_n`.
    `flight_wait`: seconds a follower waits for its leader at most. `alone`: no reference is configured, so an
    unproved answer of the local model is the best there is and may be repeated (adding one changes
    `config_version`).
    """

    name = "exact"
    model = "exact"
    stays_here = True

    def __init__(
        self,
        cache: ExactCache,
        *,
        config_version: str,
        max_temperature: float = 0.3,
        cache_n: bool = False,
        flight_wait: float = 60.0,
        alone: bool = False,
    ) -> None:
        self._cache = cache
        self._config_version = config_version
        self._max_temperature = max_temperature
        self._cache_n = cache_n
        self._flight_wait = flight_wait
        self._alone = alone
        self._flights: dict[bytes, _Flight] = {}

    def look(self, call: Call) -> Answer | Declined | None:
        """The stored answer, ``bypass: why`` or ``miss`` (the call is then expected to `settle`), or None: somebody
        is on the way up with the same call, or the answer takes long to convert."""
        if call.fingerprint is None:
            bypass = self._bypass(call)
            if bypass is not None:
                return bypass
            call.fingerprint = self._fingerprint(call)
        key = _key(call)
        entry = self._cache.get(key)
        if entry is not None and (self._alone or admissible(entry, call)):
            shape = shape_of(stream=call.stream, include_usage=call.include_usage)
            data = entry.replay(shape)
            if data is None:
                if _is_long(entry, shape):
                    return None
                data = self._keep(key, entry, shape, _converted(entry, shape))
            if data is not None:
                return told_again("exact", entry, data, stream=call.stream)
        return self._lead(key, call)

    def key_of(self, call: Call) -> bytes | None:
        """The key of a `Call.plain` call; None for one that is bypassed."""
        if self._bypass(call) is not None:
            return None
        call.fingerprint = self._fingerprint(call)
        return _key(call)

    def stored(self, key: bytes, call: Call) -> Answer | None:
        """The answer `look` would give, if it is at hand as it is asked for; None, and nothing has been counted, if
        not."""
        entry = self._cache.peek(key)
        if entry is None or not (self._alone or admissible(entry, call)):
            return None
        data = entry.replay(shape_of(stream=call.stream, include_usage=call.include_usage))
        if data is None:
            return None
        self._cache.get(key)
        return told_again("exact", entry, data, stream=call.stream)

    def vacant(self, key: bytes) -> bool:
        """Would `look` say ``miss``? Then `lead` and `land` stand for it."""
        return key not in self._flights and key not in self._cache.entries

    def lead(self, key: bytes, call: Call) -> None:
        """Be on the way for a key that was just found `vacant`."""
        self._cache.misses += 1
        self._flights[key] = _Flight(call)

    def land(self, key: bytes, call: Call, answer: Answer, stored: bytes) -> None:
        """`settle` for who leads, with the usual answer: one that may be stored."""
        kept = self._cache.put(key, _entry(call, answer, stored))
        self._release(key, call, kept=kept, again=kept)

    def _fingerprint(self, call: Call) -> bytes:
        return fingerprint(call.raw, call.tenant, call.model, self._config_version, call.private)

    async def attempt(self, call: Call) -> Answer | Declined:
        """What `look` says, waited for where need be."""
        if call.fingerprint is None:
            said = self.look(call)
            if said is not None:
                return said
        key = _key(call)
        shape = shape_of(stream=call.stream, include_usage=call.include_usage)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + min(self._flight_wait, call.remaining())
        flight = self._flights.get(key)
        while flight is None or await _look_again(flight, give_up - loop.time()):
            entry = self._cache.get(key)
            if entry is not None and (self._alone or admissible(entry, call)):
                data = entry.replay(shape)
                if data is None:
                    data = await asyncio.to_thread(_converted, entry, shape)
                    self._keep(key, entry, shape, data)
                if data is not None:
                    return told_again("exact", entry, data, stream=call.stream)
            said = self._lead(key, call)
            if said is not None:
                return said
            flight = self._flights.get(key)
        return Declined("miss")

    def _lead(self, key: bytes, call: Call) -> Declined | None:
        """A miss: `call` leads a flight; None if another call is on its way already."""
        flight = self._flights.get(key)
        if flight is not None and flight.leader.remaining() > 0:
            return None
        self._flights[key] = _Flight(call)
        return Declined("miss")

    def settle(self, call: Call, answer: Answer | None, stored: bytes | None) -> None:
        """Keep a whole, good answer and let the followers go."""
        if call.fingerprint is None:
            return  # bypassed
        key = _key(call)
        kept = False
        if answer is not None and stored is not None and self._storable(call, answer, stored):
            kept = self._cache.put(key, _entry(call, answer, stored))
        # After an answer that may not be stored there is nothing to wait for, and no reason to queue:
        # everybody climbs. After none, the first follower to look again finds no flight and leads.
        self._release(key, call, kept=kept, again=kept or answer is None)

    def _release(self, key: bytes, call: Call, *, kept: bool, again: bool) -> None:
        """Let those go who wait for `call`, or for an answer that is now `kept`: to look `again`, or to climb."""
        flight = self._flights.get(key)
        if flight is None:
            return
        leads = flight.leader is call
        if leads:
            del self._flights[key]
        if kept or leads:
            for future in flight.waiting:
                if not future.done():
                    future.set_result(again)

    def _bypass(self, call: Call) -> Declined | None:
        if call.no_store:
            return Declined("bypass: no_store")
        temperature = call.body.get("temperature")
        if temperature is not None and temperature > self._max_temperature:
            return Declined("bypass: temperature")
        if not self._cache_n and (call.body.get("n") or 1) > 1:
            return Declined("bypass: n")
        return None

    def _storable(self, call: Call, answer: Answer, stored: bytes) -> bool:
        """Design rule 3: only whole, good answers."""
        evidence = answer.evidence
        if not evidence.complete or evidence.finish_reason not in GOOD_ENDS or answer.rung in NOT_STORED:
            return False
        if evidence.unproved and not (self._alone or _wants_local(call)):
            return False  # it served an outage, and must not outlive it
        if evidence.tool_calls and _has_side_effects(call.body):
            return False
        return (call.body.get("n") or 1) == 1 or _all_ended_well(stored, whole=answer.whole)

    def _keep(self, key: bytes, entry: Stored, shape: str, data: bytes | None) -> bytes | None:
        """Keep a conversion for the next call; forget the entry if it turned out to be no answer."""
        if data is None:
            self._cache.remove(key)
        else:
            self._cache.remember(key, entry, shape, data)
        return data


def _is_long(entry: Stored, shape: str) -> bool:
    return len(entry.data) > CONVERT_HERE and shape != entry.shape


def _converted(entry: Stored, shape: str) -> bytes | None:
    """`entry` in `shape`; None if it is no answer."""
    try:
        return entry.converted(shape)
    except REFUSED:
        return None


def admissible(entry: Stored, call: Call) -> bool:
    """May `entry` serve `call`? The key already holds tenant, model, mode, privacy and configuration.

    What remains is trust: an answer from below the reference, unproved, serves only who asked for a model
    on this machine.
    """
    return not entry.unproved or _wants_local(call)


def _wants_local(call: Call) -> bool:
    return call.private or "local" in (call.mode, call.model)


def _key(call: Call) -> bytes:
    """The fingerprint, and the mode, which a header may have set: ``auto`` must not serve ``strong``."""
    assert call.fingerprint is not None
    return call.fingerprint + call.mode.encode()


async def _look_again(flight: _Flight, seconds: float) -> bool:
    """Wait for the flight's end; True if there may now be an answer or no leader."""
    if seconds <= 0 or len(flight.waiting) >= MAX_FOLLOWERS:
        return False
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    flight.waiting.add(future)
    try:
        await asyncio.wait((future,), timeout=seconds)
        return future.done() and future.result()
    finally:
        flight.waiting.discard(future)


def _has_side_effects(body: dict[str, Any]) -> bool:
    for tool in (*(body.get("tools") or ()), *(body.get("functions") or ())):
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        parameters = function.get("parameters") if isinstance(function, dict) else None
        for place in (tool, function, parameters):
            if isinstance(place, dict) and any(place.get(name) is True for name in NO_STORE):
                return True
    return False


def _all_ended_well(stored: bytes, *, whole: bool) -> bool:
    try:
        return all_ended(stored, GOOD_ENDS, whole=whole)
    except REFUSED:
        return False


def _entry(call: Call, answer: Answer, stored: bytes) -> Stored:
    evidence = answer.evidence
    return Stored(
        data=stored,
        shape=shape_of(stream=answer.body is None, include_usage=call.include_usage),
        model=answer.model,
        rung=answer.rung,
        usage=evidence.usage,
        cost=evidence.cost,
        unproved=evidence.unproved,
        tenant=call.tenant,
        mode=call.mode,
        private=call.private,
        finish_reason=intern(evidence.finish_reason or "stop"),  # always the same few, one string each
        model_version=intern(evidence.model_version),
        tool_calls=evidence.tool_calls,
        stripped=evidence.stripped,
        simulated=evidence.simulated,
    )
