"""Bytes in, whole requests out: HTTP/1.1 parsing held to the edge's limits.

llhttp (through httptools, with none of its leniencies) does the parsing and refuses most of what request
smuggling lives on: bare CR or LF, folded headers, two lengths, a length beside a transfer coding. The
rest of what this server will not take is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

import httptools

from rung.doors.edge import ServerState
from rung.doors.exchange import Scope
from rung.errors import InvalidRequestError, OverloadedError, RequestTooLargeError, RungError

HEADERS_LIMIT = 128
"""header fields of one request"""

BODY_PACE = 16 * 1024
"""bytes that each `Edge.body_timeout` must bring"""

SMALL_BODY = 64 * 1024
"""bodies up to this size are not counted against `Edge.buffered_limit`"""

KNOWN_LIMIT = 4096
"""bytes of a head that is kept to be known again"""

IDLE, HEAD, BODY = range(3)

Address = tuple[str, int] | None

_ASGI = {"version": "3.0", "spec_version": "2.3"}

_HASH, _PERCENT = b"#%"  # a byte, not bytes: looking for bytes with `in` raises and drops an exception first

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,8})\r\n")


class Head:
    """The head of a request whose body came with it, to know it again: clients repeat theirs, byte for byte but for
    the body's length. What was found out about it holds as long as it is the same.

    Attributes:
        scope: ASGI's, for a body of `digits` bytes.
        found: whatever the application found out about this head.
    """

    __slots__ = ("after", "before", "digits", "found", "scope")

    def __init__(self, before: bytes, digits: bytes, after: bytes, scope: Scope) -> None:
        self.before, self.digits, self.after = before, digits, after
        self.scope = scope
        self.found: Any = None

    def body_of(self, data: bytes) -> bytes | None:
        """The body in `data`, if that is this head and all of its body, and nothing else."""
        if not data.startswith(self.before):
            return None
        start = len(self.before)
        end = data.find(b"\r", start, start + 9)
        if end < 0 or not data.startswith(self.after, end):
            return None
        digits = data[start:end]
        body = data[end + len(self.after) :]
        if not digits.isdigit() or int(digits) != len(body):
            return None
        if digits != self.digits:
            self.digits = digits
            headers = [(name, digits if name == b"content-length" else value) for name, value in self.scope["headers"]]
            self.scope = {**self.scope, "headers": headers}
        return body


Take = Callable[[Scope, bytes, bool, int, Head | None], None]


class Intake:
    """Parses one connection's requests and hands each over as it becomes whole.

    `take` gets the ASGI scope (not to be changed), the body, whether the connection may be kept, how many bytes
    of body are counted in `ServerState.buffered` (whoever takes them gives them back), and the head if it is the
    same as the last one's. It may raise RungError.

    Attributes:
        phase: where in a request the parser stands: `IDLE` (between two), `HEAD` or `BODY`.
        promise: the client waits for ``100 Continue`` before it sends the body.
    """

    def __init__(self, state: ServerState, take: Take, client: Address, server: Address) -> None:
        self.phase = IDLE
        self.promise = False
        self._state = state
        self._edge = state.edge
        self._take = take
        self._client = client
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._begun = 0  # requests begun in the slice being parsed
        self._head_size = 0  # bytes of an unfinished head; 0: it began in this slice
        self._overhead = 0  # bytes on the wire since the last piece of body: chunk sizes, trailers
        self._pace = 0  # size of the body when its deadline was last moved
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._scope: Scope = {}
        self._keep_alive = True
        self._body: bytes | bytearray = b""
        self._counted = 0
        self._last: Head | None = None

    def feed(self, data: bytes | memoryview) -> bool:
        """Parse `data`, no longer than `Edge.header_limit`. True: a deadline starts anew (see `patience`).

        Raises RungError for what is refused; nothing may be fed after that.
        """
        before = self.phase
        if before == IDLE and self._last is not None and type(data) is bytes:
            body = self._last.body_of(data)
            if body is not None and len(body) <= self._edge.body_limit:
                # The parser stands between two requests, so it would find in these bytes what it found in the last.
                self._take(self._last.scope, body, True, 0, self._last)
                return False
        self._last = None
        self._begun = 0
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._drop_body()
            if isinstance(error.__context__, RungError):
                raise error.__context__ from None
            if isinstance(error, httptools.HttpParserCallbackError):
                raise  # a bug of ours
            if self.phase == IDLE and not self._keep_alive:
                return False  # bytes after a last request, which nobody will read
            raise _unparsable(error, bytes(data[:16])) from None
        if self.phase == IDLE:
            if before == IDLE and self._begun == 1 and type(data) is bytes:
                self._last = self._known(data)
            return False
        return self._check_head(before, len(data)) if self.phase == HEAD else self._check_body(before, len(data))

    def _known(self, data: bytes) -> Head | None:
        """The head of the request in `data`, if it can be known again: nothing in it but the length is of one body."""
        end = data.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(data, 0, end - 2)
        if length is None or end > KNOWN_LIMIT or int(length[1]) != len(data) - end:
            return None
        if not self._keep_alive or self.promise:
            return None
        return Head(data[: length.start(1)], length[1], data[length.end(1) : end], self._scope)

    def patience(self) -> float:
        """Seconds within which more has to come."""
        edge = self._edge
        return (edge.keep_alive, edge.header_timeout, edge.body_timeout)[self.phase]

    def too_late(self) -> RungError:
        """What to say to a client that was too slow for `patience`."""
        what = "the headers" if self.phase == HEAD else "the body"
        return _bad(f"{what} did not arrive within {self.patience():g} s", code="request_timeout", status=408)

    def close(self) -> None:
        """Forget the request that is coming in, and the parser, which holds on to us."""
        self._drop_body()
        del self._parser

    def _drop_body(self) -> None:
        self._state.buffered -= self._counted
        self._counted = 0
        self._body = b""

    def _check_head(self, before: int, size: int) -> bool:
        """A head has come in part: hold it to its size, whatever pieces it comes in."""
        anew = before != HEAD or self._begun > 0
        if not anew:
            self._head_size += size
        else:  # where in the slice it began is known only if the slice began with it
            self._head_size = size if before == IDLE and self._begun == 1 else 1
        if self._head_size > self._edge.header_limit or len(self._headers) > HEADERS_LIMIT:
            raise self._head_too_large()
        return anew

    def _check_body(self, before: int, size: int) -> bool:
        """A body has come in part: hold it to its pace, its overhead and our memory."""
        got = len(self._body)
        anew = before != BODY or self._begun > 0
        if anew:
            self._overhead = 0
        self._overhead += size
        if self._overhead > 2 * self._edge.header_limit:
            raise _bad("the chunk extensions or trailers of the body are too long")
        if got > SMALL_BODY:
            self._count_body(got)
        if anew or got - self._pace >= BODY_PACE:
            self._pace = got
            return True
        return False

    def _count_body(self, size: int) -> None:
        state = self._state
        state.buffered += size - self._counted
        self._counted = size
        if state.buffered > max(self._edge.buffered_limit, self._edge.body_limit):  # one always fits
            raise OverloadedError("the gateway is holding too many large bodies; try again")

    # --- called by the parser: what these raise comes out of feed_data as the context of its error

    def on_message_begin(self) -> None:
        self.phase = HEAD
        self._begun += 1
        self._head_size = 0
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase == HEAD:  # else a trailer, which we do not need
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        version = parser.get_http_version()
        if version != "1.1" and version != "1.0":
            raise _bad("this server speaks HTTP/1.1", code="http_version", status=505)
        if parser.should_upgrade():
            raise _bad("tunnels and protocol upgrades are not served; send plain HTTP/1.1", status=501)
        self._check_headers(version)
        path, raw_path, query = _split_target(self._url)
        self._scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": parser.get_method().decode("ascii"),
            "scheme": "http",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": self._client,
            "server": self._server,
            "state": self._state.shared,
        }
        self.phase = BODY

    def _check_headers(self, version: str) -> None:
        headers = self._headers
        fields = dict(headers)
        if len(fields) < len(headers):
            self._check_repeated([name for name, _ in headers])
        if version == "1.1" and b"host" not in fields:
            raise _one_host()
        coding = fields.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
            raise _only_chunked()
        if len(headers) > HEADERS_LIMIT or (self._head_size and self._sum_head() > self._edge.header_limit):
            raise self._head_too_large()
        length = fields.get(b"content-length")
        if length is not None and int(length) > self._edge.body_limit:
            raise self._body_too_large()
        self.promise = False
        expect = fields.get(b"expect")
        if expect:
            if expect.lower() != b"100-continue":
                raise _bad("the only expectation met is '100-continue'", status=417)
            self.promise = version == "1.1"

    def _check_repeated(self, names: list[bytes]) -> None:
        """llhttp refuses a second content-length itself."""
        if names.count(b"host") > 1:
            raise _one_host()
        if names.count(b"transfer-encoding") > 1:
            raise _only_chunked()

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        if not self._body:
            self._body = body
        elif isinstance(self._body, bytes):
            self._body = bytearray(self._body) + body
        else:
            self._body += body
        if len(self._body) > self._edge.body_limit:
            raise self._body_too_large()

    def on_message_complete(self) -> None:
        self.phase = IDLE
        self._keep_alive = self._parser.should_keep_alive()  # only now: a trailer may have said otherwise
        body = self._body if type(self._body) is bytes else bytes(self._body)
        if len(body) > SMALL_BODY:
            self._count_body(len(body))
        held, self._counted = self._counted, 0
        self._pace = 0
        self._body = b""
        self._take(self._scope, body, self._keep_alive, held, None)

    def _sum_head(self) -> int:
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)

    def _head_too_large(self) -> RungError:
        return _bad(
            f"the request line and headers may hold {self._edge.header_limit} bytes and {HEADERS_LIMIT} fields",
            code="headers_too_large",
            status=431,
        )

    def _body_too_large(self) -> RungError:
        return RequestTooLargeError(f"the body may hold {self._edge.body_limit} bytes (server.body_limit)")


def _bad(message: str, *, code: str = "bad_request", status: int = 400) -> RungError:
    return InvalidRequestError(message, code=code, status=status)


def _one_host() -> RungError:
    return _bad("a request needs exactly one Host header")


def _only_chunked() -> RungError:
    return _bad("the only transfer coding served is 'chunked', in HTTP/1.1", status=501)


def _unparsable(error: Exception, start: bytes) -> RungError:
    """Why llhttp gave up, in a sentence; `start` is the beginning of what it read."""
    if start.startswith(b"\x16\x03"):
        return _bad("this is a plain HTTP port, not TLS: use http://")
    if "PRI" in str(error):
        return _bad("HTTP/2 is not served here; use HTTP/1.1", code="http_version", status=505)
    return _bad(f"this is not valid HTTP/1.1: {error}")


def _split_target(target: bytes) -> tuple[str, bytes, bytes]:
    """-> (path, path as sent, query). Raises InvalidRequestError for what is no path of this server."""
    if target[:1] != b"/" or _HASH in target:
        raise _bad("the request target must be a path, such as /v1/chat/completions; rung is no forward proxy")
    raw, _, query = target.partition(b"?")
    if _PERCENT not in raw:
        return raw.decode("ascii"), raw, query
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise _bad("the path is not UTF-8") from None
    if "\0" in path:
        raise _bad("the path holds a NUL")
    return path, raw, query


def address(name: Any) -> Address:
    """A socket's name as ASGI wants it; None for what has no host and port."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
