"""Reload on change. A bad file is refused and the settings that work stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from rung.config.check import config_error
from rung.config.load import load
from rung.config.options import find
from rung.config.settings import Settings
from rung.errors import ConfigError

Stamp = tuple[str, int, int] | None
"""path, modification time in ns and size; None where there is no file"""

NEVER: Stamp = ("", 0, 0)
"""no file: what has been looked at before the first look"""


class Watcher:
    """Looks at `rung.toml` every second and hands on new settings.

    `changed` gets settings that passed every check and are others than before, `refused` the error of those
    that did not pass (once per change). Both are called on the event loop and should return soon. The
    environment is the one of the start. A file that was in use and is gone is refused too: with it would go
    the keys that guard the gateway.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        path: Path | None = None,
        *,
        cwd: Path,
        changed: Callable[[Settings], None],
        refused: Callable[[ConfigError], None],
    ) -> None:
        self.settings = settings
        self._environ = environ
        # A file once in use stays the file, whatever appears elsewhere.
        self._path = settings.source or path
        self._cwd = cwd
        self._changed = changed
        self._refused = refused
        # The first look reads the file again: it may have changed since it was loaded.
        self._used = self._seen = NEVER

    async def run(self, every: float = 1.0) -> None:
        """Look every `every` seconds until cancelled."""
        while True:
            await asyncio.sleep(every)
            await self.poll()

    async def poll(self) -> None:
        """Look once. A change counts when two looks in a row see the same: nobody reads a half-written file."""
        stamp = await asyncio.to_thread(self._stamp)
        settled, self._seen = stamp == self._seen, stamp
        if not settled or stamp == self._used:
            return
        self._used = stamp
        if stamp is None and self._path is None:
            return
        try:
            fresh = await asyncio.to_thread(self._load, stamp)
        except ConfigError as error:
            self._refused(error)
            return
        self._path = fresh.source
        if fresh != self.settings:
            self.settings = fresh
            self._changed(fresh)

    def _load(self, stamp: Stamp) -> Settings:
        if stamp is None:
            raise config_error([f"{self._path}: the file is gone; the settings stay as they were"])
        return load(self._environ, self._path, cwd=self._cwd)

    def _stamp(self) -> Stamp:
        source = find(self._environ, self._path, self._cwd)
        try:
            if source is None:
                return None
            found = source.stat()
        except OSError:
            return None
        return (str(source), found.st_mtime_ns, found.st_size)
