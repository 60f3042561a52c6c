"""What every local backend is to the local rung: the embedded engine, Ollama, any OpenAI-compatible server.

A backend owns a model's life (load, health, unload) and its queue; how its API is spoken is an adapter's
affair (`rung.providers.local`). The contract is tests/local/test_backend_contract.py.
"""

from __future__ import annotations

from typing import Literal, Protocol

from rung.errors import Fault
from rung.local.desk import Desk
from rung.local.health import Health
from rung.local.speeds import Speed
from rung.wire.origin import Origin

Kind = Literal["embedded", "ollama", "server"]


class Backend(Protocol):
    """One model on this machine. Belongs to the event loop it is started on.

    Attributes:
        alias: its name in ``local:ALIAS``, without a colon.
        model: what the backend itself calls it.
        version: which weights answer: the file's sha256 (Ollama: the model's digest); empty where a server
            does not say.
        context: tokens a prompt and its answer may have together; 0 where it is not known.
        base_path: of its API at `origin`. headers: ``name: value\\r\\n`` lines it wants.
    """

    @property
    def kind(self) -> Kind: ...
    @property
    def alias(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def context(self) -> int: ...
    @property
    def health(self) -> Health: ...
    @property
    def desk(self) -> Desk: ...
    @property
    def speed(self) -> Speed: ...
    @property
    def origin(self) -> Origin | None: ...
    @property
    def base_path(self) -> str: ...
    @property
    def headers(self) -> bytes: ...

    async def start(self) -> None:
        """Begin to load the model; returns at once. Whatever is wrong is told by `health`."""
        ...

    async def stop(self) -> None:
        """End what runs here. Safe to call twice; `start` begins anew."""
        ...

    def wake(self) -> None:
        """See to it that the model gets loaded, if it is not and may be; returns at once."""
        ...

    async def ready(self, seconds: float) -> bool:
        """`wake` it and wait up to `seconds`; can it be asked now?"""
        ...

    async def up(self) -> bool:
        """Can it be asked now, without a load before the answer? Looks, where that is not known for sure."""
        ...

    def broke(self, origin: Origin | None, fault: Fault) -> None:
        """An answer from `origin` ended in `fault`."""
        ...

    async def lost(self, origin: Origin | None, seconds: float) -> bool:
        """After `broke`: wait up to `seconds` for the news that what was asked has ended, so that asking once
        more makes sense. -> does it?"""
        ...
