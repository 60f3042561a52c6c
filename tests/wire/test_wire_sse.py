from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.completion import DONE
from rung.errors import BadAnswerFault
from rung.wire.sse import Frame, Splitter, frame


def split(*blocks: bytes) -> tuple[list[Frame], bytes]:
    splitter = Splitter()
    frames = [one for block in blocks for one in splitter.feed(block)]
    return frames, splitter.pending


def said(frames: list[Frame]) -> list[tuple[bytes, bytes]]:
    """What a WHATWG event source would dispatch."""
    return [(one.event, one.data) for one in frames if one.data is not None]


def by_the_book(stream: bytes) -> list[tuple[bytes, bytes]]:
    """The WHATWG algorithm, line by line, over a whole stream."""
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    lines = re.split(rb"\r\n|\r|\n", stream)[:-1]  # what follows the last line end is no line
    events, data, event = [], [], b""
    for line in lines:
        if line == b"":
            if data:
                events.append((event, b"\n".join(data)))
            data, event = [], b""
            continue
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"data":
            data.append(value)
        elif field == b"event":
            event = value
    return events


def test_openai_stream() -> None:
    one, two = frame(b'{"a":1}'), frame(b'{"b":2}')
    assert split(one + two + DONE) == (
        [Frame(one, b'{"a":1}', b""), Frame(two, b'{"b":2}', b""), Frame(DONE, b"[DONE]", b"")],
        b"",
    )


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [(b"", b"a")]),
        (b"data:a\r\n\r\n", [(b"", b"a")]),
        (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
        (b"data:  two spaces\n\n", [(b"", b" two spaces")]),
        (b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
        (b"event: ping\ndata\n\n", [(b"ping", b"")]),
        (b": comment\n\ndata: a\n\n", [(b"", b"a")]),
        (b"id: 1\nretry: 2\nother: 3\ndata: a\n\n", [(b"", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
        (b"\n\n\ndata: a\n\n\n\n\n", [(b"", b"a")]),
        (b"\xef\xbb\xbf\n\xef\xbb\xbfdata: a\n\n", []),
        ("data: é😀\n\n".encode(), [(b"", "é😀".encode())]),
        (b"data: a\n\r\n", [(b"", b"a")]),
        (b"data: a\r\n\n", [(b"", b"a")]),
        (b"event: message_start\r\ndata: {}\r\n\r\n", [(b"message_start", b"{}")]),
    ],
)
def test_rules_at_every_cut(stream: bytes, events: list[tuple[bytes, bytes]]) -> None:
    assert by_the_book(stream) == events
    every_cut = [(stream[:at], stream[at:]) for at in range(len(stream) + 1)]
    for blocks in [*every_cut, tuple(stream[at : at + 1] for at in range(len(stream)))]:
        frames, pending = split(*blocks)
        assert said(frames) == events, blocks
        assert pending == b""
        assert b"".join(one.raw for one in frames) == stream


LINES = st.sampled_from(
    [b"data: a", b"data:{}", b"data", b": c", b"event: e", b"x", b"", b"", b"\xef\xbb\xbf", b"data: \xc3\xa9"]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(LINES, ENDS), max_size=12), LINES, st.lists(st.integers(1, 12), max_size=20))
def test_any_stream_in_any_blocks_is_read_by_the_book(
    lines: list[tuple[bytes, bytes]], rest: bytes, sizes: list[int]
) -> None:
    stream = b"".join(line + end for line, end in lines) + rest
    blocks, at = [], 0
    for size in [*sizes, len(stream)]:
        blocks.append(stream[at : at + size])
        at += size
    frames, pending = split(*blocks)
    assert b"".join(one.raw for one in frames) + pending == stream
    assert said(frames) == by_the_book(stream)


def test_unfinished_frame_is_pending() -> None:
    assert split(b"data: a\n\ndata: b\n") == ([Frame(b"data: a\n\n", b"a", b"")], b"data: b\n")


def test_comment_only_frame_has_no_data() -> None:
    assert split(b": keep-alive\n\n")[0] == [Frame(b": keep-alive\n\n", None, b"")]


@pytest.mark.parametrize("start", [b"data: ", b"\r\ndata: "])
def test_endless_frame_is_refused(start: bytes) -> None:
    splitter = Splitter()
    splitter.feed(start)
    for _ in range(7):
        splitter.feed(b"x" * (1 << 20))
    with pytest.raises(BadAnswerFault, match="without the end of an event"):
        splitter.feed(b"x" * (1 << 20))
