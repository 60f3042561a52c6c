"""``POST /admin/cache/purge``: forget stored answers, on disk too, before this answers."""

from __future__ import annotations

import msgspec

from rung.errors import InvalidRequestError
from rung.gateway import Gateway


class _Purge(msgspec.Struct, forbid_unknown_fields=True):
    tenant: str | None = None
    match: str | None = None


_read = msgspec.json.Decoder(_Purge | None).decode


async def purge(gateway: Gateway, raw: bytes) -> dict[str, int]:
    """-> ``purged``: how many there were. Raises InvalidRequestError for a body that says something else, StoreError
    if the disk does not let go of them."""
    try:
        told = _read(raw or b"null") or _Purge()
    except msgspec.MsgspecError as error:
        raise InvalidRequestError(
            f'{error}; send {{}}, or "tenant" (as the ledger shows it), "match" (a text), or both', code="invalid_type"
        ) from None
    if told.match == "":
        raise InvalidRequestError("match must not be empty; leave it out to forget all", code="invalid_value")
    return {"purged": await gateway.purge_cache(told.tenant, told.match)}
