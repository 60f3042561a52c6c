"""Forward proxies: which variables ask for one, and a client that goes through it (extra ``[proxy]``).

rung's own client speaks to servers directly. Where the environment names a forward proxy, ignoring it would
leave the network by a way its owner did not choose, so that is either honoured (aiohttp) or refused at start.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rung.errors import BadAnswerFault, ConfigError, ConnectFault, Fault, TimeoutFault
from rung.wire.client import Client, check_private, check_request, plain
from rung.wire.connection import LINGER
from rung.wire.origin import Deadlines, Origin
from rung.wire.response import Response

if TYPE_CHECKING:
    import aiohttp

_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_HIGH_WATER = 262144


def _value(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name.lower()) or environ.get(name) or "").strip()


def proxies_in(environ: Mapping[str, str]) -> list[str]:
    """Names of the set variables that ask for a forward proxy, as they are spelled in `environ`."""
    return [name for upper in _NAMES for name in (upper, upper.lower()) if environ.get(name, "").strip()]


def client_for(
    environ: Mapping[str, str],
    *,
    ssl_context: ssl.SSLContext | None = None,
    max_body_bytes: int = 64 * 1024 * 1024,
) -> Client:
    """The client that suits `environ`: rung's own, or one through the proxy that it names.

    Raises ConfigError if a proxy is named and the extra ``[proxy]`` is not installed, or the proxy's URL is
    not http(s).
    """
    names = proxies_in(environ)
    if not names:
        return Client(ssl_context=ssl_context, max_body_bytes=max_body_bytes)
    try:
        import aiohttp  # noqa: F401, PLC0415 (an extra: only who needs a proxy pays for it)
    except ImportError:
        told = " and ".join(names)
        raise ConfigError(
            f"{told} set but rung[proxy] is not installed; pip install 'rung[proxy]' or unset it"
        ) from None
    return ProxyClient(environ, ssl_context=ssl_context, max_body_bytes=max_body_bytes)


def bypassed(origin: Origin, no_proxy: str) -> bool:
    """True if `origin` is reached directly: loopback always, else as NO_PROXY says.

    Its entries, between commas: ``*``, a domain (its subdomains count, a leading dot is ignored), an address,
    a network (``10.0.0.0/8``), each with an optional ``:port``.
    """
    if origin.is_loopback:
        return True
    for entry in no_proxy.lower().replace(" ", ",").split(","):
        if not entry:
            continue
        name, _, port = entry.rpartition(":")
        if name and port.isdigit() and (":" not in name or name.endswith("]")):
            if int(port) != origin.port:
                continue
        else:
            name = entry
        name = name.strip("[]").removeprefix("*.").lstrip(".")
        if name == "*" or origin.host == name or origin.host.endswith("." + name) or _in_network(origin.host, name):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


class ProxyClient(Client):
    """`Client` whose requests go through a forward proxy, but for loopback and NO_PROXY origins."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        ssl_context: ssl.SSLContext | None = None,
        max_body_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        super().__init__(ssl_context=ssl_context, max_body_bytes=max_body_bytes)
        everything = _value(environ, "ALL_PROXY")
        self._proxies = {
            scheme: _value(environ, f"{scheme.upper()}_PROXY") or everything for scheme in ("http", "https")
        }
        for proxy in self._proxies.values():
            if proxy and not proxy.startswith(("http://", "https://")):
                raise ConfigError(
                    "only http:// and https:// forward proxies are supported (HTTP_PROXY, ALL_PROXY, ...)"
                )
        self._no_proxy = _value(environ, "NO_PROXY")
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        await super().aclose()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: bytes,
        body: bytes,
        deadlines: Deadlines,
        private: bool,
        whole: bool,
    ) -> Response:
        check_private(origin, private)
        proxy = self._proxies[origin.scheme]
        if not proxy or bypassed(origin, self._no_proxy):
            return await super()._exchange(origin, method, target, headers, body, deadlines, private, whole)
        check_request(method, target, headers)
        total_at = asyncio.get_running_loop().time() + deadlines.total
        try:
            answer = await self._ask(origin, proxy, method, target, plain(headers), body, deadlines)
        except Exception as error:
            raise _fault(error, origin, "first_byte_timeout") from error
        relay = _Relay(answer, origin, deadlines, total_at, self._limits.body_bytes, whole)
        if whole:
            await relay.run()
            if relay.response.fault is not None:
                raise relay.response.fault
        else:
            relay.start()
        return relay.response

    async def _ask(
        self, origin: Origin, proxy: str, method: str, target: str, headers: bytes, body: bytes, deadlines: Deadlines
    ) -> aiohttp.ClientResponse:
        import aiohttp  # noqa: PLC0415 (see client_for)
        import yarl  # noqa: PLC0415

        if self._session is None:
            # trust_env stays off: it would read ~/.netrc as well
            self._session = aiohttp.ClientSession(
                skip_auto_headers=("User-Agent", "Accept", "Content-Type"), cookie_jar=aiohttp.DummyCookieJar()
            )
        fields = [line.partition(b":") for line in headers.split(b"\r\n") if line]
        async with asyncio.timeout(min(deadlines.first_byte + deadlines.connect, deadlines.total)):
            return await self._session.request(
                method,
                yarl.URL(f"{origin.scheme}://{origin.label}{target}", encoded=True),
                headers=[(name.decode("latin-1"), value.strip().decode("latin-1")) for name, _, value in fields],
                data=body or None,
                proxy=proxy,
                ssl=self._tls or True,
                allow_redirects=False,
                max_field_size=self._limits.header_bytes,
                timeout=aiohttp.ClientTimeout(total=None, connect=deadlines.connect),
            )


class _Relay:
    """Moves an aiohttp body into a `Response`, no faster than it is read."""

    def __init__(
        self,
        answer: aiohttp.ClientResponse,
        origin: Origin,
        deadlines: Deadlines,
        total_at: float,
        limit: int,
        whole: bool,
    ) -> None:
        self._answer = answer
        self._origin = origin
        self._deadlines = deadlines
        self._total_at = total_at
        self._limit = limit
        self._whole = whole
        self._room = asyncio.Event()
        self._room.set()
        self._task: asyncio.Task[None] | None = None
        self.response = Response(self, whole)
        self.response.status = answer.status
        decoded = b"content-encoding" in (name.lower() for name, _ in answer.raw_headers)
        hidden = (b"content-encoding", b"content-length") if decoded else ()
        self.response.headers = [
            (name.lower(), value) for name, value in answer.raw_headers if name.lower() not in hidden
        ]

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.run())

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        received = buffered = 0
        code = "idle_timeout"
        try:
            while True:
                until = min(loop.time() + self._deadlines.idle, self._total_at)
                code = "idle_timeout" if until < self._total_at else "total_timeout"
                async with asyncio.timeout_at(until):
                    block = await self._answer.content.readany()
                if not block:
                    break
                received += len(block)
                if received > self._limit:
                    raise BadAnswerFault(f"{self._origin.label} sent a body of more than {self._limit} bytes")
                self.response.parts.append(block)
                self.response.wake()
                if not self._whole:
                    buffered = sum(len(part) for part in self.response.parts)
                    if buffered > _HIGH_WATER:
                        self._room.clear()
                        code = "total_timeout"
                        async with asyncio.timeout_at(self._total_at):
                            await self._room.wait()
            self._answer.release()
            self.response.end()
        except Exception as error:
            self.response.fail(_fault(error, self._origin, code))
        finally:
            self._answer.close()

    # What a response needs of its source

    def new_waiter(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        self._room.set()

    def linger(self) -> None:
        asyncio.get_running_loop().call_later(LINGER, self.drop)

    def drop(self) -> None:
        self._answer.close()
        if self._task is not None:
            self._task.cancel()


def _fault(error: Exception, origin: Origin, code: str) -> Fault:
    """The fault that an exception of aiohttp stands for. The proxy's URL, which may hold a password, is not told."""
    import aiohttp  # noqa: PLC0415 (see client_for)

    told: dict[type[Exception], Fault] = {
        aiohttp.ConnectionTimeoutError: TimeoutFault(f"{origin.label}: no connection in time", code="connect_timeout"),
        TimeoutError: TimeoutFault(f"{origin.label} did not send in time", code=code),
        aiohttp.ClientHttpProxyError: ConnectFault(f"the forward proxy refused the way to {origin.label}"),
        aiohttp.ClientProxyConnectionError: ConnectFault("cannot connect to the forward proxy; is its address right?"),
        aiohttp.ClientConnectorCertificateError: ConnectFault(f"TLS certificate of {origin.label} refused"),
        aiohttp.ServerDisconnectedError: ConnectFault(f"{origin.label} closed the connection without answering"),
        aiohttp.ClientPayloadError: BadAnswerFault(f"the answer from {origin.label} was cut", code="answer_cut"),
        aiohttp.ClientResponseError: BadAnswerFault(f"bad answer from {origin.label}"),
        OSError: ConnectFault(f"cannot connect to {origin.label} through the forward proxy"),
    }
    if isinstance(error, Fault):
        return error
    other = BadAnswerFault(f"the request to {origin.label} failed in the proxy client: {type(error).__name__}")
    return next((fault for kind, fault in told.items() if isinstance(error, kind)), other)
