"""The client over real loopback sockets, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
import socket

import pytest
from wire_fakes import Peer, answering, serving

from rung.errors import BadAnswerFault, ConnectFault, PrivacyError, TimeoutFault
from rung.wire.client import Client, Deadlines, Origin, Response

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
HEADERS = b"content-type: application/json\r\n"
NEVER = Deadlines()


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


async def ask(client: Client, origin: Origin, body: bytes = b"{}", deadlines: Deadlines = NEVER) -> Response:
    return await client.fetch(origin, "POST", "/v1/x", HEADERS, body, deadlines)


async def test_fetch_sends_what_was_asked_on_one_kept_connection() -> None:
    client = Client()
    async with serving(answering(OK)) as server:
        for _ in range(3):
            response = await client.fetch(
                server.origin, "POST", "/v1/x?y=1", b"Authorization: Bearer k\r\n", b'{"a":1}', NEVER, private=True
            )
            assert (response.status, response.body) == (200, b"ok")
        await client.fetch(server.origin, "GET", "/", b"Accept-Encoding: gzip\r\n", b"", NEVER)
        await client.aclose()
    (peer,) = server.peers
    host = f"host: 127.0.0.1:{server.port}\r\n".encode()
    assert peer.requests[0] == (
        b"POST /v1/x?y=1 HTTP/1.1\r\n" + host + b"Authorization: Bearer k\r\n"
        b"accept-encoding: identity\r\ncontent-length: 7\r\n\r\n",
        b'{"a":1}',
    )
    assert peer.requests[3] == (b"GET / HTTP/1.1\r\n" + host + b"Accept-Encoding: gzip\r\n\r\n", b"")


async def test_stream_gives_blocks_as_they_come_then_keeps_the_connection() -> None:
    read = asyncio.Event()

    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await read.wait()
        await peer.send(b"1\r\na\r\n1\r\nb\r\n")
        read.clear()
        await read.wait()
        await peer.send(b"1\r\nc\r\n0\r\n\r\n")
        await peer.request()
        await peer.send(OK)

    client = Client()
    async with serving(script) as server:
        response = await client.send(server.origin, "POST", "/", HEADERS, b"{}", NEVER)
        assert response.header(b"transfer-encoding") == b"chunked"
        blocks = response.blocks()
        read.set()
        assert await anext(blocks) == b"ab"
        read.set()
        assert [block async for block in blocks] == [b"c"]
        assert (await ask(client, server.origin)).body == b"ok"
        assert len(server.peers) == 1
        await client.aclose()


async def test_read_gives_the_rest_and_has_a_limit() -> None:
    client = Client()
    async with serving(answering(CHUNKED + b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")) as server:
        response = await client.send(server.origin, "POST", "/", HEADERS, b"", NEVER)
        assert await response.read(6) == b"abcdef"
        response = await client.send(server.origin, "POST", "/", HEADERS, b"", NEVER)
        with pytest.raises(BadAnswerFault, match="longer than 5"):
            await response.read(5)
        fetched = await ask(client, server.origin)
        assert await fetched.read() == fetched.body == b"abcdef"
        assert [block async for block in fetched.blocks()] == [b"abcdef"]
        await client.aclose()


async def test_body_until_eof_byte_by_byte() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        for byte in b"HTTP/1.1 200 OK\r\n\r\nuntil the end":
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)

    client = Client()
    async with serving(script) as server:
        assert (await ask(client, server.origin)).body == b"until the end"
        await client.aclose()


@pytest.mark.parametrize("stage", ["fetch", "send", "read"])
async def test_cancellation_closes_the_upstream_socket(stage: str) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        if stage == "read":
            await peer.send(CHUNKED)
        asked.set()
        if await peer.gone():
            gone.set()

    async def call() -> None:
        if stage == "fetch":
            await ask(client, server.origin)
        response = await client.send(server.origin, "POST", "/", HEADERS, b"", NEVER)
        started.set()
        await response.read()

    client = Client()
    started = asyncio.Event()
    async with serving(script) as server:
        task = asyncio.ensure_future(call())
        await (started if stage == "read" else asked).wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 5)
        await client.aclose()


async def test_closing_a_response_drops_its_connection() -> None:
    gone = asyncio.Event()

    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"1\r\na\r\n")
        if await peer.gone():
            gone.set()

    client = Client()
    async with serving(script) as server:
        response = await client.send(server.origin, "POST", "/", HEADERS, b"", NEVER)
        blocks = response.blocks()
        await anext(blocks)
        await blocks.aclose()
        await asyncio.wait_for(gone.wait(), 5)
        with pytest.raises(BadAnswerFault, match="closed before its end"):
            await anext(blocks)
        response.close()  # twice is fine
        await client.aclose()


@pytest.mark.parametrize(
    ("code", "first", "deadlines"),
    [
        ("first_byte_timeout", b"", Deadlines(first_byte=0.05)),
        ("first_byte_timeout", b"HTTP/1.1 200 OK\r\n", Deadlines(first_byte=0.05)),
        ("idle_timeout", CHUNKED + b"1\r\na\r\n", Deadlines(idle=0.05)),
        ("total_timeout", b"", Deadlines(total=0.05)),
        ("total_timeout", CHUNKED, Deadlines(total=0.05)),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
async def test_deadlines(code: str, first: bytes, deadlines: Deadlines, whole: bool) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await peer.send(first)
        if await peer.gone():
            gone.set()

    client = Client()
    async with serving(script) as server:
        call = client.fetch if whole else client.send

        async def ask_and_read() -> None:
            await (await call(server.origin, "POST", "/", HEADERS, b"", deadlines)).read()

        with pytest.raises(TimeoutFault) as caught:
            await ask_and_read()
        assert caught.value.code == code
        await asyncio.wait_for(gone.wait(), 5)
        await client.aclose()


async def test_short_deadline_counts_on_a_connection_whose_timer_was_set_for_longer() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await peer.gone()

    client = Client()
    async with serving(script) as server:
        await ask(client, server.origin)
        with pytest.raises(TimeoutFault) as caught:
            await ask(client, server.origin, deadlines=Deadlines(first_byte=0.05))
        assert caught.value.code == "first_byte_timeout"
        await client.aclose()


async def test_large_body_arrives_whole() -> None:
    client = Client()
    body = bytes(range(256)) * 20_000
    async with serving(answering(OK)) as server:
        await ask(client, server.origin, body)
        assert server.peers[0].requests[0][1] == body
        await client.aclose()


async def test_refused_connection_names_the_place() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        client = Client()
        with pytest.raises(ConnectFault, match=f"127.0.0.1:{port}: connection refused"):
            await ask(client, Origin("http", "127.0.0.1", port))
        await client.aclose()


async def test_private_call_off_this_machine_touches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*args: object, **kwargs: object) -> None:
        raise AssertionError("a private call reached for the network")

    client = Client()
    monkeypatch.setattr("rung.wire.client.dial", touched)
    monkeypatch.setattr(socket, "getaddrinfo", touched)
    for base in ("https://api.openai.com", "http://10.0.0.1", "http://localhost.example", "http://[::ffff:127.0.0.1]"):
        origin, _ = Origin.parse(base)
        for call in (client.fetch, client.send):
            with pytest.raises(PrivacyError, match="may not leave this machine"):
                await call(origin, "POST", "/", b"", b"", NEVER, private=True)
    assert not client._pools
    await client.aclose()


async def test_localhost_is_never_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    async with serving(answering(OK)) as server:
        monkeypatch.delattr(socket, "getaddrinfo")
        origin = Origin("http", "localhost", server.port)
        response = await client.fetch(origin, "POST", "/", b"", b"", NEVER, private=True)
        assert response.body == b"ok"
        assert b"host: localhost:%d\r\n" % server.port in server.peers[0].requests[0][0]
        await client.aclose()


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("POST", "/x\r\nevil: 1", b""),
        ("POST", "/x y", b""),
        ("POST", "x", b""),
        ("POST", "/é", b""),
        ("POST\r\n", "/", b""),
        ("POST", "/", b"a: b\r\n\r\nGET / HTTP/1.1\r\n"),
        ("POST", "/", b"a: b\nc: d\r\n"),
        ("POST", "/", b"a: b\x00\r\n"),
        ("POST", "/", b"a: b"),
        ("POST", "/", b" a: b\r\n"),
        ("POST", "/", b"a : b\r\n"),
        ("POST", "/", b"Content-Length: 5\r\n"),
        ("POST", "/", b"a: b\r\nTRANSFER-ENCODING: chunked\r\n"),
        ("POST", "/", b"host: evil\r\n"),
    ],
)
async def test_what_could_smuggle_is_refused(method: str, target: str, headers: bytes) -> None:
    client = Client()
    with pytest.raises(ValueError, match=r"must|itself"):
        await client.fetch(Origin("http", "127.0.0.1", 1), method, target, headers, b"", NEVER)
    await client.aclose()


async def test_closing_the_client_ends_its_calls() -> None:
    asked = asyncio.Event()

    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        asked.set()
        await peer.gone()

    client = Client()
    async with serving(script) as server:
        call = asyncio.ensure_future(ask(client, server.origin))
        await asked.wait()
        await client.aclose()
        with pytest.raises(ConnectFault, match="client was closed"):
            await call
        with pytest.raises(ConnectFault, match="client was closed"):
            await ask(client, server.origin)
        await client.aclose()


async def test_severing_an_origin_ends_its_calls_and_no_others() -> None:
    asked = asyncio.Event()

    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        asked.set()
        await peer.gone()

    client = Client()
    async with serving(script) as server, serving(script) as other:
        call, elsewhere = (asyncio.ensure_future(ask(client, one.origin)) for one in (server, other))
        await asked.wait()
        client.sever(server.origin)
        client.sever(server.origin)
        with pytest.raises(ConnectFault, match="has ended"):
            await call
        assert not elsewhere.done()
        await client.aclose()
        with pytest.raises(ConnectFault, match="client was closed"):
            await elsewhere
