"""Work that many wait for is done once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rung.once import Once


class Work:
    """Waits in its thread until it is let go."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.times = 0
        self.begun = asyncio.Event()
        self.go = threading.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> None:
        self.times += 1
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self.go.wait(30)
        if self.errors and (error := self.errors.pop(0)):
            raise error


async def test_for_all_who_come_meanwhile() -> None:
    work = Work()
    once = Once(work)
    waiting = [asyncio.create_task(once.wait()) for _ in range(30)]
    await work.begun.wait()
    assert not once.done
    work.go.set()
    await asyncio.gather(*waiting)
    await once.wait()
    assert (work.times, once.done) == (1, True)


async def test_who_leaves_does_not_take_it_from_the_others() -> None:
    work = Work()
    once = Once(work)
    leaves, stays = asyncio.create_task(once.wait()), asyncio.create_task(once.wait())
    await work.begun.wait()
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    work.go.set()
    await stays
    assert (work.times, once.done) == (1, True)


async def test_what_failed_is_told_to_all_and_tried_again() -> None:
    work = Work(OSError("no such file"), None)
    work.go.set()
    once = Once(work)
    told = await asyncio.gather(once.wait(), once.wait(), return_exceptions=True)
    assert [str(error) for error in told] == ["no such file"] * 2
    assert (work.times, once.done) == (1, False)
    await once.wait()
    assert (work.times, once.done) == (2, True)


async def test_done_already() -> None:
    once = Once(lambda: pytest.fail("nobody asked for it"))
    once.done = True
    await once.wait()
