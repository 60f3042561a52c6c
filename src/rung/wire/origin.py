"""Where a request goes, and how long it may take."""

from __future__ import annotations

import functools
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import msgspec

from rung.errors import ConfigError

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(msgspec.Struct, frozen=True):
    """Scheme, host and port of a server. `host` is lower case, IPv6 without brackets, IDNA-encoded."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, base_url: str) -> tuple[Origin, str]:
        """Split a base URL into its origin and its path without trailing slash (``""`` for the root).

        Raises ConfigError for anything but ``http(s)://host[:port][/path]``.
        """
        if any(character <= " " or character == "\x7f" for character in base_url):
            raise ConfigError("a base URL must not hold spaces or control characters")
        try:
            parts = urlsplit(base_url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise ConfigError(f"the base URL cannot be read: {error}") from None
        if "@" in parts.netloc:
            raise ConfigError("a base URL must not hold a user or password; give the key on its own")
        if parts.scheme not in _DEFAULT_PORTS or not host:
            raise ConfigError(f"base URL {base_url!r} must look like http(s)://host[:port][/path]")
        if parts.query or parts.fragment or "%" in host or port == 0:
            raise ConfigError(f"base URL {base_url!r} must hold only a host, a port and a path")
        try:
            host = str(ipaddress.IPv6Address(host)) if "[" in parts.netloc else host.encode("idna").decode("ascii")
        except ValueError:
            host = ""
        if not _HOST.fullmatch(host):
            raise ConfigError(f"base URL {base_url!r} has an invalid host")
        path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        return cls(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme]), path

    @property
    def is_loopback(self) -> bool:
        """True only for 127.0.0.0/8, ``::1`` and the name ``localhost`` (which is never resolved, RFC 6761)."""
        return _is_loopback(self.host)

    @property
    def label(self) -> str:
        """``host:port``, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def host_header(self) -> bytes:
        """Value of the ``host`` header; the scheme's own port is left out (RFC 9110 §4.2)."""
        if self.port == _DEFAULT_PORTS[self.scheme]:
            return self.label.rpartition(":")[0].encode("ascii")
        return self.label.encode("ascii")


@functools.lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # ::ffff:127.0.0.1 is deliberately not accepted: only the forms written above are.
    return address.is_loopback if address.version == 4 else address == ipaddress.IPv6Address("::1")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Limits of one request, in seconds.

    Attributes:
        connect: from the call until a connection is there (waiting for a free one included).
        first_byte: from the request being written until the whole response head has come.
        idle: between two blocks of the body. Time in which our own reader is too slow does not count.
        total: from the call until the last byte of the body.
    """

    connect: float = 5.0
    first_byte: float = 60.0
    idle: float = 30.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a server may send, in bytes."""

    header_bytes: int
    body_bytes: int
