"""Which local backend is used, and its life beside the gateway's."""

from __future__ import annotations

import asyncio
import logging
from importlib.util import find_spec
from typing import Any

from rung.config import Settings
from rung.errors import ModelFileError
from rung.local.backend import Backend
from rung.local.embedded import STOPPED, Embedded
from rung.local.engine import Engine
from rung.local.fit import chosen_model
from rung.local.hardware import look

log = logging.getLogger("rung")


class Backends:
    """The local backend of a gateway: `current`, None while there is none."""

    def __init__(self) -> None:
        self.current: Backend | None = None

    async def start(self, settings: Settings) -> None:
        """Choose a backend and begin to load its model; a line in the log says why where there is none."""
        self.current = await _embedded(settings)
        if self.current is not None:
            await self.current.start()

    async def aclose(self) -> None:
        """Stop it. Safe to call twice."""
        backend, self.current = self.current, None
        if backend is not None:
            await backend.stop()

    def told(self) -> dict[str, Any]:
        """What ``/readyz`` says: state, model, and why where it is not well."""
        if self.current is None:
            return {"local": "none"}
        health = self.current.health
        return {"local": health.state, "local_model": self.current.alias, "local_detail": health.detail}


async def _embedded(settings: Settings) -> Embedded | None:
    told = settings.local
    if not told.enabled:
        return None
    if find_spec("xllamacpp") is None:
        log.info("no local rung: the engine is not installed; pip install 'rung[local]'")
        return None
    hardware = await asyncio.to_thread(look)
    try:
        chosen = await asyncio.to_thread(
            chosen_model, told.model, settings.paths.models, hardware, context=told.context
        )
    except ModelFileError as error:
        log.warning("no local rung: %s", error.message)
        return None
    if chosen is None:
        log.info("no local rung: there is no model yet; rung models pull qwen2.5-coder:1.5b")
        return None
    engine = Engine(
        chosen[1],
        alias=chosen[0],
        threads=told.threads or hardware.engine_threads,
        context=told.context,
        load_deadline=told.load_timeout,
    )
    return Embedded(engine, max_waiting=told.queue, on_change=_tell)


def _tell(state: str, detail: str) -> None:
    """The local model's ups and downs, in the log."""
    level = logging.WARNING if state in ("failing", "gone") and detail != STOPPED else logging.INFO
    log.log(level, "local model: %s%s", state, f" ({detail})" if detail else "")
