"""What a provider wants back with a tool call, kept for clients that drop the members they do not know.

Gemini refuses a history without its thought signatures, Anthropic one without its thinking blocks; both come
with a tool call, so its id is the key. Bounded in entries and bytes, in this process only.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import orjson


class CallMemory:
    """(tenant, tool call id) -> a JSON value; the least recently used are forgotten first."""

    def __init__(self, *, max_entries: int = 10_000, max_bytes: int = 32 * 1024 * 1024) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def put(self, tenant: str, call_id: str, value: Any) -> None:
        key = tenant, call_id
        self._bytes -= len(self._kept.pop(key, b""))
        text = orjson.dumps(value)
        self._kept[key] = text
        self._bytes += len(text)
        while len(self._kept) > self._max_entries or self._bytes > self._max_bytes:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= len(gone)

    def get(self, tenant: str, call_id: str) -> Any:
        """The value, or None."""
        text = self._kept.get((tenant, call_id))
        if text is None:
            return None
        self._kept.move_to_end((tenant, call_id))
        return orjson.loads(text)

    def __len__(self) -> int:
        return len(self._kept)
