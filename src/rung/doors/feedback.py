"""``POST /v1/feedback``: a caller says whether an answer was right. It may close a cell, never open one."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rung.errors import InvalidRequestError
from rung.gateway import Gateway


class _Feedback(msgspec.Struct, forbid_unknown_fields=True):
    request_id: str
    verdict: Literal["right", "wrong"]
    corrected: str | None = None


_read = msgspec.json.Decoder(_Feedback).decode


async def feedback(gateway: Gateway, tenant: str, raw: bytes) -> dict[str, Any]:
    """-> the cell that had answered, its state now, and whether this word has closed it.

    Raises InvalidRequestError for a body that says something else, one with status 404 for an answer that was not this
    tenant's. A text sent along as `corrected` is not kept; that there was one is.
    """
    try:
        told = _read(raw)
    except msgspec.MsgspecError as error:
        text, _, path = str(error).partition(" - at `$")
        raise InvalidRequestError(
            f'{text}; send {{"request_id": "...", "verdict": "right" or "wrong"}}',
            code="invalid_type",
            param=path.strip("`").lstrip(".") or None,
        ) from None
    return await gateway.feedback(told.request_id, tenant, told.verdict == "wrong", told.corrected is not None)
