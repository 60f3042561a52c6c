"""One HTTP/1.1 connection toward a client: order, deadlines, back-pressure, and what happens when it leaves.

An application is called only once a request is whole (see `intake`), so a slow or broken upload costs no
task. Requests are answered in order; what comes while one is being answered waits unparsed. Whatever is
refused is refused in the API's own error shape and with ``connection: close``.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import cast

from rung.doors.edge import ServerState, refusal
from rung.doors.exchange import Exchange, Scope
from rung.doors.intake import HEAD, IDLE, Head, Intake, address
from rung.errors import InvalidRequestError, OverloadedError, RungError

LINGER = 2.0
"""seconds we go on reading (and dropping) after a refusal, so that the client gets to read it"""

PIPELINE_LIMIT = 64
"""requests that one slice of input may hold beside the one being answered"""

FIRST_PROBE, LONGEST_PROBE = 0.005, 5.0
"""seconds between the probes of a half-closed connection; they double"""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class EdgeProtocol(asyncio.Protocol):
    """One connection.

    Attributes:
        loop: the event loop.
        transport: set once the connection is made.
        put: writes to it, with all else that is written in this turn of the loop.
        write_paused: set while the client does not take what we wrote; an event to wait on.
    """

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self.edge = state.edge
        self.transport: asyncio.Transport
        self.put = state.outbox.put
        self.write_paused: asyncio.Event | None = None
        self.loop = asyncio.get_running_loop()
        self._intake: Intake
        self._exchange: Exchange | None = None
        self._queue: deque[Exchange] = deque()
        self._unread = bytearray()
        self._reading_paused = False
        self._refused: RungError | None = None  # said once what came before is answered
        self._closing = False
        self._half_closed = False
        self._probe_pause = FIRST_PROBE
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases
        client, server = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._intake = Intake(self.state, self._request, address(client), address(server))
        limit = self.edge.write_buffer_limit
        transport.set_write_buffer_limits(high=limit, low=limit * 3 // 4)
        connections = self.state.connections
        connections.add(self)
        if len(connections) > 2 * self.edge.max_connections:
            transport.abort()  # not even the refused may pile up
        elif len(connections) > self.edge.max_connections:
            self._refuse(OverloadedError("too many connections to the gateway; try again", code="too_many_connections"))
        elif self.state.draining:
            self._close()
        else:
            self._expect(self.edge.keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        if self.write_paused is not None:
            self.write_paused.set()
        if self._exchange is not None:
            self._exchange.leave()
        for exchange in self._queue:
            exchange.leave()
        self._queue.clear()
        self._unread.clear()
        self._intake.close()
        self.state.forget_connection(self)

    def eof_received(self) -> bool:
        """The client will send no more: it has left, or has only closed its half. True keeps the rest open.

        A client that has left answers whatever we send with a reset, which is how we find out while the
        response has not begun: those who still listen skip interim responses (HTTP/1.0 knows none: there we
        wait for a quick answer only). In the middle of a stream we take it that the client has left.
        """
        self.state.outbox.flush()  # the transport is closed if we say so
        if self._closing:
            return False
        exchange = self._exchange
        if exchange is None and not self._unread:
            if self._intake.phase != IDLE:
                self._refuse(_cut_short())
            return False
        if exchange is not None and not exchange.complete:
            if exchange.started:
                self.transport.abort()
                return False
            self._probe(exchange)
        self._half_closed = True
        return True

    def _probe(self, exchange: Exchange) -> None:
        if exchange.http10:
            if self._probe_pause > FIRST_PROBE:
                self.transport.abort()
                return
        elif self.write_paused is None:
            self.put(self.transport, _CONTINUE)
        self._expect(self._probe_pause)
        self._probe_pause = min(2 * self._probe_pause, LONGEST_PROBE)

    def pause_writing(self) -> None:
        if self.write_paused is None:
            self.write_paused = asyncio.Event()
            self._expect(self.edge.write_timeout)

    def resume_writing(self) -> None:
        if self.write_paused is None:
            return
        self.write_paused.set()
        self.write_paused = None
        if self._exchange is None or self._exchange.complete:
            self.loop.call_soon(self._advance)  # asyncio's transport must not be closed from in here
        elif self._half_closed and not self._exchange.started:
            self._probe(self._exchange)
        elif not self._closing:
            self._deadline = math.inf

    def drain(self) -> None:
        """The server is stopping: close now if nothing is being asked or answered, else after the answer."""
        if self._exchange is None and self._intake.phase == IDLE and not self._unread and not self._closing:
            self._close()

    # --- deadlines: one timer a connection, moved lazily

    def _expect(self, seconds: float) -> None:
        self._deadline = deadline = self.loop.time() + seconds
        if deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self.loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        left = self._deadline - self.loop.time()
        if left > 0:
            if left != math.inf:
                self._expect(left)
            return
        self._deadline = math.inf
        if self._closing or self.write_paused is not None:
            self.transport.abort()  # takes nothing, or does not go
        elif self._exchange is not None:
            if self._half_closed and not self._exchange.started:
                self._probe(self._exchange)
        elif self._intake.phase != IDLE:
            self._refuse(self._intake.too_late())
        else:
            self._close()

    # --- bytes in

    def data_received(self, data: bytes) -> None:
        if self._closing or self._refused is not None:
            return
        if self._exchange is None and not self._unread and self.write_paused is None:
            if len(data) <= self.edge.header_limit:
                self._parse(data)
            else:
                self._parse_long(data)
        else:
            self._keep_unread(data)

    def _parse_long(self, data: bytes) -> None:
        """Parse in slices no longer than a head may be, until a request is whole; keep the rest."""
        view = memoryview(data)
        limit = self.edge.header_limit
        for start in range(0, len(data), limit):
            if self._closing or self._refused is not None:
                return
            if self._exchange is not None:
                self._keep_unread(view[start:])
                return
            self._parse(view[start : start + limit])

    def _keep_unread(self, data: bytes | memoryview) -> None:
        self._unread += data
        if len(self._unread) > self.edge.header_limit and not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def _parse(self, data: bytes | memoryview) -> None:
        try:
            anew = self._intake.feed(data)
        except RungError as error:
            self._refuse(error)
            return
        if anew and self._exchange is None:
            self._await_rest()

    def _await_rest(self) -> None:
        """A request has begun and nothing is being answered: set its deadline, let the client go on."""
        self._expect(self._intake.patience())
        if self._intake.promise and self._intake.phase != HEAD:
            self._intake.promise = False
            self.put(self.transport, _CONTINUE)

    def _request(self, scope: Scope, body: bytes, keep_alive: bool, held: int, head: Head | None) -> None:
        """A request is whole (called by the intake)."""
        exchange = Exchange(self, scope, body, keep_alive, held, head)
        if self._exchange is None:
            self._start(exchange)
        elif len(self._queue) < PIPELINE_LIMIT:
            self._queue.append(exchange)
        else:
            exchange.release()
            raise OverloadedError(
                f"more than {PIPELINE_LIMIT} requests at once on one connection", code="pipeline_full"
            )

    # --- answers out

    def _start(self, exchange: Exchange) -> None:
        exchanges = self.state.exchanges
        self._exchange = exchange
        if len(exchanges) >= self.edge.max_streams:
            exchange.complete = True
            exchange.release()
            self._refuse(OverloadedError("the gateway is answering too many calls; try again"))
            return
        exchanges.add(exchange)
        self._deadline = math.inf
        exchange.start()

    def exchange_complete(self, exchange: Exchange) -> None:
        """The last byte of the answer is written."""
        if self.write_paused is not None:
            return  # resume_writing goes on
        if self._queue or self._unread or self._half_closed or self._refused is not None or not exchange.keep_alive:
            self.loop.call_soon(self._advance)
        else:
            self._exchange = None
            self._await_next()

    def _await_next(self) -> None:
        """Nothing is being answered."""
        if self._intake.phase != IDLE:
            if self._half_closed:
                self._refuse(_cut_short())
            else:
                self._await_rest()
        elif self._half_closed or self.state.draining:
            self._close()
        else:
            self._expect(self.edge.keep_alive)

    def _advance(self) -> None:
        """Go on to what is next on this connection, once an answer is complete and taken."""
        if self._closing or self.write_paused is not None:
            return
        done, self._exchange = self._exchange, None
        if done is not None and not done.keep_alive:
            self._close()
        elif self._queue:
            self._start(self._queue.popleft())
        elif self._refused is not None:
            self._refuse(self._refused)
        else:
            self._take_unread()
            if self._exchange is None and not self._closing:
                self._await_next()

    def _take_unread(self) -> None:
        if self._unread:
            data = bytes(self._unread)
            self._unread.clear()
            self._parse_long(data)
        if self._reading_paused and not self._unread and not self._closing:
            self._reading_paused = False
            self.transport.resume_reading()

    def give_up(self, error: RungError | None) -> None:
        """The running exchange cannot go on: say `error` if nothing has been sent, else cut the answer."""
        if error is None:
            self._close()
        else:
            self._refuse(error)

    def _refuse(self, error: RungError) -> None:
        """Say `error` once everything before it is answered, and close."""
        if self._closing:
            return
        if (self._exchange is not None and not self._exchange.complete) or self.write_paused is not None:
            self._refused = error
            return
        self._closing = True
        self.put(self.transport, refusal(error, self.state.date()))
        self.state.outbox.flush()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._expect(LINGER)

    def _close(self) -> None:
        """Close once what is written has been taken."""
        if not self._closing:
            self._closing = True
            self._expect(self.edge.write_timeout)
            self.state.outbox.flush()
            self.transport.close()


def _cut_short() -> RungError:
    return InvalidRequestError("the connection ended in the middle of a request", code="incomplete_request")
