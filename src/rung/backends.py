"""Which local backend is used, and its life beside the gateway's.

Without configuration what is found is used, in this order: a running Ollama that has a suitable model, the
embedded engine with a pulled model, a model server at one of the usual ports. `[local]` may name one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rung.config import Settings
from rung.errors import ModelFileError
from rung.local import hardware, upkeep
from rung.local.backend import Backend
from rung.local.catalogue import rows
from rung.local.discover import OLLAMA, SERVERS, Found, discover, suitable
from rung.local.embedded import Embedded
from rung.local.engine import Engine
from rung.local.fit import MARGIN, Chosen, chosen_model
from rung.local.health import STOPPED, State
from rung.local.hosted import Ollama, Server
from rung.local.identity import sha256_of
from rung.local.memory import Guard
from rung.local.setup import describe, setup_for, tuning_of
from rung.local.speeds import Speed, Speeds
from rung.local.tuning import DEFAULT_CONTEXT
from rung.wire.client import Client
from rung.wire.origin import Origin

REFRESH = 5.0
"""seconds between two looks for a backend where there is none"""

_TICK = 1.0
_SAVE = 60.0
_GROWS = 1.25
"""how much more memory than its file a model of somebody else's engine is taken to need"""

_MISSING = {
    "ollama": "no Ollama answers that has a model; ollama serve starts it, rung models pull ollama:NAME gives it one",
    "server": "no model server answers that has a model; start it, or say where it is ([local] server)",
}

log = logging.getLogger("rung")


class Backends:
    """The local backend of a gateway: `current`, None while there is none.

    `on_change` is told when, later on, another one has been chosen.
    """

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self.current: Backend | None = None
        self._on_change = on_change
        self._settings: Settings | None = None
        self._client = Client()
        self._speeds = Speeds(Path())
        self._looked = 0.0
        self._told = ""
        self._search: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self, settings: Settings, client: Client) -> None:
        """Choose a backend and begin to load its model; a line in the log says why where there is none.

        Takes as long as `discover` at most, and nothing where the backend is named.
        """
        self._settings, self._client = settings, client
        if not settings.local.enabled:
            return
        self._speeds = Speeds(settings.paths.models)
        await asyncio.to_thread(self._speeds.load)
        await self._choose()
        self._watch = asyncio.create_task(self._run(), name="rung-local-watch")

    async def aclose(self) -> None:
        """Stop it. Safe to call twice."""
        for task in (self._search, self._watch):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        self._search = self._watch = None
        backend, self.current = self.current, None
        if backend is not None:
            await asyncio.to_thread(self._weigh, backend)
            await backend.stop()
            await asyncio.to_thread(self._speeds.save)

    def told(self) -> dict[str, Any]:
        """What ``/readyz`` says: state, model, and why where it is not well. Looks again for one that is missing."""
        self.refresh()
        if self.current is None:
            return {"local": "none"}
        health = self.current.health
        return {
            "local": health.state,
            "local_backend": self.current.kind,
            "local_model": self.current.alias,
            "local_detail": health.detail,
            "local_loaded": health.loaded,
        }

    def refresh(self) -> None:
        """Look again, in the background, if there is no backend or it is gone; at most every `REFRESH` seconds."""
        settled = self.current is not None and self.current.health.state != "gone"
        searching = self._search is not None and not self._search.done()
        if self._watch is None or settled or searching or time.monotonic() - self._looked < REFRESH:
            return
        self._search = asyncio.create_task(self._choose_again(), name="rung-local-search")

    # ---- choosing ----

    async def _choose_again(self) -> None:
        if await self._choose():
            self._on_change()

    async def _choose(self) -> bool:
        """Take the first backend there is, if it is not the one we have; -> is it another?"""
        assert self._settings is not None
        self._looked = time.monotonic()
        found = await self._first(self._settings)
        old = self.current
        if found is None or (old is not None and (old.kind, old.model) == (found.kind, found.model)):
            if old is not None and old.health.state == "gone" and old.kind != "embedded":
                old.wake()
            return False
        self.current = found
        if old is not None:
            await old.stop()
        log.info("local backend: %s, model %s", found.kind, found.model)
        self._keep_count(found)
        await found.start()
        return True

    def _keep_count(self, backend: Backend) -> None:
        """Of its crashes and restarts, beside the models: off the event loop."""
        assert self._settings is not None
        folder, watch, loop = self._settings.paths.models, upkeep.Watch(), asyncio.get_running_loop()

        def told(state: State, detail: str) -> None:
            what = watch(state, detail)
            if what is not None or state == "ready":
                loop.run_in_executor(None, upkeep.note, folder, backend.alias, what)

        backend.health.listen(told)

    async def _first(self, settings: Settings) -> Backend | None:
        told = settings.local
        named, name = told.backend, told.model
        if name.startswith("ollama:"):
            named, name = "ollama", name.removeprefix("ollama:")
        elif named == "auto" and name != "auto":
            named = "embedded"
        if named == "embedded":
            return await self._embedded(settings)
        found = await discover(self._client, ollama=_ollama_at(settings), **_servers_at(settings))
        ollama = next((one for one in found if one.software == "Ollama"), None)
        backend: Backend | None = None
        if ollama is not None and named in ("auto", "ollama"):
            backend = await self._ollama(settings, ollama, name)
        if backend is None and named == "auto":
            backend = await self._embedded(settings, quiet=any(one.software != "Ollama" for one in found))
        servers = [one for one in found if one.software != "Ollama" and one.models]
        if backend is None and servers and named in ("auto", "server"):
            backend = self._server(settings, servers[0], name)
        if backend is None and named != "auto":
            self._say(f"no local rung: {_MISSING[named]}")
        return backend

    async def _ollama(self, settings: Settings, found: Found, name: str) -> Ollama | None:
        here = await asyncio.to_thread(hardware.ram_free)
        loaded = {one.name for one in found.loaded}
        known = [row.name for row in await asyncio.to_thread(rows) if row.default]
        if name == "auto":
            model = suitable(found, lambda one: one.name in loaded or _fits(one.size, here), known)
        else:
            model = suitable(found, lambda one: one.name in (name, f"{name}:latest"), ())
            if model is None:
                self._say(f"no local rung: Ollama has no {name} that runs here; rung models pull ollama:{name}")
        if model is None:
            return None
        told = settings.local
        return Ollama(
            self._client,
            found.origin,
            found.base_path,
            model,
            context=told.context or DEFAULT_CONTEXT,
            idle_unload=told.idle_unload,
            speed=self._speeds.of(f"ollama/{model}"),
            max_waiting=told.queue,
            load_deadline=told.load_timeout,
            on_change=_tell,
        )

    def _server(self, settings: Settings, found: Found, name: str) -> Server:
        model = name if name in found.models else found.models[0]
        told = settings.local
        return Server(
            self._client,
            found.origin,
            found.base_path,
            model,
            speed=self._speeds.of(f"server/{found.origin.label}/{model}"),
            max_waiting=told.queue,
            load_deadline=told.load_timeout,
            on_change=_tell,
        )

    async def _embedded(self, settings: Settings, *, quiet: bool = False) -> Embedded | None:
        told, models = settings.local, settings.paths.models
        if find_spec("xllamacpp") is None:
            if not quiet:
                self._say("no local rung: the engine is not installed; pip install 'rung[local]'")
            return None
        machine = await asyncio.to_thread(hardware.look)
        try:
            chosen = await asyncio.to_thread(chosen_model, told.model, models, machine, context=told.context)
        except ModelFileError as error:
            self._say(f"no local rung: {error.message}", logging.WARNING)
            return None
        if chosen is None:
            if not quiet:
                self._say("no local rung: there is no model yet; rung models pull qwen2.5-coder:1.5b")
            return None
        room, usual = chosen.room, told.context or DEFAULT_CONTEXT
        repack, context = (True, usual) if room is None else (room.repack, room.context)
        most = machine.engine_threads
        setup = await asyncio.to_thread(setup_for, chosen.path, models, threads=most, repack=repack)
        threads = told.threads or setup.threads
        if not repack or context < usual:
            self._say(f"{chosen.alias}: memory is short, so {context:,} tokens of context, {describe(setup)}")
        engine = Engine(
            chosen.path,
            alias=chosen.alias,
            threads=threads,
            context=context,
            load_deadline=told.load_timeout,
            tuning=replace(tuning_of(setup), heads=settings.paths.home / "prefixes"),
        )
        return Embedded(
            engine,
            identify=partial(_identify, chosen, models),
            speed=self._speed_of(chosen, threads),
            max_waiting=told.queue,
            idle_unload=told.idle_unload,
            on_change=_tell,
            on_death=self._client.sever,
        )

    def _speed_of(self, chosen: Chosen, threads: int) -> Speed:
        return self._speeds.of(f"embedded/{chosen.alias}/{chosen.sha256[:12]}/{threads} threads")

    def _say(self, line: str, level: int = logging.INFO) -> None:
        """A line in the log, once: we look again and again."""
        if line != self._told:
            self._told = line
            log.log(level, line)

    # ---- beside it ----

    async def _run(self) -> None:
        """Guard memory; write down what was learnt."""
        assert self._settings is not None
        guard, guarded, saved = None, None, time.monotonic()
        while True:
            await asyncio.sleep(_TICK)
            if self.current is not guarded:
                guarded = self.current
                guard = Guard(guarded, self._settings.local.min_free_ram) if isinstance(guarded, Embedded) else None
            if guard is not None:
                with contextlib.suppress(OSError):
                    await guard.look()
            if time.monotonic() - saved > _SAVE:
                saved = time.monotonic()
                await asyncio.to_thread(self._speeds.save)
                await asyncio.to_thread(self._weigh, self.current)

    def _weigh(self, backend: Backend | None) -> None:
        """Write down the most memory its engine took. Blocks."""
        if isinstance(backend, Embedded) and backend.engine.pid is not None and self._settings is not None:
            upkeep.note(self._settings.paths.models, backend.alias, peak=upkeep.peak_of(backend.engine.pid))


def _ollama_at(settings: Settings) -> tuple[Origin, str] | None:
    """Where Ollama is looked for: where `OLLAMA_HOST` or its provider table says, else at its usual port."""
    if settings.local.backend == "server":
        return None
    told = settings.providers.get("ollama")
    if told is None:
        return OLLAMA, ""
    origin, path = Origin.parse(told.base_url)
    return origin, path.removesuffix("/v1")


def _servers_at(settings: Settings) -> dict[str, Any]:
    told = settings.local
    if told.backend == "ollama" or told.model.startswith("ollama:"):
        return {"servers": ()}
    if told.server:
        return {"servers": (Origin.parse(told.server),), "named": True}
    return {"servers": tuple((origin, "/v1") for origin in SERVERS)}


def _fits(size: int, free: int | None) -> bool:
    return free is None or size * _GROWS + MARGIN <= free


def _identify(chosen: Chosen, models: Path) -> str:
    """The file's sha256. Raises ModelFileError if it is not what the catalogue promised."""
    found = sha256_of(chosen.path, models)
    if chosen.sha256 and found != chosen.sha256:
        raise ModelFileError(
            f"{chosen.path.name} is damaged or another file (its sha256 begins {found[:8]}, not {chosen.sha256[:8]}); "
            f"remove it with `rung models rm {chosen.alias}`, then `rung models pull {chosen.alias}`"
        )
    return found


def _tell(state: str, detail: str) -> None:
    """The local model's ups and downs, in the log: off the event loop, for a full pipe would hold it up."""
    level = logging.WARNING if state in ("failing", "gone") and detail != STOPPED else logging.INFO
    told = f"{state} ({detail})" if detail else state
    asyncio.get_running_loop().run_in_executor(None, log.log, level, "local model: %s", told)
