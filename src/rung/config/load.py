"""Environment and `rung.toml` → options → settings: everything is checked before anything is used."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rung.config.check import Problems, Wrong, build, secret, unknown_table
from rung.config.choice import choose, proving
from rung.config.options import Options, misspelt, read
from rung.config.paths import Paths, paths
from rung.config.providers import http_url, loopback, providers
from rung.config.secret import Secret
from rung.config.sections import (
    NAMED,
    SECTIONS,
    Check,
    Deadlines,
    Exact,
    Ladder,
    Ledger,
    Local,
    PriceOptions,
    ProviderOptions,
    Server,
)
from rung.config.settings import Proxies, Settings, version
from rung.providers.prices import PriceBook

_HOST = re.compile(r"[\w.-]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")
"""a name, an IPv4 or an IPv6 address without brackets"""


def load(environ: Mapping[str, str], path: Path | None = None, *, cwd: Path) -> Settings:
    """The settings of this environment and of the first `rung.toml` there is.

    The file is `path`, else ``$RUNG_CONFIG``, ``./rung.toml``, ``$RUNG_HOME/rung.toml`` or
    ``~/.config/rung/rung.toml``; there may be none.

    Raises ConfigError whose `problems` list everything that is wrong, one line each.
    """
    options = read(environ, path, cwd)
    problems = Problems(options.file, options.lines)
    settings = _settle(options, problems)
    problems.settle()
    return settings


def load_here(path: Path | None = None) -> Settings:
    """`load` with this process's own environment and directory."""
    return load(os.environ, path, cwd=Path.cwd())


def _settle(options: Options, problems: Problems) -> Settings:
    """Complete settings; meaningless wherever a problem was told."""
    values, environ = options.values, options.environ
    warnings = misspelt(environ)
    for name in values:
        if name not in SECTIONS and name not in NAMED:
            problems.at((name,), unknown_table(name))
    sections: dict[str, Any] = {
        name: build(cls, values.get(name, {}), (name,), problems) for name, cls in SECTIONS.items()
    }
    home = paths(environ)
    sections["server"] = _server(sections["server"], environ, problems, warnings)
    sections["ledger"] = _ledger(sections["ledger"], home, options.source)
    exact: Exact = sections["exact"]
    sections["exact"] = replace(exact, max_entry_bytes=min(exact.max_entry_bytes, exact.max_bytes))
    deadlines: Deadlines = sections["deadlines"]
    on = providers(_named("providers", ProviderOptions, values, problems), environ, deadlines, problems, warnings)
    own_prices, book = _prices(values, problems)
    ladder: Ladder = sections["ladder"]
    written = values.get("ladder", {})
    sections["ladder"], advice = choose(
        ladder, written if isinstance(written, dict) else {}, on, book, problems, warnings
    )
    sections["trust"] = proving(sections["trust"], on, book, problems, warnings)
    local: Local = sections["local"]
    _check_local(local, problems)
    return Settings(
        **sections,
        providers=on,
        prices=own_prices,
        checks=_checks(values, problems),
        proxies=_proxies(environ),
        paths=home,
        source=options.source,
        warnings=tuple(warnings),
        advice=advice,
        version=version(sections["ladder"], local, on),
    )


def _check_local(local: Local, problems: Problems) -> None:
    """What `[local]` says must fit together, and stay on this machine."""
    if local.server:
        try:
            here = loopback(http_url(local.server).hostname or "")
        except Wrong:
            here = False
        if not here:
            problems.at(("local", "server"), "[local] server must be on this machine: http://127.0.0.1:8080/v1")
    if local.backend == "server" and local.model.startswith("ollama:"):
        problems.at(("local", "model"), '[local] model is one of Ollama; set backend = "ollama" or leave it out')


def _named(name: str, cls: type[Any], values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """A table of tables, such as `[providers.NAME]`."""
    raw = values.get(name, {})
    if not isinstance(raw, dict):
        problems.at((name,), f"{name} must be a table of tables; write [{name}.NAME]")
        return {}
    built = {own: build(cls, table, (name, own), problems) for own, table in raw.items()}
    return {own: table for own, table in built.items() if isinstance(raw[own], dict)}


def _server(server: Server, environ: Mapping[str, str], problems: Problems, warnings: list[str]) -> Server:
    if server.keys:
        warnings.append("server.keys holds keys in the file; better: RUNG_KEYS in the environment")
    keys = list(server.keys)
    for text in environ.get("RUNG_KEYS", "").split(","):
        try:
            if text.strip():
                keys.append(secret(text.strip()))
        except Wrong as wrong:
            problems.environment("RUNG_KEYS", str(wrong))
    for index, name in enumerate(server.allowed_hosts):
        if not _HOST.fullmatch(name):
            problems.at(("server", "allowed_hosts", index), f"{name!r} must be a name only, without scheme or port")
    here = server.host == "localhost" or loopback(server.host)
    if not here and not keys and not server.allow_open:
        problems.at(
            ("server", "host"),
            f"server.host = {server.host!r} can be reached by others, who could spend your money: "
            "set RUNG_KEYS, or allow_open = true if that is meant",
        )
    if not here and set(server.allowed_hosts) == set(Server().allowed_hosts):
        warnings.append(
            f"server.host = {server.host!r}, but server.allowed_hosts lists only names of this machine: "
            "others get 403 until the name they call it by is added"
        )
    return replace(server, keys=tuple(dict.fromkeys(keys)), allowed_origins=_origins(server, problems))


def _origins(server: Server, problems: Problems) -> tuple[str, ...]:
    """As browsers write them: scheme, name and port, nothing after."""
    origins = []
    for index, text in enumerate(server.allowed_origins):
        try:
            url = http_url(text)
            if url.path:
                raise Wrong("has a path")
            origins.append(url.geturl().lower())
        except Wrong:
            path = ("server", "allowed_origins", index)
            problems.at(path, "an origin is written https://name or https://name:port")
    return tuple(origins)


def _ledger(ledger: Ledger, home: Paths, source: Path | None) -> Ledger:
    """A relative path starts at the file it is written in."""
    if ledger.path == Path():
        return replace(ledger, path=home.ledger)
    beside = source.parent if source is not None else home.home
    return replace(ledger, path=beside / ledger.path.expanduser())


def _checks(values: Mapping[str, Any], problems: Problems) -> Mapping[str, Check]:
    """The user's own checks; each needs a command."""
    checks: dict[str, Check] = _named("checks", Check, values, problems)
    for name, check in checks.items():
        if not check.command:
            problems.at(("checks", name), f'checks.{name} has no command; add command = ["...", "..."]')
    return MappingProxyType(checks)


def _prices(values: Mapping[str, Any], problems: Problems) -> tuple[Mapping[str, Mapping[str, Any]], PriceBook]:
    """The user's own prices, checked by making a price book of them."""
    usable: dict[str, Mapping[str, Any]] = {}
    for model, options in _named("prices", PriceOptions, values, problems).items():
        path = ("prices", model)
        if ":" not in model:
            problems.at(path, f'[prices."{model}"] must be named provider:model')
            continue
        price = {part.name: getattr(options, part.name) for part in fields(PriceOptions)}
        if price["context"] is None:
            del price["context"]
        try:
            PriceBook.load({model: price})
        except ValueError as error:
            problems.at(path, str(error))
        else:
            usable[model] = MappingProxyType(price)
    return MappingProxyType(usable), PriceBook.load(usable)


def _proxies(environ: Mapping[str, str]) -> Proxies:
    def named(name: str) -> str:
        return environ.get(name.lower()) or environ.get(name.upper()) or ""

    def hidden(name: str) -> Secret | None:
        return Secret(named(name)) if named(name) else None

    return Proxies(hidden("http_proxy"), hidden("https_proxy"), hidden("all_proxy"), named("no_proxy"))
