"""Prompt heads kept as files, so that the engine's next life need not read them again.

A head is what many conversations begin with: the leading instructions and the tools. Once the engine has read one
(20 s for 500 tokens of the 1.5B on one core) it can write its KV to a file, 28 KB a token, and take it back in
milliseconds. A file holds the head and nothing that a user said. Within one life none of this is needed: llama.cpp
keeps the longest common prefix in its slot, and prompts that lost the slot in memory (`rung.local.tuning`).

llama.cpp aborts on a file that is cut off and believes one that is damaged, so each carries its digest in its name.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from rung.call import Call
from rung.local.build import engine_version

LEAST_CHARS = 1200
"""some 300 tokens; a shorter head is read again in little time"""

MAX_BYTES = 512 * 1024 * 1024
MAX_FILES = 16

_SUFFIX = ".kv"


class Heads:
    """The files in `folder`, for one model: `identity` is its sha256. The least recently used go first.

    All methods but `name` read or write files: call them in a thread.
    """

    def __init__(self, folder: Path, identity: str, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
        self.folder = folder
        # KV of one version of llama.cpp, or laid out for another kind of attention, may mean nothing to another
        version = engine_version()
        self._identity = f"{identity}:{version}:plain" if version else f"{identity}:"
        self._max_bytes = max_bytes
        self._max_files = max_files

    def name(self, call: Call) -> tuple[str, list[dict[str, Any]]] | None:
        """The name of this call's head, and its messages; None if it has none worth keeping, or must not be kept."""
        if call.private or call.no_store:
            return None
        head = []
        for message in call.body["messages"]:
            if message.get("role") not in ("system", "developer"):
                break
            head.append(message)
        tools = [] if call.body.get("tool_choice") == "none" else call.body.get("tools") or []
        text = orjson.dumps([head, tools], option=orjson.OPT_SORT_KEYS)
        if not head or len(text) < LEAST_CHARS:
            return None
        told = f"{self._identity}:{call.tenant}:".encode() + text
        return hashlib.blake2b(told, digest_size=16).hexdigest(), head

    def find(self, name: str) -> str | None:
        """The whole and undamaged file of a head, relative to the folder; None if there is none. A damaged one goes."""
        for path in self.folder.glob(f"{name}-*{_SUFFIX}"):
            with suppress(OSError):
                if path.stem.partition("-")[2] == _digest(path):
                    os.utime(path)
                    return path.name
                path.unlink()
        return None

    def part(self, name: str) -> str:
        """Where the engine may write the head `name`, relative to the folder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return f"{name}.part"

    def keep(self, part: str) -> None:
        """What the engine wrote to `part` is whole: give it its name, make room for it."""
        path = self.folder / part
        with suppress(OSError):
            os.chmod(path, 0o600)
            path.rename(self.folder / f"{path.stem}-{_digest(path)}{_SUFFIX}")
            self._prune()

    def _prune(self) -> None:
        files = [(path.stat(), path) for path in self.folder.iterdir() if path.suffix in (_SUFFIX, ".part")]
        files.sort(key=lambda one: one[0].st_mtime, reverse=True)
        room = self._max_bytes
        for number, (told, path) in enumerate(files):
            room -= told.st_size
            if room < 0 or number >= self._max_files:
                path.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
