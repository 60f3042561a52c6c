"""OpenAI's door: ``/v1/chat/completions`` as JSON or SSE, and ``/v1/models``.

Shapes: https://platform.openai.com/docs/api-reference/chat. The body of an answer is passed on as bytes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import orjson

from rung.call import Call
from rung.completion import DONE
from rung.doors.exchange import Send
from rung.doors.reply import (
    JSON,
    NO_STORE,
    SSE,
    RawHeaders,
    climb_headers,
    end_note,
    error_frame,
    error_headers,
    usd,
    with_note,
)
from rung.errors import RungError, ServerFault
from rung.gateway import Gateway
from rung.ladder.climb import Climb

KEEP_ALIVE = b": keep-alive\n\n"

log = logging.getLogger("rung")


async def send_whole(send: Send, status: int, headers: RawHeaders, body: bytes) -> None:
    """One response with its length."""
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def chat(gateway: Gateway, call: Call, send: Send, *, heartbeat: float, state: Mapping[str, Any]) -> None:
    """Answer one chat call. `heartbeat`: seconds of silence on a stream before a keep-alive comment.

    `state` is the server's; its ``draining`` says that a cancelled call still has somebody to talk to.
    """
    if call.stream:
        await _Stream(gateway, call, send, heartbeat, state).run()
        return
    record = Climb(call)
    try:
        answer = await gateway.climb(record)
        body = answer.body
        assert body is not None
    except RungError as error:
        await gateway.end(record, error)
        await send_whole(send, error.status, error_headers(error, record), orjson.dumps(error.body()))
        return
    except BaseException as error:
        await gateway.end(record, error)
        raise
    await gateway.end(record, None)
    headers = [JSON, *climb_headers(record), (b"x-rung-cost-usd", usd(record.cost()).encode())]
    await send_whole(send, 200, headers, body)


class _Stream:
    """One streamed call: climb, then relay; keep-alives while nothing comes; an explicit end."""

    def __init__(self, gateway: Gateway, call: Call, send: Send, heartbeat: float, state: Mapping[str, Any]) -> None:
        self._gateway = gateway
        self._record = Climb(call)
        self._send = send
        self._heartbeat = heartbeat
        self._state = state
        self._started = False
        self._closed = False
        self._last = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._beat: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(heartbeat, self._tick)

    async def run(self) -> None:
        record = self._record
        error: BaseException | None = None
        try:
            await self._gateway.climb(record)
            if not self._started:
                await self._start(climb_headers(record))
            async for event in record.events():
                data = event.data
                if event.last:
                    # the bill is complete before the last chunk goes out
                    await self._gateway.end(record, None)
                    data = with_note(data, end_note(record)) + DONE
                self._last = time.monotonic()
                await self._body(data, more=not event.last)
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
            await self._gateway.end(record, error)

    async def _start(self, headers: RawHeaders) -> None:
        self._started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": [SSE, NO_STORE, *headers]})

    async def _body(self, data: bytes, *, more: bool) -> None:
        self._closed = not more
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def _fail(self, error: RungError) -> None:
        """Before the commit point an HTTP error; after it an error event, and no ``[DONE]``."""
        if self._closed:
            return
        if not self._started:
            self._started = self._closed = True
            headers = error_headers(error, self._record)
            await send_whole(self._send, error.status, headers, orjson.dumps(error.body()))
            return
        await self._body(error_frame(error), more=False)

    def _tick(self) -> None:
        """Re-armed lazily: one timer a stream, looked at only when it could matter."""
        if self._closed:
            return
        silence = time.monotonic() - self._last
        if silence >= self._heartbeat:
            self._last = time.monotonic()
            silence = 0.0
            if self._beat is None or self._beat.done():
                self._beat = self._loop.create_task(self._comment())
        self._timer = self._loop.call_later(self._heartbeat - silence, self._tick)

    async def _comment(self) -> None:
        if not self._started:
            # who answers is not known yet; the last chunk will say
            await self._start([(b"x-rung", b"pending"), (b"x-rung-request-id", self._record.call.request_id.encode())])
        if not self._closed:
            await self._body(KEEP_ALIVE, more=True)
