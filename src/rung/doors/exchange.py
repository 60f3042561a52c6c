"""One request and its response, as an ASGI application sees them (https://asgi.readthedocs.io, HTTP 2.3).

The protocol hands over a request only when it is whole, so `receive` gives the body in one message. `send`
holds the head back until the first piece of the body is there and writes both at once. Who leaves early
is not told by a message: the task of the exchange is cancelled.

An application with a method `direct` is asked through that instead, without messages: see `Direct`.
"""

from __future__ import annotations

import asyncio
import http
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from rung.errors import OverloadedError, RungError

if TYPE_CHECKING:
    from rung.doors.intake import Head
    from rung.doors.protocol import EdgeProtocol

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]
Direct = Callable[["Exchange"], Coroutine[Any, Any, None] | None]
"""Begins to answer an exchange by its `scope`, `take_body`, `begin` and `write`: what is left to do, in a task; None
if it is answered already, or will be (`Exchange.answered_by`)"""


class Work(Protocol):
    """What answers an exchange: a task, or something that is called back."""

    def cancel(self, msg: str) -> object: ...


log = logging.getLogger("rung.server")

STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in http.HTTPStatus
}

_FRAMING = frozenset({b"content-length", b"connection", b"transfer-encoding"})

_BODILESS = frozenset({204, 304})

_NO_MORE = b"0\r\n\r\n"
"""the chunk that ends a body"""


def status_line(status: int) -> bytes:
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


class Exchange(msgspec.Struct, eq=False):
    """The ASGI side of one request: `receive`, `send`, and what answers it, a task as a rule.

    Attributes:
        scope: ASGI's; not to be changed.
        head: the request's, if it is the same as the last one's on this connection.
        keep_alive: the connection may carry another request after this one.
        started: bytes of the response are on their way; complete: all of them.
        gone: the client has left, nothing more can be sent.
        held: bytes of body counted against the server's budget.
    """

    _connection: EdgeProtocol
    scope: Scope
    _body: bytes | None
    keep_alive: bool
    held: int = 0
    head: Head | None = None
    work: Work | None = None
    started: bool = False
    complete: bool = False
    gone: bool = False
    _ran: bool = False
    _doomed: bool = False
    _begun: bytes | None = None
    _chunked: bool = False
    _remaining: int = -1  # bytes of content-length still to come; -1: no content-length
    _silent: bool = False  # 204, 304 or an answer to HEAD: the body is not written
    _left: asyncio.Future[None] | None = None

    @property
    def http10(self) -> bool:
        """The request was an HTTP/1.0 one."""
        return bool(self.scope["http_version"] == "1.0")

    def start(self) -> None:
        """Have the application answer: at once, if it can, else in a task."""
        state = self._connection.state
        work: Coroutine[Any, Any, None] | None = None
        if state.direct is None:
            work = state.app({**self.scope, "extensions": {}}, self.receive, self.send)
        else:
            try:
                work = state.direct(self)
            except Exception:
                self.failed()
        if work is not None:
            self.run(work)
        elif self.work is None:
            self.ended()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Answer in a task."""
        self._ran = False
        # not loop.create_task, which makes up a name for each
        self.work = asyncio.Task(self._run(work), loop=self._connection.loop, name="exchange")

    def answered_by(self, work: Work) -> None:
        """`work` answers without a task: it says when it has `ended`, also when it is cancelled, or lets one `run`."""
        self._ran = True
        self.work = work

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """See to it that the client gets a whole response or a clean cut."""
        self._ran = True
        try:
            if self._doomed and self.work is not None:
                self.work.cancel("the client has left")
            await work
            if not self.complete:
                self._not_complete("the application returned before its response was complete")
        except asyncio.CancelledError:
            self.cancelled()
            raise
        except Exception:
            self.failed()
        finally:
            self.ended()

    def cancelled(self) -> None:
        """The application has been cancelled."""
        self._not_complete("the application was cancelled, but its client is still there")

    def failed(self) -> None:
        """The application has raised something."""
        if self.gone:
            log.debug("the application failed after its client had left", exc_info=True)
        else:
            log.exception("the application failed")
            self._give_up(_failure())

    def ended(self) -> None:
        """The application will do no more."""
        self.work = None  # which holds us: garbage only the collector would find
        if self.held:
            self.release()
        self._connection.state.forget_exchange(self)

    def _not_complete(self, why: str) -> None:
        """The application has ended: if its response has not, say so."""
        if self.complete or self.gone:
            return
        if self._connection.state.draining:
            self._give_up(OverloadedError("the gateway is shutting down; try again", code="shutting_down"))
        else:
            log.error(why)
            self._give_up(_failure())

    def _give_up(self, error: RungError) -> None:
        """An error if nothing has been sent yet; else cut the connection, so that nobody takes it for whole."""
        if not self.complete:
            self.complete = True
            self._connection.give_up(None if self.started else error)

    def leave(self) -> None:
        """The client has gone: cancel the work, unless it is done."""
        self.gone = True
        if self._left is not None and not self._left.done():
            self._left.set_result(None)
        if not self.complete:
            self.cancel("the client has left")
        if self.work is None:  # its turn never came
            self.ended()

    def cancel(self, why: str) -> None:
        """Stop the work, if there is any. It is begun in any case: what it holds already, only it can let go."""
        if self._ran and self.work is not None:
            self.work.cancel(why)
        self._doomed = True

    def release(self) -> None:
        """Give the body's bytes back to the server's budget."""
        if self.held:
            self._connection.state.buffered -= self.held
            self.held = 0

    async def receive(self) -> Message:
        """The whole body once; after that, waits until the client leaves or the response is complete."""
        if self._body is not None:
            return {"type": "http.request", "body": self.take_body(), "more_body": False}
        if not self.gone and not self.complete:
            if self._left is None:
                self._left = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._left)
        return {"type": "http.disconnect"}

    def take_body(self) -> bytes:
        """The whole body, once."""
        body, self._body = self._body, None
        return body or b""

    async def send(self, message: Message) -> None:
        """Take ``http.response.start``, then ``http.response.body`` until `more_body` is false.

        Waits while the client reads too slowly. Does nothing once the client has gone. Raises RuntimeError
        when the application breaks the order, its content-length or the syntax of a header.
        """
        kind = message["type"]
        if kind == "http.response.start":
            self.begin(message["status"], self._lines(message.get("headers", ())))
        elif kind == "http.response.body":
            await self.write(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected {kind}")

    def begin(self, status: int, head: bytes) -> None:
        """Set status and headers: `head` holds whole ``name: value`` lines, checked, and none about framing."""
        if self.started:
            raise RuntimeError("unexpected http.response.start")
        self._begun = status_line(status) + head
        if status in _BODILESS or self.scope["method"] == "HEAD":
            self._silent = True

    async def write(self, body: bytes, more: bool = False) -> None:
        """The next piece of the body; the last one unless there is `more`. Waits as `send` does."""
        if self.complete or (self._begun is None and not self.started):
            raise RuntimeError("unexpected http.response.body")
        connection = self._connection
        if connection.write_paused is not None:
            await connection.write_paused.wait()
        self._write(body, more)

    def whole(self, status: int, head: bytes, body: bytes) -> None:
        """A response in one piece. It waits for nothing: an exchange begins when all before it has been taken."""
        connection, scope = self._connection, self.scope
        state = connection.state
        usual = scope["method"] != "HEAD" and scope["http_version"] == "1.1" and status not in _BODILESS
        if not usual or not self.keep_alive or self.gone or self.started or state.draining:
            self.begin(status, head)
            self._write(body, False)
            return
        self.started = self.complete = True
        line = STATUS_LINES.get(status) or status_line(status)
        whole = b"%b%bcontent-length: %d\r\n%b\r\n%b" % (line, head, len(body), state.date(), body)
        connection.put(connection.transport, whole)
        if self._left is not None and not self._left.done():
            self._left.set_result(None)
        connection.exchange_complete(self)

    def then(self, done: Callable[[], None]) -> None:
        """Call `done`, which must not raise, once what has been written here is on its way."""
        self._connection.state.outbox.then(done)

    def push(self, body: bytes) -> bool:
        """`write` with `more`, if it can go out at once; False, and nothing has been done, if it is for `write`."""
        connection = self._connection
        if not body or self.gone or self.complete or connection.write_paused is not None:
            return False
        if self._chunked:
            connection.put(connection.transport, b"%x\r\n%b\r\n" % (len(body), body))
        else:
            self._write(body, True)
        return True

    def close(self, body: bytes) -> None:
        """The last piece of a stream, perhaps all of it. It waits for nothing."""
        if self.gone:
            return
        if self.started:
            data = self._next(body, False)
        else:
            data = self._first(body, True)
            if self._chunked:
                data += _NO_MORE
        self._put(data, False)

    def _write(self, body: bytes, more: bool) -> None:
        if not self.gone:
            self._put(self._next(body, more) if self.started else self._first(body, more), more)

    def _put(self, data: bytes, more: bool) -> None:
        connection = self._connection
        self.started = True
        if data:
            connection.put(connection.transport, data)
        if not more:
            self.complete = True
            if self._left is not None and not self._left.done():
                self._left.set_result(None)
            connection.exchange_complete(self)

    def _lines(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """ASGI's headers as `begin` wants them; what they say of framing is noted."""
        lines: list[bytes] = []
        self._remaining = -1
        for name, value in headers:
            if name not in _FRAMING or self._frames_with(name, value):
                lines += (name, b": ", value, b"\r\n")
        head = b"".join(lines)
        ends = len(lines) // 4  # each header is four pieces
        if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
            raise RuntimeError("a response header holds a line break or a NUL")
        return head

    def _frames_with(self, name: bytes, value: bytes) -> bool:
        """Take note of a header about framing; False: it is not sent, framing is ours."""
        if name == b"content-length":
            self._remaining = int(value)
            return True
        if name == b"connection" and b"close" in value.lower():
            self.keep_alive = False
        return False

    def _first(self, body: bytes, more: bool) -> bytes:
        """The head, with what depends on the body, and the first piece of the body."""
        head, self._begun = self._begun or b"", None
        framing = closing = b""
        if self._silent:
            body = b""
        elif self._remaining >= 0:
            body = self._next(body, more)
        elif not more:
            framing = f"content-length: {len(body)}\r\n".encode()
        elif self.http10:
            self.keep_alive = False
        else:
            self._chunked = True
            framing = b"transfer-encoding: chunked\r\n"
            body = self._next(body, more)
        state = self._connection.state
        if state.draining:
            self.keep_alive = False
        if not self.keep_alive:
            closing = b"connection: close\r\n"
        elif self.http10:  # such clients close unless told otherwise
            closing = b"connection: keep-alive\r\n"
        return b"".join((head, framing, closing, state.date(), b"\r\n", body))

    def _next(self, body: bytes, more: bool) -> bytes:
        """A piece of the body, framed."""
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if more else chunk + _NO_MORE
        if self._silent:
            return b""
        if self._remaining >= 0:
            self._remaining -= len(body)
            if self._remaining < 0 or (self._remaining and not more):
                raise RuntimeError("the response is longer or shorter than its content-length")
        return body


def _failure() -> RungError:
    return RungError("the gateway failed to answer; its log says more")
