"""A stream that says nothing but that it is there."""

from __future__ import annotations

import time

from rung.errors import TimeoutFault


class Silence:
    """How long a stream of provider `name` has brought no data, though there be comments: `idle` seconds at most."""

    __slots__ = ("_idle", "_name", "_since")

    def __init__(self, name: str, idle: float) -> None:
        self._name, self._idle, self._since = name, idle, time.monotonic()

    def heard(self, data: bool) -> None:
        """A block has come; `data`: not only keep-alives. Raises TimeoutFault."""
        now = time.monotonic()
        if data:
            self._since = now
        elif now - self._since > self._idle:
            raise TimeoutFault(
                f"{self._name} sent only keep-alives for {self._idle:g} s", provider=self._name, code="idle_timeout"
            )
