"""Fakes for the wire tests: a transport without a socket, and a loopback server that follows a script."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from rung.wire.connection import Connection
from rung.wire.origin import Deadlines, Limits, Origin
from rung.wire.outbox import Outbox
from rung.wire.response import Response


class FakeTransport(asyncio.Transport):
    """Remembers what was written and whether reading is paused. Like a real one, it tells of its end later."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.written = b""
        self.paused = False
        self.closed = False
        connection.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    close = abort

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class FakeOwner:
    """Keeps what comes back."""

    label = "upstream.test:80"

    def __init__(self, header_bytes: int = 65536, body_bytes: int = 1 << 20) -> None:
        self.limits = Limits(header_bytes, body_bytes)
        self.released: list[Connection] = []
        self.lost: list[Connection] = []

    def release(self, connection: Connection) -> None:
        self.released.append(connection)

    def discard(self, connection: Connection) -> None:
        self.lost.append(connection)


class ManualClock:
    """The part of a loop that a connection uses, with a time that moves only by `advance`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.armed: list[tuple[float, Callable[[], None]]] = []
        self.settings = 0

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def call_at(self, when: float, callback: Callable[[], None]) -> ManualTimer:
        self.settings += 1
        entry = (when, callback)
        self.armed.append(entry)
        return ManualTimer(self, entry)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [entry for entry in self.armed if entry[0] <= end]:
            entry = min(due, key=lambda one: one[0])
            self.armed.remove(entry)
            self.now = max(self.now, entry[0])
            entry[1]()
        self.now = end


class ManualTimer:
    def __init__(self, clock: ManualClock, entry: tuple[float, Callable[[], None]]) -> None:
        self.clock = clock
        self.entry = entry

    def cancel(self) -> None:
        if self.entry in self.clock.armed:
            self.clock.armed.remove(self.entry)


class AtOnce(Outbox):
    """There is no loop to wait for."""

    __slots__ = ()

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        transport.write(data)


class Fed:
    """A connection in the middle of one exchange, without a socket."""

    def __init__(
        self,
        *,
        owner: FakeOwner | None = None,
        whole: bool = True,
        method: str = "POST",
        deadlines: Deadlines | None = None,
    ) -> None:
        self.owner = owner or FakeOwner()
        self.clock = ManualClock()
        self.deadlines = deadlines or Deadlines()
        self.connection = Connection(self.owner, self.clock, AtOnce())  # type: ignore[arg-type]
        self.transport = FakeTransport(self.connection)
        self.response = self.ask(whole=whole, method=method)

    def ask(self, *, whole: bool = True, method: str = "POST", body: bytes = b"") -> Response:
        total_at = self.clock.now + self.deadlines.total
        self.response = self.connection.start(
            b"HEAD", body, self.deadlines, total_at, whole=whole, head_only=method == "HEAD"
        )
        return self.response

    def feed(self, *blocks: bytes) -> None:
        for block in blocks:
            if block and not self.transport.closed:
                self.connection.data_received(block)

    def eof(self) -> None:
        if not self.transport.closed:
            self.connection.eof_received()
            self.transport.close()

    async def outcome(self) -> tuple[object, ...]:
        """(status, headers, body) or the type of the fault."""
        if self.response.waiter is not None:
            await self.response.waiter
        if self.response.fault is not None:
            return (type(self.response.fault),)
        return (self.response.status, tuple(self.response.headers), self.response.body)

    def close(self) -> None:
        self.transport.abort()


class Peer:
    """One connection as the scripted server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.requests: list[tuple[bytes, bytes]] = []

    async def request(self) -> tuple[bytes, bytes]:
        """The next request's head and body. Raises IncompleteReadError when the client has gone."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        body = await self.reader.readexactly(length)
        self.requests.append((head, body))
        return head, body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> bool:
        """Wait until the client has closed; True if it sent nothing before that."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True


class Server:
    """Follows `script` on each connection. `peers` are the connections in the order they came."""

    def __init__(self, script: Callable[[Peer, int], Awaitable[None]]) -> None:
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self.peers: list[Peer] = []
        self.port = 0

    @property
    def origin(self) -> Origin:
        return Origin("http", "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        try:
            await self._script(peer, len(self.peers) - 1)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)


@asynccontextmanager
async def serving(
    script: Callable[[Peer, int], Awaitable[None]], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """A server on a free loopback port, gone at the end."""
    server = Server(script)
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.stop()


def answering(answer: bytes) -> Callable[[Peer, int], Awaitable[None]]:
    """The script that gives every request the same answer."""

    async def script(peer: Peer, number: int) -> None:
        while True:
            await peer.request()
            await peer.send(answer)

    return script
