"""What people tell cells: orders of ``rung trust``, and callers' verdicts on answers they got."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rung.errors import InvalidRequestError, StoreError
from rung.ladder.trust import Cell, Change
from rung.store import trust as store

if TYPE_CHECKING:
    from rung.learning.learner import Learner

ORDERS_WAIT = 5.0
"""seconds the store has to forget an order that was taken"""


async def obey(learner: Learner) -> None:
    """Take the orders that lie in the store."""
    try:
        orders = await asyncio.to_thread(learner.kept.orders)
    except StoreError:
        return  # not now
    for order in orders:
        cell = learner.cells.get(order.cell)
        if cell is None:
            learner.kept.put(store.end_order(order.id))
        else:
            learner.keep(cell, [carry_out(cell, order.action)], store.end_order(order.id))
    if orders:
        await asyncio.to_thread(learner.kept.flush, ORDERS_WAIT)  # so that none is read twice


def carry_out(cell: Cell, action: str) -> Change:
    """One of `rung.store.trust.ACTIONS`."""
    if action == "reset":
        return cell.reset()
    if action == "pin":
        return cell.pin()
    return cell.close()


async def feedback(learner: Learner, request_id: str, tenant: str, wrong: bool, corrected: bool) -> dict[str, Any]:
    """A caller says how an answer was; it may close a cell, never open one.

    -> ``cell`` and its ``state`` now, ``closed``: by this word. Raises `unknown` for an answer that this
    tenant did not get under a promise, and StoreError where what was promised cannot be looked up.
    """
    await asyncio.to_thread(learner.kept.flush, 1.0)  # an answer just given may not be on disk yet
    found = await asyncio.to_thread(learner.kept.served, request_id)
    if found is None or found[0] != tenant:
        raise unknown()
    name = found[1]
    saved = store.save_feedback(request_id, tenant, "wrong" if wrong else "right", corrected, name, learner.clock())
    cell = learner.cells.get(name)
    if cell is None:
        learner.kept.put(saved)
        return {"cell": name, "state": "forgotten", "closed": False}
    changes = cell.feedback(wrong)
    learner.keep(cell, changes, saved)
    return {"cell": name, "state": cell.state, "closed": bool(changes)}


def unknown() -> InvalidRequestError:
    """The 404 for a request id nobody knows."""
    return InvalidRequestError(
        "no answer with this request id was given to you under a promise in the last 30 days; "
        "send what x-rung-request-id said",
        code="unknown_request_id",
        param="request_id",
        status=404,
    )
