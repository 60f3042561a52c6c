"""Writes gathered over a turn of the loop: in order, before what is scheduled later, and each on its own."""

from __future__ import annotations

import asyncio

from rung.wire.outbox import HELD, Outbox


class Told(asyncio.Transport):
    """Notes what is written to it, by its name, in a list that several share."""

    def __init__(self, name: str, log: list[tuple[str, bytes]], *, broken: bool = False) -> None:
        super().__init__()
        self.name, self.log, self.broken, self.closed = name, log, broken, False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.broken:
            raise RuntimeError("the handle is gone")
        self.log.append((self.name, bytes(data)))

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


async def test_waits_for_the_end_of_the_turn_and_keeps_the_order() -> None:
    log: list[tuple[str, bytes]] = []
    one, two, outbox = Told("one", log), Told("two", log), Outbox()
    for transport, data in ((one, b"1"), (two, b"2"), (one, b"3")):
        outbox.put(transport, data)
    assert log == []
    asyncio.get_running_loop().call_soon(log.append, ("later", b""))
    await asyncio.sleep(0)
    assert log == [("one", b"1"), ("two", b"2"), ("one", b"3"), ("later", b"")]


async def test_after_a_flush_nothing_is_written_twice_and_more_can_come() -> None:
    log: list[tuple[str, bytes]] = []
    one, outbox = Told("one", log), Outbox()
    outbox.put(one, b"1")
    outbox.flush()
    outbox.put(one, b"2")
    assert log == [("one", b"1")]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert log == [("one", b"1"), ("one", b"2")]


async def test_a_closed_transport_is_left_alone() -> None:
    log: list[tuple[str, bytes]] = []
    one, two, outbox = Told("one", log), Told("two", log), Outbox()
    outbox.put(one, b"1")
    outbox.put(two, b"2")
    one.abort()
    outbox.flush()
    assert log == [("two", b"2")]


async def test_one_broken_connection_costs_the_others_nothing() -> None:
    log: list[tuple[str, bytes]] = []
    one, two, outbox = Told("one", log, broken=True), Told("two", log), Outbox()
    outbox.put(one, b"1")
    outbox.put(two, b"2")
    outbox.flush()
    assert log == [("two", b"2")]
    assert one.closed


async def test_much_is_written_at_once() -> None:
    log: list[tuple[str, bytes]] = []
    one, outbox = Told("one", log), Outbox()
    written = []
    for _ in range(4):
        outbox.put(one, bytes(HELD // 2))
        written.append(len(log))
    assert written == [0, 0, 1, 1]
    await asyncio.sleep(0)
    assert len(log) == 2


async def test_what_goes_to_one_transport_right_after_the_other_goes_in_one_piece() -> None:
    log: list[tuple[str, bytes]] = []
    one, two, outbox = Told("one", log), Told("two", log), Outbox()
    for transport, data in ((one, b"1"), (one, b"2"), (two, b"3"), (one, b"4"), (one, b"5"), (one, b"6")):
        outbox.put(transport, data)
    outbox.flush()
    assert log == [("one", b"12"), ("two", b"3"), ("one", b"456")]
    outbox.put(one, b"7")
    outbox.put(two, b"8")
    outbox.flush()
    assert log[3:] == [("one", b"7"), ("two", b"8")]


async def test_what_is_to_be_done_after_a_write_is_done_after_it_and_in_order() -> None:
    log: list[tuple[str, bytes]] = []
    one, outbox = Told("one", log), Outbox()
    outbox.put(one, b"1")
    outbox.then(lambda: log.append(("done", b"1")))
    outbox.put(one, b"2")
    outbox.then(lambda: log.append(("done", b"2")))
    outbox.flush()
    assert log == [("one", b"12"), ("done", b"1"), ("done", b"2")]
    outbox.flush()
    outbox.then(lambda: log.append(("done", b"3")))  # nothing was to be written
    asyncio.get_running_loop().call_soon(log.append, ("later", b""))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert log[3:] == [("done", b"3"), ("later", b"")]
