"""The server's edge: its limits, what the connections of one server share, and how a refusal reads."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from rung.doors.exchange import App, Direct, Exchange, status_line
from rung.errors import RungError
from rung.wire.outbox import Outbox

if TYPE_CHECKING:
    from rung.doors.protocol import EdgeProtocol


@dataclass(frozen=True, slots=True)
class Edge:
    """Limits of the server's edge: sizes in bytes, times in seconds."""

    header_limit: int = 32 * 1024
    """request line and headers of one request"""
    header_timeout: float = 10.0
    """from the first byte of a request to the end of its headers"""
    body_limit: int = 20 * 1024 * 1024
    body_timeout: float = 30.0
    """within which the next 16 KiB of a body, or its end, must come"""
    keep_alive: float = 75.0
    """a connection may stay idle this long"""
    write_timeout: float = 30.0
    """within which a client must take a quarter of a full write buffer, or the rest of a last answer"""
    write_buffer_limit: int = 1024 * 1024
    """bytes a client has not taken yet, after which its answer waits"""
    max_connections: int = 2000
    max_streams: int = 1000
    """requests being answered at once"""
    buffered_limit: int = 256 * 1024 * 1024
    """bodies over 64 KiB of all connections together, from their first byte to the end of the answer"""


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class ServerState:
    """What the connections of one server share. `shared` is ASGI's ``scope["state"]``."""

    def __init__(self, app: App, edge: Edge) -> None:
        self.app = app
        self.direct: Direct | None = getattr(app, "direct", None)
        self.edge = edge
        self.connections: set[EdgeProtocol] = set()
        self.exchanges: set[Exchange] = set()
        self.outbox = Outbox()
        self.buffered = 0
        self.draining = False
        self.shared: dict[str, Any] = {"draining": False}
        self.emptied = asyncio.Event()
        self._date = b""
        self._date_until = 0.0

    def date(self) -> bytes:
        """The ``date`` header line, made anew once a second."""
        now = time.monotonic()
        if now >= self._date_until:
            self._date = b"date: %b\r\n" % _date().encode("ascii")
            self._date_until = now + 1.0
        return self._date

    def forget_connection(self, connection: EdgeProtocol) -> None:
        self.connections.discard(connection)
        if self.draining:
            self._tell_if_empty()

    def forget_exchange(self, exchange: Exchange) -> None:
        self.exchanges.discard(exchange)
        if self.draining:
            self._tell_if_empty()

    def _tell_if_empty(self) -> None:
        """While draining: somebody waits for the last connection and exchange."""
        if not self.connections and not self.exchanges:
            self.emptied.set()


def refusal(error: RungError, date: bytes = b"") -> bytes:
    """A whole response that says `error` and closes."""
    body = orjson.dumps(error.body())
    return b"%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n%b\r\n%b" % (
        status_line(error.status),
        len(body),
        date,
        body,
    )


def _date() -> str:
    """Now as HTTP writes it (RFC 9110, 5.6.7), whatever the locale."""
    now = time.gmtime()
    return f"{_DAYS[now.tm_wday]}, {now.tm_mday:02} {_MONTHS[now.tm_mon - 1]} {time.strftime('%Y %H:%M:%S', now)} GMT"
