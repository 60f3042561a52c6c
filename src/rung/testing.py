"""Public fakes, for rung's own tests and for yours.

`ScriptedRung` plays a rung, `ScriptedUpstream` an OpenAI-compatible server on a loopback port. Both do
exactly what their script says; nothing here sleeps or uses the network.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import orjson

from rung.answer import Answer, Declined, Event, Evidence, Usage
from rung.call import Call
from rung.completion import frames, whole


def make_call(text: str = "hello", *, model: str = "auto", stream: bool = False, **options: Any) -> Call:
    """A call with one user message. `options` are `Call` fields; ``body`` adds members to the chat body."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], **options.pop("body", {})}
    if stream:
        body["stream"] = True
    return Call(body=body, raw=orjson.dumps(body), model=model, stream=stream, request_id="test", **options)


@dataclass
class ScriptedRung:
    """Plays `script` one step an attempt: a `Declined`, an exception, or the text of an answer.

    A text with `cut_after` set streams that many of its words and then raises `cut_with`.
    """

    script: list[Any]
    name: str = "cloud"
    model: str = "fake:model"
    stays_here: bool = False
    cut_after: int | None = None
    cut_with: BaseException | None = None
    unproved: bool = False
    asked: list[Call] = field(default_factory=list)
    settled: list[tuple[Answer | None, bytes | None]] = field(default_factory=list)
    closed: int = 0

    async def attempt(self, call: Call) -> Answer | Declined:
        self.asked.append(call)
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, Declined):
            return step
        evidence = Evidence(
            finish_reason="stop", usage=Usage(input_tokens=3, output_tokens=2), cost=0, unproved=self.unproved
        )
        answer = Answer(self.name, self.model, evidence)
        if call.stream:
            answer.events = self._events(call, step, evidence)
        else:
            answer.body = whole(step, model=self.model, request_id=call.request_id)
            evidence.complete = True
        return answer

    async def _events(self, call: Call, text: str, evidence: Evidence) -> AsyncIterator[Event]:
        try:
            first, *_ = frames("", model=self.model, request_id=call.request_id, include_usage=False)
            yield Event(first, content=False)
            words = text.split()
            for place, word in enumerate(words):
                if place == self.cut_after:
                    assert self.cut_with is not None
                    raise self.cut_with
                yield Event(frames(word, model=self.model, request_id="x", include_usage=False)[1])
            if self.cut_after is not None and self.cut_after >= len(words):
                assert self.cut_with is not None
                raise self.cut_with
            evidence.complete = True
            last = frames("", model=self.model, request_id="x", include_usage=call.include_usage)[2:]
            yield Event(b"".join(last), content=False, last=True)
        finally:
            self.closed += 1

    def settle(self, call: Call, answer: Answer | None, stored: bytes | None) -> None:
        self.settled.append((answer, stored))


@dataclass(slots=True)
class Received:
    """One request as the upstream got it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


Reply = bytes | Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


def reply(body: bytes | Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """An HTTP/1.1 response with its length."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = {"content-type": "application/json", **(headers or {}), "content-length": str(len(data))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + data


def completion_reply(text: str, *, model: str = "fake", usage: Usage | None = None) -> bytes:
    """A ``chat.completion`` response."""
    return reply(whole(text, model=model, request_id="upstream", usage=usage or Usage(10, 0, 0, 5, 0)))


def stream_reply(blocks: Iterable[bytes], *, end: bool = True) -> bytes:
    """An SSE response in chunked encoding, one chunk a block; without its last chunk if not `end`."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in blocks)
    return head + body + (b"0\r\n\r\n" if end else b"")


def completion_stream(text: str, *, model: str = "fake", usage: Usage | None = None) -> bytes:
    """A streamed completion with its usage chunk and ``[DONE]``."""
    blocks = frames(text, model=model, request_id="upstream", include_usage=True, usage=usage or Usage(10, 0, 0, 5, 0))
    return stream_reply([*blocks, b"data: [DONE]\n\n"])


class ScriptedUpstream:
    """An HTTP/1.1 server on 127.0.0.1 that answers each request with the next reply of its script.

    A reply is the response's bytes, or a coroutine function that writes it (and may wait for a test's
    event in the middle). When the script is empty the last reply is repeated. `left` is set when a client
    closed its connection before the reply was complete.
    """

    def __init__(self, *script: Reply) -> None:
        self.script: list[Reply] = list(script)
        self.received: list[Received] = []
        self.connections = 0
        self.left = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return False
        request, *lines = head.split("\r\n")
        method, target, _ = request.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.received.append(Received(method, target, headers, body))
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
            return True
        writing = asyncio.ensure_future(step(self.received[-1], writer))
        leaving = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                self.left.set()
        finally:  # neither may outlive us, whatever it meets
            writing.cancel()
            leaving.cancel()
            await asyncio.gather(writing, leaving, return_exceptions=True)
        return not self.left.is_set()
