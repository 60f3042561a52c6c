"""Opening a connection: names, addresses, TLS.

Several addresses are tried as RFC 8305 says (families interleaved, a new try every 250 ms). uvloop's
`create_connection` has no happy eyeballs, so sockets are connected here and handed over.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Any, TypeVar

from rung.errors import ConnectFault
from rung.wire.origin import Origin

_ATTEMPT_DELAY = 0.25  # seconds, RFC 8305 §5
_MAX_ADDRESSES = 8

_Address = tuple[socket.AddressFamily, tuple[Any, ...]]
_P = TypeVar("_P", bound=asyncio.Protocol)


async def dial(origin: Origin, factory: Callable[[], _P], tls: ssl.SSLContext | None) -> _P:
    """Connect to `origin` and return the protocol made by `factory`. Raises ConnectFault."""
    loop = asyncio.get_running_loop()
    connected: socket.socket | None = None
    try:
        connected = await _connect(loop, await _addresses(loop, origin))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = origin.host if tls is not None else None
        _, protocol = await loop.create_connection(factory, sock=connected, ssl=tls, server_hostname=name)
    except BaseException as error:
        if connected is not None:
            connected.close()
        if isinstance(error, OSError):
            raise ConnectFault(_told(origin, error)) from error
        raise
    return protocol


def _told(origin: Origin, error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"TLS certificate of {origin.label} refused: {error.verify_message}; "
            "for a private CA point SSL_CERT_FILE at its PEM file"
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS with {origin.label} failed: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"cannot connect to {origin.label}: name not resolved ({error.strerror})"
    if isinstance(error, ConnectionRefusedError):
        return f"cannot connect to {origin.label}: connection refused; is the server running?"
    return f"cannot connect to {origin.label}: {error.strerror or error or type(error).__name__}"


async def _addresses(loop: asyncio.AbstractEventLoop, origin: Origin) -> Sequence[_Address]:
    """Socket addresses of `origin`; nothing is resolved for ``localhost`` and literal addresses."""
    host = "127.0.0.1" if origin.host == "localhost" else origin.host
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        pass
    else:
        if version == 4:
            return [(socket.AF_INET, (host, origin.port))]
        return [(socket.AF_INET6, (host, origin.port, 0, 0))]
    found = await loop.getaddrinfo(host, origin.port, type=socket.SOCK_STREAM)
    first = found[0][0]
    ours = [(family, address) for family, _, _, _, address in found if family == first]
    others = [(family, address) for family, _, _, _, address in found if family != first]
    mixed = chain.from_iterable(zip_longest(ours, others))
    return [address for address in mixed if address is not None][:_MAX_ADDRESSES]


async def _connect(loop: asyncio.AbstractEventLoop, addresses: Sequence[_Address]) -> socket.socket:
    """The first socket that connects; every other one is closed. Raises the first error if none does."""
    if len(addresses) == 1:
        return await _attempt(loop, addresses[0])
    tasks: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    waiting = list(addresses)
    try:
        while winner is None:
            if waiting:
                tasks.append(loop.create_task(_attempt(loop, waiting.pop(0))))
            running = [task for task in tasks if not task.done()]
            if running:
                delay = _ATTEMPT_DELAY if waiting else None
                await asyncio.wait(running, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            winner = next((task for task in tasks if task.done() and task.exception() is None), None)
            if not waiting and all(task.done() for task in tasks):
                break
        return (winner or tasks[0]).result()
    finally:
        losers = [task for task in tasks if task is not winner]
        for task in losers:
            task.cancel()
        for outcome in await asyncio.gather(*losers, return_exceptions=True):
            if isinstance(outcome, socket.socket):
                outcome.close()


async def _attempt(loop: asyncio.AbstractEventLoop, address: _Address) -> socket.socket:
    connecting = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        await loop.sock_connect(connecting, address[1])
    except BaseException:
        connecting.close()
        raise
    return connecting
