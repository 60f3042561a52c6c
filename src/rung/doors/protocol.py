"""HTTP/1.1 toward clients: what comes off a socket, its limits and its deadlines.

llhttp (through httptools, all its leniencies off) does the parsing and refuses most of what request
smuggling lives on; the rest is refused here, always in the API's own error shape and always with
``connection: close``. An application is called only once a request is whole (see `exchange`), so a slow
or broken upload costs neither a task nor anybody's attention.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any, cast
from urllib.parse import unquote_to_bytes

import httptools

from rung.doors.edge import BODY_PACE, SMALL_BODY, ServerState, refusal
from rung.doors.exchange import Exchange
from rung.errors import InvalidRequestError, OverloadedError, RequestTooLargeError, RungError

LINGER = 2.0
"""seconds we go on reading (and dropping) after a refusal, so that the client gets to read it"""

PIPELINE_LIMIT = 64
"""requests one read may bring while an earlier one is being answered"""

HEADERS_LIMIT = 128
"""header fields of one request"""

PROBE = (0.02, 5.0)
"""first and longest pause in seconds between probes of a half-closed connection"""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_ASGI = {"version": "3.0", "spec_version": "2.3"}

_READ_HERE = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})

_IDLE, _HEAD, _BODY = range(3)  # where in a request the parser stands


class EdgeProtocol(asyncio.Protocol):
    """One connection. Requests are answered in order; what comes while one is being answered waits unread.

    Attributes:
        transport: set once the connection is made.
        write_paused: set while the client does not take what we wrote; an event to wait on.
    """

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self.edge = state.edge
        self.transport: asyncio.Transport
        self.write_paused: asyncio.Event | None = None
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None

        self._phase = _IDLE
        self._begun = 0  # requests begun in the slice being parsed
        self._head_size = 0
        self._overhead = 0  # bytes on the wire since the last piece of body: chunk sizes, trailers
        self._pace = 0  # body size at which the body's deadline was last moved
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._scope: dict[str, Any] = {}
        self._keep_alive = True
        self._body: bytes | bytearray = b""
        self._counted = 0  # bytes of `_body` counted in `ServerState.buffered`

        self._exchange: Exchange | None = None
        self._queue: deque[Exchange] = deque()
        self._unread = bytearray()
        self._reading_paused = False
        self._refused: RungError | None = None  # said once the exchanges before it are answered
        self._closing = False
        self._half_closed = False
        self._probe_pause = PROBE[0]

        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases
        self._client = _address(transport.get_extra_info("peername"))
        self._server = _address(transport.get_extra_info("sockname"))
        limit = self.edge.write_buffer_limit
        transport.set_write_buffer_limits(high=limit, low=limit * 3 // 4)
        connections = self.state.connections
        connections.add(self)
        if len(connections) > 2 * self.edge.max_connections:
            transport.abort()  # not even the refused may pile up
        elif len(connections) > self.edge.max_connections:
            self._refuse(OverloadedError("too many connections to the gateway; try again", code="too_many_connections"))
        elif self.state.draining:
            transport.close()
        else:
            self._expect(self.edge.keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._closing = True
        if self.write_paused is not None:
            self.write_paused.set()
        if self._exchange is not None:
            self._exchange.leave()
        for exchange in self._queue:
            exchange.leave()
        self._queue.clear()
        self._drop_body()
        self._unread.clear()
        del self._parser  # it holds on to us
        self.state.forget(self)

    def eof_received(self) -> bool:
        """The client will send no more: it has left, or only closed its half.

        A client that has left answers whatever we send with a reset, which is how we find out while the
        response has not begun: interim responses are ignored by those who still listen. In the middle of
        a stream we take it that the client has left.
        """
        if self._closing:
            return False
        exchange = self._exchange
        if exchange is not None:
            if exchange.started or exchange.scope["http_version"] == "1.0":
                self.transport.abort()
                return False
            self._half_closed = True
            self._probe()
            return True
        if self._unread:
            self._half_closed = True
            return True
        if self._phase != _IDLE:
            self._refuse(_cut_short())
        return False

    def _probe(self) -> None:
        if self.write_paused is None:
            self.transport.write(_CONTINUE)
        self._expect(self._probe_pause)
        self._probe_pause = min(2 * self._probe_pause, PROBE[1])

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
            self._advance()
        elif self._half_closed and not self._exchange.started:
            self._probe()
        else:
            self._deadline = math.inf

    def drain(self) -> None:
        """The server is stopping: close now if nothing is being asked or answered, else after the answer."""
        if self._exchange is None and self._phase == _IDLE and not self._unread:
            self._close()

    # --- deadlines: one timer a connection, moved lazily

    def _expect(self, seconds: float) -> None:
        self._deadline = deadline = self._loop.time() + seconds
        if deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        left = self._deadline - self._loop.time()
        if left > 0:
            if left != math.inf:
                self._expect(left)
            return
        self._deadline = math.inf
        if self._closing or self.write_paused is not None:
            self.transport.abort()  # takes nothing, or does not go
        elif self._exchange is not None:
            if self._half_closed and not self._exchange.started:
                self._probe()
        elif self._phase == _HEAD:
            self._refuse(_late(f"the headers did not arrive within {self.edge.header_timeout:g} s"))
        elif self._phase == _BODY:
            self._refuse(_late(f"the body stopped arriving for {self.edge.body_timeout:g} s"))
        else:
            self._close()

    # --- bytes in

    def data_received(self, data: bytes) -> None:
        if self._closing or self._refused is not None:
            return
        if self._exchange is None and not self._unread and self.write_paused is None:
            self._take(data)
        else:
            self._keep_unread(data)

    def _keep_unread(self, data: bytes | memoryview) -> None:
        self._unread += data
        if len(self._unread) > self.edge.header_limit and not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def _take(self, data: bytes) -> None:
        """Parse `data`, in slices no longer than a head may be, until a request is complete."""
        limit = self.edge.header_limit
        if len(data) <= limit:
            self._parse(data)
            return
        view = memoryview(data)
        for start in range(0, len(data), limit):
            if self._closing or self._refused is not None:
                return
            if self._exchange is not None:
                self._keep_unread(view[start:])
                return
            self._parse(view[start : start + limit])

    def _parse(self, data: bytes | memoryview) -> None:
        before = self._phase
        self._begun = 0
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            cause = error.__context__
            if isinstance(cause, RungError):
                self._refuse(cause)
            elif isinstance(error, httptools.HttpParserCallbackError):
                raise  # a bug of ours
            elif self._keep_alive or self._phase != _IDLE:  # else: bytes after a last request, none of our business
                self._refuse(_unparsable(error, bytes(data[:16])))
            return
        if self._phase != _IDLE:
            self._incomplete(before, len(data))

    def _incomplete(self, before: int, size: int) -> None:
        """A request has come in part: hold it to its limits and deadlines."""
        if self._phase == _HEAD:
            if before == _HEAD and not self._begun:
                self._head_size += size
            else:
                # where in the slice it began is unknown unless the slice began with it
                self._head_size = size if before == _IDLE and self._begun == 1 else 1
                self._expect(self.edge.header_timeout)
            if self._head_size > self.edge.header_limit or len(self._headers) > HEADERS_LIMIT:
                self._refuse(self._head_too_large())
            return
        if before != _BODY or self._begun:
            self._pace = self._overhead = 0
            self._expect(self.edge.body_timeout)
        self._overhead += size
        got = len(self._body)
        if got - self._pace >= BODY_PACE:
            self._pace = got
            self._expect(self.edge.body_timeout)
        if self._overhead > 2 * self.edge.header_limit:
            self._refuse(_bad("the body's chunk extensions or trailers are too long"))
        elif got > SMALL_BODY:
            self._count_body(got)

    def _count_body(self, size: int) -> None:
        state = self.state
        state.buffered += size - self._counted
        self._counted = size
        if state.buffered > self.edge.buffered_limit:
            self._refuse(OverloadedError("the gateway is holding too many large bodies; try again", code="overloaded"))

    def _drop_body(self) -> None:
        self.state.buffered -= self._counted
        self._counted = 0
        self._body = b""

    # --- called by the parser; what they raise comes out of feed_data as the context of its error

    def on_message_begin(self) -> None:
        self._phase = _HEAD
        self._begun += 1
        self._head_size = 0
        self._url = b""
        self._headers = []
        self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase == _HEAD:  # else a trailer, which we do not need
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        hosts = length = 0
        coding = expect = b""
        for name, value in self._headers:
            if name in _READ_HERE:
                if name == b"host":
                    hosts += 1
                elif name == b"content-length":
                    length = int(value)
                elif name == b"transfer-encoding":
                    coding = value.lower()
                else:
                    expect = value.lower()
        version = self._parser.get_http_version()
        if version != "1.1" and version != "1.0":
            raise _bad("this server speaks HTTP/1.1", code="http_version", status=505)
        if self._parser.should_upgrade():
            raise _bad("tunnels and protocol upgrades are not served; send plain HTTP/1.1", status=501)
        if hosts != 1 and (version == "1.1" or hosts):
            raise _bad("a request needs exactly one Host header")
        if coding and (coding != b"chunked" or version == "1.0"):
            raise _bad("the only transfer coding served is 'chunked', in HTTP/1.1", status=501)
        if len(self._headers) > HEADERS_LIMIT or (self._head_size and self._sum_head() > self.edge.header_limit):
            raise self._head_too_large()
        if length > self.edge.body_limit:
            raise self._body_too_large()
        self._keep_alive = self._parser.should_keep_alive()
        path, raw_path, query = _split_target(self._url)
        self._scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": self._parser.get_method().decode("ascii"),
            "scheme": "http",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": self._client,
            "server": self._server,
            "state": self.state.shared,
        }
        self._phase = _BODY
        if expect:
            self._promise(expect, version)

    def _promise(self, expect: bytes, version: str) -> None:
        """Answer ``Expect``: the limits have been checked, the body may come."""
        if expect != b"100-continue":
            raise _bad("the only expectation met is '100-continue'", status=417)
        if version == "1.1" and self._exchange is None:  # else an earlier answer would be cut in two
            self.transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        if not self._body:
            self._body = body
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body
        if len(self._body) > self.edge.body_limit:
            raise self._body_too_large()

    def on_message_complete(self) -> None:
        self._phase = _IDLE
        body = bytes(self._body)
        if len(body) > SMALL_BODY:
            self._count_body(len(body))
        exchange = Exchange(self, self._scope, body, self._keep_alive, self._counted)
        self._counted = 0
        self._body = b""
        if self._closing or self._refused is not None:
            exchange.release()  # refused while it was being counted
        elif self._exchange is None:
            self._start(exchange)
        elif len(self._queue) < PIPELINE_LIMIT:
            self._queue.append(exchange)
        else:
            exchange.release()
            raise OverloadedError(
                f"more than {PIPELINE_LIMIT} requests at once on one connection", code="pipeline_full"
            )

    def _sum_head(self) -> int:
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)

    def _head_too_large(self) -> RungError:
        return InvalidRequestError(
            f"the request line and headers may hold {self.edge.header_limit} bytes and {HEADERS_LIMIT} fields",
            code="headers_too_large",
            status=431,
        )

    def _body_too_large(self) -> RungError:
        return RequestTooLargeError(f"the body may hold {self.edge.body_limit} bytes (server.body_limit)")

    # --- answers out

    def _start(self, exchange: Exchange) -> None:
        state = self.state
        if len(state.exchanges) >= self.edge.max_streams:
            exchange.release()
            self._refuse(OverloadedError("the gateway is answering too many calls; try again", code="overloaded"))
            return
        state.exchanges.add(exchange)
        self._exchange = exchange
        self._deadline = math.inf
        exchange.task = self._loop.create_task(exchange.run())

    def exchange_complete(self, exchange: Exchange) -> None:
        """The last byte of the answer is written."""
        if (
            exchange.keep_alive
            and not self._queue
            and not self._unread
            and self._refused is None
            and self.write_paused is None
            and not self._half_closed
        ):
            self._exchange = None
            self._expect(self.edge.keep_alive)
        elif self.write_paused is None:
            self._loop.call_soon(self._advance)

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
                self._rest()

    def _take_unread(self) -> None:
        if self._unread:
            data = bytes(self._unread)
            self._unread.clear()
            self._take(data)
        if self._reading_paused and not self._unread and not self._closing:
            self._reading_paused = False
            self.transport.resume_reading()

    def _rest(self) -> None:
        """Nothing is being answered: wait for the rest of a request or for the next one."""
        if self._half_closed and self._phase != _IDLE:
            self._refuse(_cut_short())
        elif self._phase == _IDLE:
            if self._half_closed or self.state.draining:
                self._close()
            else:
                self._expect(self.edge.keep_alive)

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
        self._drop_body()
        if (self._exchange is not None and not self._exchange.complete) or self.write_paused is not None:
            self._refused = error
            return
        self._closing = True
        self.transport.write(refusal(error, self.state.date()))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._expect(LINGER)

    def _close(self) -> None:
        """Close once what is written has been taken."""
        self._closing = True
        self._expect(self.edge.write_timeout)
        self.transport.close()


def _bad(message: str, *, code: str = "bad_request", status: int = 400) -> RungError:
    return InvalidRequestError(message, code=code, status=status)


def _late(message: str) -> RungError:
    return InvalidRequestError(message, code="request_timeout", status=408)


def _cut_short() -> RungError:
    return _bad("the connection ended in the middle of a request", code="incomplete_request")


def _unparsable(error: Exception, start: bytes) -> RungError:
    """Why llhttp gave up, in a sentence; `start` is the beginning of what it read."""
    if start.startswith(b"\x16\x03"):
        return _bad("this is a plain HTTP port, not TLS: use http://")
    if "PRI" in str(error):
        return _bad("HTTP/2 is not served here; use HTTP/1.1", code="http_version", status=505)
    return _bad(f"this is not valid HTTP/1.1: {error}")


def _split_target(target: bytes) -> tuple[str, bytes, bytes]:
    """-> (path, path as sent, query). Raises InvalidRequestError for what is no path of this server."""
    if target[:1] != b"/" or b"#" in target:
        raise _bad("the request target must be a path, such as /v1/chat/completions; rung is no forward proxy")
    raw, _, query = target.partition(b"?")
    if b"%" not in raw:
        return raw.decode("ascii"), raw, query
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise _bad("the path is not UTF-8") from None
    if "\0" in path:
        raise _bad("the path holds a NUL")
    return path, raw, query


def _address(name: Any) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
