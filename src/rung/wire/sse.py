"""Server-sent events: cutting a byte stream into frames, and writing them.

Follows the WHATWG rules (https://html.spec.whatwg.org/multipage/server-sent-events.html): a leading byte
order mark, LF, CR and CRLF line ends, data over several lines, comments. Everything stays bytes, so a UTF-8
character split between two blocks needs no care. A frame keeps its bytes exactly as they came, so that an
unchanged frame passes on unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from rung.errors import BadAnswerFault

"""the terminator of OpenAI's streams"""

_MAX_PENDING = 8 * 1024 * 1024
_LF, _CR = b"\n\r"  # a byte, not bytes: looking for bytes with `in` raises and drops an exception first
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Frame(msgspec.Struct, gc=False):
    """One frame of an event stream.

    Attributes:
        raw: its bytes as they came, blank line included.
        data: the ``data`` lines joined by LF; None if there was none (comments, extra blank lines).
        event: the ``event`` field, empty if there was none.
    """

    raw: bytes
    data: bytes | None
    event: bytes


_BETWEEN = b"\n\ndata: "


def frame(payload: bytes) -> bytes:
    """One frame whose data is `payload`, which must not hold line ends."""
    return b"data: " + payload + b"\n\n"


def framed(payloads: Sequence[bytes]) -> bytes:
    """Frames of `payloads`, which must not hold line ends."""
    return b"data: " + _BETWEEN.join(payloads) + b"\n\n"


class Splitter:
    """Feed it the blocks of a body; it gives back the frames that are whole.

    The `raw` of all frames plus `pending` are together exactly what was fed.
    """

    __slots__ = ("_line", "_seen_cr", "_started", "pending")

    def __init__(self) -> None:
        self.pending = b""
        """what has come of a frame that has not ended; at the end of a good stream it is empty"""
        self._line = 0  # where in `pending` the line under way starts (slow path)
        self._seen_cr = False
        self._started = False  # a frame has been cut: a byte order mark now means nothing

    def payloads(self, block: bytes) -> list[bytes] | None:
        """A glance at a block, for a tenth of the price: what stands in it between one frame's ``data: `` and the
        next, if it is made of whole frames that begin so, and nothing is pending; else None, and it is for `feed`.

        One that holds no line end is the data of a frame, as nearly all do. What begins with one that does is for
        `feed` too, `framed` as it was.
        """
        if not block.startswith(b"data: ") or not block.endswith(b"\n\n"):
            return None
        if self.pending or self._seen_cr or _CR in block:
            return None
        self._started = True
        return block[6:-2].split(_BETWEEN)

    def feed(self, block: bytes) -> list[Frame]:
        """The frames that `block` completes. Raises BadAnswerFault over 8 MiB without a frame end."""
        buffer = self.pending + block if self.pending else block
        if not self._seen_cr and _CR in block:
            self._seen_cr = True
        lines = buffer.split(b"\n")
        # Usually each frame is one line and a blank one, and what is left is the beginning of a line.
        usual = len(lines) % 2 == 1 and all(lines[:-1:2]) and not any(lines[1::2])
        if usual and not self._seen_cr and (self._started or buffer[:1] != _BOM[:1]):
            self.pending = lines.pop()
            self._line = 0
            self._started = self._started or bool(lines)
            frames = []
            for line in lines[::2]:
                raw = line + b"\n\n"
                data = line.removeprefix(b"data: ")
                frames.append(Frame(raw, data, b"") if data != line else self._parse(raw))
        else:
            frames = self._by_lines(buffer)
        if len(self.pending) > _MAX_PENDING:
            raise BadAnswerFault(f"the event stream holds more than {_MAX_PENDING} bytes without the end of an event")
        return frames

    def _by_lines(self, buffer: bytes) -> list[Frame]:
        """Any mixture of line ends, any number of lines."""
        frames = []
        start, line = 0, self._line
        while (end := _LINE_END.search(buffer, line)) is not None:
            empty = end.start() == line
            if not empty and end.end() == len(buffer) and end.group() == b"\r":
                break  # may be half a CRLF. (After an empty line it may too, but then the LF is one more empty line.)
            line = end.end()
            if empty:
                frames.append(self._parse(buffer[start:line]))
                start = line
                self._started = True
        self.pending = buffer[start:]
        self._line = line - start
        return frames

    def _parse(self, raw: bytes) -> Frame:
        text = raw if self._started else raw.removeprefix(_BOM)
        data: list[bytes] = []
        event = b""
        for line in _LINE_END.split(text):
            name, _, value = line.partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
            elif name == b"event":
                event = value.removeprefix(b" ")
        return Frame(raw, b"\n".join(data) if data else None, event)
