"""OpenAI's door: ``/v1/chat/completions`` as JSON or SSE, and ``/v1/models``.

Shapes: https://platform.openai.com/docs/api-reference/chat. The body of an answer is passed on as bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import orjson

from rung.call import Call
from rung.completion import DONE
from rung.doors.exchange import Exchange
from rung.doors.reply import (
    JSON,
    NO_STORE,
    SSE,
    Reply,
    climb_head,
    end_note,
    error_frame,
    error_head,
    head,
    passed_head,
    send_whole,
    usd,
    with_note,
)
from rung.errors import RungError, ServerFault
from rung.fastpath import Passage, Path
from rung.gateway import Gateway
from rung.ladder.climb import Climb

STREAM = head([SSE, NO_STORE])
KEEP_ALIVE = b": keep-alive\n\n"


def begin(
    gateway: Gateway, call: Call, reply: Exchange, heartbeat: float, state: Mapping[str, Any]
) -> Coroutine[Any, Any, None] | None:
    """`chat` for our own server: what is left to do; None if it is answered, or a callback will."""
    if call.stream:
        return _Stream(gateway, call, reply, heartbeat, state).run()
    if call.plain and (path := gateway.paths.of(call.model)) is not None:
        passage = _Passage(path, call, gateway, reply)
        if passage.send():
            reply.answered_by(passage)
            return None
    record = Climb(call)
    try:
        if not gateway.begin(record):
            return _whole(gateway, record, reply.whole)
    except RungError as error:
        gateway.close(record, error)
        reply.whole(error.status, error_head(error, record), orjson.dumps(error.body()))
        return None
    except BaseException as error:
        gateway.close(record, error)
        raise
    gateway.close(record, None)
    reply.whole(200, *_answer(record))
    return None


async def chat(gateway: Gateway, call: Call, reply: Reply, heartbeat: float, state: Mapping[str, Any]) -> None:
    """Answer one chat call. `heartbeat`: seconds of silence on a stream before a keep-alive comment.

    `state` is the server's; its ``draining`` says that a cancelled call still has somebody to talk to.
    """
    if call.stream:
        await _Stream(gateway, call, reply, heartbeat, state).run()
    else:
        await _whole(gateway, Climb(call), partial(send_whole, reply))


async def _whole(gateway: Gateway, record: Climb, send: Callable[[int, bytes, bytes], Awaitable[None] | None]) -> None:
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
        sent = send(200, *_answer(record))
    if sent is not None:
        await sent


def _answer(record: Climb) -> tuple[bytes, bytes]:
    """-> (headers, body) of a whole answer."""
    answer = record.answer
    assert answer is not None
    assert answer.body is not None
    cost = f"{JSON}\r\nx-rung-cost-usd: {usd(record.cost())}\r\n"
    return cost.encode("ascii") + climb_head(record), answer.body


class _Passage(Passage):
    """A plain call that nobody waits for: its answer is given on when it comes."""

    __slots__ = ("_gateway", "_reply")

    def __init__(self, path: Path, call: Call, gateway: Gateway, reply: Exchange) -> None:
        super().__init__(path, call)
        self._gateway, self._reply = gateway, reply

    def come(self) -> None:
        gateway, reply = self._gateway, self._reply
        try:
            answer = self.take()
            if answer is None:
                reply.run(_whole(gateway, self.hand_over(), reply.whole))
                return
            if gateway.lines is not None or gateway.watchers.all:
                gateway.tell(self.record(answer))
            assert answer.body is not None
            reply.whole(200, passed_head(self, answer), answer.body)
        except Exception:
            reply.failed()
        reply.ended()

    def cancel(self, msg: str) -> None:
        self._gateway.close(self.stop(), asyncio.CancelledError(msg))
        self._reply.cancelled()
        self._reply.ended()


class _Stream:
    """One streamed call: climb, then relay; keep-alives while nothing comes; an explicit end."""

    def __init__(self, gateway: Gateway, call: Call, reply: Reply, heartbeat: float, state: Mapping[str, Any]) -> None:
        self._gateway = gateway
        self._record = Climb(call, show=self._show if call.provisional else None)
        self._reply = reply
        self._heartbeat = heartbeat
        self._state = state
        self._started = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._beat: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(heartbeat, self._tick)

    async def run(self) -> None:
        record = self._record
        error: BaseException | None = None
        try:
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
