"""One client connection: HTTP/1.1 read by hand, so that what is written can be as wrong as a scenario wants."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 64 * 1024 * 1024
_BLOCK = 64 * 1024


class BadRequest(Exception):
    """What was sent is not a request this server reads."""


@dataclass(slots=True)
class Incoming:
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """Requests in, bytes out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()

    async def _more(self) -> bool:
        data = await self._reader.read(_BLOCK)
        self._buffer += data
        return bool(data)

    async def read(self) -> Incoming | None:
        """The next request; None when the client has closed. Raises BadRequest."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEAD_LIMIT:
                raise BadRequest("the head is too long")
            if not await self._more():
                return None
        head = bytes(self._buffer[:end]).decode("latin-1")
        del self._buffer[: end + 4]
        first, *lines = head.split("\r\n")
        parts = first.split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise BadRequest("not HTTP/1.1")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = (
            await self._chunked() if "chunked" in headers.get("transfer-encoding", "") else await self._sized(headers)
        )
        url = urlsplit(parts[1])
        return Incoming(parts[0], unquote(url.path), dict(parse_qsl(url.query)), headers, body)

    async def _sized(self, headers: Mapping[str, str]) -> bytes:
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_LIMIT:
            raise BadRequest("content-length cannot be used")
        return await self._take(int(length))

    async def _chunked(self) -> bytes:
        body = bytearray()
        while True:
            while (end := self._buffer.find(b"\r\n")) < 0:
                if len(self._buffer) > HEAD_LIMIT or not await self._more():
                    raise BadRequest("a chunk has no size")
            try:
                size = int(bytes(self._buffer[:end]).partition(b";")[0], 16)
            except ValueError:
                raise BadRequest("a chunk's size cannot be read") from None
            del self._buffer[: end + 2]
            if size < 0 or len(body) + size > BODY_LIMIT:
                raise BadRequest("the body is too long")
            body += (await self._take(size + 2))[:-2]
            if not size:
                return bytes(body)

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not await self._more():
                raise BadRequest("the body ended early")
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def left(self) -> None:
        """Return once the client has gone (or sent more than a request's head ahead of its turn)."""
        while len(self._buffer) <= HEAD_LIMIT and await self._more():
            pass

    async def head(self, status: int, headers: Mapping[str, str]) -> None:
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = "Unknown"  # 498, 529: not in any registry
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await self.send(f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode("latin-1"))

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def chunk(self, data: bytes) -> None:
        if data:
            await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def last_chunk(self) -> None:
        await self.send(b"0\r\n\r\n")

    def half_close(self) -> None:
        self._writer.write_eof()

    def reset(self) -> None:
        """End without a FIN, as far as the platform lets us: unread and unsent data is dropped."""
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.close()
