"""Listens, serves an ASGI application through `EdgeProtocol`, and stops without cutting anybody off.

The first SIGINT or SIGTERM drains: no new connections, running calls are finished within `drain_timeout`,
then cancelled, so that the application can end its streams with an explicit error event. A second signal
kills the process at once: from the first one on, the signals have their default action again.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import FrameType

from rung.doors.edge import Edge, ServerState
from rung.doors.exchange import App
from rung.doors.protocol import EdgeProtocol
from rung.errors import ConfigError

if sys.platform != "win32":
    import resource

LAST_WORDS = 2.0
"""seconds a cancelled call has to say so to its client"""

BACKLOG = 1024

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server:
    """One listening socket and the connections that came through it. Lives on the loop it is made on.

    Attributes:
        app: the ASGI application.
        drain_timeout: seconds running calls may take once the server stops.
    """

    def __init__(self, app: App, *, edge: Edge | None = None, drain_timeout: float = 30.0) -> None:
        self.state = ServerState(app, edge or Edge())
        self.drain_timeout = drain_timeout
        self._listener: asyncio.Server | None = None

    @property
    def draining(self) -> bool:
        """True from the moment the server begins to stop (also in ``scope["state"]["draining"]``)."""
        return self.state.draining

    @property
    def url(self) -> str:
        """``http://host:port`` of the listening socket."""
        assert self._listener is not None
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, sock: socket.socket | None = None) -> None:
        """Listen on `host` and `port` (0: any free one), or on `sock`. Raises ConfigError if that cannot be."""
        loop = asyncio.get_running_loop()

        def connection() -> EdgeProtocol:
            return EdgeProtocol(self.state)

        if sock is not None:
            self._listener = await loop.create_server(connection, sock=sock, backlog=BACKLOG)
            return
        try:
            self._listener = await loop.create_server(connection, host, port, backlog=BACKLOG)
        except OSError as error:
            raise ConfigError(_cannot_listen(error, host, port)) from None

    async def drain(self) -> None:
        """Stop accepting, finish what runs or cancel it after `drain_timeout`; returns once all are gone."""
        state = self.state
        state.draining = state.shared["draining"] = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(state.connections):
            connection.drain()
        if not await self._emptied(self.drain_timeout):
            for exchange in list(state.exchanges):
                exchange.cancel("the server is stopping")
            await self._emptied(LAST_WORDS)
        for connection in list(state.connections):
            connection.transport.abort()
        await self._emptied(LAST_WORDS)

    async def _emptied(self, seconds: float) -> bool:
        state = self.state
        if not state.connections and not state.exchanges:
            return True
        try:
            await asyncio.wait_for(state.emptied.wait(), seconds)
        except TimeoutError:
            return False
        return True


async def serve(
    app: App,
    *,
    host: str = "127.0.0.1",
    port: int = 7864,
    edge: Edge | None = None,
    drain_timeout: float = 30.0,
    on_ready: Callable[[Server], None] | None = None,
    on_drained: Callable[[], Awaitable[None]] | None = None,
    sock: socket.socket | None = None,
) -> int:
    """Serve `app` until SIGINT or SIGTERM; returns 0, the exit code.

    `on_ready` is called once connections are accepted, `on_drained` awaited when the last one has gone (a
    second signal still ends the process meanwhile). Raises ConfigError if the address cannot be had.
    """
    server = Server(app, edge=edge, drain_timeout=drain_timeout)
    raise_file_limit()
    with _Signals() as signals:
        await server.start(host, port, sock=sock)
        if on_ready is not None:
            on_ready(server)
        await signals.first.wait()
        await server.drain()
        if on_drained is not None:
            await on_drained()
    return 0


@asynccontextmanager
async def running(app: App, *, edge: Edge | None = None, drain_timeout: float = 5.0) -> AsyncIterator[str]:
    """A server on a free loopback port for as long as the block runs; gives its base URL."""
    server = Server(app, edge=edge, drain_timeout=drain_timeout)
    await server.start()
    try:
        yield server.url
    finally:
        await server.drain()


class _Signals:
    """`first` is set by the first SIGINT or SIGTERM; a second one has its default action: the end."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            # signal.signal, not loop.add_signal_handler: it works even while the loop is blocked
            self._before = {number: signal.signal(number, self._caught) for number in _SIGNALS}
        return self

    def _caught(self, _number: int, _frame: FrameType | None) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        self._loop.call_soon_threadsafe(self.first.set)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def raise_file_limit() -> None:
    """Let this process open as many files as the system allows it: each call holds a socket or two."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            pass  # then fewer connections fit, and accept says so


def _cannot_listen(error: OSError, host: str, port: int) -> str:
    place = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"{place} is already in use: stop the program that listens there, or choose another port (--port)"
    if error.errno == errno.EACCES:
        return f"no permission to listen on {place}: choose a port above 1023 (--port)"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return f"{host} is not an address of this machine: choose another host (--host)"
    return f"cannot listen on {place}: {error.strerror or error}"
