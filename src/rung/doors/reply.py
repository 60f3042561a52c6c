"""What a door says about a climb: response headers, the last chunk's `rung` member, error bodies.

``Cache-Status``: RFC 9211. ``Server-Timing``: https://www.w3.org/TR/server-timing/ (milliseconds).
"""

from __future__ import annotations

import time
from typing import Any

import orjson

from rung.errors import RungError
from rung.ladder.climb import Attempt, Climb

RawHeaders = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
SSE = (b"content-type", b"text/event-stream; charset=utf-8")
NO_STORE = (b"cache-control", b"no-store")


def usd(pico: int | None) -> str:
    """Pico-dollars as an exact decimal number of dollars; ``unknown`` where the price is unknown."""
    if pico is None:
        return "unknown"
    if pico == 0:
        return "0"
    whole, rest = divmod(pico, 10**12)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".")


def climb_headers(record: Climb) -> RawHeaders:
    """What is known when the answer starts: who answers, the way up, our caches, the times so far."""
    call = record.call
    answer = record.answer
    headers: RawHeaders = [(b"x-rung-request-id", call.request_id.encode())]
    if answer is not None:
        headers.append((b"x-rung", answer.rung.encode()))
        headers.append((b"x-rung-model", answer.model.encode()))
        evidence = answer.evidence
        if evidence.unproved:
            headers.append((b"x-rung-unproved", b"true"))
        if evidence.simulated:
            headers.append((b"x-rung-simulated", b"true"))
        if evidence.stripped:
            headers.append((b"x-rung-stripped", ", ".join(evidence.stripped).encode()))
        headers += answer.headers
    if record.buffered:
        headers.append((b"x-rung-buffered", record.buffered.encode()))
    if call.task:
        headers.append((b"x-rung-task", call.task.encode("ascii", "replace")))
    headers.append((b"x-rung-climb", record.path().encode()))
    times = ""
    for attempt in record.attempts:
        if attempt.rung == "exact":
            headers.append((b"cache-status", _cache_status(attempt)))
        times += f"{attempt.rung};dur={attempt.ms:.2f}, "
    total = (time.monotonic() - call.started) * 1e3
    headers.append((b"server-timing", f"{times}total;dur={total:.2f}".encode()))
    return headers


def _cache_status(attempt: Attempt) -> bytes:
    if attempt.outcome == "answered":
        return b"exact; hit"
    return b"exact; fwd=bypass" if attempt.reason.startswith("bypass") else b"exact; fwd=miss"


def end_note(record: Climb) -> dict[str, Any]:
    """The `rung` member of a stream's last chunk: what the headers of a whole answer say."""
    answer = record.answer
    note: dict[str, Any] = {
        "rung": record.rung,
        "model": answer.model if answer is not None else "",
        "climb": record.path(),
        "cost_usd": usd(record.cost()),
        "request_id": record.call.request_id,
    }
    if answer is not None and answer.evidence.unproved:
        note["unproved"] = True
    if answer is not None and answer.evidence.simulated:
        note["simulated"] = True
    if record.buffered:
        note["buffered"] = record.buffered
    return note


def with_note(frames: bytes, note: dict[str, Any]) -> bytes:
    """Add the `rung` member to the last of `frames` (each ``data: {...}\\n\\n``)."""
    body = frames.rstrip()
    if not body.endswith(b"}"):
        return frames
    return body[:-1] + b',"rung":' + orjson.dumps(note) + b"}\n\n"


def error_headers(error: RungError, record: Climb | None) -> RawHeaders:
    """`x-should-retry: false` once our own failover is exhausted, so that SDKs do not triple it."""
    headers: RawHeaders = [JSON, (b"x-should-retry", b"false")]
    if record is not None:
        headers += climb_headers(record)
    if isinstance(error, RungError) and error.status == 429:
        wait = getattr(error, "retry_after", None)
        for fault in getattr(error, "faults", ()):
            wait = wait or getattr(fault, "retry_after", None)
        if wait is not None:
            headers.append((b"retry-after", str(max(1, round(wait))).encode()))
    return headers


def error_frame(error: RungError) -> bytes:
    """An explicit error event; the stream ends after it, without ``[DONE]``."""
    return b"data: " + orjson.dumps(error.body()) + b"\n\n"
