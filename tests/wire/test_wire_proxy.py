from __future__ import annotations

import asyncio
import sys

import pytest
from wire_fakes import Peer, answering, serving

from rung.errors import BadAnswerFault, ConfigError, ConnectFault, PrivacyError, TimeoutFault
from rung.wire.client import Client, Deadlines, Origin
from rung.wire.proxy import ProxyClient, bypassed, client_for, proxies_in

FAR = Origin("http", "api.example", 80)
NEVER = Deadlines()
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nok"


def through(port: int, **more: str) -> Client:
    return client_for({"HTTP_PROXY": f"http://127.0.0.1:{port}", **more})


def test_proxies_in() -> None:
    assert proxies_in({}) == []
    assert proxies_in({"HTTP_PROXY": "", "NO_PROXY": "x", "https_proxy": " "}) == []
    environ = {"https_proxy": "http://a", "ALL_PROXY": "http://b", "HTTP_PROXY": "http://c"}
    assert proxies_in(environ) == ["HTTP_PROXY", "https_proxy", "ALL_PROXY"]


def test_client_without_proxy_is_our_own() -> None:
    assert type(client_for({"NO_PROXY": "*"})) is Client


def test_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigError, match=r"https_proxy set but rung\[proxy\] is not installed; pip install"):
        client_for({"https_proxy": "http://127.0.0.1:3128"})


def test_socks_is_refused_without_telling_the_password() -> None:
    with pytest.raises(ConfigError) as caught:
        client_for({"ALL_PROXY": "socks5://me:secret@127.0.0.1"})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("127.0.0.1", "", True),
        ("localhost", "", True),
        ("api.example", "", False),
        ("api.example", "*", True),
        ("api.example", "example", True),
        ("api.example", "x, .example", True),
        ("api.example", "*.example", True),
        ("api.example", "API.Example:80", True),
        ("api.example", "api.example:443", False),
        ("myexample", "example", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("fd00::1", "[fd00::1]:80", True),
        ("fd00::1", "fd00::1", True),
    ],
)
def test_bypassed(host: str, no_proxy: str, direct: bool) -> None:
    assert bypassed(Origin("http", host, 80), no_proxy) is direct


async def test_request_goes_through_the_proxy_unchanged() -> None:
    async with serving(answering(OK)) as server:
        client = through(server.port)
        for call in (client.fetch, client.send):
            response = await call(FAR, "POST", "/v1/x?a=%2f", b"Authorization: Bearer k\r\n", b"{}", NEVER)
            assert (response.status, await response.read(), response.header(b"x-a")) == (200, b"ok", b"b")
        head, body = server.peers[0].requests[0]
        await client.aclose()
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST http://api.example/v1/x?a=%2f HTTP/1.1"
    assert "Host: api.example" in lines
    assert "Authorization: Bearer k" in lines
    assert body == b"{}"


async def test_loopback_and_private_never_see_the_proxy() -> None:
    async with serving(answering(OK)) as server, serving(answering(OK)) as proxy:
        client = through(proxy.port)
        assert (await client.fetch(server.origin, "POST", "/", b"", b"", NEVER, private=True)).body == b"ok"
        with pytest.raises(PrivacyError):
            await client.fetch(FAR, "POST", "/", b"", b"", NEVER, private=True)
        with pytest.raises(ValueError, match="must"):
            await client.fetch(FAR, "POST", "/\r\n", b"", b"", NEVER)
        assert proxy.peers == []
        await client.aclose()


async def test_stream_is_relayed_and_can_be_dropped() -> None:
    more, gone = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        await more.wait()
        await peer.send(b"1\r\nb\r\n")
        if await peer.gone():
            gone.set()

    async with serving(script) as server:
        client = through(server.port)
        response = await client.send(FAR, "POST", "/", b"", b"{}", NEVER)
        blocks = response.blocks()
        assert await anext(blocks) == b"a"
        more.set()
        assert await anext(blocks) == b"b"
        response.close()
        await asyncio.wait_for(gone.wait(), 5)
        await client.aclose()


async def test_large_stream_waits_for_its_reader() -> None:
    async with serving(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 3_000_000)) as server:
        client = through(server.port)
        response = await client.send(FAR, "POST", "/", b"", b"{}", NEVER)
        blocks = [block async for block in response.blocks()]
        assert sum(map(len, blocks)) == 3_000_000
        assert max(map(len, blocks)) < 1_000_000
        await client.aclose()


@pytest.mark.parametrize(
    ("answer", "fault", "code"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", BadAnswerFault, "answer_cut"),
        (b"nonsense\r\n\r\n", BadAnswerFault, "bad_answer"),
        (b"", ConnectFault, "connect_failed"),
    ],
)
async def test_faults(answer: bytes, fault: type[Exception], code: str) -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await peer.send(answer)

    async with serving(script) as server:
        client = through(server.port)
        with pytest.raises(fault) as caught:
            await client.fetch(FAR, "POST", "/", b"", b"{}", NEVER)
        assert caught.value.code == code
        await client.aclose()


@pytest.mark.parametrize(
    ("code", "first", "deadlines"),
    [
        ("first_byte_timeout", b"", Deadlines(connect=0, first_byte=0.05)),
        ("idle_timeout", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", Deadlines(idle=0.05)),
        ("total_timeout", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", Deadlines(total=0.2)),
    ],
)
async def test_deadlines_through_a_proxy(code: str, first: bytes, deadlines: Deadlines) -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await peer.send(first)
        await peer.gone()

    async with serving(script) as server:
        client = through(server.port)
        with pytest.raises(TimeoutFault) as caught:
            await client.fetch(FAR, "POST", "/", b"", b"", deadlines)
        assert caught.value.code == code
        await client.aclose()


async def test_proxy_that_is_not_there() -> None:
    client = ProxyClient({"ALL_PROXY": "http://me:secret@127.0.0.1:9"})
    with pytest.raises(ConnectFault, match="cannot connect to the forward proxy") as caught:
        await client.fetch(FAR, "POST", "/", b"", b"", NEVER)
    assert "secret" not in str(caught.value)
    await client.aclose()
