"""The settings: frozen, complete, checked. What the rest of the gateway is given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rung.config.paths import Paths
from rung.config.secret import Secret
from rung.config.sections import (
    Breaker,
    Check,
    Deadlines,
    Exact,
    Hedge,
    Ladder,
    Ledger,
    Local,
    Log,
    Models,
    Privacy,
    PromptCache,
    Retry,
    Semantic,
    Server,
    Trust,
)


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One provider that is switched on: its row under what the configuration says.

    `private_host`: declared to run on this machine and to send nothing away; its address is a loopback one.
    `connect`, `first_byte`, `idle`: seconds. `rename`: request fields it knows by another name. `num_ctx`: tokens.
    """

    name: str
    base_url: str
    key: Secret | None
    adapter: str
    models: Models
    private_host: bool
    strip: tuple[str, ...]
    rename: Mapping[str, str]
    headers: Mapping[str, Secret]
    usage_in_stream: bool
    leaves_host: tuple[str, ...]
    connect: float
    first_byte: float
    idle: float
    num_ctx: int | None

    def stays_here(self, model: str) -> bool:
        """May a private call use `model` (its own name, without the provider's)?"""
        return self.private_host and not any(fnmatchcase(model, pattern) for pattern in self.leaves_host)


@dataclass(frozen=True, slots=True)
class Proxies:
    """Forward proxies named in the environment; their addresses may hold a password. `no` is NO_PROXY."""

    http: Secret | None = None
    https: Secret | None = None
    all: Secret | None = None
    no: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration.

    Attributes:
        prices: the user's own prices by ``provider:model``, ready for `PriceBook.load`.
        source: the file it came from, None if there was none.
        warnings: what works but deserves a look; one sentence each.
        advice: lines to paste into `rung.toml` so that what was guessed is chosen.
        version: short hash of everything that may change what an answer is.
    """

    server: Server
    ladder: Ladder
    deadlines: Deadlines
    retry: Retry
    breaker: Breaker
    hedge: Hedge
    prompt_cache: PromptCache
    exact: Exact
    semantic: Semantic
    local: Local
    privacy: Privacy
    trust: Trust
    ledger: Ledger
    log: Log
    providers: Mapping[str, ProviderSettings]
    prices: Mapping[str, Mapping[str, Any]]
    checks: Mapping[str, Check]
    proxies: Proxies
    paths: Paths
    source: Path | None
    warnings: tuple[str, ...]
    advice: tuple[str, ...]
    version: str

    def shown(self) -> dict[str, Any]:
        """Everything as plain JSON values, secrets masked by their type."""
        told = plain(self)
        assert isinstance(told, dict)
        return told


def plain(value: Any) -> Any:
    """Settings as dicts, lists, texts and numbers; a `Secret` becomes its mask."""
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, (Secret, Path)):
        return str(value)
    return value


def version(ladder: Ladder, local: Local, providers: Mapping[str, ProviderSettings]) -> str:
    """Hash of what may change an answer: who answers, where, and what is sent along.

    Keys and time-outs are left out: a new key must not empty the caches. Header values count, since some
    switch features on, but only as part of the hash.
    """
    sent = {
        name: [
            provider.base_url,
            provider.adapter,
            provider.strip,
            dict(provider.rename),
            {header: value.reveal() for header, value in provider.headers.items()},
        ]
        for name, provider in providers.items()
    }
    named = [ladder.reference, ladder.fast, ladder.strong, dict(ladder.reference_for)]
    text = json.dumps([named, [local.backend, local.model, local.server, local.context], sent], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
