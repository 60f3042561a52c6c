"""A small, fast upstream for the client's benchmark: one JSON answer, or 20 SSE chunks, per request.

Prints its port, then serves until its standard input ends. Run by `bench_client.py`.
"""

import asyncio
import contextlib
import sys

import uvloop

_ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"mock","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Hello from the mock upstream."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":12,"completion_tokens":7,"total_tokens":19}}'
)
_CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"mock",'
    b'"choices":[{"index":0,"delta":{"content":"tok"},"finish_reason":null}]}\n\n'
)
_EXTRA = b"date: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: mock\r\nx-request-id: 0123456789abcdef\r\nvary: origin\r\n"
_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b" % (
    _EXTRA,
    len(_ANSWER),
    _ANSWER,
)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n" + _EXTRA + b"transfer-encoding: chunked\r\n\r\n"
_FRAMED = b"%x\r\n%b\r\n" % (len(_CHUNK), _CHUNK)
_CHUNKS = 20


class Upstream(asyncio.Protocol):
    """Requests must come whole and one at a time, as the benchmark sends them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"POST /stream"):
            self.transport.write(_HEAD + _FRAMED)
            self.left = _CHUNKS - 1
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self.transport.write(_WHOLE)

    def _next(self) -> None:
        # one write per chunk and per turn of the loop, as a model sends its tokens
        self.left -= 1
        self.transport.write(_FRAMED if self.left else _FRAMED + b"0\r\n\r\n")
        if self.left:
            asyncio.get_running_loop().call_soon(self._next)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


with contextlib.suppress(KeyboardInterrupt):
    uvloop.run(main())
