"""What a provider says of its rate limits in the headers of every answer, good ones too.

OpenAI, Groq: ``x-ratelimit-remaining-{requests,tokens}``, ``x-ratelimit-reset-*`` as a Go duration
(https://platform.openai.com/docs/guides/rate-limits, https://console.groq.com/docs/rate-limits).
Anthropic: ``anthropic-ratelimit-{requests,tokens,...}-remaining``, ``-reset`` as an RFC 3339 time
(https://docs.anthropic.com/en/api/rate-limits).

`reset` tells when the limit is full again. Where it refills steadily there is room earlier, but nobody
promises that, so nothing is sent before `reset` or `LONGEST`, whichever comes first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

LONGEST = 60.0
"""seconds: a daily limit resets in hours, but one call a minute may find out that it was raised"""

_GO = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_LOW = 4
"""digits: more tokens than that are not worth reading"""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that is used up, or nearly: for `seconds`, only calls that need fewer than `tokens_left` fit."""

    seconds: float
    tokens_left: int = 0


def exhausted(headers: Iterable[tuple[bytes, bytes]]) -> Limit | None:
    """The limit that binds longest, or None. Names must be lower case."""
    low = None
    for name, value in headers:  # every answer comes by here: one look at most headers
        # not `in`: to look for bytes it raises and drops an exception first
        if len(value) <= _LOW and name.find(b"remaining") >= 0 and _binds(name, value):
            low = [*(low or ()), (name, value)]
    if low is None:
        return None
    told = dict(headers)
    found: Limit | None = None
    for name, left in low:
        reset = told.get(name.replace(b"remaining", b"reset"))
        seconds = seconds_until(reset.decode("latin-1")) if reset is not None else None
        if seconds and (found is None or seconds > found.seconds):
            found = Limit(min(seconds, LONGEST), int(left))
    return found


def _binds(name: bytes, value: bytes) -> bool:
    """Does it say that little is left? Of requests and of answers' tokens only nothing is little."""
    if b"ratelimit" not in name:
        return False
    return value == b"0" or (b"token" in name and b"output" not in name and value.isdigit())


def seconds_until(reset: str) -> float | None:
    """Seconds from ``1m2.5s``, ``940ms``, ``12.5``, a Unix time or an RFC 3339 time; None for anything else."""
    text = reset.strip()
    if _NUMBER.fullmatch(text):
        number = float(text)
        return max(number - time.time(), 0.0) if number > 1e9 else number
    go = _GO.fullmatch(text)
    if go is not None and text:
        try:
            hours, minutes, seconds, milliseconds = (float(part or 0) for part in go.groups())
        except ValueError:
            return None
        return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return max(at.timestamp() - time.time(), 0.0) if at.tzinfo is not None else None
