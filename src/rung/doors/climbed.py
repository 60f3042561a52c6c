"""Answers that are climbed for, in a task: whole ones and streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from rung.completion import DONE
from rung.doors.exchange import Exchange
from rung.doors.reply import (
    NO_STORE,
    SSE,
    Reply,
    climb_head,
    end_note,
    error_frame,
    error_head,
    head,
    send_whole,
    whole_head,
    with_note,
)
from rung.errors import RungError, ServerFault
from rung.gateway import Gateway
from rung.ladder.climb import Climb

STREAM = head([SSE, NO_STORE])
KEEP_ALIVE = b": keep-alive\n\n"


async def whole(gateway: Gateway, record: Climb, send: Callable[[int, bytes, bytes], Awaitable[None] | None]) -> None:
    """Climb, and `send` status, headers and body of what comes of it."""
    try:
        await gateway.climb(record)
    except RungError as error:
        await gateway.end(record, error)
        sent = send(error.status, error_head(error, record), orjson.dumps(error.body()))
    except BaseException as error:
        await gateway.end(record, error)
        raise
    else:
        gateway.close(record, None)
        sent = send(200, *answer_of(record))
    if sent is not None:
        await sent


def answer_of(record: Climb) -> tuple[bytes, bytes]:
    """-> (headers, body) of a whole answer."""
    answer = record.answer
    assert answer is not None
    assert answer.body is not None
    return whole_head(record.cost()) + climb_head(record), answer.body


class Streamed:
    """One streamed call: climb, then relay; keep-alives while nothing comes; an explicit end."""

    def __init__(
        self,
        gateway: Gateway,
        record: Climb,
        reply: Reply,
        heartbeat: float,
        state: Mapping[str, Any],
        started: bool = False,
        last: float = 0.0,
    ) -> None:
        """`started`: the reply has begun; `last`: when something was written to it, by the loop's clock."""
        self._gateway = gateway
        self._record = record
        if record.call.provisional:
            record.show = self._show
        self._reply = reply
        self._heartbeat = heartbeat
        self._state = state
        self._started = started
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._last = last or self._loop.time()
        self._beat: asyncio.Task[None] | None = None
        self._timer = self._loop.call_at(self._last + heartbeat, self._tick)

    async def run(self) -> None:
        record = self._record
        error: BaseException | None = None
        try:
            if record.answer is None:  # else the fast path has begun
                await self._gateway.climb(record)
            if not self._started:
                self._start(climb_head(record))
            push = self._reply.push if isinstance(self._reply, Exchange) else None
            async for event in record.events():
                data = event.data
                if event.last:
                    # the bill is complete before the last chunk goes out
                    await self._gateway.end(record, None)
                    data = with_note(data, end_note(record)) + DONE
                    self._closed = True
                self._last = self._loop.time()
                if event.last or push is None or not push(data):
                    await self._reply.write(data, not event.last)
            if not self._closed:
                raise ServerFault("the answer ended without its last chunk")
        except RungError as fault:
            error = fault
            await self._fail(fault)
        except asyncio.CancelledError as cancelled:
            error = cancelled
            if self._state.get("draining") and self._started and not self._closed:
                await self._fail(ServerFault("the gateway is shutting down; the answer is cut", code="shutting_down"))
            raise
        except BaseException as bug:
            error = bug
            raise
        finally:
            self._timer.cancel()
            if self._beat is not None:
                self._beat.cancel()
            if error is not None:  # else it has ended with the last event
                await self._gateway.end(record, error)

    def _start(self, told: bytes) -> None:
        self._started = True
        self._reply.begin(200, STREAM + told)

    async def _fail(self, error: RungError) -> None:
        """Before the commit point an HTTP error; after it an error event, and no ``[DONE]``."""
        if self._closed:
            return
        if not self._started:
            self._started = self._closed = True
            told = error_head(error, self._record)
            await send_whole(self._reply, error.status, told, orjson.dumps(error.body()))
            return
        self._closed = True
        await self._reply.write(error_frame(error))

    def _tick(self) -> None:
        """Re-armed lazily: one timer a stream, looked at only when it could matter."""
        if self._closed:
            return
        silence = self._loop.time() - self._last
        if silence >= self._heartbeat:
            self._last = self._loop.time()
            silence = 0.0
            if self._beat is None or self._beat.done():
                self._beat = self._loop.create_task(self._comment())
        self._timer = self._loop.call_later(self._heartbeat - silence, self._tick)

    def _pend(self) -> None:
        """Begin before it is known who answers; the last chunk will say."""
        if not self._started:
            self._start(head(["x-rung: pending", f"x-rung-request-id: {self._record.call.request_id}"]))

    async def _show(self, frames: bytes) -> None:
        """What a lower model says, while nobody has accepted it: under a name of its own, so that it is no answer."""
        self._pend()
        self._last = self._loop.time()
        named = (b"\n" + frames).replace(b"\ndata:", b"\nevent: rung.provisional\ndata:")[1:]
        await self._reply.write(named, True)

    async def _comment(self) -> None:
        self._pend()
        if not self._closed:
            await self._reply.write(KEEP_ALIVE, True)
