"""Ollama's life beside its chat: what it has, what is loaded, loading, unloading, pulling.

Chat itself is an adapter's affair (`rung.providers.ollama`). Shapes: docs/api.md of ollama/ollama, August 2026.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import orjson

from rung.errors import ModelFileError, ServerFault
from rung.wire.client import Client, Deadlines, Response
from rung.wire.origin import Origin

T = TypeVar("T")

QUICK = Deadlines(connect=2.0, first_byte=5.0, idle=5.0, total=5.0)
"""for a question about what is there: a server on this machine that needs longer is not well"""

_PULL = Deadlines(connect=5.0, first_byte=60.0, idle=120.0, total=86400.0)
_JSON = b"content-type: application/json\r\n"
_MAX_LINE = 1024 * 1024


class Details(msgspec.Struct):
    """How big and how quantised."""

    family: str = ""
    parameter_size: str = ""
    quantization_level: str = ""


class Model(msgspec.Struct):
    """One model, as ``/api/tags`` and ``/api/ps`` tell it. `size` in bytes; `digest` names the exact weights."""

    name: str = ""
    size: int = 0
    digest: str = ""
    details: Details = msgspec.field(default_factory=Details)
    capabilities: list[str] | None = None
    remote_host: str | None = None
    remote_model: str | None = None
    expires_at: str = ""

    @property
    def stays_here(self) -> bool:
        """False for a model that runs on somebody else's machine, whatever it is called."""
        elsewhere = self.remote_host or self.remote_model or self.name.endswith(("-cloud", ":cloud"))
        return not elsewhere

    @property
    def chats(self) -> bool:
        """Can it be asked for text? Old servers do not say: then yes, but for embedders by name."""
        if self.capabilities is not None:
            return "completion" in self.capabilities
        return "embed" not in self.name


class _Models(msgspec.Struct):
    models: list[Model] | None = None


class _Version(msgspec.Struct):
    version: str = ""


class Shown(msgspec.Struct):
    """What ``/api/show`` says of one model."""

    details: Details = msgspec.field(default_factory=Details)
    model_info: dict[str, Any] = {}
    capabilities: list[str] | None = None
    remote_host: str | None = None
    remote_model: str | None = None


class _Line(msgspec.Struct):
    """One line of a pull."""

    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0
    error: Any = None


_line = msgspec.json.Decoder(_Line)


class OllamaHost:
    """One running Ollama. Every method raises a `Fault` if it does not answer as it should."""

    def __init__(self, client: Client, origin: Origin, base_path: str = "") -> None:
        self.origin = origin
        self.base_path = base_path
        self._client = client

    async def version(self, limits: Deadlines = QUICK) -> str:
        return (await self._get("/api/version", _Version, limits)).version

    async def tags(self, limits: Deadlines = QUICK) -> list[Model]:
        """The models that are installed."""
        return (await self._get("/api/tags", _Models, limits)).models or []

    async def ps(self, limits: Deadlines = QUICK) -> list[Model]:
        """The models that are loaded."""
        return (await self._get("/api/ps", _Models, limits)).models or []

    async def show(self, model: str, limits: Deadlines = QUICK) -> Shown:
        response = await self._ask("POST", "/api/show", {"model": model}, limits)
        return _read(response.body, Shown, self.origin)

    async def load(self, model: str, *, keep_alive: float, context: int, limits: Deadlines) -> None:
        """Load `model` for calls with this `context`; `keep_alive`: idle seconds after which it unloads, < 0: never."""
        told: dict[str, Any] = {"model": model, "messages": [], "stream": False, "keep_alive": keep_alive}
        if context:
            told["options"] = {"num_ctx": context}
        await self._ask("POST", "/api/chat", told, limits)

    async def unload(self, model: str) -> None:
        told = {"model": model, "messages": [], "stream": False, "keep_alive": 0}
        await self._ask("POST", "/api/chat", told, QUICK)

    async def pull(self, model: str, progress: Callable[[str, int, int], Awaitable[None]]) -> None:
        """Have Ollama fetch `model`; `progress` is told and awaited (what it does, bytes that are here, bytes in all).

        Raises ModelFileError with Ollama's own word for it if it cannot.
        """
        layers: dict[str, tuple[int, int]] = {}
        response = await self._client.send(
            self.origin, "POST", f"{self.base_path}/api/pull", _JSON, orjson.dumps({"model": model}), _PULL
        )
        done, pending = False, b""
        try:
            if response.status != 200:
                raise _refused(response.status, await response.read(), self.origin)
            async for block in response.blocks():
                *lines, pending = (pending + block).split(b"\n")
                if len(pending) > _MAX_LINE:
                    raise ModelFileError(f"Ollama at {self.origin.label} sent a line without end")
                for told in (_line_of(line, self.origin) for line in lines if line.strip()):
                    if told.error is not None:
                        raise ModelFileError(
                            f"Ollama could not pull {model}: {_short(told.error)}", code="model_source"
                        )
                    if told.digest:
                        layers[told.digest] = (told.completed, told.total)
                    done = told.status == "success"
                    here, size = (sum(part) for part in zip(*layers.values(), strict=True)) if layers else (0, 0)
                    await progress(told.status, here, size)
        finally:
            response.close()
        if not done:
            raise ModelFileError(f"Ollama broke the pull of {model} off; pull again, it goes on where it stopped")

    async def _get(self, path: str, kind: type[T], limits: Deadlines) -> T:
        return _read((await self._ask("GET", path, None, limits)).body, kind, self.origin)

    async def _ask(self, method: str, path: str, told: dict[str, Any] | None, limits: Deadlines) -> Response:
        body = b"" if told is None else orjson.dumps(told)
        response = await self._client.fetch(
            self.origin, method, self.base_path + path, _JSON if body else b"", body, limits, private=True
        )
        if response.status != 200:
            raise _refused(response.status, response.body, self.origin)
        return response


def _read(body: bytes, kind: type[T], origin: Origin) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ServerFault(f"what answers at {origin.label} is not Ollama") from None


def _line_of(line: bytes, origin: Origin) -> _Line:
    try:
        return _line.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ServerFault(f"what answers at {origin.label} is not Ollama") from None


def _refused(status: int, body: bytes, origin: Origin) -> ServerFault:
    try:
        told = orjson.loads(body)
        why = told.get("error", "") if isinstance(told, dict) else ""
    except orjson.JSONDecodeError:
        why = ""
    return ServerFault(f"Ollama at {origin.label} answered {status}{': ' if why else ''}{_short(why)}")


def _short(told: Any) -> str:
    return " ".join(str(told).split())[:200]
