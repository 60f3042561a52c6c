"""One stored answer, in the shape it was first sent in and in those asked for since."""

from __future__ import annotations

import msgspec

from rung.answer import Answer, Event, Evidence, Usage
from rung.store.replay import to_frames, to_whole, with_usage, without_rung

ENTRY_OVERHEAD = 1024
"""bytes counted for an entry beside its data: the object, its key, its place in the order (measured: ~0.9 kB)"""

SHAPES = ("whole", "stream", "stream+usage")


def shape_of(*, stream: bool, include_usage: bool) -> str:
    """The name of the shape a caller asks for, one of `SHAPES`."""
    if not stream:
        return "whole"
    return "stream+usage" if include_usage else "stream"


class Stored(msgspec.Struct, gc=False):
    """One whole, good answer and what was known about it.

    `data` is the answer as it was first sent, in `shape` (one of `SHAPES`); `created` is `time.time()` then.
    `usage` and `cost` (pico-dollars) are those of the first delivery. `mode` is the call's. `private`
    entries never reach the disk.
    """

    data: bytes
    shape: str
    model: str
    rung: str
    usage: Usage | None = None
    cost: int | None = None
    unproved: bool = False
    created: float = 0.0
    tenant: str = "local"
    mode: str = "auto"
    private: bool = False
    finish_reason: str = "stop"
    model_version: str = ""
    tool_calls: bool = False
    stripped: tuple[str, ...] = ()
    simulated: bool = False
    replays: dict[str, bytes] | None = None
    """`data` in the other shapes asked for so far"""
    clean: bool = False
    """`data` holds nothing that belonged to its first delivery only"""

    def __post_init__(self) -> None:
        self.clean = self.data.find(b'"rung":') < 0  # inside a string its quotes would be escaped

    def replay(self, shape: str) -> bytes | None:
        """`data` in `shape`, if it need not be converted."""
        if shape == self.shape and self.clean:
            return self.data
        return self.replays.get(shape) if self.replays is not None else None

    def remember(self, shape: str, data: bytes) -> None:
        """Keep a conversion."""
        if self.replays is None:
            self.replays = {}
        self.replays[shape] = data

    @property
    def size(self) -> int:
        """Bytes this entry counts for."""
        size = ENTRY_OVERHEAD + len(self.data)
        if self.replays is not None:
            size += sum(map(len, self.replays.values()))
        return size

    def converted(self, shape: str) -> bytes:
        """`data` in `shape`, without the `rung` member of its first delivery.

        Takes about 5 µs a chunk. Raises one of `replay.REFUSED` if `data` is no answer.
        """
        if self.shape == "whole":
            if shape == "whole":
                return without_rung(self.data)
            return to_frames(self.data, shape == "stream+usage", self.usage)
        if shape == "whole":
            return to_whole(self.data, self.usage)
        return with_usage(self.data, shape == "stream+usage", self.usage)


class _Once:
    """A stream of one event."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data: bytes | None = data

    def __aiter__(self) -> _Once:
        return self

    async def __anext__(self) -> Event:
        if self._data is None:
            raise StopAsyncIteration
        data, self._data = self._data, None
        return Event(data, True, True)


def told_again(rung: str, entry: Stored, data: bytes, *, stream: bool) -> Answer:
    """`entry` as the answer of a cache called `rung`: nothing was read or written by a model, so it used and cost
    nothing. `data` is in the shape asked for."""
    evidence = Evidence(
        entry.finish_reason,
        True,
        Usage(),
        0,
        entry.model_version or entry.model,
        entry.tool_calls,
        unproved=entry.unproved,
        stripped=entry.stripped,
        simulated=entry.simulated,
    )
    if stream:
        return Answer(rung, entry.model, evidence, None, _Once(data))
    return Answer(rung, entry.model, evidence, data)
