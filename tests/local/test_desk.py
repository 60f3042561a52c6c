"""The queue before a model's slots."""

from __future__ import annotations

import asyncio

import pytest

from rung.local.desk import Desk


async def test_the_queue_has_an_end() -> None:
    desk = Desk(1, 1)
    first = await desk.acquire(1)
    assert first
    second = asyncio.create_task(desk.acquire(20))
    await asyncio.sleep(0)
    assert (desk.running, desk.waiting, desk.full) == (1, 1, True)
    assert await desk.acquire(20) is None  # at once: the queue is full
    first.release()
    assert await second
    assert (desk.running, desk.waiting) == (1, 0)


async def test_a_waiting_call_keeps_its_deadline_and_its_freedom() -> None:
    desk = Desk(1, 2)
    first = await desk.acquire(1)
    assert first
    assert await desk.acquire(0.01) is None
    leaving = asyncio.create_task(desk.acquire(20))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert desk.waiting == 0
    first.release()
    assert await desk.acquire(1)


async def test_without_a_queue_a_free_slot_is_still_taken() -> None:
    desk = Desk(1, 0)
    assert await desk.acquire(1)
    assert await desk.acquire(1) is None


async def test_a_slot_is_given_back_once() -> None:
    desk = Desk(2, 0)
    first = await desk.acquire(1)
    assert first
    first.release()
    first.release()
    assert [bool(await desk.acquire(1)) for _ in range(3)] == [True, True, False]


async def test_the_wait_is_the_work_that_is_left() -> None:
    now = 0.0
    desk = Desk(2, 5, now=lambda: now)
    assert desk.wait() == 0.0
    await desk.acquire(1, work=10.0)
    assert desk.wait() == 0.0  # one slot is free
    await desk.acquire(1, work=4.0)
    queued = asyncio.create_task(desk.acquire(60, work=6.0))
    await asyncio.sleep(0)
    assert desk.wait() == pytest.approx((10 + 4 + 6) / 2)
    now = 5.0  # the second is late: nobody knows how long it still takes
    assert desk.wait() == pytest.approx((5 + 0 + 6) / 2)
    queued.cancel()
    await asyncio.wait([queued])
    assert desk.wait() == pytest.approx(2.5)
