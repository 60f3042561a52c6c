"""Incremental content decoding (gzip, deflate) with a bound on what comes out."""

from __future__ import annotations

import zlib

_GZIP = 16 + zlib.MAX_WBITS


class DecodingError(Exception):
    """The encoded body is broken, cut, or grows over its limit."""


class Decoder:
    """Decode one body coded ``gzip``, ``x-gzip`` or ``deflate`` (RFC 9110 §8.4.1).

    Servers send ``deflate`` both with and without the zlib wrapper; both are read.
    """

    __slots__ = ("_coding", "_inflate", "_start", "_started")

    def __init__(self, coding: str) -> None:
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise DecodingError(f"content-encoding {coding!r} was not asked for")
        self._coding = coding
        self._inflate = zlib.decompressobj(_GZIP)
        self._start = b""
        self._started = False

    def feed(self, data: bytes, room: int) -> bytes:
        """Decode the next bytes. Raises DecodingError if broken or if more than `room` bytes come out."""
        if not self._started:
            self._start += data
            # two bytes tell zlib-wrapped from raw deflate
            if len(self._start) < 2:
                return b""
            data, self._start, self._started = self._start, b"", True
            if self._coding == "deflate":
                wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
                self._inflate = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        pieces = []
        try:
            while data:
                if self._inflate.eof:
                    if self._coding == "deflate":
                        raise DecodingError("bytes after the end of the deflate stream")
                    self._inflate = zlib.decompressobj(_GZIP)  # gzip allows several members in a row
                piece = self._inflate.decompress(data, room + 1)
                if len(piece) > room:
                    raise DecodingError("the decoded body is over its limit")
                room -= len(piece)
                pieces.append(piece)
                data = self._inflate.unused_data
        except zlib.error as error:
            raise DecodingError(f"the {self._coding} body is broken: {error}") from None
        return b"".join(pieces)

    def feed_all(self, parts: list[bytes], start: int, room: int, *, last: bool) -> None:
        """Put what `feed` makes of them in the place of `parts` from `start` on, `room` bytes of it at most; `finish`
        after the `last` of them."""
        coded = parts[start:]
        del parts[start:]
        for part in coded:
            if piece := self.feed(part, room):
                room -= len(piece)
                parts.append(piece)
        if last:
            self.finish()

    def finish(self) -> None:
        """Raises DecodingError if the coded stream has not reached its own end."""
        if self._start or (self._started and not self._inflate.eof):
            raise DecodingError(f"the {self._coding} body is cut")
