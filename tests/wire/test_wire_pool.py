"""Keeping connections: reuse, retry of stale ones, limits, waiting, expiry."""

from __future__ import annotations

import asyncio
import socket

import pytest
from wire_fakes import Peer, serving

from rung.errors import BadAnswerFault, ConnectFault, TimeoutFault
from rung.wire.client import Client, Deadlines, Origin, Response

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
NEVER = Deadlines()


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


async def ask(client: Client, origin: Origin, body: bytes = b"{}", deadlines: Deadlines = NEVER) -> Response:
    return await client.fetch(origin, "POST", "/v1/x", b"", body, deadlines)


async def test_full_listen_queue_is_a_connect_timeout() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        filling = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
            filling.append(filler)
        client = Client()
        with pytest.raises(TimeoutFault) as caught:
            await ask(client, Origin("http", *deaf.getsockname()), deadlines=Deadlines(connect=0.05))
        assert caught.value.code == "connect_timeout"
        await client.aclose()
        for filler in filling:
            filler.close()


async def test_waiting_for_a_free_connection() -> None:
    asked: list[bytes] = []
    first, answer = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer, number: int) -> None:
        while True:
            asked.append((await peer.request())[1])
            first.set()
            await answer.wait()
            await peer.send(OK)

    client = Client(max_connections_per_origin=1)
    async with serving(script) as server:
        calls = [asyncio.ensure_future(ask(client, server.origin, b"%d" % number)) for number in range(4)]
        await first.wait()
        with pytest.raises(TimeoutFault, match="no free connection") as caught:
            await ask(client, server.origin, deadlines=Deadlines(connect=0.05))
        assert caught.value.code == "connect_timeout"
        calls[1].cancel()
        answer.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(outcomes[1], asyncio.CancelledError)
        assert asked == [b"0", b"2", b"3"]
        assert len(server.peers) == 1
        await client.aclose()


async def test_slot_of_a_lost_connection_passes_to_the_next_in_line() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")

    client = Client(max_connections_per_origin=1)
    async with serving(script) as server:
        answers = await asyncio.gather(*(ask(client, server.origin) for _ in range(5)))
        assert [answer.body for answer in answers] == [b"ok"] * 5
        assert len(server.peers) == 5
        await client.aclose()


async def test_failed_dials_give_their_slot_back() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        origin = Origin("http", *unused.getsockname())
        client = Client(max_connections_per_origin=1)
        outcomes = await asyncio.gather(*(ask(client, origin) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ConnectFault] * 3
        await client.aclose()


async def test_idle_connections_are_bounded_and_expire() -> None:
    gone: list[int] = []
    all_gone = asyncio.Event()

    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await together.wait()
        await peer.send(OK)
        if await peer.gone():
            gone.append(number)
            if len(gone) == 3:
                all_gone.set()

    together = asyncio.Barrier(3)
    client = Client(max_idle_per_origin=2, idle_expiry=0.05)
    async with serving(script) as server:
        await asyncio.gather(*(ask(client, server.origin) for _ in range(3)))
        await asyncio.wait_for(all_gone.wait(), 5)
        await client.aclose()


async def test_connection_the_server_closed_while_idle_is_not_used() -> None:
    closed = asyncio.Event()

    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await peer.send(OK)
        if number == 0:
            peer.writer.close()
            await peer.writer.wait_closed()
            closed.set()
        else:
            await peer.gone()

    client = Client()
    async with serving(script) as server:
        await ask(client, server.origin)
        await closed.wait()
        await ask(client, server.origin)
        assert [len(peer.requests) for peer in server.peers] == [1, 1]
        await client.aclose()


async def test_stale_connection_is_retried_once_on_a_new_one() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await peer.send(OK)
        if number == 0:
            await peer.request()  # taken, and hung up on without a byte

    client = Client()
    async with serving(script) as server:
        assert (await ask(client, server.origin)).body == b"ok"
        assert (await ask(client, server.origin, b"second")).body == b"ok"
        assert [body for peer in server.peers for _, body in peer.requests] == [b"{}", b"second", b"second"]
        await client.aclose()


async def test_retry_happens_only_once() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        if number == 0:
            await peer.send(OK)
            await peer.request()

    client = Client()
    async with serving(script) as server:
        await ask(client, server.origin)
        with pytest.raises(ConnectFault, match="without answering"):
            await ask(client, server.origin)
        assert len(server.peers) == 2
        await client.aclose()


async def test_no_retry_after_a_byte_of_the_answer() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await peer.send(b"H")

    client = Client()
    async with serving(script) as server:
        await ask(client, server.origin)
        with pytest.raises(BadAnswerFault, match="cut inside its head"):
            await ask(client, server.origin)
        assert len(server.peers) == 1
        await client.aclose()


async def test_cancelled_while_waiting_after_being_served_passes_its_turn_on() -> None:
    async def script(peer: Peer, number: int) -> None:
        while True:
            await peer.request()
            await peer.send(OK)

    client = Client(max_connections_per_origin=1)
    async with serving(script) as server:
        await ask(client, server.origin)
        pool = client._pools[server.origin]
        connection = await pool.acquire(5)
        second = asyncio.ensure_future(pool.acquire(5))
        third = asyncio.ensure_future(pool.acquire(5))
        await asyncio.sleep(0)
        pool.release(connection)  # handed to the second, which is cancelled before it wakes
        second.cancel()
        assert await third is connection
        with pytest.raises(asyncio.CancelledError):
            await second
        await client.aclose()
        assert pool.empty


async def test_thousand_calls_leave_nothing_behind() -> None:
    async def script(peer: Peer, number: int) -> None:
        for _ in range(1 + number % 5):
            await peer.request()
            if number % 7 == 6:
                await peer.send(OK[:10])
                return
            await peer.send(OK)

    client = Client(max_connections_per_origin=4, max_idle_per_origin=2)
    async with serving(script) as server:

        async def call(number: int) -> None:
            await asyncio.wait_for(ask(client, server.origin), 0.0001 if number % 10 == 9 else 20)

        outcomes = await asyncio.gather(*(call(number) for number in range(1000)), return_exceptions=True)
        kinds = {type(outcome) for outcome in outcomes}
        assert kinds <= {type(None), TimeoutError, BadAnswerFault}  # every stale connection was made good
        assert {type(None), BadAnswerFault} <= kinds
        pool = client._pools[server.origin]
        await client.aclose()
        assert pool.empty
        assert pool.connections() == []
