"""Raw bytes against the server's edge, in process, over a transport that only remembers.

    python -m fuzz.fuzz_http --inputs 1000000 --seed 1

Each input is given to one connection whole and to another in pieces. Held to, every time:

- nothing is raised, nothing is logged, no task, body or connection stays behind;
- what comes out is a row of well-formed responses; a refusal has the API's error shape and is the last;
- whole or in pieces, the application sees the same requests and the client the same answers (only the reason
  of a refusal may differ: which limit is met first depends on what has come);
- what comes once more on the same connection, the same or changed a little, fares as on a new one (the server
  knows a head again);
- what the application sees is no smuggled thing: one Host, one way to tell the length, and that length.

Prints one JSON line; exits 1 with the offending input at the first failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any, cast

from fuzz.mutate import Mutator

from rung.doors.edge import Edge, ServerState
from rung.doors.intake import IDLE
from rung.doors.protocol import EdgeProtocol

SEEDS = [
    b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /slow?q=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    b"HEAD /%C3%A9 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b'POST /b HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"a":[1]}',
    b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\nA\r\n0123456789\r\n0\r\nT: v"
    b"\r\n\r\n",
    b"POST /slow HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]

TOKENS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b"\0",
        b":",
        b": ",
        b",",
        b";",
        b"%",
        b"%00",
        b"%ff",
        b"\x80\xff",
    ),
    *(b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"content-length:5\r\n", b"Content-Length : 1\r\n"),
    *(b"Content-Length: 18446744073709551616\r\n", b"Content-Length: 4000\r\n", b"Content-Length: -1\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"transfer-encoding:\tchunked\r\n"),
    *(
        b"Transfer-Encoding: identity\r\n",
        b"TE: trailers\r\n",
        b"Host: b\r\n",
        b"Host:\r\n",
        b"Expect: 100-continue\r\n",
    ),
    *(b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Connection: close, upgrade\r\n", b"Upgrade: h2c\r\n"),
    *(
        b"0\r\n\r\n",
        b"5\r\nabcde\r\n",
        b"fffffffffffffffff\r\n",
        b"1\r\n",
        b"0",
        b"-1",
        b"+1",
        b"0x1",
        b"X: y\r\n",
        b" folded\r\n",
    ),
    *(
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b"HTTP/0.9",
        b"HTTP/9.9",
        b"GET ",
        b"POST ",
        b"/",
        b"//",
        b"http://a/",
        b"?",
        b"#",
    ),
    b"X: " + b"a" * 3000 + b"\r\n",
    b"Y: z\r\n" * 150,
]

EDGE = Edge(body_limit=2000, header_timeout=3600, body_timeout=3600, keep_alive=3600)

Request = tuple[str, str, bytes]
Reply = tuple[int, bytes]
Outcome = tuple[list[Request], list[Reply]]


class Failure(Exception):
    """Something that must not be; the message says what."""


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.paused = False
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1)

    def set_write_buffer_limits(self, high: int, low: int) -> None: ...

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Fuzzer:
    """Feeds inputs and checks what comes of them."""

    def __init__(self, mutator: Mutator) -> None:
        self.statuses: Counter[int] = Counter()
        self._mutator = mutator
        self._state = ServerState(self._app, EDGE)
        self._seen: list[Request] = []
        self._open = False  # did the last connection wait for another request?
        self._noise: list[str] = []
        self._listener = logging.Handler()
        self._listener.emit = lambda record: self._noise.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger().addHandler(self._listener)
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self._noise.append(str(context)))

    def close(self) -> None:
        """Stop listening to the log."""
        logging.getLogger().removeHandler(self._listener)

    async def _app(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        names = [name for name, _ in scope["headers"]]
        lengths = [int(value) for name, value in scope["headers"] if name == b"content-length"]
        if names.count(b"host") != 1 and scope["http_version"] == "1.1":
            self._noise.append("a request without exactly one Host")
        if len(lengths) + names.count(b"transfer-encoding") > 1:
            self._noise.append("a request with two lengths")
        if b"transfer-encoding" not in names and (lengths or [0]) != [len(body)]:
            self._noise.append("a body of another length than was said")
        self._seen.append((scope["method"], scope["path"], body))
        if scope["path"] == "/slow":
            await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok %d" % len(body), "more_body": scope["path"] == "/c"})
        if scope["path"] == "/c":
            await send({"type": "http.response.body", "body": b"."})

    async def one(self) -> None:
        """One input, whole and in pieces. Raises Failure."""
        data = self._mutator.make()
        pieces = self._mutator.pieces(data)
        try:
            whole, waits = await self._give([data]), self._open
            cut = await self._give(pieces)
            if not _alike(whole, cut):
                raise Failure(f"whole: {str(whole)[-800:]}\nin pieces: {str(cut)[-800:]}")
            if waits and not _over(whole):  # it lingers after a refusal, without a transport that could be closed
                more = self._mutator.nearly(data)
                pieces = [data, more]
                again, alone = await self._give(pieces, told=1), await self._give([more])
                if not _alike(again, alone):
                    raise Failure(f"again: {str(again)[-800:]}\nalone: {str(alone)[-800:]}")
        except Exception as error:
            raise Failure(f"{type(error).__name__}: {error}\ninput: {data!r}\npieces: {pieces!r}") from error
        self.statuses.update(status for status, _ in whole[1])

    async def _give(self, pieces: Sequence[bytes], told: int = 0) -> Outcome:
        """What becomes of `pieces` on one connection, from the piece numbered `told` on."""
        connection, wire = EdgeProtocol(self._state), Wire()
        connection.connection_made(cast(asyncio.Transport, wire))
        for number, piece in enumerate(pieces):
            if number == told:
                self._seen = []
                wire.written.clear()
            connection.data_received(piece)
            await self._settle()
        self._open = not wire.closed and connection._intake.phase == IDLE
        connection.eof_received()
        await self._settle()
        connection.connection_lost(None)
        state = self._state
        if state.exchanges or state.connections or state.buffered:
            raise Failure("something stayed behind")
        if self._noise:
            raise Failure(self._noise[0])
        replies = read_replies(bytes(wire.written), self._seen)
        return self._seen, replies

    async def _settle(self) -> None:
        for _ in range(1000):
            await asyncio.sleep(0)
            if not self._state.exchanges:
                await asyncio.sleep(0)
                if not self._state.exchanges:
                    return
        raise Failure("a call that never ends")


def _alike(whole: Outcome, cut: Outcome) -> bool:
    """The same requests seen and answers given. What the pipeline's limit cut off does not count."""
    seen, replies = (whole[0], cut[0]), (_answers(whole[1]), _answers(cut[1]))
    if _over(whole) or _over(cut):
        shorter = min(len(whole[0]), len(cut[0]))
        return seen[0][:shorter] == seen[1][:shorter] and replies[0][:shorter] == replies[1][:shorter]
    return seen[0] == seen[1] and replies[0] == replies[1]


def _over(outcome: Outcome) -> bool:
    """Were there more requests at once than a connection may have?"""
    return any(body == b"pipeline_full" for _, body in outcome[1])


def _answers(replies: Sequence[Reply]) -> list[bytes | None]:
    return [body if status < 400 else None for status, body in replies]


def read_replies(data: bytes, seen: Sequence[Request]) -> list[Reply]:
    """Status and body of every final response. Raises Failure for what no client could read."""
    replies: list[Reply] = []
    while data:
        head, found, data = data.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        if not found or not first.startswith(b"HTTP/1.1 "):
            raise Failure(f"no head: {head!r}")
        status = int(first[9:12])
        if status == 100:
            continue
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        head_only = status == 200 and len(replies) < len(seen) and seen[len(replies)][0] == "HEAD"
        body = b""
        if head_only:
            pass
        elif headers.get(b"transfer-encoding") == b"chunked":
            while True:
                size, _, data = data.partition(b"\r\n")
                length = int(size, 16)
                body, data = body + data[:length], data[length:]
                if data[:2] != b"\r\n":
                    raise Failure("a chunk without its end")
                data = data[2:]
                if not length:
                    break
        elif b"content-length" in headers:
            length = int(headers[b"content-length"])
            body, data = data[:length], data[length:]
            if len(body) != length:
                raise Failure("a short body")
        else:
            body, data = data, b""
        if status >= 400:
            error = json.loads(body)["error"]
            if set(error) != {"message", "type", "param", "code"} or headers[b"connection"] != b"close" or data:
                raise Failure("a refusal of another shape")
            body = error["code"].encode()
        replies.append((status, body))
    if sum(status == 200 for status, _ in replies) != len(seen):
        raise Failure(f"{len(seen)} calls, answers {replies}")
    return replies


async def run(inputs: int, seed: int) -> dict[str, Any]:
    """Feed that many inputs; -> figures. Raises Failure."""
    fuzzer = Fuzzer(Mutator(Random(seed), SEEDS, TOKENS))  # noqa: S311
    started = time.perf_counter()
    early = 0
    try:
        for number in range(inputs):
            await fuzzer.one()
            if number == inputs // 10:
                early = peak_kilobytes()
    finally:
        fuzzer.close()
    return {
        "fuzz": "http",
        "inputs": inputs,
        "seed": seed,
        "seconds": round(time.perf_counter() - started, 1),
        "statuses": dict(sorted(fuzzer.statuses.items())),
        "peak_rss_growth_kb_after_a_tenth": peak_kilobytes() - early,
    }


def peak_kilobytes() -> int:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        figures = asyncio.run(run(options.inputs, options.seed))
    except Failure as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
