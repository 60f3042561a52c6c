"""The protocol fed directly, without sockets: every response cut at every byte."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_fakes import FakeOwner, Fed

from rung.errors import BadAnswerFault, ConnectFault
from rung.wire.connection import StaleConnectionFault
from rung.wire.origin import Deadlines

TEXT = b'{"hello":"world \xc3\xa9"}'
GZIPPED = gzip.compress(TEXT, mtime=0)
RAW_DEFLATE = zlib.compress(TEXT)[2:-4]


def chunked(*parts: bytes, trailer: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailer + b"\r\n"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"

# name -> (response, status, body, does the connection live on)
GOOD = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\nX-A:  b \r\n\r\n" + TEXT, 200, TEXT, True),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b"", True),
    "chunked": (CHUNKED + b"\r\n" + chunked(b"abc", TEXT), 200, b"abc" + TEXT, True),
    "trailers": (CHUNKED + b"\r\n" + chunked(b"abc", trailer=b"x-t: 1\r\ny: 2\r\n"), 200, b"abc", True),
    "chunk extension": (CHUNKED + b"\r\n3;a=b\r\nabc\r\n0\r\n\r\n", 200, b"abc", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 77\r\n\r\n", 304, b"", True),
    "no reason": (b"HTTP/1.1 429 \r\ncontent-length: 1\r\n\r\nx", 429, b"x", True),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
        200,
        b"x",
        True,
    ),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 1\r\n\r\nx", 200, b"x", False),
    "1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, b"x", False),
    "1.0 keep-alive": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\ncontent-length: 1\r\n\r\nx", 200, b"x", True),
    "until eof": (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end", False),
    "gzip": (
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b" % (len(GZIPPED), GZIPPED),
        200,
        TEXT,
        True,
    ),
    "gzip members": (
        CHUNKED + b"content-encoding: x-gzip\r\n\r\n" + chunked(GZIPPED + GZIPPED),
        200,
        TEXT + TEXT,
        True,
    ),
    "deflate": (CHUNKED + b"content-encoding: deflate\r\n\r\n" + chunked(zlib.compress(TEXT)), 200, TEXT, True),
    "raw deflate": (CHUNKED + b"content-encoding: deflate\r\n\r\n" + chunked(RAW_DEFLATE), 200, TEXT, True),
    "identity": (CHUNKED + b"content-encoding: identity\r\n\r\n" + chunked(b"abc"), 200, b"abc", True),
    "gzip until eof": (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + GZIPPED, 200, TEXT, False),
    "gzip of nothing": (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n", 200, b"", True),
}

BAD = {
    "cut length": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
    "cut chunk": CHUNKED + b"\r\n5\r\nabc",
    "cut before the last chunk": CHUNKED + b"\r\n3\r\nabc\r\n",
    "cut in the last chunk": CHUNKED + b"\r\n3\r\nabc\r\n0\r\n",
    "cut head": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n",
    "cut interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    "not http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy",
    "same length twice": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
    "length list": b"HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\nx",
    "bad length": b"HTTP/1.1 200 OK\r\ncontent-length: 1x\r\n\r\nx",
    "negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nx",
    "huge length": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nx",
    "length over limit": b"HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\nx",
    "length and chunked": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n"
    + chunked(b"abc"),
    "chunked and length": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n"
    + chunked(b"abc"),
    "length in the trailers": CHUNKED + b"\r\n" + chunked(b"abc", trailer=b"content-length: 9\r\n"),
    "bad chunk size": CHUNKED + b"\r\nzz\r\nabc\r\n",
    "long chunk": CHUNKED + b"\r\n3\r\nabcd\r\n0\r\n\r\n",
    "bad header": b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x81\x00",
    "unknown coding": b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\nx",
    "broken gzip": CHUNKED + b"content-encoding: gzip\r\n\r\n" + chunked(b"not gzip at all"),
    "cut gzip": CHUNKED + b"content-encoding: gzip\r\n\r\n" + chunked(GZIPPED[:-5]),
    "one byte of gzip": CHUNKED + b"content-encoding: gzip\r\n\r\n" + chunked(GZIPPED[:1]),
    "cut gzip until eof": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + GZIPPED[:-5],
    "bytes after deflate": CHUNKED + b"content-encoding: deflate\r\n\r\n" + chunked(zlib.compress(TEXT) + b"more"),
    "gzip bomb": CHUNKED + b"content-encoding: gzip\r\n\r\n" + chunked(gzip.compress(bytes(1 << 21))[:2000]),
}


def cuts(data: bytes) -> list[list[bytes]]:
    """`data` whole, in two at every place, and byte by byte."""
    return [
        [data],
        *([data[:at], data[at:]] for at in range(1, len(data))),
        [data[i : i + 1] for i in range(len(data))],
    ]


@pytest.mark.parametrize("name", GOOD)
async def test_good_response_at_every_cut(name: str) -> None:
    data, status, body, lives = GOOD[name]
    for blocks in cuts(data):
        fed = Fed()
        fed.feed(*blocks)
        if "eof" in name:
            fed.eof()
        got_status, headers, got_body = await fed.outcome()
        assert (got_status, got_body) == (status, body), blocks
        assert all(key == key.lower() for key, _ in headers)
        assert bool(fed.owner.released) is lives
        assert fed.transport.closed is not lives
        fed.close()


@pytest.mark.parametrize("name", BAD)
async def test_bad_response_at_every_cut(name: str) -> None:
    for blocks in cuts(BAD[name]) if len(BAD[name]) < 500 else [[BAD[name]]]:
        fed = Fed()
        fed.feed(*blocks)
        fed.eof()
        assert await fed.outcome() == (BadAnswerFault,), blocks
        assert fed.transport.closed
        assert not fed.owner.released


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8), st.lists(st.integers(1, 60), max_size=30))
def test_any_chunks_in_any_blocks(parts: list[bytes], sizes: list[int]) -> None:
    async def scene() -> None:
        data = CHUNKED + b"\r\n" + chunked(*parts)
        fed = Fed(whole=False)
        got = b""
        for size in [*sizes, len(data)]:
            fed.feed(data[:size])
            data = data[size:]
            got += b"".join(fed.response.parts)
            fed.response.parts.clear()
        assert got == b"".join(parts)
        assert [block async for block in fed.response.blocks()] == []
        assert fed.owner.released
        fed.close()

    asyncio.run(scene())


async def test_connection_serves_again_after_each_kind_of_body() -> None:
    fed = Fed()
    for name, (data, status, body, lives) in GOOD.items():
        if lives:
            fed.feed(data)
            assert (await fed.outcome())[::2] == (status, body), name
            fed.ask()
    fed.close()


async def test_head_answer_has_no_body_whatever_its_length_says() -> None:
    fed = Fed(method="HEAD")
    fed.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
    assert await fed.outcome() == (200, ((b"content-length", b"10"),), b"")
    assert fed.transport.closed


async def test_bytes_after_the_answer_close_the_connection_but_keep_the_answer() -> None:
    for extra in (b"HTTP/1.1 200 OK\r\n\r\n", b"H", b"garbage"):
        fed = Fed()
        fed.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx" + extra)
        assert (await fed.outcome())[::2] == (200, b"x")
        assert fed.transport.closed
        assert not fed.owner.released


async def test_bytes_nobody_asked_for_close_an_idle_connection() -> None:
    fed = Fed()
    fed.feed(GOOD["length"][0])
    await fed.outcome()
    fed.feed(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert fed.transport.closed


async def test_decoded_answer_no_longer_claims_its_coding() -> None:
    fed = Fed()
    fed.feed(GOOD["gzip"][0])
    await fed.outcome()
    assert fed.response.header(b"content-encoding") is None
    assert fed.response.header(b"content-length") is None


@pytest.mark.parametrize("block", [1, 997, 1 << 20])
async def test_headers_over_the_limit(block: int) -> None:
    for head in (b"x: " + b"y" * 3000, b"x: y\r\n" * 600, b"x" * 3000):
        fed = Fed(owner=FakeOwner(header_bytes=2000))
        data = b"HTTP/1.1 200 OK\r\n" + head + b"\r\ncontent-length: 5\r\n\r\nhello"
        fed.feed(*(data[at : at + block] for at in range(0, len(data), block)))
        assert await fed.outcome() == (BadAnswerFault,)


async def test_endless_interim_answers_and_trailers_are_cut_off() -> None:
    for start, more in ((b"", b"HTTP/1.1 102 Processing\r\n\r\n"), (CHUNKED + b"\r\n1\r\nx\r\n0\r\n", b"t: x\r\n")):
        fed = Fed(owner=FakeOwner(header_bytes=2000))
        fed.feed(start)
        fed.feed(*[more] * 1000)
        assert await fed.outcome() == (BadAnswerFault,)


async def test_many_small_chunks_are_no_header_flood() -> None:
    fed = Fed(owner=FakeOwner(header_bytes=200))
    fed.feed(CHUNKED + b"\r\n", *[b"1\r\n", b"x", b"\r\n"] * 1000, b"0\r\n\r\n")
    assert (await fed.outcome())[::2] == (200, b"x" * 1000)
    fed.close()


async def test_body_over_the_limit_without_a_length() -> None:
    fed = Fed(owner=FakeOwner(body_bytes=100))
    fed.feed(CHUNKED + b"\r\n", chunked(b"x" * 60, b"y" * 60))
    assert await fed.outcome() == (BadAnswerFault,)


async def test_slow_reader_pauses_the_transport() -> None:
    fed = Fed(whole=False)
    fed.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 600000\r\n\r\n")
    blocks = fed.response.blocks()
    fed.feed(b"x" * 262144)
    assert not fed.transport.paused
    fed.feed(b"x")
    assert fed.transport.paused
    assert len(await anext(blocks)) == 262145
    assert not fed.transport.paused
    fed.close()


def fault_code(fed: Fed) -> str | None:
    return fed.response.fault and fed.response.fault.code


async def test_each_phase_has_its_deadline() -> None:
    deadlines = Deadlines(first_byte=20, idle=5, total=30)
    fed = Fed(whole=False, deadlines=deadlines)
    fed.clock.advance(19)
    fed.feed(CHUNKED + b"\r\n")
    fed.clock.advance(4)
    fed.feed(b"1\r\na\r\n")
    fed.clock.advance(4.9)
    assert fault_code(fed) is None
    fed.clock.advance(0.2)
    assert fault_code(fed) == "idle_timeout"

    fed = Fed(whole=False, deadlines=deadlines)
    fed.clock.advance(20.1)
    assert fault_code(fed) == "first_byte_timeout"

    fed = Fed(whole=False, deadlines=deadlines)
    fed.feed(CHUNKED + b"\r\n")
    for _ in range(29):
        fed.clock.advance(1)
        fed.feed(b"1\r\na\r\n")
    assert fault_code(fed) is None
    fed.clock.advance(1.1)
    assert fault_code(fed) == "total_timeout"
    assert fed.transport.closed


async def test_a_half_sent_head_does_not_extend_the_first_deadline() -> None:
    fed = Fed(deadlines=Deadlines(first_byte=20, idle=5, total=600))
    for _ in range(20):
        fed.clock.advance(0.99)
        fed.feed(b"H" if fed.clock.now < 1 else b"")
    fed.feed(b"TTP/1.1 200 OK\r\n")
    fed.clock.advance(0.3)
    assert fault_code(fed) == "first_byte_timeout"


async def test_time_of_a_slow_reader_is_not_the_servers_silence() -> None:
    fed = Fed(whole=False, deadlines=Deadlines(idle=5, total=600))
    fed.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 300001\r\n\r\n" + b"x" * 300_000)
    assert fed.transport.paused
    fed.clock.advance(500)
    blocks = fed.response.blocks()
    assert len(await anext(blocks)) == 300_000
    fed.clock.advance(4)
    assert fault_code(fed) is None
    fed.clock.advance(2)
    assert fault_code(fed) == "idle_timeout"


async def test_after_its_last_event_a_body_may_still_end_and_the_connection_serve_again() -> None:
    fed = Fed(whole=False)
    fed.feed(CHUNKED + b"\r\n5\r\nevent\r\n")
    fed.response.leave()
    assert fed.owner.released == []
    fed.feed(b"4\r\nrest\r\n", b"0\r\n\r\n")
    assert fed.owner.released == [fed.connection]
    fed.ask()
    fed.feed(CHUNKED + b"\r\n" + chunked(b"x" * 40_000))  # its limits hold no longer
    assert len(fed.response.body) == 40_000
    fed.clock.advance(3)
    assert not fed.transport.closed


@pytest.mark.parametrize("rest", ["nothing", "for ever", "too much"])
async def test_a_body_that_does_not_end_is_not_waited_for(rest: str) -> None:
    fed = Fed(whole=False)
    fed.feed(CHUNKED + b"\r\n5\r\nevent\r\n")
    fed.response.leave()
    if rest == "too much":
        fed.feed(b"5000\r\n" + b"x" * 0x5000)
    for _ in range(12):
        fed.feed(b"1\r\nx\r\n" if rest == "for ever" else b"")
        fed.clock.advance(0.1)
    assert fed.transport.closed
    assert fed.owner.released == []


async def test_quick_exchanges_share_one_timer() -> None:
    fed = Fed()
    for _ in range(100):
        fed.clock.advance(0.1)
        fed.feed(GOOD["length"][0])
        fed.ask()
    assert fed.clock.settings == 1
    fed.clock.advance(31)  # what it was set for has passed: only then it is set again
    assert fed.clock.settings <= 3
    assert fault_code(fed) is None
    fed.deadlines = Deadlines(first_byte=1)
    fed.feed(GOOD["length"][0])
    fed.ask()
    fed.clock.advance(1.1)
    assert fault_code(fed) == "first_byte_timeout"
    assert len(fed.clock.armed) == 0


async def test_full_transport_pauses_a_large_body() -> None:
    fed = Fed()
    fed.feed(GOOD["empty"][0])
    await fed.outcome()
    fed.connection.pause_writing()
    before = len(fed.transport.written)
    fed.ask(body=b"x" * 200_000)
    assert len(fed.transport.written) == before + 4
    fed.connection.resume_writing()
    assert len(fed.transport.written) == before + 4 + 200_000
    fed.close()


async def test_answer_before_the_whole_body_was_sent_ends_the_connection() -> None:
    fed = Fed()
    fed.feed(GOOD["empty"][0])
    await fed.outcome()
    fed.owner.released.clear()
    fed.connection.pause_writing()
    fed.ask(body=b"x" * 200_000)
    fed.feed(b"HTTP/1.1 413 Too Large\r\ncontent-length: 1\r\n\r\nx")
    assert (await fed.outcome())[::2] == (413, b"x")
    assert fed.transport.closed
    assert not fed.owner.released


async def test_lost_without_an_answer_is_stale_only_on_a_used_connection() -> None:
    fed = Fed()
    fed.eof()
    assert await fed.outcome() == (ConnectFault,)
    fed = Fed()
    fed.feed(GOOD["empty"][0])
    await fed.outcome()
    fed.ask()
    fed.eof()
    assert await fed.outcome() == (StaleConnectionFault,)


async def test_reset_inside_a_body_until_eof_is_a_cut() -> None:
    fed = Fed()
    fed.feed(b"HTTP/1.1 200 OK\r\n\r\nsome")
    fed.connection.connection_lost(ConnectionResetError())
    assert await fed.outcome() == (BadAnswerFault,)
    assert fed.response.fault is not None
    assert fed.response.fault.code == "answer_cut"


async def test_what_came_before_the_cut_can_still_be_read() -> None:
    fed = Fed(whole=False)
    fed.feed(CHUNKED + b"\r\n3\r\nabc\r\n")
    fed.eof()
    blocks = fed.response.blocks()
    assert await anext(blocks) == b"abc"
    with pytest.raises(BadAnswerFault, match="cut after 3 bytes"):
        await anext(blocks)
