"""One HTTP/1.1 connection: writes a request, parses the response (httptools), keeps the deadlines."""

from __future__ import annotations

import asyncio
import math
from typing import Protocol, cast

import httptools

from rung.errors import BadAnswerFault, ConnectFault, Fault, TimeoutFault
from rung.wire.decoding import Decoder, DecodingError
from rung.wire.framing import framing, uncoded
from rung.wire.origin import Deadlines, Limits
from rung.wire.outbox import Outbox
from rung.wire.response import Response

_SMALL_BODY = 65536
"""bytes up to which head and body leave in one write, and the size of the pieces of larger bodies"""

_HIGH_WATER = 262144
"""buffered bytes of a stream over which the transport is paused"""

_TIMER_SLACK = 0.001
"""seconds: uvloop's clock and timers count milliseconds"""

_BODILESS = frozenset((204, 304))

LINGER = 1.0
"""seconds that the rest of a body may take which nobody reads, for the connection to serve again"""


class Owner(Protocol):
    """Who gets a connection back."""

    label: str
    limits: Limits

    def release(self, connection: Connection) -> None: ...

    def discard(self, connection: Connection) -> None: ...


class StaleConnectionFault(ConnectFault):
    """A connection that had served before was closed by the server before any byte of this answer came."""


class Connection(asyncio.Protocol):
    """A connection serves one exchange at a time: `start` to `Owner.release` (or `discard`, when lost)."""

    __slots__ = (
        "_answered",
        "_armed_at",
        "_deadlines",
        "_decoder",
        "_done",
        "_due",
        "_ends",
        "_extra",
        "_head_done",
        "_head_only",
        "_headers",
        "_interim",
        "_loop",
        "_max_body",
        "_outbox",
        "_outgoing",
        "_owner",
        "_parser",
        "_parts",
        "_reading_paused",
        "_received",
        "_response",
        "_silent",
        "_taken",
        "_timer",
        "_told",
        "_total_at",
        "_transport",
        "_until_eof",
        "_whole",
        "_writing_paused",
        "idle_since",
        "on_body",
        "uses",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        self._owner = owner
        self._outbox = outbox
        self._max_body = owner.limits.body_bytes
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = math.inf
        self._writing_paused = False
        self.idle_since = 0.0
        self.uses = 0
        self._reset()
        self._parts: list[bytes] = []
        self.on_body = self._parts.append  # called by the parser: for each chunk, so a method of ours would be felt
        self._parser: httptools.HttpResponseParser = httptools.HttpResponseParser(self)

    def _reset(self) -> None:
        self._answered = self._done = self._extra = self._head_done = self._interim = False
        self._told = self._until_eof = self._reading_paused = False
        self._ends = self._received = self._silent = self._taken = 0
        self._decoder: Decoder | None = None
        self._outgoing: memoryview | None = None

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    # One exchange

    def start(
        self, head: bytes, body: bytes, deadlines: Deadlines, total_at: float, *, whole: bool, head_only: bool
    ) -> Response:
        """Write a request; the returned response is woken when the head (`whole`: the body) has come.

        `total_at` is on the loop's clock. `head_only`: the answer has no body whatever its headers say.
        """
        response = self._response = Response(self, whole, parts=self._parts)
        if self.uses:
            self._reset()
        self.uses += 1
        self._headers, self._whole = response.headers, whole
        self._head_only = head_only
        self._deadlines = deadlines
        self._total_at = total_at
        if (transport := self._transport) is None or transport.is_closing():  # lost while it was handed over
            self._ended(None)
            return response
        now = self._loop.time()
        due = now + deadlines.first_byte
        if due > total_at:
            due = total_at
        self._due = due
        # armed for the shortest phase, to look again then: a series of quick exchanges never touches it
        look_at = now + deadlines.idle
        if look_at > due:
            look_at = due
        if look_at < self._armed_at:
            self._arm(look_at)
        if len(body) <= _SMALL_BODY:
            self._outbox.put(transport, head + body)
        else:
            self._outbox.flush()
            transport.write(head)
            self._outgoing = memoryview(body)
            self._pump()
        return response

    def new_waiter(self) -> asyncio.Future[None]:
        return self._loop.create_future()

    def resume(self) -> None:
        """The reader has taken all there was."""
        self._taken = self._received
        if self._reading_paused:
            self._reading_paused = False
            self._due = min(self._loop.time() + self._deadlines.idle, self._total_at)
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def linger(self) -> None:
        """Nobody reads on: what is still to come of the body may come, if it comes soon."""
        self.resume()
        self._due = self._total_at = min(self._total_at, self._loop.time() + LINGER)
        if self._due < self._armed_at:
            self._arm(self._due)

    def drop(self) -> None:
        """Close at once. A response still under way must have been failed or detached before."""
        self._response = None
        self._outgoing = None
        if self._transport is not None:
            self._transport.abort()

    def fail(self, fault: Fault) -> None:
        """End the exchange under way, if any, with `fault`, and close."""
        response = self._response
        self.drop()
        if response is not None:
            response.fail(fault)

    # Deadlines

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_at = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        self._armed_at = math.inf
        if self._response is None:
            return
        now = self._loop.time()
        # While our own reader is the slow one, only the total deadline counts.
        due = self._total_at if self._reading_paused else self._due
        if now + _TIMER_SLACK < due:
            self._arm(min(due, now + self._deadlines.idle))
            return
        label = self._owner.label
        if due >= self._total_at:
            fault = TimeoutFault(f"{label} took longer than its total deadline", code="total_timeout")
        elif self._head_done:
            silence = self._deadlines.idle
            fault = TimeoutFault(f"{label} fell silent for {silence:g} s inside its answer", code="idle_timeout")
        else:
            wait = self._deadlines.first_byte
            fault = TimeoutFault(f"{label} did not answer within {wait:g} s", code="first_byte_timeout")
        self.fail(fault)

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.drop()  # bytes nobody asked for
            return
        parts = self._parts
        before = len(parts)
        self._answered = True
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self._done:
                self.fail(self._parse_fault(error))
                return
            self._extra = True  # the answer is whole; what follows it is not ours
        except httptools.HttpParserUpgrade:
            self.fail(BadAnswerFault(f"{self._owner.label} switched protocols, which was not asked for"))
            return
        if self._extra or self._decoder is not None:
            self._decode(parts, before)
        if len(parts) > before:
            self._silent = 0
            self._received += sum(map(len, parts[before:]))
            if self._received > self._max_body:
                self.fail(self._over_body_limit())
        if self._response is None:
            return
        if self._done:
            self._finish(response)
            return
        if self._silent > self._owner.limits.header_bytes:
            self.fail(self._over_header_limit())
            return
        if not self._head_done:
            return
        due = self._loop.time() + self._deadlines.idle
        self._due = due if due < self._total_at else self._total_at
        if not self._whole:
            if parts or not self._told:
                self._told = True
                response.wake()
            if self._received - self._taken > _HIGH_WATER and not self._reading_paused and self._response is not None:
                self._reading_paused = True
                assert self._transport is not None
                self._transport.pause_reading()

    def _decode(self, parts: list[bytes], start: int) -> None:
        """Make of the pieces of body from `start` on what they should be."""
        if self._done:
            del parts[self._ends :]  # what follows the answer is not ours
        try:
            if self._decoder is not None:
                self._decoder.feed_all(parts, start, self._max_body - self._received, last=self._done)
        except DecodingError as error:
            self.fail(BadAnswerFault(f"bad answer from {self._owner.label}: {error}"))

    def eof_received(self) -> bool:
        # Over TLS this is a proper end (close_notify) on uvloop; asyncio reports any end of the TCP stream so.
        self._ended(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc or ConnectionResetError())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._owner.discard(self)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._pump()

    def _pump(self) -> None:
        """Hand on the rest of a large body as fast as the transport takes it."""
        while self._outgoing is not None and not self._writing_paused:
            assert self._transport is not None
            self._transport.write(self._outgoing[:_SMALL_BODY])
            rest = self._outgoing[_SMALL_BODY:]
            self._outgoing = rest if len(rest) else None

    def _ended(self, exc: Exception | None) -> None:
        """No more bytes will come."""
        response = self._response
        if response is None:
            return
        label = self._owner.label
        if not self._answered:
            kind = StaleConnectionFault if self.uses > 1 else ConnectFault
            self.fail(kind(f"{label} closed the connection without answering"))
        elif self._until_eof and exc is None:
            try:
                if self._decoder is not None:
                    self._decoder.finish()
            except DecodingError as error:
                self.fail(BadAnswerFault(f"bad answer from {label}: {error}"))
                return
            self._extra = True
            self._finish(response)
        else:
            where = f"after {self._received} bytes of its body" if self._head_done else "inside its head"
            self.fail(BadAnswerFault(f"the answer from {label} was cut {where}", code="answer_cut"))

    def _finish(self, response: Response) -> None:
        self._response = None
        response.end()
        if self._extra or self._outgoing is not None:
            self.drop()
        else:
            self.idle_since = self._loop.time()
            self._owner.release(self)

    # Called by the parser. What they raise comes out of feed_data as HttpParserError.

    def on_message_begin(self) -> None:
        if self._done:
            self._extra = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:  # else a trailer
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._done:
            return
        status = self._parser.get_status_code()
        if self._silent > self._owner.limits.header_bytes:
            # this read may hold body bytes too, so count
            size = sum(len(name) + len(value) + 4 for name, value in self._headers)
            if size > self._owner.limits.header_bytes:
                raise self._over_header_limit()
        if status < 200:
            self._interim = True
            self._headers.clear()
            return
        assert self._response is not None
        self._response.status = status
        self._head_done = True
        length, until_eof, coding = framing(self._headers, self._owner.label)
        if self._head_only:
            self._done = self._extra = True  # with nothing in `_parts`, where it `_ends`
        elif status not in _BODILESS:
            if length > self._max_body:
                raise self._over_body_limit()
            self._until_eof = until_eof
            if coding:
                self._decoder = Decoder(coding)
                self._headers[:] = uncoded(self._headers)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif not self._done:
            self._done = True
            self._ends = len(self._parts)
            self._extra = not self._parser.should_keep_alive()

    # Faults

    def _parse_fault(self, error: httptools.HttpParserError) -> Fault:
        cause = error.__context__
        if isinstance(cause, Fault):
            return cause
        return BadAnswerFault(f"bad answer from {self._owner.label}: {cause or error}")

    def _over_header_limit(self) -> BadAnswerFault:
        return BadAnswerFault(f"{self._owner.label} sent more than {self._owner.limits.header_bytes} bytes of headers")

    def _over_body_limit(self) -> BadAnswerFault:
        return BadAnswerFault(f"{self._owner.label} sent a body of more than {self._max_body} bytes")
