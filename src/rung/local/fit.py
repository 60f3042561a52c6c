"""How much memory a model needs here, and which one to take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rung.errors import ModelFileError
from rung.local.catalogue import Row, row, rows
from rung.local.hardware import Hardware
from rung.local.installed import serving
from rung.local.tuning import DEFAULT_CONTEXT, DEFAULT_TUNING, Tuning

MiB = 1024 * 1024

OVERHEAD = 36 * MiB
"""the process and llama.cpp themselves"""

PER_TOKEN = 400
"""bytes a word of the vocabulary takes: its texts, its look-up tables, its place in the output buffers.
Both figures are fitted to measured peaks at 4096 tokens of context, before any prompt is kept: 135M 240 MiB, 0.5B
639, 1.5B 1873."""

MARGIN = 512 * MiB
"""left to everything else on the machine"""

CONTEXTS = (DEFAULT_CONTEXT, 4096)
"""tokens of context where nobody said how many: the first there is memory for"""


class Shape(Protocol):
    """What the formula needs: a catalogue row or a GGUF header gives it."""

    @property
    def layers(self) -> int: ...
    @property
    def kv_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def q4_k_bytes(self) -> int: ...
    @property
    def vocabulary(self) -> int: ...


def ram_needed(file_bytes: int, shape: Shape, *, context: int, slots: int = 1, tuning: Tuning = DEFAULT_TUNING) -> int:
    """Bytes of memory the engine takes, all of it touched: file + KV cache + repacked weights + kept prompts +
    vocabulary + overhead.

    KV cache: keys and values (2) x layers x KV heads x head width x context x slots x 2 bytes (f16).
    llama.cpp copies Q4_K weights into a layout its CPU kernels like, beside the mapped file.
    """
    kv = 2 * shape.layers * shape.kv_heads * shape.head_dim * context * slots * 2
    repacked = shape.q4_k_bytes if tuning.repack else 0
    return file_bytes + kv + repacked + tuning.kept_prompts + PER_TOKEN * shape.vocabulary + OVERHEAD


@dataclass(frozen=True, slots=True)
class Room:
    """How a model can be loaded here: with how many tokens of context, with its weights copied (`repack`) or as they
    are in the file, and the bytes of memory that takes."""

    context: int
    repack: bool
    ram: int


def rooms(file_bytes: int, shape: Shape, context: int | None = None) -> list[Room]:
    """The ways to load a model, the best first: the copy of the weights is worth more than a long context."""
    return [
        Room(length, repack, ram_needed(file_bytes, shape, context=length, tuning=Tuning(repack=repack)))
        for repack in (True, False)
        for length in ((context,) if context else CONTEXTS)
    ]


def room_for(file_bytes: int, shape: Shape, hardware: Hardware, *, context: int | None = None) -> Room | None:
    """The best way to load a model for which there is memory, and `MARGIN` besides; None if there is none."""
    ways = rooms(file_bytes, shape, context)
    return next((one for one in ways if one.ram + MARGIN <= hardware.usable_ram), None)


def least_ram(file_bytes: int, shape: Shape, *, context: int | None = None) -> int:
    """Bytes of memory without which a model is not loaded, but for `MARGIN`."""
    return min(one.ram for one in rooms(file_bytes, shape, context))


def room_and_ram(
    file_bytes: int, shape: Shape, hardware: Hardware, *, context: int | None = None
) -> tuple[Room | None, int]:
    """`room_for`, and the bytes to tell: those it takes, or the least it could do with where there is no room."""
    room = room_for(file_bytes, shape, hardware, context=context)
    return room, least_ram(file_bytes, shape, context=context) if room is None else room.ram


def no_room(
    name: str, file_bytes: int, shape: Shape, hardware: Hardware, *, context: int | None = None
) -> ModelFileError:
    """Says what the model needs, what there is, and what to do."""
    need = least_ram(file_bytes, shape, context=context)
    return ModelFileError(
        f"{name} needs {need / MiB:.0f} MiB of memory and {MARGIN / MiB:.0f} to spare, "
        f"{hardware.usable_ram / MiB:.0f} are free; free some, or choose a smaller model or context"
    )


def fits(model: Row, hardware: Hardware, *, context: int | None = None) -> bool:
    """Is there a way to load it for which there is memory?"""
    return room_for(model.bytes, model, hardware, context=context) is not None


def default_model(hardware: Hardware, *, context: int | None = None) -> Row | None:
    """The most capable model worth serving that fits, or None."""
    return next((one for one in rows() if one.default and fits(one, hardware, context=context)), None)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model to serve. `sha256`: what the file must have; empty for a file of the user's own, whose `room` is None
    as well: whoever names a file knows its size."""

    alias: str
    path: Path
    sha256: str = ""
    room: Room | None = None


def chosen_model(said: str, models_dir: Path, hardware: Hardware, *, context: int | None = None) -> Chosen | None:
    """The model to serve. `said`: ``auto``, a catalogue name, or the path of a GGUF file.

    ``auto`` is the most capable installed model that fits, None if there is none. Raises ModelFileError for
    a named model that is not here or does not fit.
    """
    if said.lower().endswith(".gguf"):
        path = Path(said).expanduser()
        return Chosen(path.stem.lower(), path)
    wanted = [one for one in rows() if one.default] if said == "auto" else [row(said)]
    for one in wanted:
        version = serving(one, models_dir)
        if said != "auto" and version is None:
            raise ModelFileError(f"the model {one.name} is not here; get it with: rung models pull {one.name}")
        if version is None:
            continue
        if (room := room_for(one.bytes, one, hardware, context=context)) is not None:
            return Chosen(one.alias, models_dir / version.file, version.sha256, room)
        if said != "auto":
            raise no_room(one.name, one.bytes, one, hardware, context=context)
    return None
