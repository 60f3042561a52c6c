"""Ollama's own API: ``POST /api/chat``, whole or as lines of JSON.

Its OpenAI endpoint knows neither context size nor load times. Here a model is loaded by a request of its own,
shared by all calls that wait for it: a load has its own deadline, and a client that leaves does not cancel it.
An over-long prompt is an error (``truncate: false``), not silently cut. Shapes: docs/api.md of ollama/ollama
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import msgspec
import orjson

from rung.answer import Evidence, Usage
from rung.call import Call
from rung.errors import BadAnswerFault, Fault, PrivacyError, ServerFault, TimeoutFault
from rung.providers.chat_request import Asked, read
from rung.providers.chat_writer import ChatWriter
from rung.providers.endpoint import Endpoint
from rung.providers.native import Frames, Native, Reader
from rung.providers.ollama_request import LOAD_OPTIONS, OWN, write
from rung.wire.client import Client, Deadlines
from rung.wire.sse import Frame

_WARM = 20.0
"""seconds after a load for which the model is taken to be still there"""
_MOST_LOADS = 8
_FACTS_KEPT = 60.0
_REMEMBERED = 256
_MAX_LINE = 8 * 1024 * 1024
_NANO = 1e-6
"""nanoseconds to milliseconds"""


class _Function(msgspec.Struct):
    name: str = ""
    arguments: dict[str, Any] | None = None


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Line(msgspec.Struct):
    model: str = ""
    message: _Message | None = None
    done: bool = False
    done_reason: str = ""
    error: Any = None
    remote_host: str = ""
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


class _Facts(msgspec.Struct):
    """What ``/api/show`` says that matters here."""

    capabilities: list[str] | None = None
    remote_host: str | None = None
    remote_model: str | None = None


_line = msgspec.json.Decoder(_Line)
_facts = msgspec.json.Decoder(_Facts)


class Ollama(Native):
    """Ollama over one `Endpoint`. `wait`: seconds a call waits for a load; `load`: seconds a load may take;
    `num_ctx`: tokens of context, where the call names none."""

    def __init__(
        self,
        endpoint: Endpoint,
        client: Client,
        *,
        wait: float = 60.0,
        load: float = 180.0,
        num_ctx: int | None = None,
    ) -> None:
        base = endpoint.base_path.removesuffix("/v1")  # the address of its OpenAI endpoint will do
        super().__init__(replace(endpoint, base_path=base), client)
        self._wait = wait
        self._load_limit = load
        self._num_ctx = num_ctx
        self._loads: dict[bytes, asyncio.Task[None]] = {}
        self._warm: dict[bytes, float] = {}
        self._known: dict[str, tuple[float, _Facts]] = {}

    def read_request(self, call: Call, model: str) -> Asked:
        return read(call.body, self.endpoint.name, self.endpoint.strip.union(self.rules.of(model).strip), OWN)

    def request(self, call: Call, model: str, asked: Asked) -> tuple[str, dict[str, Any]]:
        body = write(asked, call.body, self.endpoint.name)
        if self._num_ctx is not None:
            body["options"] = {"num_ctx": self._num_ctx, **body.get("options", {})}
        return "/api/chat", {"model": model, **body, "stream": call.stream}

    def reader(self, call: Call, writer: ChatWriter, evidence: Evidence) -> Reader:
        return _Reader(self.endpoint.name, call, writer, evidence)

    def frames(self) -> Frames:
        return _Lines(self.endpoint.name)

    def price(self, model: str, reader: Reader) -> int | None:
        """A model that runs elsewhere is charged as a cloud model, whatever its name."""
        assert isinstance(reader, _Reader)
        if reader.usage is None:
            return None
        elsewhere = reader.remote and not _is_cloud(model)
        return self.endpoint.price(f"{model}-cloud" if elsewhere else model, reader.usage)

    async def before(
        self, call: Call, model: str, asked: Asked, body: dict[str, Any], deadlines: Deadlines
    ) -> Deadlines:
        """Keep private calls here, ask no model to think that cannot, and have the model loaded."""
        started = time.monotonic()
        facts = _Facts()
        if call.private or body.get("think"):
            facts = await self._look(model, call.private, deadlines)
        if call.private and (facts.remote_host or facts.remote_model):
            raise PrivacyError(f"a private call may not leave this machine, and {model} runs elsewhere")
        if body.get("think") and facts.capabilities is not None and "thinking" not in facts.capabilities:
            del body["think"]
            asked.stripped.append("reasoning_effort")
        if not (facts.remote_host or _is_cloud(model)):
            await self._have_loaded(call, model, body, deadlines)
        return replace(deadlines, total=max(deadlines.total - (time.monotonic() - started), 0.001))

    async def _look(self, model: str, private: bool, deadlines: Deadlines) -> _Facts:
        """The model's facts: always anew for a private call, for a name may point elsewhere tomorrow."""
        at, facts = self._known.get(model, (-_FACTS_KEPT, _Facts()))
        if not private and time.monotonic() - at < _FACTS_KEPT:
            return facts
        body = await self._post("/api/show", {"model": model}, deadlines, private=private)
        try:
            facts = _facts.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            name = self.endpoint.name
            raise BadAnswerFault(f"{name} did not say what {model[:80]} is", provider=name) from None
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[model] = time.monotonic(), facts
        return facts

    async def _have_loaded(self, call: Call, model: str, body: dict[str, Any], deadlines: Deadlines) -> None:
        options = {name: value for name, value in body.get("options", {}).items() if name in LOAD_OPTIONS}
        told: dict[str, Any] = {"model": model, "messages": [], "stream": False}
        if options:
            told["options"] = options
        if "keep_alive" in body:
            told["keep_alive"] = body["keep_alive"]
        key = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
        if time.monotonic() < self._warm.get(key, 0.0):
            return
        task = self._loads.get(key)
        if task is None:
            if len(self._loads) >= _MOST_LOADS:
                return  # then the chat request itself loads it, under the first-byte deadline
            limits = Deadlines(deadlines.connect, self._load_limit, self._load_limit, self._load_limit)
            task = self._loads[key] = asyncio.create_task(self._load(key, told, limits, call.private))
            task.add_done_callback(lambda done: self._loaded(key, done))
        wait = min(self._wait, deadlines.total)
        await asyncio.wait({task}, timeout=wait)  # leaving here leaves the load running
        if not task.done():
            name = self.endpoint.name
            raise TimeoutFault(
                f"{name} is still loading {model[:80]} after {wait:g} s; it goes on loading",
                provider=name,
                code="load_timeout",
            )
        task.result()

    async def _load(self, key: bytes, told: dict[str, Any], limits: Deadlines, private: bool) -> None:
        await self._post("/api/chat", told, limits, private=private)
        if told.get("keep_alive", 1) not in (0, "0", "0s"):
            if len(self._warm) >= _REMEMBERED:
                self._warm.clear()
            self._warm[key] = time.monotonic() + _WARM

    def _loaded(self, key: bytes, task: asyncio.Task[None]) -> None:
        del self._loads[key]
        if not task.cancelled():
            task.exception()  # told to those who waited; if none did, to nobody

    async def _post(self, path: str, told: dict[str, Any], limits: Deadlines, *, private: bool) -> bytes:
        end = self.endpoint
        response = await self._client.fetch(
            end.origin, "POST", end.base_path + path, end.headers, orjson.dumps(told), limits, private=private
        )
        if response.status != 200:
            raise self.fault(response.status, response.headers, response.body)
        return response.body


def _is_cloud(model: str) -> bool:
    return model.endswith(("-cloud", ":cloud"))


class _Lines:
    """Newline-delimited JSON."""

    def __init__(self, provider: str) -> None:
        self.pending = b""
        self._provider = provider

    def feed(self, data: bytes) -> list[Frame]:
        *lines, self.pending = (self.pending + data).split(b"\n")
        if len(self.pending) > _MAX_LINE:
            raise BadAnswerFault(f"{self._provider} sent a line without end", provider=self._provider)
        return [Frame(line, line, b"") for line in lines if line.strip()]


class _Reader(Reader):
    """Reads one object, or one a line; the last is ``done`` and holds the counts and the times."""

    def __init__(self, provider: str, call: Call, writer: ChatWriter, evidence: Evidence) -> None:
        super().__init__(provider, writer, evidence)
        self.remote = False
        self._call = call
        self._calls = 0

    def whole(self, body: bytes) -> None:
        self._take(body)

    def frame(self, frame: Frame) -> bool:
        assert frame.data is not None
        self._take(frame.data)
        return True

    def rest(self, pending: bytes) -> None:
        if pending.strip() and not self.ended:
            self._take(pending)  # a last line without its line end

    def _take(self, data: bytes) -> None:
        told = self.decode(_line, data)
        if told.error is not None:
            raise self._fault(told.error)
        self.model_version(told.model)
        self.remote = self.remote or bool(told.remote_host)
        if (message := told.message) is not None:
            self.writer.reasoning(message.thinking or "")
            self.writer.text(message.content or "")
            for call in message.tool_calls or ():
                self._calls += 1
                call_id = call.id or f"call_{self._call.request_id}_{self._calls}"
                self.writer.tool_call(call_id, call.function.name, orjson.dumps(call.function.arguments or {}).decode())
        if told.done:
            self._done(told)

    def _fault(self, error: Any) -> Fault:
        text = error if isinstance(error, str) else "an error"
        return ServerFault(
            f"{self.provider} failed while it answered: {' '.join(text.split())[:200]}", provider=self.provider
        )

    def _done(self, told: _Line) -> None:
        if told.done_reason == "length":
            self.writer.finish("length")
        elif told.done_reason in ("stop", ""):
            self.writer.finish("tool_calls" if self.writer.has_calls() else "stop")
        else:
            self.bad("ended without answering", "empty_answer")  # load, unload
        self.usage = Usage(input_tokens=told.prompt_eval_count, output_tokens=told.eval_count)
        self.writer.extra["timings"] = {
            "total_ms": round(told.total_duration * _NANO, 3),
            "load_ms": round(told.load_duration * _NANO, 3),
            "prompt_n": told.prompt_eval_count,
            "prompt_ms": round(told.prompt_eval_duration * _NANO, 3),
            "predicted_n": told.eval_count,
            "predicted_ms": round(told.eval_duration * _NANO, 3),
        }
        self.ended = True
