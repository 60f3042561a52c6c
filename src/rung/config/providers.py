"""Which providers are switched on: their rows, under what the environment and `[providers.NAME]` say."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

from rung.config.check import Problems, Wrong, secret
from rung.config.positions import Path
from rung.config.secret import Secret
from rung.config.sections import Deadlines, Models, ProviderOptions
from rung.config.settings import ProviderSettings
from rung.providers.rows import Row, rows

RESERVED = ("auto", "cloud", "exact", "fast", "local", "rung", "semantic", "strong", "tool")
"""names that mean something else where a provider's name could stand"""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_OURS = ("authorization", "host", "content-length", "content-type", "transfer-encoding", "connection")


def providers(
    given: Mapping[str, ProviderOptions],
    environ: Mapping[str, str],
    deadlines: Deadlines,
    problems: Problems,
    warnings: list[str],
) -> Mapping[str, ProviderSettings]:
    """Every provider that is switched on, by name: known ones in the order of their rows, then the user's own."""
    known = rows()
    on: dict[str, ProviderSettings] = {}
    seen: dict[str, str] = {}
    for name in [*known, *(name for name in given if name not in known)]:
        if name in given and not _usable_name(name, seen, problems):
            continue
        seen[name.lower()] = name
        settled = _provider(name, known.get(name), given.get(name), environ, deadlines, problems, warnings)
        if settled is not None:
            on[name] = settled
    return MappingProxyType(on)


def _usable_name(name: str, seen: Mapping[str, str], problems: Problems) -> bool:
    path = ("providers", name)
    if name.lower() in seen:
        problems.at(path, f"two providers are called {seen[name.lower()]!r}; rename or merge [providers.{name}]")
    elif name in RESERVED:
        problems.at(path, f"a provider cannot be called {name!r}: the name means something else; take another")
    elif not _NAME.fullmatch(name):
        problems.at(path, f"a provider cannot be called {name!r}; use lower-case letters, digits, - and _")
    else:
        return True
    return False


def _provider(
    name: str,
    row: Row | None,
    options: ProviderOptions | None,
    environ: Mapping[str, str],
    deadlines: Deadlines,
    problems: Problems,
    warnings: list[str],
) -> ProviderSettings | None:
    if options is not None and not options.enabled:
        return None
    said = options or ProviderOptions()
    _check(name, said, problems)
    host = environ.get(row.host_env, "").strip() if row and row.host_env else ""
    variable = said.key_env or (row.key_env if row else None)
    key = said.key or _key(variable, environ, problems)
    if options is None and not (host or (key and row and not row.host_env)):
        return None
    # A row's own server wants a key; one the user named may not (a simulator, a proxy with its own key).
    needs_key = bool(said.key_env) or bool(row and row.key_required and said.base_url is None)
    if key is None and needs_key:
        warnings.append(f"[providers.{name}] is switched off: its key is missing; set {variable}")
        return None
    url = _base_url(name, row, said, host, problems)
    if url is None:
        return None
    if said.private_host:
        _private(name, url, problems)
    row = row or Row(name, url.geturl())
    warnings += _doubts(row, url, said, key)
    return ProviderSettings(
        name=name,
        base_url=url.geturl(),
        key=key,
        adapter=row.adapter,
        models=Models(said.models.fast or row.fast, said.models.strong or row.strong),
        private_host=said.private_host,
        strip=row.strip if said.strip is None else said.strip,
        rename=row.rename,
        headers=said.headers,
        usage_in_stream=row.usage_in_stream if said.usage_in_stream is None else said.usage_in_stream,
        leaves_host=row.leaves_host,
        connect=said.connect or deadlines.connect,
        first_byte=said.first_byte or deadlines.first_byte,
        idle=said.idle or deadlines.idle,
        num_ctx=said.num_ctx,
    )


def _key(variable: str | None, environ: Mapping[str, str], problems: Problems) -> Secret | None:
    text = environ.get(variable, "").strip() if variable else ""
    if not text:
        return None
    try:
        return secret(text)
    except Wrong as wrong:
        problems.environment(variable or "", str(wrong))
        return None


def _check(name: str, said: ProviderOptions, problems: Problems) -> None:
    path: Path = ("providers", name)
    if said.key_env is not None and not _VARIABLE.fullmatch(said.key_env):
        # Perhaps it is the key itself, so it is not repeated.
        problems.at((*path, "key_env"), f"[providers.{name}] key_env must be the NAME of a variable, in capitals")
    if said.key is not None and said.key_env is not None:
        problems.at((*path, "key"), f"[providers.{name}] has both key and key_env; keep key_env")
    if said.num_ctx is not None and name != "ollama":
        problems.at((*path, "num_ctx"), f"[providers.{name}] num_ctx is Ollama's; others set their context themselves")
    for header in said.headers:
        if not _HEADER.fullmatch(header) or header.lower() in _OURS:
            problems.at((*path, "headers", header), f"header {header!r} cannot be set here; remove it")


def _base_url(name: str, row: Row | None, said: ProviderOptions, host: str, problems: Problems) -> SplitResult | None:
    """The checked address; a problem is told, never the address itself, which may hold a password."""
    path: Path = ("providers", name, "base_url")
    try:
        if said.base_url is not None:
            return http_url(said.base_url)
        if host:
            return ollama_url(host)
        if row is not None:
            return http_url(row.base_url)
    except Wrong as wrong:
        if said.base_url is None and row is not None and row.host_env:
            problems.environment(row.host_env, str(wrong))
        else:
            problems.at(path, f"providers.{name}.base_url {wrong}")
        return None
    near = ", ".join(rows())
    problems.at(path[:2], f'[providers.{name}] needs base_url = "http..."; rung itself knows only {near}')
    return None


def http_url(text: str) -> SplitResult:
    """An http or https address without password, query or trailing slash. Raises Wrong."""
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        raise Wrong("is not an address; write for example http://127.0.0.1:8000/v1") from None
    if url.scheme not in ("http", "https"):
        raise Wrong("must begin with http:// or https://")
    if not url.hostname or " " in text:
        raise Wrong("names no host; write for example http://127.0.0.1:8000/v1")
    if url.username is not None or url.password is not None:
        raise Wrong("must not hold a user or password; use key_env")
    if url.query or url.fragment:
        raise Wrong("must end before any ? or #")
    return url._replace(path=url.path.rstrip("/"))


def ollama_url(host: str) -> SplitResult:
    """``OLLAMA_HOST`` as Ollama itself reads it (envconfig/config.go: scheme, host and port may each be left
    out). Raises Wrong."""
    scheme, found, rest = host.partition("://")
    if not found:
        scheme, rest = "http", host
    port = {"http": 80, "https": 443}.get(scheme, 0) if found else 11434
    rest = rest.partition("/")[0]
    if rest.count(":") > 1 and not rest.startswith("["):
        rest = f"[{rest}]"  # a bare IPv6 address
    url = http_url(f"{scheme}://{'127.0.0.1' if rest.startswith(':') else ''}{rest or '127.0.0.1'}")
    name = url.hostname or ""
    # What a server listens on is no place to call.
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)  # noqa: S104
    return url._replace(netloc=f"{f'[{name}]' if ':' in name else name}:{url.port or port}")


def loopback(host: str) -> bool:
    """Is it an address (not a name) that only this machine can reach?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _private(name: str, url: SplitResult, problems: Problems) -> None:
    host = url.hostname or ""
    if loopback(host):
        return
    path = ("providers", name, "private_host")
    if host == "localhost":
        # A private call may resolve no name, and this is one.
        problems.at(path, f"[providers.{name}] private_host needs an address: write 127.0.0.1 instead of localhost")
    else:
        problems.at(path, f"[providers.{name}] cannot be a private_host: {host} is not an address of this machine")


def _doubts(row: Row, url: SplitResult, said: ProviderOptions, key: Secret | None) -> list[str]:
    doubts = []
    name = row.name
    if said.key is not None:
        doubts.append(f'[providers.{name}] holds its key in the file; better: key_env = "NAME"')
    if key is not None and url.scheme == "http" and not (loopback(url.hostname or "") or url.hostname == "localhost"):
        doubts.append(f"{name}: the key travels unencrypted to {url.hostname}; use https")
    if said.base_url is not None and not url.path and row.adapter == "openai":
        doubts.append(f"[providers.{name}] base_url has no path; most servers want /v1 at its end")
    return doubts
