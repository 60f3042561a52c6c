"""Read a GGUF header over HTTPS by ranges: a few megabytes tell what a file of gigabytes would need."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from rung.errors import ModelFileError
from rung.local.gguf import Header, parse
from rung.local.pull import opener

_PIECE = 1 << 20
_MOST = 64 << 20
"""bytes of header fetched at most; the largest vocabularies take 15 MB"""


def remote_header(url: str, *, timeout: float = 10.0, insecure: bool = False) -> Header:
    """The header of the GGUF file at `url`.

    Raises ModelFileError: not https (unless `insecure`), unreachable, no ranges served, or no GGUF file.
    """
    if not url.startswith("https://") and not insecure:
        raise ModelFileError("a model's address must begin with https://")
    ranges = _Ranges(url, timeout, insecure)
    name = urlsplit(url).path.rpartition("/")[2]
    return parse(cast(BinaryIO, io.BufferedReader(ranges, _PIECE)), ranges.size, name)


class _Ranges(io.RawIOBase):
    """A file on a server, read piece by piece."""

    def __init__(self, url: str, timeout: float, insecure: bool) -> None:
        self._url, self._timeout, self._opener = url, timeout, opener(insecure)
        self._host = urlsplit(url).hostname
        self._place = self._fetched = 0
        self.size = 0
        self._first = self._fetch(0, _PIECE)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self.size - self._place)
        if wanted <= 0:
            return 0
        data = self._first[self._place : self._place + wanted] or self._fetch(self._place, wanted)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def _fetch(self, start: int, length: int) -> bytes:
        self._fetched += length
        if self._fetched > _MOST:
            raise ModelFileError(f"the header at {self._host} is longer than any real model's")
        request = urllib.request.Request(self._url, headers={"User-Agent": "rung"})  # noqa: S310 (https, checked)
        request.add_header("Range", f"bytes={start}-{start + length - 1}")
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                told = answer.headers["Content-Range"] or ""
                if answer.status != 206 or not told.startswith(f"bytes {start}-"):
                    raise ModelFileError(f"{self._host} does not serve parts of files; give a file that is here")
                size = told.rpartition("/")[2]
                self.size = int(size) if size.isdigit() else start + length
                data: bytes = answer.read(length)
        except urllib.error.HTTPError as error:
            with error:
                raise ModelFileError(f"{self._host} answered {error.code} for this address") from None
        except OSError as error:
            why = getattr(error, "reason", error)
            raise ModelFileError(f"{self._host} cannot be reached ({why})") from None
        return data
