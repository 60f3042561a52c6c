"""The gateway for code that is not async: the same object on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from rung.config import Settings
from rung.gateway import Gateway
from rung.result import Result

T = TypeVar("T")


class SyncGateway:
    """``with SyncGateway() as gateway: gateway.chat([...])``. Safe to use from several threads.

    Arguments and errors are `Gateway`'s.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rung-gateway", daemon=True)
        self._thread.start()
        try:
            self._gateway = Gateway(settings)
            self._wait(self._gateway.start())
        except BaseException:
            self._stop()
            raise

    def chat(self, messages: list[dict[str, Any]], *, model: str = "auto", **told: Any) -> Result:
        """See `Gateway.chat`."""
        return self._wait(self._gateway.chat(messages, model=model, **told))

    def stream(self, messages: list[dict[str, Any]], *, model: str = "auto", **told: Any) -> Iterator[str]:
        """See `Gateway.stream`: the text as it comes. Closing the iterator early cancels the call."""
        pieces = self._gateway.stream(messages, model=model, **told).pieces()
        try:
            while True:
                try:
                    yield self._wait(pieces.__anext__())
                except StopAsyncIteration:
                    return
        finally:
            self._wait(pieces.aclose())

    def close(self) -> None:
        """Stop everything the gateway started. Safe to call twice."""
        if self._thread.is_alive():
            self._wait(self._gateway.aclose())
            self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
