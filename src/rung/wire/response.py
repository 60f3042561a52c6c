"""One response: its head, and its body as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import msgspec

from rung.errors import BadAnswerFault, Fault


class Source(Protocol):
    """What a response needs of the connection it comes from."""

    def new_waiter(self) -> asyncio.Future[None]: ...

    def resume(self) -> None: ...

    def linger(self) -> None: ...

    def drop(self) -> None: ...


class Response(msgspec.Struct, eq=False):
    """A response whose head has arrived.

    Attributes:
        status: HTTP status, 200 to 999.
        headers: (name, value) in the order they came, names lower case. When a body was decoded, its
            ``content-encoding`` and ``content-length`` are not listed.
        body: the whole body after `Client.fetch`, else empty.
        parts: come and not yet read.
        fault: why the body will not reach its end.
        waiter: what the client awaits until the next `wake`.
        then: called instead, where nobody awaits it (`Client.post`).
    """

    _source: Source | None
    _whole: bool
    waiter: asyncio.Future[None] | None = None
    status: int = 0
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""
    parts: list[bytes] = []
    fault: Fault | None = None
    then: Callable[[], None] | None = None
    _complete: bool = False

    def header(self, name: bytes) -> bytes | None:
        """Value of the first header of that (lower-case) name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    async def read(self, max_bytes: int | None = None) -> bytes:
        """The rest of the body, to its end. Over `max_bytes`: BadAnswerFault and the connection is dropped.

        Raises TimeoutFault and BadAnswerFault like `blocks`.
        """
        if self._whole:
            if max_bytes is not None and len(self.body) > max_bytes:
                raise BadAnswerFault(f"the body is longer than {max_bytes} bytes")
            return self.body
        pieces: list[bytes] = []
        size = 0
        async for block in self.blocks():
            size += len(block)
            if max_bytes is not None and size > max_bytes:
                self.close()
                raise BadAnswerFault(f"the body is longer than {max_bytes} bytes")
            pieces.append(block)
        return b"".join(pieces)

    def blocks(self) -> Blocks:
        """The decoded body in blocks: each holds all that has come since the one before."""
        return Blocks(self)

    def take(self) -> bytes:
        """All that has come of the body and not been read; empty if nothing has."""
        parts = self.parts
        if not parts:
            return b""
        block = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if self._source is not None:
            self._source.resume()
        return block

    @property
    def ended(self) -> bool:
        """No more will come: all of it has, or there is a `fault`."""
        return self._source is None

    async def arrived(self) -> Response:
        """Wait for the head, or the whole answer where that was asked for; -> itself. Raises its `fault`."""
        if self._source is not None and (self._whole or not self.status):
            self.waiter = waiter = self._source.new_waiter()
            try:
                await waiter
            except asyncio.CancelledError:
                self.close()
                raise
        if self.fault is not None:
            raise self.fault
        return self

    def close(self) -> None:
        """Drop the connection unless the body has ended: this is how upstream work is cancelled."""
        source, self._source, self.then = self._source, None, None
        if source is not None:
            if self.fault is None:
                self.fault = BadAnswerFault("the response was closed before its end")
            source.drop()

    def leave(self) -> None:
        """Nobody reads on, for all that matters has come: the connection may serve again once the body has ended, if
        that is soon. Servers often send the end of a stream after its last event."""
        source, self._source, self.then = self._source, None, None
        if source is not None:
            self.parts.clear()
            source.linger()

    # What follows is for the client and the connection.

    def wake(self) -> None:
        """Let whoever waits look again. Whoever is cancelled while waiting must `close`."""
        waiter, self.waiter = self.waiter, None
        if self.then is not None:
            self.then()
        elif waiter is not None and not waiter.done():
            waiter.set_result(None)

    def end(self) -> None:
        """The body has ended as it should."""
        self._source = None
        self._complete = True
        parts = self.parts  # the connection's own, for its next response
        if self._whole:
            self.body = parts[0] if len(parts) == 1 else b"".join(parts)
        else:
            self.parts = parts.copy()
        parts.clear()
        self.wake()
        self.then = None

    def fail(self, fault: Fault) -> None:
        """The body has ended as it should not."""
        self._source = None
        self.fault = fault
        self.wake()
        self.then = None


class Blocks(AsyncIterator[bytes]):
    """Iterator over a body's blocks (see `Response.blocks`). Not for two readers at once."""

    __slots__ = ("_response",)

    def __init__(self, response: Response) -> None:
        self._response = response
        if response._whole and response.body:
            response.parts = [response.body]

    async def __anext__(self) -> bytes:
        response = self._response
        while True:
            if response.parts:
                return response.take()
            if response._complete:
                raise StopAsyncIteration
            if response.fault is not None:
                raise response.fault
            assert response._source is not None  # neither ended nor failed, so still attached
            response.waiter = waiter = response._source.new_waiter()
            try:
                await waiter
            except asyncio.CancelledError:
                response.close()
                raise

    async def aclose(self) -> None:
        """Same as `Response.close`."""
        self._response.close()
