"""One circuit breaker per provider and model: what is down is not asked, until one probe says it is back.

closed → open → half-open → closed, as in M. Nygard, "Release It!" (2007), ch. 5. Consecutive failures open it,
or a high share of failures among many calls. When the open period has passed, the next call is the probe and
everybody else is still turned away; its first content closes the breaker, its failure opens it for twice as
long, up to a bound. What only concerns one call (400, a refused prompt, a client that left, a caller's own
short deadline) never counts. Times are `time.monotonic()` seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from rung.errors import (
    BadAnswerFault,
    CredentialFault,
    Fault,
    MissingModelFault,
    RateLimitFault,
    RejectedFault,
    ServerFault,
    TimeoutFault,
)
from rung.ladder.limits import exhausted

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"

BYTES_PER_TOKEN = 8
"""of a request body, at most: a call that needs more tokens than are left even so would be refused anyway"""

OF_ONE_CALL = frozenset({"content_filter", "empty_answer", "not_json", "schema_mismatch", "broken_code"})
"""codes of bad answers that another prompt need not get: the provider is alive"""

_KEPT = 1024
"""breakers remembered: callers choose model names, so their memory is bounded"""

log = logging.getLogger("rung")


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When to open and for how long; the keys of ``[breaker]``. Times in seconds."""

    enabled: bool = True
    failures: int = 5
    """failures one after the other that open it"""
    rate: float = 0.5
    """share of failed calls within `window` that opens it, from `min_calls` on"""
    min_calls: int = 20
    window: float = 30.0
    open: float = 5.0
    """the first open period; each failed probe doubles it"""
    max_open: float = 120.0
    long_open: float = 600.0
    """after a refused key, spent credit or an unknown model; also the longest limit that is obeyed unasked"""
    patience: float = 10.0
    """a caller's own deadline counts as a failure only if the provider had this long"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is not sent. `reason` is for the record, `fault` for the caller if nobody else answers."""

    reason: str
    fault: Fault


class Breaker:
    """The breaker of one ``provider:model``.

    `refusal` comes first; if it is None the call may be sent, and whoever sends it keeps `ticket` and says
    how it went, once: `answering` at the first content, then `worked`, `failed` or `abandoned`. Outcomes of
    calls sent before the breaker last opened are stale and change nothing.

    `free`: closed and not paused, so that every call may be sent: the usual case, seen at a glance.
    """

    __slots__ = (
        "_calls",
        "_calls_before",
        "_consecutive",
        "_failures",
        "_failures_before",
        "_paused_until",
        "_rules",
        "_since",
        "_strikes",
        "_tokens_left",
        "_until",
        "_why",
        "free",
        "model",
        "state",
        "ticket",
    )

    def __init__(self, model: str, rules: BreakerRules | None = None) -> None:
        self.model = model
        self.state = CLOSED
        self.ticket = 0
        self._rules = rules or BreakerRules()
        self.free = True
        self._consecutive = 0
        self._strikes = 0  # open periods since the last call that went well
        self._until = 0.0
        self._why: Fault | None = None
        self._paused_until = 0.0
        self._tokens_left = 0
        self._calls = self._failures = self._calls_before = self._failures_before = 0
        self._since = 0.0

    @property
    def idle(self) -> bool:
        """Nothing would be lost by forgetting it."""
        return self.free and not self._consecutive and not self._strikes

    def refusal(self, now: float, size: int = 0, tokens: Callable[[], int] | None = None) -> Refusal | None:
        """None if a call of `size` body bytes may be sent; the first one after an open period is the probe.

        `tokens` estimates what it needs, and is asked only while few tokens are left.
        """
        if self.free:
            return None
        if now < self._paused_until and self._too_large(size, tokens):
            wait = self._paused_until - now
            message = f"{self.model} has told that its rate limit is used up; retry in {wait:.1f} s"
            return Refusal(f"rate_limited: retry in {wait:.1f} s", RateLimitFault(message, retry_after=wait))
        if self.state == CLOSED:
            self.free = now >= self._paused_until
            return None
        if self.state == OPEN and now >= self._until:
            self.state = HALF_OPEN
            return None
        return self._refusal(now)

    def _too_large(self, size: int, tokens: Callable[[], int] | None) -> bool:
        """Does a call need more tokens than the provider has told are left?"""
        left = self._tokens_left
        if size < left or not left:
            return not left
        return size >= left * BYTES_PER_TOKEN or (tokens is not None and tokens() > left)

    def _refusal(self, now: float) -> Refusal:
        wait = max(self._until - now, 0.0)
        told = "a probe is under way" if self.state == HALF_OPEN else f"retry in {wait:.1f} s"
        why = self._why
        kind: type[Fault] = ServerFault
        for other in (RateLimitFault, MissingModelFault, CredentialFault):
            if isinstance(why, other):
                kind = other
        code, status = ("breaker_open", 503) if kind is ServerFault else (None, None)
        message = f"{self.model} is not asked: {why.message if why else 'it failed'} ({told})"
        return Refusal(f"breaker_open: {told}", kind(message, code=code, status=status, retry_after=wait))

    def answering(self, ticket: int) -> None:
        """The first content has come: the provider is there."""
        if self.state == HALF_OPEN and ticket == self.ticket:
            self.state = CLOSED
            self.free = not self._paused_until
            # one more failure opens it again, until a call has gone well to its end
            self._consecutive = min(self._consecutive, self._rules.failures - 1)
            self._calls = self._failures = self._calls_before = self._failures_before = 0
            _tell(logging.INFO, f"{self.model} answers again")

    def worked(self, ticket: int, now: float) -> None:
        """The answer came whole."""
        if ticket == self.ticket:
            self._consecutive = self._strikes = 0
            self._count(now)

    def abandoned(self, ticket: int) -> None:
        """Nobody waited for the outcome: it says nothing. A probe is left to the next call."""
        if self.state == HALF_OPEN and ticket == self.ticket:
            self.state = OPEN

    def failed(self, fault: Fault, ticket: int, now: float, *, waited: float = 0.0, late: bool = False) -> None:
        """The call ended with `fault` after `waited` seconds; `late`: at the caller's own deadline."""
        rules = self._rules
        if isinstance(fault, RateLimitFault) and fault.retry_after is not None:
            self._open(now, min(fault.retry_after, rules.long_open), fault)
            return
        if ticket != self.ticket or self.state == OPEN:
            return
        if late and isinstance(fault, TimeoutFault) and waited < rules.patience:
            self.abandoned(ticket)
        elif isinstance(fault, RejectedFault) or (isinstance(fault, BadAnswerFault) and fault.code in OF_ONE_CALL):
            self.answering(ticket)
        elif isinstance(fault, (CredentialFault, MissingModelFault)):
            self._open(now, rules.long_open, fault)
        else:
            self._consecutive += 1
            self._failures += 1
            self._count(now)
            if self.state == HALF_OPEN or self._too_many():
                period = min(rules.open * 2.0**self._strikes, rules.max_open)
                self._strikes = min(self._strikes + 1, 32)
                asked = min(fault.retry_after or 0.0, rules.long_open)
                self._open(now, max(period, asked), fault)

    def pause(self, now: float, seconds: float, tokens_left: int = 0) -> None:
        """The provider said how much of its limit is left and when it is renewed: obey before it must say 429."""
        self._paused_until = now + seconds
        self._tokens_left = tokens_left
        self.free = False

    def _too_many(self) -> bool:
        rules = self._rules
        calls = self._calls + self._calls_before
        failures = self._failures + self._failures_before
        return self._consecutive >= rules.failures or (calls >= rules.min_calls and failures >= rules.rate * calls)

    def _count(self, now: float) -> None:
        """One more call, in a window that moves by halves."""
        passed = now - self._since
        if passed >= self._rules.window / 2:
            recent = passed < self._rules.window
            self._calls_before, self._failures_before = (self._calls, self._failures) if recent else (0, 0)
            self._calls = self._failures = 0
            self._since = now
        self._calls += 1

    def _open(self, now: float, period: float, fault: Fault) -> None:
        until = now + period
        if self.state == OPEN and until <= self._until:
            return
        level = logging.INFO if self.state == OPEN or isinstance(fault, RateLimitFault) else logging.WARNING
        self.state, self._until, self.free = OPEN, until, False
        self.ticket += 1
        # a fresh one: the exception itself would keep its frames alive
        self._why = type(fault)(fault.message)
        retired = " (retired?)" if isinstance(fault, MissingModelFault) else ""
        _tell(level, f"{self.model} is not asked for {period:.1f} s{retired}: {fault.message}")


def _tell(level: int, text: str) -> None:
    """Log off the event loop: a slow terminal must not hold it up."""
    if not log.isEnabledFor(level):
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        log.log(level, "%s", text)
    else:
        loop.run_in_executor(None, log.log, level, "%s", text)


class Breakers:
    """Every breaker, by ``provider:model``; bounded, and kept over a reload where nothing changed."""

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._all: dict[str, Breaker] = {}

    def of(self, model: str) -> Breaker | None:
        """The breaker of that model; None if they are switched off."""
        if not self._rules.enabled:
            return None
        found = self._all.get(model)
        if found is None:
            if len(self._all) >= _KEPT:
                self._make_room()
            found = self._all[model] = Breaker(model, self._rules)
        return found

    def _make_room(self) -> None:
        self._all = {model: breaker for model, breaker in self._all.items() if not breaker.idle}
        while len(self._all) >= _KEPT:
            del self._all[next(iter(self._all))]

    def reload(self, rules: BreakerRules, before: Mapping[str, object], after: Mapping[str, object]) -> None:
        """New settings, by provider: forget all about those whose own have changed (a new key deserves a try)."""
        same = {name for name, told in after.items() if rules == self._rules and before.get(name) == told}
        self._rules = rules
        self._all = {model: breaker for model, breaker in self._all.items() if model.partition(":")[0] in same}

    def listener(self, provider: str) -> Callable[[str, Iterable[tuple[bytes, bytes]]], None] | None:
        """What a wire adapter calls with (model, response headers); None if there is nobody to tell."""
        if not self._rules.enabled:
            return None

        def heard(model: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
            limit = exhausted(headers)
            if limit is not None and (breaker := self.of(f"{provider}:{model}")) is not None:
                breaker.pause(time.monotonic(), limit.seconds, limit.tokens_left)

        return heard

    def shown(self) -> dict[str, str]:
        """State of every breaker that is not closed."""
        return {model: breaker.state for model, breaker in self._all.items() if breaker.state != CLOSED}
