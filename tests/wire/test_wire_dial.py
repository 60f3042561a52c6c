"""TLS and names: a CA of our own, and addresses that fail."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from wire_fakes import Peer, answering, serving

from rung.errors import BadAnswerFault, ConnectFault
from rung.wire import dial
from rung.wire.client import Client, Deadlines, Origin

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ``ca.pem``, and ``server.pem``/``server.key`` for localhost, signed by it."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    there = tmp_path_factory.mktemp("tls")
    (there / "san").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    sign = ["openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    for command in (
        [*new, "-x509", "-days", "2", "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem"],
        [*new, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"],
        [*sign, "-days", "2", "-extfile", "san", "-out", "server.pem"],
    ):
        subprocess.run(command, cwd=there, check=True, capture_output=True)
    return there


@pytest.fixture
def served_tls(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    return context


async def ask(client: Client, host: str, port: int) -> bytes:
    origin = Origin("https", host, port)
    return (await client.fetch(origin, "POST", "/", b"", b"{}" * 100_000, Deadlines())).body


async def test_certificate_of_a_given_ca(certificates: Path, served_tls: ssl.SSLContext) -> None:
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    client = Client(ssl_context=context)
    async with serving(answering(OK), tls=served_tls) as server:
        assert [await ask(client, "localhost", server.port) for _ in range(3)] == [b"ok"] * 3
        assert len(server.peers) == 1
        await client.aclose()


async def test_certificate_of_the_ca_in_ssl_cert_file(
    certificates: Path, served_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    client = Client()
    async with serving(answering(OK), tls=served_tls) as server:
        assert await ask(client, "localhost", server.port) == b"ok"
        await client.aclose()


async def test_certificate_of_an_unknown_ca_is_refused(served_tls: ssl.SSLContext) -> None:
    client = Client()
    async with serving(answering(OK), tls=served_tls) as server:
        with pytest.raises(ConnectFault, match=r"certificate of localhost:.* refused: .*SSL_CERT_FILE"):
            await ask(client, "localhost", server.port)
        await client.aclose()


async def test_certificate_for_another_name_is_refused(certificates: Path, served_tls: ssl.SSLContext) -> None:
    client = Client(ssl_context=ssl.create_default_context(cafile=certificates / "ca.pem"))
    async with serving(answering(OK), tls=served_tls) as server:
        with pytest.raises(ConnectFault, match=r"certificate of 127\.0\.0\.1:.* refused"):
            await ask(client, "127.0.0.1", server.port)
        await client.aclose()


async def test_tls_to_a_plain_server() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.reader.read(1)
        await peer.send(OK)

    client = Client()
    async with serving(script) as server:
        with pytest.raises(ConnectFault, match=f"TLS with 127.0.0.1:{server.port} failed"):
            await ask(client, "127.0.0.1", server.port)
        await client.aclose()


@pytest.mark.parametrize("cut", [False, True])
async def test_body_until_eof_over_tls(certificates: Path, served_tls: ssl.SSLContext, cut: bool) -> None:
    if cut and not type(asyncio.get_running_loop()).__module__.startswith("uvloop"):
        pytest.skip("asyncio's TLS does not tell a missing close_notify from a proper end")
    sent = asyncio.Event()

    async def script(peer: Peer, number: int) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nthe whole")
        await sent.wait()
        if cut:
            peer.writer.transport.abort()  # no close_notify, like a cut on the way

    client = Client(ssl_context=ssl.create_default_context(cafile=certificates / "ca.pem"))
    async with serving(script, tls=served_tls) as server:
        response = await client.send(Origin("https", "localhost", server.port), "POST", "/", b"", b"", Deadlines())
        sent.set()
        if cut:
            with pytest.raises(BadAnswerFault, match="cut"):
                await response.read()
        else:
            assert await response.read() == b"the whole"
        await client.aclose()


async def test_unresolvable_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_such_name(loop: object, origin: Origin) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(dial, "_addresses", no_such_name)
    client = Client()
    with pytest.raises(ConnectFault, match=r"api.invalid:443: name not resolved \(Name or service not known\)"):
        await ask(client, "api.invalid", 443)
    await client.aclose()


async def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    six, four = socket.AF_INET6, socket.AF_INET

    class Loop:
        async def getaddrinfo(self, host: str, port: int, **kwargs: object) -> list[tuple[object, ...]]:
            found = [(six, "a"), (six, "b"), (six, "c"), (four, "d")]
            return [(family, 1, 6, "", (name, port)) for family, name in found]

    addresses = await dial._addresses(Loop(), Origin("http", "x.example", 1))  # type: ignore[arg-type]
    assert [address[1][0] for address in addresses] == ["a", "d", "b", "c"]


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """Attempts by name: ``dead`` never ends, ``refused`` fails, ``slow`` connects on its second turn."""
    made: list[socket.socket] = []

    async def attempt(loop: object, address: tuple[object, tuple[str]]) -> socket.socket:
        name = address[1][0]
        if name == "dead":
            await asyncio.Event().wait()
        if name == "refused":
            raise ConnectionRefusedError(name)
        made.append(socket.socket())
        return made[-1]

    monkeypatch.setattr(dial, "_attempt", attempt)
    monkeypatch.setattr(dial, "_ATTEMPT_DELAY", 0.001)
    return made


async def connect(*names: str) -> socket.socket:
    addresses = [(socket.AF_INET, (name,)) for name in names]
    return await dial._connect(asyncio.get_running_loop(), addresses)


async def test_a_dead_address_does_not_hold_up_the_next(attempts: list[socket.socket]) -> None:
    for names in (("dead", "good"), ("refused", "good"), ("dead", "refused", "dead", "good")):
        (await connect(*names)).close()
    assert len(attempts) == 3


async def test_no_address_answers(attempts: list[socket.socket]) -> None:
    with pytest.raises(ConnectionRefusedError):
        await connect("refused", "refused")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connect("dead", "refused"), 0.02)


async def test_only_the_winner_stays_open(attempts: list[socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    together = asyncio.Barrier(2)
    at_once = dial._attempt

    async def attempt(
        loop: asyncio.AbstractEventLoop, address: tuple[socket.AddressFamily, tuple[str]]
    ) -> socket.socket:
        await together.wait()
        return await at_once(loop, address)

    monkeypatch.setattr(dial, "_attempt", attempt)
    winner = await connect("good", "good")
    assert len(attempts) == 2
    assert all(one.fileno() < 0 for one in attempts if one is not winner)
    assert winner.fileno() >= 0
    winner.close()
