"""What runs on this machine already: Ollama, LM Studio, llama-server, vLLM, at their usual ports.

Only loopback addresses are looked at, all at once and for at most `SECONDS`. A server that is none of these is
not used unless it is named: a proxy to a cloud speaks the same API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from rung.errors import Fault
from rung.local.hosted import Listing
from rung.local.ollama import Model, OllamaHost
from rung.wire.client import Client, Deadlines
from rung.wire.origin import Origin

SECONDS = 0.25

OLLAMA = Origin("http", "127.0.0.1", 11434)
SERVERS = (Origin("http", "127.0.0.1", 1234), Origin("http", "127.0.0.1", 8080), Origin("http", "127.0.0.1", 8000))
"""LM Studio's, llama-server's and vLLM's own defaults"""

Software = Literal["Ollama", "LM Studio", "llama-server", "vLLM", "server"]

_OWNERS: dict[str, Software] = {"llamacpp": "llama-server", "vllm": "vLLM"}


@dataclass(frozen=True, slots=True)
class Found:
    """One server that runs. `models`: what it can be asked for, what is loaded first; of Ollama, all it has."""

    software: Software
    origin: Origin
    base_path: str
    models: tuple[str, ...] = ()
    installed: tuple[Model, ...] = ()
    loaded: tuple[Model, ...] = ()
    version: str = ""


class _LMStudioModel(msgspec.Struct):
    id: str = ""
    type: str = ""
    state: str = ""


class _LMStudioModels(msgspec.Struct):
    data: list[_LMStudioModel]


USUAL = tuple((server, "/v1") for server in SERVERS)
"""where servers are looked for that nobody named: (origin, base path)"""


async def discover(
    client: Client,
    *,
    ollama: tuple[Origin, str] | None = (OLLAMA, ""),
    servers: Sequence[tuple[Origin, str]] = USUAL,
    named: bool = False,
    seconds: float = SECONDS,
) -> list[Found]:
    """Look at these addresses, (origin, base path) each; -> what answered, Ollama first, then as `servers` is.

    Addresses that are not loopback ones are left out. `named`: the user named the servers, so they are taken
    whatever they are.
    """
    limits = Deadlines(seconds, seconds, seconds, seconds)
    looks: list[Coroutine[Any, Any, Found]] = []
    if ollama is not None and ollama[0].is_loopback:
        looks.append(_ollama(client, *ollama, limits))
    looks += [_server(client, *one, limits, named=named) for one in servers if one[0].is_loopback]
    tasks = [asyncio.create_task(look) for look in looks]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
    return [task.result() for task in tasks if not task.cancelled() and task.exception() is None]


def suitable(found: Found, wanted: Callable[[Model], bool], known: Sequence[str]) -> str | None:
    """The model of a running Ollama to ask, None if it has none that will do: not elsewhere, able to chat, and
    `wanted`. `known` ones first, in that order, else the largest.
    """
    able = [one for one in found.installed if one.stays_here and one.chats and wanted(one)]
    names = {one.name.removesuffix(":latest"): one.name for one in able}
    for name in known:
        if name in names:
            return names[name]
    largest = max(able, key=lambda one: one.size, default=None)
    return None if largest is None else largest.name


async def _ollama(client: Client, origin: Origin, base_path: str, limits: Deadlines) -> Found:
    host = OllamaHost(client, origin, base_path)
    version, tags, ps = await asyncio.gather(host.version(limits), host.tags(limits), host.ps(limits))
    here = tuple(one.name for one in tags if one.stays_here and one.chats)
    return Found("Ollama", origin, base_path, here, tuple(tags), tuple(ps), version)


async def _server(client: Client, origin: Origin, base_path: str, limits: Deadlines, *, named: bool) -> Found:
    async def get(path: str) -> bytes:
        response = await client.fetch(origin, "GET", path, b"", b"", limits, private=True)
        return response.body if response.status == 200 else b""

    own, listed = await asyncio.gather(get("/api/v0/models"), get(f"{base_path}/models"))
    try:
        rows = msgspec.json.decode(own, type=_LMStudioModels).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        rows = []
    asked = [row for row in rows if row.type in ("llm", "vlm")]
    if asked:
        asked.sort(key=lambda row: row.state != "loaded")
        return Found("LM Studio", origin, base_path, tuple(row.id for row in asked))
    try:
        models = msgspec.json.decode(listed, type=Listing).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Fault(f"what answers at {origin.label} is no model server") from None
    owner = models[0].owned_by if models else ""
    software = _OWNERS.get(owner, "server" if named else None)
    if software is None:
        raise Fault(f"what answers at {origin.label} may send calls elsewhere")
    return Found(software, origin, base_path, tuple(model.id for model in models))
