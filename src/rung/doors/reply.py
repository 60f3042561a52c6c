"""How a door answers, and what it says about a climb: headers, the last chunk's `rung` member, error bodies.

``Cache-Status``: RFC 9211. ``Server-Timing``: https://www.w3.org/TR/server-timing/ (milliseconds).
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable
from typing import Any, Protocol

import orjson

from rung.doors.exchange import Message, Send
from rung.errors import RungError
from rung.ladder.climb import Attempt, Climb

JSON = "content-type: application/json"
SSE = "content-type: text/event-stream; charset=utf-8"
_OTHER = re.compile(r"[^ -~]")

NO_STORE = "cache-control: no-store"


class Reply(Protocol):
    """One response: `begin` once, then `write` until there is no `more`. Our own server's is its `Exchange`."""

    def begin(self, status: int, head: bytes) -> None: ...

    async def write(self, body: bytes, more: bool = False) -> None: ...


class AsgiReply:
    """The same in messages, for any other ASGI server."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None

    def begin(self, status: int, head: bytes) -> None:
        headers = [tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")[:-1]]
        self._start = {"type": "http.response.start", "status": status, "headers": headers}

    async def write(self, body: bytes, more: bool = False) -> None:
        start, self._start = self._start, None
        if start is not None:
            if not more:
                start["headers"].append((b"content-length", b"%d" % len(body)))
            await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def head(lines: list[str]) -> bytes:
    """``name: value`` lines as one block. Raises RuntimeError for a line break or NUL inside of one."""
    block = "\r\n".join((*lines, ""))
    if block.count("\n") != len(lines) or block.count("\r") != len(lines) or "\0" in block:
        raise RuntimeError("a response header holds a line break or a NUL")
    return block.encode()


def send_whole(reply: Reply, status: int, lines: list[str], body: bytes) -> Awaitable[None]:
    """One response in one piece."""
    reply.begin(status, head(lines))
    return reply.write(body)


def usd(pico: int | None) -> str:
    """Pico-dollars as an exact decimal number of dollars; ``unknown`` where the price is unknown."""
    if pico is None:
        return "unknown"
    if pico == 0:
        return "0"
    whole, rest = divmod(pico, 10**12)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".")


def climb_lines(record: Climb) -> list[str]:
    """What is known when the answer starts: who answers, the way up, our caches, the times so far."""
    call = record.call
    answer = record.answer
    lines = [f"x-rung-request-id: {call.request_id}", f"x-rung-climb: {record.path()}"]
    if answer is not None:
        lines += (f"x-rung: {answer.rung}", f"x-rung-model: {answer.model}")
        evidence = answer.evidence
        if evidence.unproved:
            lines.append("x-rung-unproved: true")
        if evidence.simulated:
            lines.append("x-rung-simulated: true")
        if evidence.edits:
            lines.append(f"x-rung-edits: {len(evidence.edits)}")
        if evidence.stripped:
            lines.append(f"x-rung-stripped: {_OTHER.sub('?', ', '.join(evidence.stripped))}")
        for name, value in answer.headers:
            lines.append(f"{name.decode()}: {value.decode()}")
    if record.buffered:
        lines.append(f"x-rung-buffered: {record.buffered}")
    if call.task:
        lines.append(f"x-rung-task: {call.task.encode('ascii', 'replace').decode()}")
    times: list[str | float] = []
    for attempt in record.attempts:
        if attempt.rung == "exact":
            lines.append(_cache_status(attempt))
        times += (attempt.rung, attempt.ms)
    times.append((time.monotonic() - call.started) * 1e3)
    form = "%s;dur=%.2f, " * len(record.attempts) + "total;dur=%.2f"  # a third of what as many format specs take
    lines.append("server-timing: " + form % tuple(times))
    return lines


def _cache_status(attempt: Attempt) -> str:
    if attempt.outcome == "answered":
        return "cache-status: exact; hit"
    return "cache-status: exact; fwd=bypass" if attempt.reason.startswith("bypass") else "cache-status: exact; fwd=miss"


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
    if record.joined_at is not None:
        note["continued_at"] = record.joined_at
    return note


def with_note(frames: bytes, note: dict[str, Any]) -> bytes:
    """Add the `rung` member to the last of `frames` (each ``data: {...}\\n\\n``)."""
    body = frames.rstrip()
    if not body.endswith(b"}"):
        return frames
    return body[:-1] + b',"rung":' + orjson.dumps(note) + b"}\n\n"


def error_lines(error: RungError, record: Climb | None) -> list[str]:
    """`x-should-retry: false` once our own failover is exhausted, so that SDKs do not triple it."""
    lines = [JSON, "x-should-retry: false"]
    if record is not None:
        lines += climb_lines(record)
    if isinstance(error, RungError) and error.status == 429:
        wait = getattr(error, "retry_after", None)
        for fault in getattr(error, "faults", ()):
            wait = wait or getattr(fault, "retry_after", None)
        if wait is not None:
            lines.append(f"retry-after: {max(1, round(wait))}")
    return lines


def error_frame(error: RungError) -> bytes:
    """An explicit error event; the stream ends after it, without ``[DONE]``."""
    return b"data: " + orjson.dumps(error.body()) + b"\n\n"
