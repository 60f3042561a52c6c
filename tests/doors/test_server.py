"""Start, drain, signals. What a whole process does on a signal is tested with whole processes."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest

from rung.doors.edge import Edge
from rung.doors.server import Server, raise_file_limit, running, serve
from rung.errors import ConfigError

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Calls:
    """Answers when told to; says a last word when it is cancelled."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self.draining: list[bool] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/now":
            await self.say(send, b"now")
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        self.reached.set()
        try:
            await self.go.wait()
            await send({"type": "http.response.body", "body": b"done"})
        except asyncio.CancelledError:
            self.draining.append(scope["state"]["draining"])
            if scope["path"] == "/stream":
                await send({"type": "http.response.body", "body": b"error: draining"})
            raise

    async def say(self, send: Any, body: bytes) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def ask(server: Server, path: str = "/") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(GET.replace(b"/", path.encode(), 1))
    return reader, writer


async def test_running_serves_and_cleans_up() -> None:
    async with running(Calls()) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(GET.replace(b"/", b"/now", 1))
        assert b"\r\n\r\nnow" in await reader.readuntil(b"now")
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))


async def test_drain_finishes_what_runs_and_takes_nothing_new() -> None:
    calls = Calls()
    server = Server(calls)
    await server.start()
    reader, writer = await ask(server)
    idle, other = await ask(server, "/now")
    await calls.reached.wait()
    await idle.readuntil(b"now")
    assert not server.draining
    url = server.url
    drained = asyncio.create_task(server.drain())
    assert await idle.read() == b""
    assert server.draining
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    assert not drained.done()
    calls.go.set()
    answer = await reader.read()
    await drained
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"done")
    assert calls.draining == []
    writer.close()
    other.close()


async def test_drain_cancels_what_does_not_end_and_lets_it_say_so() -> None:
    calls = Calls()
    server = Server(calls, drain_timeout=0.05)
    await server.start()
    silent, first = await ask(server)
    stream, second = await ask(server, "/stream")
    await stream.readuntil(b"begun ")
    await calls.reached.wait()
    drained = asyncio.create_task(server.drain())
    assert b"error: draining\r\n0\r\n\r\n" in await stream.read()
    told = await silent.read()
    first.close()
    second.close()
    await drained
    assert told.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"shutting_down"' in told
    assert calls.draining == [True, True]


async def test_drain_does_not_wait_for_who_neither_reads_nor_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rung.doors.server.LAST_WORDS", 0.05)

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.3)

    server = Server(stubborn, drain_timeout=0)
    await server.start()
    reader, writer = await ask(server)
    while not server.state.exchanges:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await server.drain()
    assert not server.state.connections
    assert await reader.read() == b""
    writer.close()
    await asyncio.gather(*(exchange.task for exchange in server.state.exchanges if exchange.task))


async def test_a_half_sent_request_is_still_answered_while_draining() -> None:
    calls = Calls()
    server = Server(calls)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(b"GET /now HTTP/1.1\r\n")
    while not any(connection._intake.phase for connection in server.state.connections):  # noqa: ASYNC110
        await asyncio.sleep(0)
    drained = asyncio.create_task(server.drain())
    await asyncio.sleep(0)
    writer.write(b"Host: a\r\n\r\n")
    assert (await reader.read()).endswith(b"now")
    await drained
    writer.close()


async def test_a_port_in_use_is_a_clear_error() -> None:
    async with running(Calls()) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} is already in use: stop .* another port"):
            await serve(Calls(), port=port)


async def test_a_foreign_host_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="not an address of this machine"):
        await serve(Calls(), host="192.0.2.1", port=0)


async def test_it_serves_on_a_socket_of_the_caller() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    server = Server(Calls())
    await server.start(sock=sock)
    assert server.url == f"http://127.0.0.1:{sock.getsockname()[1]}"
    reader, writer = await ask(server, "/now")
    await reader.readuntil(b"now")
    await server.drain()
    writer.close()


async def test_a_signal_drains_then_calls_back_then_returns_0() -> None:
    steps: list[str] = []
    before = signal.getsignal(signal.SIGTERM)

    async def drained() -> None:
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # a second one would end us now
        steps.append("drained")

    def ready(server: Server) -> None:
        steps.append(server.url[:17])
        signal.raise_signal(signal.SIGTERM)

    assert await serve(Calls(), port=0, edge=Edge(), on_ready=ready, on_drained=drained) == 0
    assert steps == ["http://127.0.0.1:", "drained"]
    assert signal.getsignal(signal.SIGTERM) is before


PROGRAM = """
import asyncio, sys
from rung.doors.server import serve

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
    await asyncio.sleep(float(scope["path"][1:]))
    await send({"type": "http.response.body", "body": b"done"})

def ready(server):
    print(server.url.rpartition(":")[2], flush=True)

async def main():
    return await serve(app, port=0, on_ready=ready)

if sys.argv[1] == "uvloop":
    import uvloop
    code = uvloop.run(main())
else:
    code = asyncio.run(main())
sys.exit(code)
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_exits_0_a_second_one_at_once(loop: str, number: signal.Signals) -> None:
    for pause, signals, code in (("0.1", 1, 0), ("60", 2, -number)):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, loop], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(GET.replace(b"/", b"/" + pause.encode(), 1))
                said = b""
                while b"begun" not in said:
                    said += sock.recv(4096)
                for _ in range(signals):
                    process.send_signal(number)
                    if signals == 2:  # the first has been taken once the listener is closed
                        _until_refused(port)
                while piece := sock.recv(4096):
                    said += piece
            _, errors = process.communicate(timeout=20)
        assert process.returncode == code
        assert (b"done" in said) is (signals == 1)
        assert errors == ""


def _until_refused(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            return


def test_the_file_limit_is_raised_for_many_connections() -> None:
    program = (
        "import resource; _, hard = resource.getrlimit(resource.RLIMIT_NOFILE);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard));"
        "from rung.doors.server import raise_file_limit; raise_file_limit();"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], hard)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert int(out[0]) == min(int(out[1]) if int(out[1]) > 0 else 65536, 65536)
    raise_file_limit()  # and again, without harm
