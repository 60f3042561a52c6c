"""Going on after a cut: the same model is asked once more, for the rest of what it was saying.

Only where the caller asked for it (`Call.continues`), only by the rung that was answering, and only once. Two
parts of one model are no longer one whole answer of it, so the result is said to be continued and never stored.
"""

from __future__ import annotations

import time
from typing import Any, Protocol, runtime_checkable

import msgspec
import orjson

from rung.answer import Answer, Declined, Event
from rung.call import Call
from rung.errors import Fault
from rung.ladder.attempt import LATE, Opened, Record, ask
from rung.ladder.breaker import Breaker
from rung.ladder.budget import RetryBudget
from rung.ladder.checks import texts_of
from rung.ladder.rung import Rung

CONTINUED = "continued"
"""the reason of an attempt that went on where another had been cut"""


@runtime_checkable
class Resumable(Protocol):
    """A rung whose model can be given the beginning of its own answer."""

    async def resume(self, call: Call, so_far: str) -> Answer | Declined:
        """The rest of an answer that begins with `so_far`. Otherwise as `Rung.attempt`."""
        ...


class _Rest:
    """A rung, asked for the rest of its answer."""

    def __init__(self, rung: Rung, resumable: Resumable, so_far: str) -> None:
        self.name, self.model, self.stays_here = rung.name, rung.model, rung.stays_here
        self.breaker: Breaker | None = getattr(rung, "breaker", None)
        self._resumable = resumable
        self._so_far = so_far

    async def attempt(self, call: Call) -> Answer | Declined:
        return await self._resumable.resume(call, self._so_far)

    def settle(self, call: Call, answer: Answer | None, stored: bytes | None) -> None:
        """The rung itself was asked before, and is told."""


def text_so_far(call: Call, sent: bytes, answer: Answer) -> str:
    """The text a stream has brought, if more text can follow on it; else empty.

    Nothing can follow on tool calls, on several choices, on reasoning alone, or on JSON, which is checked as a whole.
    """
    if answer.evidence.tool_calls or "response_format" in call.body or (call.body.get("n") or 1) > 1:
        return ""
    texts = texts_of(sent, whole=False)
    return texts[0] if len(texts) == 1 else ""


async def resume(record: Record, cut: Opened, sent: bytes, budget: RetryBudget) -> Opened | None:
    """Ask whoever sent `sent` for the rest; None if that cannot be. Never raises a Fault: the first one stands."""
    call, rung = record.call, cut.rung
    so_far = text_so_far(call, sent, cut.answer)
    if not so_far or not isinstance(rung, Resumable) or (call.private and not rung.stays_here):
        return None
    if time.monotonic() >= call.deadline - LATE or not budget.withdraw():
        return None
    try:
        opened = await ask(record, _Rest(rung, rung, so_far), None)
    except Fault:
        return None
    if opened is not None:
        opened.attempt.reason = CONTINUED
    return opened


class Seam:
    """Makes the frames of the second part look like the first: one id for the stream, one role.

    SDKs add the parts of a delta up, a second ``role`` too.
    """

    def __init__(self, sent: bytes) -> None:
        first = _payloads(sent)[0]
        self._same = {name: first[name] for name in ("id", "created") if name in first}

    def join(self, event: Event) -> Event:
        return msgspec.structs.replace(event, data=b"".join([self._frame(chunk) for chunk in _payloads(event.data)]))

    def _frame(self, chunk: dict[str, Any]) -> bytes:
        for choice in chunk.get("choices") or ():
            if isinstance(delta := choice.get("delta"), dict):
                delta.pop("role", None)
        return b"data: " + orjson.dumps({**chunk, **self._same}) + b"\n\n"


def _payloads(frames: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line[5:]) for line in frames.splitlines() if line.startswith(b"data:")]
