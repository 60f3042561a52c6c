"""The upstream HTTP/1.1 client.

    client = Client()
    origin, base = Origin.parse("https://api.example.com/v1")
    response = await client.fetch(origin, "POST", base + "/chat/completions", headers, body, Deadlines())

One request costs one future and no task, or not even that (`Client.post`): connections are kept alive per origin,
their deadlines share one timer each, and request heads are prepared once. Parsing is httptools' (llhttp). Works on
asyncio and uvloop; a client belongs to the loop it is first used on.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from rung.errors import ConnectFault, PrivacyError
from rung.wire.connection import Connection, StaleConnectionFault
from rung.wire.dial import dial
from rung.wire.origin import Deadlines, Limits, Origin
from rung.wire.outbox import Outbox
from rung.wire.pool import Pool
from rung.wire.response import Blocks, Response

__all__ = [
    "Blocks",
    "Client",
    "Deadlines",
    "Origin",
    "Response",
    "StaleConnectionFault",
    "check_private",
    "check_request",
]

_METHOD = re.compile(r"[A-Z]+")
_TARGET = re.compile(r"/[!-~]*")
_HEADERS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)*")
_OURS = re.compile(rb"^(?:host|content-length|transfer-encoding|connection):", re.IGNORECASE | re.MULTILINE)
_ACCEPT_ENCODING = re.compile(rb"^accept-encoding:", re.IGNORECASE | re.MULTILINE)
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))


def check_private(origin: Origin, private: bool) -> None:
    """Raises PrivacyError if a private call would go to anything but this machine's loopback."""
    if private and not origin.is_loopback:
        raise PrivacyError(f"a private call may not leave this machine, and {origin.label} is not a loopback address")


def check_request(method: str, target: str, headers: bytes) -> None:
    """Raises ValueError for what could not be sent as it stands (see `Client.send`)."""
    if not _METHOD.fullmatch(method):
        raise ValueError("the method must be upper-case letters")
    if not _TARGET.fullmatch(target):
        raise ValueError("the target must start with / and hold only visible ASCII characters")
    if not _HEADERS.fullmatch(headers):
        raise ValueError("the headers must be whole 'name: value' lines, each ended by CRLF, without control bytes")
    if found := _OURS.search(headers):
        raise ValueError(f"the client itself sets {found.group()[:-1].decode().lower()!r}")


def plain(headers: bytes) -> bytes:
    """The header block, with a wish for an uncompressed answer unless it says something of its own."""
    return headers if _ACCEPT_ENCODING.search(headers) else headers + b"accept-encoding: identity\r\n"


class Client:
    """Keep-alive connections to any number of origins. Sizes in bytes, times in seconds.

    `ssl_context` is used for https as it is; without one the system's CA certificates are trusted, or those
    that SSL_CERT_FILE and SSL_CERT_DIR name (read once, at the first https connection).
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        max_connections_per_origin: int = 256,
        max_idle_per_origin: int = 64,
        idle_expiry: float = 30.0,
        max_header_bytes: int = 65536,
        max_body_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._tls = ssl_context
        self._max_connections = max_connections_per_origin
        self._max_idle = max_idle_per_origin
        self._idle_expiry = idle_expiry
        self._limits = Limits(max_header_bytes, max_body_bytes)
        self._pools: dict[Origin, Pool] = {}
        self._outbox = Outbox()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def send(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: bytes,
        body: bytes,
        deadlines: Deadlines,
        *,
        private: bool = False,
    ) -> Coroutine[Any, Any, Response]:
        """Send a request; returns when the response head has arrived. The body must be read or closed.

        `target` is an absolute path with its query. `headers` is a block of ``name: value\\r\\n`` lines
        without host, content-length, transfer-encoding and connection. `private`: PrivacyError unless the
        origin is loopback, before any name is resolved or socket opened.

        Raises ConnectFault, TimeoutFault (code ``connect_timeout``, ``first_byte_timeout``, ``idle_timeout``
        or ``total_timeout``) or BadAnswerFault, here or while the body is read; ValueError for a method,
        target or header block that could not be sent as it stands (CR, LF, NUL, reserved names).
        """
        return self._exchange(origin, method, target, headers, body, deadlines, private, False)

    def fetch(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: bytes,
        body: bytes,
        deadlines: Deadlines,
        *,
        private: bool = False,
    ) -> Coroutine[Any, Any, Response]:
        """Like `send`, but returns when the whole body has come, in `Response.body`."""
        return self._exchange(origin, method, target, headers, body, deadlines, private, True)

    def post(
        self,
        origin: Origin,
        target: str,
        headers: bytes,
        body: bytes,
        deadlines: Deadlines,
        then: Callable[[], None],
        *,
        whole: bool,
    ) -> Response | None:
        """`send`, or `fetch` for the `whole` answer, by POST, for whoever does not wait: `then` is called whenever
        something has come, or once all of it has, and when it has failed (`Response.fault`, which may be a
        `StaleConnectionFault`), unless the response is closed before. Who wants to wait after all sets `then` to None.

        None, with nothing sent, where that takes more than an idle connection and a request like one before: then it is
        for `fetch`.
        """
        pool = self._pools.get(origin)
        if pool is None or (head := pool.heads.get(("POST", target, headers))) is None:
            return None
        now = asyncio.get_running_loop().time()
        connection = pool.take(now)
        if connection is None:
            return None
        head += b"content-length: %d\r\n\r\n" % len(body)
        response = connection.start(head, body, deadlines, now + deadlines.total, whole=whole, head_only=False)
        if response.fault is not None:  # it was lost that very moment
            return None
        response.then = then
        return response

    def sever(self, origin: Origin) -> None:
        """Fail the requests under way to `origin` with ConnectFault: whoever calls this knows that it has ended."""
        pool = self._pools.pop(origin, None)
        for connection in () if pool is None else tuple(pool.connections()):
            connection.fail(ConnectFault(f"{origin.label} has ended"))

    async def aclose(self) -> None:
        """Close every connection; requests under way fail with ConnectFault. Safe to call twice."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while connections := [one for pool in self._pools.values() for one in pool.connections()]:
            for connection in connections:
                connection.fail(ConnectFault("the client was closed"))
            await asyncio.sleep(0)  # until the loop has told them that they are lost
        self._pools.clear()

    async def _exchange(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: bytes,
        body: bytes,
        deadlines: Deadlines,
        private: bool,
        whole: bool,
    ) -> Response:
        if private:
            check_private(origin, private)
        pool = self._pools.get(origin) or self._pool(origin)
        head = pool.heads.get((method, target, headers)) or self._prepare(pool, method, target, headers)
        end = b"content-length: %d\r\n\r\n" % len(body) if body or method in _WITH_BODY else b"\r\n"
        started = asyncio.get_running_loop().time()
        total_at = started + deadlines.total
        connection = pool.take(started)
        retried = False
        while True:
            if connection is None:
                connection = await pool.acquire(min(deadlines.connect, deadlines.total), fresh=retried)
            response = connection.start(head + end, body, deadlines, total_at, whole=whole, head_only=method == "HEAD")
            try:
                return await response.arrived()
            except StaleConnectionFault:
                if retried:
                    raise
            retried, connection = True, None
            pool = self._pools.get(origin) or self._pool(origin)  # may have been swept while we waited

    def _prepare(self, pool: Pool, method: str, target: str, headers: bytes) -> bytes:
        """Check, join and keep what comes before ``content-length``."""
        check_request(method, target, headers)
        line = f"{method} {target} HTTP/1.1\r\nhost: ".encode("ascii")
        head = line + pool.origin.host_header + b"\r\n" + plain(headers)
        pool.remember((method, target, headers), head)
        return head

    def _pool(self, origin: Origin) -> Pool:
        if self._closed:
            raise ConnectFault("the client was closed")
        pool = self._pools[origin] = Pool(
            origin,
            self._dial,
            self._on_idle,
            limits=self._limits,
            max_connections=self._max_connections,
            max_idle=self._max_idle,
            idle_expiry=self._idle_expiry,
        )
        return pool

    async def _dial(self, pool: Pool) -> Connection:
        tls = None
        if pool.origin.scheme == "https":
            if self._tls is None:
                # reads the CA files: not on the event loop
                self._tls = await asyncio.to_thread(_default_tls)
            tls = self._tls
        loop = asyncio.get_running_loop()
        connection = await dial(pool.origin, lambda: Connection(pool, loop, self._outbox), tls)
        if self._closed:
            connection.drop()
            raise ConnectFault("the client was closed")
        return connection

    def _on_idle(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._idle_expiry, self._sweep)

    def _sweep(self) -> None:
        """Close idle connections, at most twice `idle_expiry` after their last use, and forget empty pools."""
        self._sweeper = None
        now = asyncio.get_running_loop().time()
        idle = [pool.sweep(now) for pool in self._pools.values()]
        for origin in [origin for origin, pool in self._pools.items() if pool.empty]:
            del self._pools[origin]
        if any(idle):
            self._on_idle()


def _default_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
