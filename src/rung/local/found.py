"""Model files that are on this machine already: Ollama's store, LM Studio's, and any folder of GGUF files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

_MODEL_LAYER = "application/vnd.ollama.image.model"
_MOST = 200
"""files told of; nobody reads more"""


@dataclass(frozen=True, slots=True)
class Found:
    """One GGUF file. `name` as its keeper calls it."""

    name: str
    path: Path
    keeper: str


class _Layer(msgspec.Struct, rename={"media_type": "mediaType"}):
    media_type: str
    digest: str


class _Manifest(msgspec.Struct):
    layers: list[_Layer] = []


def find(*, ollama: Iterable[Path], folders: Iterable[tuple[str, Path]]) -> list[Found]:
    """Look into Ollama stores and (keeper, folder) pairs; folders that are not there are passed over."""
    found: list[Found] = []
    for store in ollama:
        found += _in_ollama(store)
    for keeper, folder in folders:
        found += [Found(path.stem, path, keeper) for path in _files(folder)]
    return list({one.path: one for one in found}.values())[:_MOST]


def _files(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.rglob("*.gguf") if path.is_file())
    except OSError:
        return


def _in_ollama(store: Path) -> Iterator[Found]:
    """Ollama keeps a manifest for every name (manifests/REGISTRY/USER/MODEL/TAG), and the weights by their digest."""
    manifests = store / "manifests"
    try:
        names = sorted(path for path in manifests.rglob("*") if path.is_file())
    except OSError:
        return
    for path in names:
        try:
            layers = msgspec.json.decode(path.read_bytes(), type=_Manifest).layers
        except (OSError, msgspec.DecodeError):
            continue
        for layer in layers:
            blob = store / "blobs" / layer.digest.replace(":", "-")
            if layer.media_type == _MODEL_LAYER and blob.is_file():
                *_, user, model, tag = path.parts
                name = f"{model}:{tag}" if user == "library" else f"{user}/{model}:{tag}"
                yield Found(name, blob, "Ollama")
