"""How a door answers, and what it says about a climb: headers, the last chunk's `rung` member, error bodies.

``Cache-Status``: RFC 9211. ``Server-Timing``: https://www.w3.org/TR/server-timing/ (milliseconds).
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable
from functools import lru_cache
from typing import Any, Protocol

import orjson

from rung.answer import Answer
from rung.doors.exchange import Message, Send
from rung.errors import RungError
from rung.fastpath import Hit, Passage
from rung.ladder.climb import Climb, path

JSON = "content-type: application/json"
SSE = "content-type: text/event-stream; charset=utf-8"
_NOBODY = Answer("", "")
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


def send_whole(reply: Reply, status: int, head: bytes, body: bytes) -> Awaitable[None]:
    """One response in one piece."""
    reply.begin(status, head)
    return reply.write(body)


def usd(pico: int | None) -> str:
    """Pico-dollars as an exact decimal number of dollars; ``unknown`` where the price is unknown."""
    if pico is None:
        return "unknown"
    if pico == 0:
        return "0"
    digits = str(pico).zfill(13)
    return f"{digits[:-12]}.{digits[-12:]}".rstrip("0").rstrip(".")


def whole_head(cost: int | None) -> bytes:
    """What the headers of a whole answer begin with: its type, and what it cost in pico-dollars."""
    return f"{JSON}\r\nx-rung-cost-usd: {usd(cost)}\r\n".encode("ascii")


def passed_head(passage: Passage, answer: Answer, first: bytes) -> bytes:
    """The headers of an answer that comes by the fast path: `first` and what `climb_head` would say."""
    call, simulated, found = passage.call, answer.evidence.simulated, passage.path.found
    if simulated not in found:
        steps = ("exact", "declined", "miss", answer.rung, "answered", "")
        found[simulated] = _same(steps, answer.rung, answer.model, False, simulated, (), "", "", ())
    known, form = found[simulated]
    own = form % (call.request_id, passage.looked, passage.took, (time.monotonic() - call.started) * 1e3)
    return b"".join((first, own.encode("ascii"), known))


def hit_head(hit: Hit) -> bytes:
    """All headers of an answer from the exact cache."""
    call, answer, evidence = hit.call, hit.answer, hit.answer.evidence
    steps = ("exact", "answered", "")
    known, form = _same(
        steps, "exact", answer.model, evidence.unproved, evidence.simulated, evidence.stripped, "", "", ()
    )
    own = form % (call.request_id, hit.looked, (time.monotonic() - call.started) * 1e3)
    return b"".join((_FREE, own.encode("ascii"), known))


_FREE = whole_head(0)


def climb_head(record: Climb) -> bytes:
    """What is known when the answer starts: who answers, the way up, our caches, the times so far."""
    call = record.call
    answer = record.answer or _NOBODY
    evidence = answer.evidence
    steps: list[str] = []
    times: list[float] = []
    for attempt in record.attempts:
        steps += (attempt.rung, attempt.outcome, attempt.reason)
        times.append(attempt.ms)
    known, form = _same(
        tuple(steps),
        answer.rung,
        answer.model,
        evidence.unproved,
        evidence.simulated,
        evidence.stripped,
        record.buffered,
        call.task,
        call.found,
    )
    more = b""
    if evidence.edits or answer.headers:
        edits = [f"x-rung-edits: {len(evidence.edits)}"] if evidence.edits else []
        more = head(edits + [f"{name.decode()}: {value.decode()}" for name, value in answer.headers])
    own = form % (call.request_id, *times, (time.monotonic() - call.started) * 1e3)
    return b"".join((known, own.encode("ascii"), more))


@lru_cache(256)
def _same(
    steps: tuple[str, ...],
    rung: str,
    model: str,
    unproved: bool,
    simulated: bool,
    stripped: tuple[str, ...],
    buffered: str,
    task: str,
    found: tuple[str, ...],
) -> tuple[bytes, str]:
    """-> (the headers that many climbs share, the format of those that are its own: request id, milliseconds of each
    step, of all). `steps`: rung, outcome and reason of each."""
    taken = list(zip(steps[::3], steps[1::3], steps[2::3], strict=True))
    lines = [f"x-rung-climb: {path(taken)}"]
    if rung:
        lines += (f"x-rung: {rung}", f"x-rung-model: {model}")
    if unproved:
        lines.append("x-rung-unproved: true")
    if simulated:
        lines.append("x-rung-simulated: true")
    if stripped:
        lines.append(f"x-rung-stripped: {_OTHER.sub('?', ', '.join(stripped))}")
    if buffered:
        lines.append(f"x-rung-buffered: {buffered}")
    if task:
        lines.append(f"x-rung-task: {task.encode('ascii', 'replace').decode()}")
    if found:
        lines.append(f"x-rung-private: {', '.join(found)}")
    caches = [step for step in taken if step[0] in ("exact", "semantic")]
    # one header: of the cache that answered, else of the exact one
    hits = [step for step in caches if step[1] == "answered"]
    lines += [_cache_status(*step) for step in (hits or caches)[:1]]
    timing = "".join([step[0].replace("%", "%%") + ";dur=%.2f, " for step in taken])
    # one format for all numbers takes a third of what as many format specs take
    return head(lines), f"x-rung-request-id: %s\r\nserver-timing: {timing}total;dur=%.2f\r\n"


def _cache_status(name: str, outcome: str, reason: str) -> str:
    """RFC 9211."""
    if outcome == "answered":
        return f"cache-status: {name}; hit"
    return f"cache-status: {name}; fwd={'bypass' if reason.startswith('bypass') else 'miss'}"


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
    call = record.call
    if call.task:
        note["task"] = call.task
        if call.task_why:
            note |= {"task_confidence": round(call.task_confidence, 3), "task_why": call.task_why}
    if call.found:
        note["private"] = list(call.found)
    if record.joined_at is not None:
        note["continued_at"] = record.joined_at
    return note


def with_note(frames: bytes, note: dict[str, Any]) -> bytes:
    """Add the `rung` member to the last of `frames` (each ``data: {...}\\n\\n``)."""
    body = frames.rstrip()
    if not body.endswith(b"}"):
        return frames
    return body[:-1] + b',"rung":' + orjson.dumps(note) + b"}\n\n"


def error_head(error: RungError, record: Climb | None = None) -> bytes:
    """`x-should-retry: false` once our own failover is exhausted, so that SDKs do not triple it."""
    lines = [JSON, "x-should-retry: false"]
    if error.allow:
        lines.append(f"allow: {error.allow}")
    if error.challenge:
        lines.append(f"www-authenticate: {error.challenge}")
    if error.status == 429:
        wait = getattr(error, "retry_after", None)
        for fault in getattr(error, "faults", ()):
            wait = wait or getattr(fault, "retry_after", None)
        if wait is not None:
            lines.append(f"retry-after: {max(1, round(wait))}")
    return head(lines) if record is None else head(lines) + climb_head(record)


def error_frame(error: RungError) -> bytes:
    """An explicit error event; the stream ends after it, without ``[DONE]``."""
    return b"data: " + orjson.dumps(error.body()) + b"\n\n"
