"""How each kind of local backend is asked: the adapter for it, measured as it is used."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from msgspec.structs import replace

from rung.answer import Answer, Event, Usage
from rung.call import Call
from rung.local.backend import Backend
from rung.local.embedded import Embedded as Engine
from rung.local.hosted import Ollama
from rung.local.speeds import Timings, timings
from rung.providers.adapters import Adapter
from rung.providers.embedded import Embedded
from rung.providers.endpoint import Endpoint
from rung.providers.ollama import Ollama as OllamaAdapter
from rung.providers.openai_compatible import OpenAICompatible
from rung.wire.client import Client, Deadlines

_READS_FASTER = 10
"""times: how much faster a prompt is read than an answer written, where a whole answer does not tell them apart"""


def adapter_for(backend: Backend, client: Client) -> Adapter:
    """The adapter that speaks to `backend`, whatever address it gets in its next life."""
    if isinstance(backend, Engine):
        return Embedded(backend, client, price=free, heads=lambda: backend.heads, gauge=backend.gauge)
    if backend.kind == "embedded":
        return Embedded(backend, client, price=free)
    assert backend.origin is not None
    headers = backend.headers + b"content-type: application/json\r\n"
    endpoint = Endpoint(backend.kind, backend.origin, backend.base_path, headers, price=free)
    if isinstance(backend, Ollama):
        return _Measured(_OllamaHere(backend, OllamaAdapter(endpoint, client)), backend)
    return _Measured(OpenAICompatible(endpoint, client), backend)


def free(model: str, usage: Usage) -> int | None:
    """What a call costs in pico-dollars: the electricity is not on this bill. Unknown for what runs elsewhere."""
    return None if model.endswith("-cloud") else 0


class _OllamaHere:
    """Says the same context and keep-alive with every call: another context would load the model anew."""

    def __init__(self, backend: Ollama, adapter: OllamaAdapter) -> None:
        self._told = {"num_ctx": backend.context, "keep_alive": backend.keep_alive}
        self._adapter = adapter

    async def chat(self, call: Call, model: str, deadlines: Deadlines) -> Answer:
        asked = replace(call, body={**call.body, **self._told})
        return await self._adapter.chat(asked, model, deadlines)


class _Measured:
    """Learns the backend's speed from every answer: by its own times, else by our clock."""

    def __init__(self, adapter: Adapter, backend: Backend) -> None:
        self._adapter = adapter
        self._backend = backend

    async def chat(self, call: Call, model: str, deadlines: Deadlines) -> Answer:
        began = time.monotonic()
        answer = await self._adapter.chat(call, model, deadlines)
        if answer.events is not None:
            answer.events = self._watch(answer, answer.events, began)
        elif answer.body is not None:
            self._learn(answer, answer.body, began, 0.0)
        return answer

    async def _watch(self, answer: Answer, events: AsyncIterator[Event], began: float) -> AsyncIterator[Event]:
        first = 0.0
        try:
            async for event in events:
                if event.content and not first:
                    first = time.monotonic()
                if event.last:
                    self._learn(answer, event.data, began, first)
                yield event
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    def _learn(self, answer: Answer, data: bytes, began: float, first: float) -> None:
        told = timings(data)
        usage = answer.evidence.usage
        if told is None and usage is not None:
            told = _by_our_clock(usage, began, first, time.monotonic())
        if told is not None:
            self._backend.speed.learn(told)


def _by_our_clock(usage: Usage, began: float, first: float, ended: float) -> Timings:
    """Times of one answer; `first`: when its first content came, 0 for a whole one."""
    read, written = usage.input_tokens, usage.completion_tokens
    took = (ended - began) * 1e3
    guessed = took * read / (read + _READS_FASTER * written) if read else 0.0
    reading = (first - began) * 1e3 if first else guessed
    return Timings(read, reading, written, took - reading)
