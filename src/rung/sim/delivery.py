"""Bringing one `Reply` to the client, in scenario time and as damaged as its fault says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from rung.sim import faults
from rung.sim.clock import Clock
from rung.sim.exchange import Piece, Reply
from rung.sim.scenario import dice
from rung.sim.wire import Connection

_BREAKING = (
    faults.Cut,
    faults.Garbage,
    faults.HalfClose,
    faults.NoDone,
    faults.NoFinish,
    faults.Refused,
    faults.StreamError,
    faults.WrongLength,
)
_RAW = faults.Keepalives | faults.Garbage | faults.Cut | faults.HalfClose
"""faults whose time or place no Content-Length could be told for"""


class Ended(Exception):
    """The fault ended the response, and the connection with it."""


class Delivery:
    """One response on its way.

    `settle` is called once with the outcome (see `Entry.outcome`), before the last bytes go out:
    who has read them finds the books done.
    """

    def __init__(
        self,
        reply: Reply,
        number: int,
        clock: Clock,
        headers: Mapping[str, str],
        seed: int,
        settle: Callable[[Delivery, str], None],
    ) -> None:
        self.reply = reply
        self.clock = clock
        self.headers = {"content-type": reply.content_type, **headers, **reply.headers}
        self.generated = 0
        """tokens so far"""
        self.told = False
        """has the usage gone out?"""
        self.head_only = False
        """the request was HEAD"""
        self._settle = settle
        self._settled = False
        self._rng = dice(seed, number)

    def settle(self, outcome: str) -> None:
        """The first outcome counts."""
        if not self._settled:
            self._settled = True
            self._settle(self, outcome)

    async def run(self, wire: Connection) -> None:
        """Send it all. Raises Ended where the connection must be closed afterwards."""
        reply, fault = self.reply, self.reply.fault
        if isinstance(fault, faults.Refused):
            self.settle("error")  # nothing was read, so nothing is billed
            wire.reset()
            raise Ended
        if isinstance(fault, faults.Stall) and fault.after_chunks is None:
            await self._silence(fault.seconds)
        if isinstance(fault, faults.WrongLength):
            await self._mislabelled(wire, fault.by)
        if isinstance(fault, faults.Cut) and fault.after_bytes is not None:
            await self._cut(wire, fault.after_bytes, fault.how)
        if reply.stream or isinstance(fault, _RAW):
            await self._chunked(wire)
            return
        async for piece in self._pieces():
            await wire.head(reply.status, {**self.headers, "content-length": str(len(piece.data))})
            if not self.head_only:
                await self._send(wire, piece.data, chunked=False)

    async def _chunked(self, wire: Connection) -> None:
        fault = self.reply.fault
        after = getattr(fault, "after_chunks", None)
        sent = -1
        async for piece in self._pieces():
            sent += 1
            if not sent:
                await self._head(wire)
            if sent == after:
                await self._strike(wire)
            self.told = self.told or piece.tells_usage
            await self._send(wire, piece.data, chunked=True)
        if after is not None and sent < after:
            await self._strike(wire)  # the answer was shorter than the scenario thought: strike at its end
        if isinstance(fault, faults.Keepalives) and fault.then == "close":
            raise Ended
        if isinstance(fault, _BREAKING):
            self.settle("broken")
        await wire.last_chunk()

    async def _head(self, wire: Connection) -> None:
        await wire.head(self.reply.status, {**self.headers, "transfer-encoding": "chunked"})

    async def _strike(self, wire: Connection) -> None:
        """The fault that happens between two chunks."""
        fault = self.reply.fault
        if isinstance(fault, faults.Stall):
            await self._silence(fault.seconds)
            return
        if isinstance(fault, faults.Garbage):
            await wire.chunk(self._rng.randbytes(fault.size))
            return
        self.settle("broken")
        if isinstance(fault, faults.HalfClose):
            wire.half_close()
            await self._silence(None)
        if isinstance(fault, faults.StreamError):
            await wire.chunk(self.reply.error_piece)
            await wire.last_chunk()
        if isinstance(fault, faults.Cut):
            await self._end(wire, fault.how)
        raise Ended

    async def _end(self, wire: Connection, how: str) -> None:
        if how == "clean":
            await wire.last_chunk()
        elif how == "reset":
            wire.reset()

    async def _send(self, wire: Connection, data: bytes, *, chunked: bool) -> None:
        fault = self.reply.fault
        size = fault.size if isinstance(fault, faults.Split) else len(data) or 1
        for start in range(0, len(data), size):
            part = data[start : start + size]
            await (wire.chunk(part) if chunked else wire.send(part))
            if size < len(data):
                await asyncio.sleep(0)  # let each part travel alone

    async def _pieces(self) -> AsyncIterator[Piece]:
        """The provider's pieces, each when its tokens are there."""
        turn, fault = self.reply.turn, self.reply.fault
        if isinstance(fault, faults.Keepalives):
            async for piece in self._keepalives(fault):
                yield piece
            if fault.then == "close":
                self.settle("broken")
                return
        await self.clock.sleep(self.reply.delay if turn is None else turn.load_time + turn.first_token)
        pieces = self._kept()
        for number, piece in enumerate(pieces, 1):
            if turn is not None and piece.tokens:
                await self.clock.sleep(piece.tokens * turn.token_time)
            self.generated += piece.tokens
            if number == len(pieces) and not isinstance(fault, _BREAKING):
                self.told = self.told or piece.tells_usage
                self.settle("whole")
            yield piece

    def _kept(self) -> list[Piece]:
        """The pieces that a missing end leaves."""
        pieces = list(self.reply.pieces)
        fault = self.reply.fault
        if not self.reply.stream:
            return pieces
        if isinstance(fault, faults.NoFinish):
            return [piece for piece in pieces if piece.role in ("start", "content")]
        if isinstance(fault, faults.NoDone):
            last = "end" if any(piece.role == "end" for piece in pieces) else "finish"
            return [piece for piece in pieces if piece.role != last]
        return pieces

    async def _keepalives(self, fault: faults.Keepalives) -> AsyncIterator[Piece]:
        waited = 0.0
        while fault.seconds is None or waited < fault.seconds:
            yield Piece(self.reply.keepalive, role="start")
            await self.clock.sleep(fault.every)
            waited += fault.every
            if fault.seconds is None:
                await asyncio.sleep(0.01)  # or virtual time would make it a flood

    async def _cut(self, wire: Connection, size: int, how: str) -> None:
        """The first `size` bytes of the body, then the end."""
        stream = self.reply.stream
        framing = {"transfer-encoding": "chunked"}
        if not stream:
            self.reply.pieces = list(self.reply.pieces)
            framing = {"content-length": str(sum(len(piece.data) for piece in self.reply.pieces))}
        left = size
        async for piece in self._pieces():
            if left == size:
                await wire.head(self.reply.status, {**self.headers, **framing})
            part = piece.data[:left]
            left -= len(part)
            self.told = self.told or (piece.tells_usage and len(part) == len(piece.data))
            if not left:
                self.settle("broken")
            await (wire.chunk(part) if stream else wire.send(part))
            if not left:
                break
        self.settle("broken")
        await self._end(wire, how if stream or how == "reset" else "close")
        raise Ended

    async def _mislabelled(self, wire: Connection, by: int) -> None:
        body = b"".join([piece.data async for piece in self._pieces()])
        await wire.head(self.reply.status, {**self.headers, "content-length": str(max(0, len(body) + by))})
        self.settle("broken")
        await wire.send(body)
        raise Ended

    async def _silence(self, seconds: float | None) -> None:
        """Until the client leaves, or for so long."""
        if seconds is None:
            await asyncio.Event().wait()
        else:
            await self.clock.sleep(seconds)
