"""The server's edge over real sockets: every request here is raw bytes, every answer is read to its end."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.doors.edge import Edge, ServerState
from rung.doors.exchange import Exchange
from rung.doors.protocol import PIPELINE_LIMIT, EdgeProtocol
from rung.doors.server import Server

EDGE = Edge(header_timeout=5, body_timeout=5, keep_alive=5, write_timeout=5)

HELLO = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.body)["error"]


def parse_replies(data: bytes) -> list[Reply]:
    """An independent reader of responses; asserts that each is well formed. 1xx are skipped."""
    replies = []
    while data:
        head, found, data = data.partition(b"\r\n\r\n")
        assert found, f"a head without an end: {head!r}"
        first, *lines = head.split(b"\r\n")
        version, code, *_ = first.split(b" ")
        assert version == b"HTTP/1.1"
        status = int(code)
        if status < 200:
            assert not lines
            continue
        headers = {}
        for line in lines:
            name, colon, value = line.partition(b": ")
            assert colon
            headers[name.decode()] = value.decode()
        whole = True
        if "content-length" in headers:
            size = int(headers["content-length"])
            whole = len(data) >= size
            body, data = data[:size], data[size:]
        elif headers.get("transfer-encoding") == "chunked":
            body, data, whole = _read_chunks(data)
        elif status == 204:
            body = b""
        else:
            body, data = data, b""
        replies.append(Reply(status, headers, body, whole))
    return replies


def _read_chunks(data: bytes) -> tuple[bytes, bytes, bool]:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        chunk = data[: int(size, 16)]
        assert len(data) < len(chunk) + 2 or data[len(chunk) : len(chunk) + 2] == b"\r\n"
        body, data = body + chunk, data[len(chunk) + 2 :]
        if size == b"0":
            return body, data, True
    return body, data, False


@dataclass
class Site:
    """An application that does what its path says, and remembers what happened to it."""

    calls: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    scopes: list[dict[str, Any]] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope["path"]
        self.calls.append(path)
        self.scopes.append(scope)
        try:
            await getattr(self, "do_" + path.split("/")[1], self.do_hello)(scope, receive, send)
            self.finished.append(path)
        except asyncio.CancelledError:
            self.cancelled.append(path)
            raise
        finally:
            self.ended.set()

    async def do_hello(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        message = await receive()
        assert message["more_body"] is False
        told = {key: scope[key] for key in ("method", "path", "http_version")}
        told["query"] = scope["query_string"].decode("latin-1")
        told["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
        told["body"] = message["body"].decode("latin-1")
        await self.answer(send, json.dumps(told).encode())

    async def answer(self, send: Any, body: bytes, status: int = 200, headers: Any = ()) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    async def do_wait(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.reached.set()
        await self.go.wait()
        await self.answer(send, b"waited")

    async def do_stream(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one", b"", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        self.reached.set()
        if scope["path"] == "/stream/wait":
            await self.go.wait()
        await send({"type": "http.response.body", "body": b"three"})

    async def do_flood(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            self.reached.set()

    async def do_large(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.answer(send, bytes(16 * 1024 * 1024))

    async def do_boom(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        raise ValueError("a secret")

    async def do_cut(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("a secret")

    async def do_silent(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        return

    async def do_cancel(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    async def do_inject(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.answer(send, b"", headers=[(b"x-model", b"a\r\nset-cookie: b")])

    async def do_short(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.answer(send, b"abc", headers=[(b"content-length", b"5")])

    async def do_nothing(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.answer(send, b"", status=204)

    async def do_length(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.answer(send, b"abc", headers=[(b"content-length", b"3"), (b"connection", b"close")])

    async def do_leaving(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        self.reached.set()
        assert await receive() == {"type": "http.disconnect"}


@asynccontextmanager
async def served(app: Any, edge: Edge = EDGE) -> AsyncIterator[tuple[Server, int]]:
    server = Server(app, edge=edge, drain_timeout=5)
    await server.start()
    try:
        yield server, int(server.url.rpartition(":")[2])
    finally:
        await server.drain()
        assert not server.state.connections
        assert not server.state.exchanges
        assert server.state.buffered == 0


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def talk(port: int, *pieces: bytes) -> list[Reply]:
    """Send the pieces with a pause of one loop turn between them, read until the server closes."""
    reader, writer = await connect(port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return parse_replies(await asyncio.wait_for(reader.read(), 20))
    finally:
        writer.close()


async def until(condition: Any) -> None:
    """Wait for something that has no event; the test's own timeout bounds it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def closing(request: bytes) -> bytes:
    return request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """What the server and its loop logged, kept from pytest's own handlers, which write to files on the event loop."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("rung.server", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    yield records
    for logger in loggers:
        logger.propagate = True
        logger.removeHandler(handler)


# --- good requests


async def test_a_whole_request_reaches_the_application() -> None:
    site = Site()
    async with served(site) as (_, port):
        request = b"POST /a%20%C3%A9?q=%20&r HTTP/1.1\r\nHost: a\r\nX-Upper: V\r\nContent-Length: 3\r\n\r\nabc"
        [reply] = await talk(port, closing(request))
    told = json.loads(reply.body)
    assert reply.status == 200
    assert (told["method"], told["path"], told["query"], told["body"]) == ("POST", "/a é", "q=%20&r", "abc")
    assert ["x-upper", "V"] in told["headers"]
    assert reply.headers["connection"] == "close"
    date = parsedate_to_datetime(reply.headers["date"])
    assert abs(datetime.now(UTC) - date) < timedelta(minutes=1)
    assert format_datetime(date, usegmt=True) == reply.headers["date"]
    assert "server" not in reply.headers
    scope = site.scopes[0]
    assert scope["raw_path"] == b"/a%20%C3%A9"
    assert scope["client"][0] == scope["server"][0] == "127.0.0.1"
    assert scope["server"][1] == port


async def test_a_request_may_be_cut_anywhere() -> None:
    request = closing(CHUNKED) + b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
    async with served(Site()) as (_, port):
        for at in range(1, len(request)):
            [reply] = await talk(port, request[:at], request[at:])
            told = json.loads(reply.body)
            assert told["body"] == "abcde"
            assert [name for name, _ in told["headers"]] == ["host", "transfer-encoding", "connection"]


async def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 40_000
    async with served(Site(), Edge(body_limit=len(body))) as (_, port):
        [reply] = await talk(
            port, closing(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)), body
        )
    assert json.loads(reply.body)["body"].encode("latin-1") == body


@pytest.mark.parametrize(
    ("request_bytes", "connection"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", "close"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n", "keep-alive"),
    ],
)
async def test_http_1_0(request_bytes: bytes, connection: str) -> None:
    async with served(Site()) as (_, port):
        replies = await talk(port, request_bytes)
    assert replies[0].headers["connection"] == connection
    assert replies[-1].headers["connection"] == "close"


async def test_streams_are_chunked_and_for_http_1_0_end_with_the_connection() -> None:
    async with served(Site()) as (_, port):
        [new] = await talk(port, closing(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"))
        [old] = await talk(port, b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (new.body, new.headers["transfer-encoding"], new.whole) == (b"onetwothree", "chunked", True)
    assert (old.body, old.headers["connection"]) == (b"onetwothree", "close")
    assert "transfer-encoding" not in old.headers


async def test_head_and_204_have_no_body() -> None:
    async with served(Site()) as (_, port):
        reader, writer = await connect(port)
        writer.write(b"HEAD /length HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await reader.read()
        [nothing] = await talk(port, closing(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"))
        writer.close()
    assert head.endswith(b"\r\n\r\n")
    assert b"content-length: 3\r\n" in head
    assert nothing.status == 204
    assert not {"content-length", "transfer-encoding"} & set(nothing.headers)


async def test_expect_continue_is_met_before_the_body_comes() -> None:
    async with served(Site()) as (_, port):
        reader, writer = await connect(port)
        writer.write(closing(b"POST /hello HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        [reply] = parse_replies(await reader.read())
        writer.close()
    assert json.loads(reply.body)["body"] == "abc"


# --- bad requests


def _post(*headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((b"POST /hello HTTP/1.1", b"Host: a", *headers, b"", body))


BAD = {
    "two lengths": (_post(b"Content-Length: 1", b"Content-Length: 2", body=b"ab"), 400),
    "the same length twice": (_post(b"Content-Length: 1", b"Content-Length: 1", body=b"a"), 400),
    "a list of lengths": (_post(b"Content-Length: 1, 1", body=b"a"), 400),
    "length beside coding": (_post(b"Content-Length: 1", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "coding beside length": (_post(b"Transfer-Encoding: chunked", b"Content-Length: 1", body=b"0\r\n\r\n"), 400),
    "negative length": (_post(b"Content-Length: -1"), 400),
    "signed length": (_post(b"Content-Length: +1", body=b"a"), 400),
    "hex length": (_post(b"Content-Length: 0x1", body=b"a"), 400),
    "empty length": (_post(b"Content-Length:"), 400),
    "endless length": (_post(b"Content-Length: 99999999999999999999999"), 400),
    "unknown coding": (_post(b"Transfer-Encoding: gzip", body=b"abc"), 501),
    "coding before chunked": (_post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
    "coding after chunked": (_post(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"), 400),
    "chunked twice": (_post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "two codings": (_post(b"Transfer-Encoding: x", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 501),
    "almost chunked": (_post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), 501),
    "chunked behind a tab": (_post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), 400),
    "space before the colon": (_post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), 400),
    "chunked in 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    "folded header": (_post(b"X: a", b" b"), 400),
    "line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "a line feed": (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    "a carriage return": (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
    "NUL in a header": (_post(b"X: a\0b"), 400),
    "control character": (_post(b"X: a\x01b"), 400),
    "header without a name": (_post(b": a"), 400),
    "space in a name": (_post(b"X y: a"), 400),
    "name not ASCII": (_post(b"X\xff: a"), 400),
    "chunk size no number": (CHUNKED + b"zz\r\n\r\n", 400),
    "chunk size negative": (CHUNKED + b"-1\r\n\r\n", 400),
    "chunk size with 0x": (CHUNKED + b"0x1\r\na\r\n0\r\n\r\n", 400),
    "chunk size too large": (CHUNKED + b"fffffffffffffffff\r\na\r\n0\r\n\r\n", 400),
    "chunk with line feeds": (CHUNKED + b"1\na\n0\n\n", 400),
    "chunk longer than said": (CHUNKED + b"1\r\nab\r\n0\r\n\r\n", 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/2 version": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "HTTP/0.9": (b"GET / HTTP/0.9\r\n\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "no HTTP at all": (b"\x00\xff\x00", 400),
    "lower case method": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "absolute target": (b"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "websocket": (_post(b"Connection: Upgrade", b"Upgrade: websocket"), 501),
    "h2c": (_post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 3", body=b"abc"), 501),
    "fragment": (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "path not ASCII": (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "path not UTF-8": (b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "overlong UTF-8": (b"GET /%c0%af HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "NUL in the path": (b"GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "space in the path": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "strange expectation": (_post(b"Expect: a miracle", b"Content-Length: 1"), 417),
    "overlong path": (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
    "long header": (_post(b"X: " + b"a" * 33_000), 431),
    "many headers": (_post(*(b"X: %d" % i for i in range(200))), 431),
    "body too large": (_post(b"Content-Length: 20971521"), 413),
    "too large, expected": (_post(b"Content-Length: 20971521", b"Expect: 100-continue"), 413),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_request_gets_a_clear_error(name: str, logged: list[logging.LogRecord]) -> None:
    request, status = BAD[name]
    site = Site()
    async with served(site) as (_, port):
        replies = await talk(port, HELLO, request, HELLO)
    good, bad = replies
    assert good.status == 200
    assert bad.status == status
    assert set(bad.error) == {"message", "type", "param", "code"}
    assert bad.headers["connection"] == "close"
    assert bad.headers["content-type"] == "application/json"
    assert site.calls == ["/hello"]  # neither the bad request nor what follows it
    assert not logged


async def test_all_in_one_packet_the_answers_still_come_in_order() -> None:
    async with served(Site()) as (_, port):
        replies = await talk(port, HELLO + HELLO + BAD["two lengths"][0])
        slow = await talk(port, b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n" + HELLO + BAD["no Host"][0] + HELLO)
    assert [reply.status for reply in replies] == [200, 200, 400]
    assert [reply.status for reply in slow] == [200, 200, 400]


# --- heads that come again


def _asking(body: bytes, *headers: bytes) -> bytes:
    return _post(*headers, b"Content-Length: %d" % len(body), body=body)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> dict[str, Any]:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return dict(json.loads(await reader.readexactly(length)))


async def test_a_head_that_comes_again_is_the_same_request_with_another_body() -> None:
    site = Site()
    async with served(site) as (_, port):
        reader, writer = await connect(port)
        told = [await _exchange(reader, writer, _asking(body, b"X-A: b")) for body in (b"a", b"b", b"0123456789", b"")]
        other = await _exchange(reader, writer, _asking(b"c", b"X-A: c"))
        writer.close()
    assert [one["body"] for one in told] == ["a", "b", "0123456789", ""]
    assert [dict(one["headers"])["content-length"] for one in told] == ["1", "1", "10", "0"]
    assert {dict(one["headers"])["x-a"] for one in told} == {"b"}
    assert dict(other["headers"])["x-a"] == "c"
    assert {key for scope in site.scopes for key in scope} == set(site.scopes[0])


@pytest.mark.parametrize("cut", [5, 40, -1])
async def test_a_head_that_comes_again_may_be_cut_anywhere(cut: int) -> None:
    async with served(Site()) as (_, port):
        reader, writer = await connect(port)
        await _exchange(reader, writer, _asking(b"first"))
        request = _asking(b"second")
        writer.write(request[:cut])
        await writer.drain()
        await asyncio.sleep(0)
        assert (await _exchange(reader, writer, request[cut:]))["body"] == "second"
        writer.close()


async def test_two_requests_with_a_head_that_came_before_are_two() -> None:
    async with served(Site()) as (_, port):
        reader, writer = await connect(port)
        await _exchange(reader, writer, _asking(b"1"))
        writer.write(_asking(b"22") + closing(_asking(b"333")))
        replies = parse_replies(await asyncio.wait_for(reader.read(), 20))
        writer.close()
    assert [json.loads(reply.body)["body"] for reply in replies] == ["22", "333"]


async def test_a_trailer_may_close_the_connection() -> None:
    chunked = _post(b"Transfer-Encoding: chunked", body=b"1\r\na\r\n0\r\nConnection: close\r\n\r\n")
    async with served(Site()) as (_, port):
        [reply] = await talk(port, chunked)
    assert (reply.status, reply.headers["connection"]) == (200, "close")


@pytest.mark.parametrize("length", [b"003", b"007", b"+3", b"3 ", b"0x3", b"3,3", b"99999999999", b"-1", b"2", b""])
async def test_a_strange_length_fares_the_same_after_a_head_that_was_good(length: bytes) -> None:
    """Whatever a fresh connection makes of it."""
    again = _asking(b"abc")
    strange = again.replace(b"Content-Length: 3", b"Content-Length: " + length)
    async with served(Site()) as (_, port):
        fresh = [reply.status for reply in await talk(port, strange + closing(HELLO))]
        after = [reply.status for reply in await talk(port, again, strange + closing(HELLO))][1:]
    assert after == fresh


# --- limits of size


async def test_a_header_is_refused_after_32_kilobytes() -> None:
    async with served(Site()) as (_, port):
        [reply] = await talk(port, b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"a" * 16_000, b"a" * 17_000)
    assert reply.status == 431
    assert reply.error["code"] == "headers_too_large"


class Wire:
    """A transport that keeps what is written and nothing else."""

    def __init__(self) -> None:
        self.written = b""
        self.ended = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1)

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        assert 0 < low < high

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", HELLO[:-4] + b"\r\nY: ", b"GET /", CHUNKED + b"1;"]
)
async def test_24_megabytes_of_one_header_are_not_held(start: bytes) -> None:
    state = ServerState(Site(), EDGE)
    connection, wire = EdgeProtocol(state), Wire()
    connection.connection_made(wire)  # type: ignore[arg-type]
    connection.data_received(start)
    block = b"a" * 65536
    tracemalloc.start()
    for _ in range(24 * 16):
        connection.data_received(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    [reply] = parse_replies(wire.written)
    assert reply.status in (400, 431)
    assert wire.ended
    assert peak < 1024 * 1024
    connection.connection_lost(None)


@pytest.mark.parametrize("piece", [b"X: a\r\n", b"1;" + b"e" * 100 + b"\r\nx\r\n"])
async def test_trailers_and_chunk_extensions_are_bounded(piece: bytes) -> None:
    start = CHUNKED + b"1\r\na\r\n" + (b"0\r\n" if piece.startswith(b"X") else b"")
    async with served(Site(), Edge(body_limit=1000)) as (_, port):
        [reply] = await talk(port, start, *[piece * 300] * 200)
    assert reply.status in (400, 413)


async def test_a_chunked_body_is_refused_at_its_limit() -> None:
    async with served(Site(), Edge(body_limit=1000)) as (_, port):
        [reply] = await talk(port, CHUNKED + b"3e8\r\n" + b"a" * 1000 + b"\r\n1\r\na\r\n0\r\n\r\n")
        [exact] = await talk(port, closing(CHUNKED) + b"3e8\r\n" + b"a" * 1000 + b"\r\n0\r\n\r\n")
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
    assert exact.status == 200


async def test_too_large_is_said_without_waiting_for_the_body() -> None:
    async with served(Site()) as (_, port):
        reader, writer = await connect(port)
        writer.write(BAD["too large, expected"][0])
        data = await reader.read()
        writer.close()
    assert data.startswith(b"HTTP/1.1 413 ")


async def test_large_bodies_share_a_budget() -> None:
    site = Site()
    request = b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
    async with served(site, Edge(buffered_limit=150_000, body_limit=100_000)) as (server, port):
        first, writer = await connect(port)
        writer.write(closing(request) + bytes(100_000))
        await site.reached.wait()
        assert server.state.buffered == 100_000
        [refused] = await talk(port, request + bytes(100_000))
        site.go.set()
        assert parse_replies(await first.read())[0].body == b"waited"
        await until(lambda: server.state.buffered == 0)
        writer.close()
    assert (refused.status, refused.error["code"]) == (503, "overloaded")


# --- deadlines


async def test_slow_headers_get_408_however_they_drip() -> None:
    async with served(Site(), Edge(header_timeout=0.2)) as (_, port):
        reader, writer = await connect(port)
        reading = asyncio.create_task(reader.read())
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 1000:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
            if reading.done():
                break
        [reply] = parse_replies(await reading)
        writer.close()
    assert (reply.status, reply.error["code"]) == (408, "request_timeout")


@pytest.mark.parametrize("request_bytes", [_post(b"Content-Length: 9", body=b"abc"), CHUNKED + b"9\r\nabc"])
async def test_a_body_that_stops_gets_408(request_bytes: bytes) -> None:
    async with served(Site(), Edge(body_timeout=0.05)) as (_, port):
        [reply] = await talk(port, request_bytes)
        [second] = [one for one in await talk(port, HELLO + request_bytes) if one.status != 200]
    assert (reply.status, reply.error["code"]) == (408, "request_timeout")
    assert second.status == 408


async def test_a_body_that_drips_is_too_slow() -> None:
    async with served(Site(), Edge(body_timeout=0.2)) as (_, port):
        reader, writer = await connect(port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        reading = asyncio.create_task(reader.read())
        while not reading.done():
            writer.write(b"a")
            await asyncio.sleep(0.01)
        writer.close()
    assert parse_replies(reading.result())[0].status == 408


@pytest.mark.parametrize("before", [b"", HELLO, b"\r\n"])
async def test_an_idle_connection_is_closed_silently(before: bytes) -> None:
    async with served(Site(), Edge(keep_alive=0.05)) as (_, port):
        replies = await talk(port, before)
    assert [reply.status for reply in replies] == [200] * (before == HELLO)


async def test_blank_lines_do_not_keep_a_connection_alive() -> None:
    async with served(Site(), Edge(keep_alive=0.1)) as (_, port):
        reader, writer = await connect(port)
        reading = asyncio.create_task(reader.read())
        while not reading.done():
            writer.write(b"\r\n")
            await asyncio.sleep(0.01)
        writer.close()
        [end] = await asyncio.gather(reading, return_exceptions=True)
    assert end == b"" or isinstance(end, ConnectionResetError)  # blank lines may cross the close


# --- order on one connection


async def test_pipelined_requests_are_answered_in_order() -> None:
    site = Site()
    paths = [f"/wait/{n}" if n == 0 else f"/hello/{n}" for n in range(50)]
    async with served(site) as (_, port):
        reader, writer = await connect(port)
        for path in paths[:-1]:
            writer.write(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        writer.write(closing(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % paths[-1].encode()))
        await site.reached.wait()
        assert site.calls == ["/wait/0"]
        site.go.set()
        replies = parse_replies(await reader.read())
        writer.close()
    assert [json.loads(reply.body)["path"] for reply in replies[1:]] == paths[1:]
    assert site.calls == paths


async def test_the_pipeline_is_bounded() -> None:
    async with served(Site()) as (_, port):
        replies = await talk(port, b"".join([b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", *[HELLO] * 200]))
    assert [reply.status for reply in replies] == [200] * (PIPELINE_LIMIT + 1) + [503]
    assert replies[-1].error["code"] == "pipeline_full"


async def test_what_comes_during_an_answer_waits_in_the_socket() -> None:
    site = Site()
    async with served(site) as (server, port):
        reader, writer = await connect(port)
        writer.write(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        await site.reached.wait()
        writer.transport.set_write_buffer_limits(high=1)
        body = bytes(8 * 1024 * 1024)
        writer.write(closing(b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)) + body)
        [connection] = server.state.connections
        await until(lambda: connection._reading_paused)
        assert len(connection._unread) < 1024 * 1024
        site.go.set()
        replies = parse_replies(await reader.read())
        writer.close()
    assert [reply.status for reply in replies] == [200, 200]
    assert len(json.loads(replies[1].body)["body"]) == len(body)


async def test_nothing_after_a_last_request_is_answered() -> None:
    site = Site()
    async with served(site) as (_, port):
        replies = await talk(port, closing(HELLO) + HELLO + b"garbage")
    assert [reply.status for reply in replies] == [200]
    assert site.calls == ["/hello"]


# --- how many at once


async def test_connections_are_limited() -> None:
    async with served(Site(), Edge(max_connections=2)) as (server, port):
        kept = [await connect(port) for _ in range(2)]
        await until(lambda: len(server.state.connections) == 2)
        [reply] = await talk(port, HELLO)
        kept[0][1].close()
        await until(lambda: len(server.state.connections) == 1)
        [again] = await talk(port, closing(HELLO))
        kept[1][1].close()
    assert (reply.status, reply.error["code"]) == (503, "too_many_connections")
    assert again.status == 200


async def test_refused_connections_do_not_pile_up() -> None:
    async with served(Site(), Edge(max_connections=1)) as (server, port):
        kept = [await connect(port) for _ in range(6)]
        await asyncio.gather(*(reader.read() for reader, _ in kept[2:]), return_exceptions=True)
        assert len(server.state.connections) <= 2
        for _, writer in kept:
            writer.close()


async def test_streams_are_limited() -> None:
    site = Site()
    async with served(site, Edge(max_streams=1)) as (_, port):
        reader, writer = await connect(port)
        writer.write(closing(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"))
        await site.reached.wait()
        [reply] = await talk(port, HELLO)
        site.go.set()
        assert parse_replies(await reader.read())[0].status == 200
        [again] = await talk(port, closing(HELLO))
        writer.close()
    assert (reply.status, reply.error["code"]) == (503, "overloaded")
    assert again.status == 200


# --- clients that leave


@pytest.mark.parametrize("path", ["wait", "stream/wait"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_leaves_cancels_its_call(path: str, how: str, logged: list[logging.LogRecord]) -> None:
    site = Site()
    async with served(site) as (_, port):
        _, writer = await connect(port)
        writer.write(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode() + HELLO)
        await site.reached.wait()
        if how == "reset":
            writer.transport.abort()
        else:
            writer.close()
        await asyncio.wait_for(site.ended.wait(), 2)
    assert site.cancelled == ["/" + path]
    assert site.calls == ["/" + path]  # the one behind it was never begun
    assert not logged


async def test_a_client_that_closed_its_half_still_gets_its_answer() -> None:
    site = Site()
    async with served(site) as (_, port):
        reader, writer = await connect(port)
        writer.write(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" + HELLO)
        writer.write_eof()
        await site.reached.wait()
        assert await reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"  # are you there?
        site.go.set()
        replies = parse_replies(await reader.read())
        writer.close()
    assert [reply.status for reply in replies] == [200, 200]


async def test_a_client_that_closed_its_half_and_then_left_is_noticed() -> None:
    site = Site()
    async with served(site) as (_, port):
        reader, writer = await connect(port)
        writer.write(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        writer.write_eof()
        await reader.readexactly(25)
        writer.transport.abort()
        await asyncio.wait_for(site.ended.wait(), 2)
    assert site.cancelled == ["/wait"]


async def test_a_half_closed_1_0_client_gets_a_quick_answer_and_no_slow_one() -> None:
    site = Site()
    async with served(site) as (_, port):
        for path, answered in ((b"hello", True), (b"wait", False)):
            reader, writer = await connect(port)
            writer.write(b"GET /%b HTTP/1.0\r\n\r\n" % path)
            writer.write_eof()
            assert bool(await reader.read()) is answered
            writer.close()
    assert site.cancelled == ["/wait"]


async def test_a_half_closed_client_may_take_its_time_to_read() -> None:
    async with served(Site(), Edge(write_buffer_limit=65536)) as (server, port):
        reader, writer = await connect(port)
        writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: server.state.connections)
        [connection] = server.state.connections
        await until(lambda: connection.write_paused is not None)
        writer.write_eof()
        await asyncio.sleep(0.01)
        [reply] = parse_replies(await reader.read())
        writer.close()
    assert len(reply.body) == 16 * 1024 * 1024


@pytest.mark.parametrize("request_bytes", [b"GET /he", HELLO[:-2], _post(b"Content-Length: 9", body=b"abc"), CHUNKED])
async def test_a_half_request_then_the_end_gets_400(request_bytes: bytes) -> None:
    async with served(Site()) as (_, port):
        reader, writer = await connect(port)
        writer.write(request_bytes)
        writer.write_eof()
        [reply] = parse_replies(await reader.read())
        writer.write_eof()
        writer.close()
    assert (reply.status, reply.error["code"]) == (400, "incomplete_request")


async def test_work_after_a_complete_answer_is_not_cancelled() -> None:
    site = Site()
    done = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await site.answer(send, b"ok")
        await site.go.wait()
        done.set()

    async with served(app) as (server, port):
        reader, writer = await connect(port)
        writer.write(HELLO)
        await reader.readuntil(b"ok")
        writer.transport.abort()
        await until(lambda: not server.state.connections)
        site.go.set()
        await asyncio.wait_for(done.wait(), 2)


async def test_receive_tells_who_listens_that_the_client_left() -> None:
    site = Site()
    told = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.create_task(receive())
        site.reached.set()
        try:
            await site.go.wait()
        except asyncio.CancelledError:
            assert await waiting == {"type": "http.disconnect"}
            told.set()
            raise

    async with served(app) as (_, port):
        _, writer = await connect(port)
        writer.write(HELLO)
        await site.reached.wait()
        writer.transport.abort()
        await asyncio.wait_for(told.wait(), 2)


# --- clients that do not read


@pytest.mark.parametrize("path", [b"/flood", b"/large"])
async def test_a_client_that_does_not_read_is_dropped(path: bytes) -> None:
    site = Site()
    edge = Edge(write_timeout=0.1, write_buffer_limit=256 * 1024)
    async with served(site, edge) as (server, port):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
        await until(lambda: server.state.connections)
        [connection] = server.state.connections
        await until(lambda: connection.write_paused is not None)
        if path == b"/flood":
            assert connection.transport.get_write_buffer_size() < 512 * 1024
        await until(lambda: not server.state.connections)
        sock.close()
    assert site.cancelled == (["/flood"] if path == b"/flood" else [])


async def test_a_client_that_reads_late_gets_everything() -> None:
    async with served(Site(), Edge(write_buffer_limit=65536)) as (server, port):
        reader, writer = await connect(port)
        writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" + closing(HELLO))
        await until(lambda: server.state.connections)
        [connection] = server.state.connections
        await until(lambda: connection.write_paused is not None)
        replies = parse_replies(await reader.read())
        writer.close()
    assert [len(replies[0].body), replies[1].status] == [16 * 1024 * 1024, 200]


# --- applications that fail


@pytest.mark.parametrize("path", ["boom", "silent", "cancel", "inject", "short"])
async def test_a_failing_application_is_a_500_that_tells_nothing(path: str, logged: list[logging.LogRecord]) -> None:
    async with served(Site()) as (_, port):
        [reply] = await talk(port, b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
    assert reply.status == 500
    assert reply.error["code"] == "internal_error"
    assert b"secret" not in reply.body
    assert len(logged) == 1


async def test_a_stream_that_fails_is_cut_not_ended(logged: list[logging.LogRecord]) -> None:
    async with served(Site()) as (_, port):
        [reply] = await talk(port, b"GET /cut HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (reply.body, reply.whole) == (b"half", False)
    assert len(logged) == 1


async def test_an_application_may_think_again_before_its_first_byte() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    async with served(app) as (_, port):
        [reply] = await talk(port, closing(HELLO))
    assert (reply.status, reply.body) == (404, b"no")


# --- anything at all

FRAGMENTS = st.sampled_from(
    [request for request, _ in BAD.values() if len(request) < 1000]
    + [
        HELLO,
        closing(HELLO),
        CHUNKED,
        b"0\r\n\r\n",
        b"3\r\nabc\r\n",
        b"\r\n",
        b"\n",
        b" ",
        b"GET ",
        b"/wait ",
        b"HTTP/1.1",
    ]
)


def test_any_bytes_end_in_whole_answers_and_a_closed_connection(logged: list[logging.LogRecord]) -> None:
    edge = Edge(header_timeout=0.02, body_timeout=0.02, keep_alive=0.02, body_limit=1000)

    async def talk_and_leave(port: int, data: bytes, cut: int) -> None:
        reader, writer = await connect(port)
        writer.write(data[:cut])
        await asyncio.sleep(0)
        writer.write(data[cut:])
        replies = parse_replies(await asyncio.wait_for(reader.read(), 10))
        assert all(reply.whole and reply.status < 600 for reply in replies)
        assert all(set(reply.error) == {"message", "type", "param", "code"} for reply in replies if reply.status >= 400)
        writer.close()

    with asyncio.Runner() as runner:
        site = Site()
        server = Server(site, edge=edge)
        runner.run(server.start())
        port = int(server.url.rpartition(":")[2])

        @given(pieces=st.lists(FRAGMENTS | st.binary(max_size=64), max_size=6), cut=st.integers(0, 200))
        def feed(pieces: list[bytes], cut: int) -> None:
            site.go.set()
            runner.run(talk_and_leave(port, b"".join(pieces), cut))

        feed()
        runner.run(server.drain())
        assert not server.state.exchanges
        assert not server.state.connections
        assert server.state.buffered == 0
    assert not logged


class AtOnce:
    """An application whose answers take no waiting."""

    async def __call__(self, *asked: Any) -> None: ...

    def direct(self, exchange: Exchange) -> None:
        exchange.whole(200, b"", exchange.scope["path"].encode())


@pytest.mark.parametrize("then", ["the client sends no more", "the next request is refused", "the server closes"])
async def test_an_answer_that_is_still_to_be_written_goes_out_first(then: str) -> None:
    connection, wire = EdgeProtocol(ServerState(AtOnce(), EDGE)), Wire()
    connection.connection_made(wire)  # type: ignore[arg-type]
    connection.data_received(HELLO)
    assert not wire.written  # it waits for the others of this turn
    if then == "the client sends no more":
        assert not connection.eof_received()
    elif then == "the server closes":
        connection.drain()
    else:
        connection.data_received(b"rubbish\r\n\r\n")
    replies = parse_replies(wire.written)
    assert [reply.status for reply in replies] == ([200, 400] if "refused" in then else [200])
    assert replies[0].body == b"/hello"
    connection.connection_lost(None)
