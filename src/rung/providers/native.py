"""The way of a call through a provider that does not speak OpenAI's language.

A `Native` adapter says how to ask and how to read; sending, streaming, deadlines and the rules about what
counts as an answer are here, once. What is no answer is a fault, so that the climb goes on: no content at
all, everything filtered, a stream that ends without the provider's own terminator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, NoReturn, Protocol, TypeVar

import msgspec
import orjson

from rung.answer import Answer, Event, Evidence, Usage
from rung.call import Call
from rung.errors import BadAnswerFault, Fault
from rung.providers.chat_request import Asked
from rung.providers.chat_wire import SIMULATED, fault_from, wants_json
from rung.providers.chat_writer import ChatWriter
from rung.providers.endpoint import Endpoint
from rung.providers.rows import ModelRules
from rung.providers.silence import Silence
from rung.wire.client import Client, Deadlines, Response
from rung.wire.sse import Frame, Splitter

T = TypeVar("T")

Headers = Iterable[tuple[bytes, bytes]]

Shape = Callable[[Call, str, dict[str, Any]], tuple[tuple[bytes, bytes], ...]]
"""(call, model, request body) -> response headers for the caller"""


class Frames(Protocol):
    """Cuts the blocks of a body into frames: `rung.wire.sse.Splitter`, or one for another framing."""

    pending: bytes

    def feed(self, data: bytes) -> list[Frame]: ...


class Reader(ABC):
    """Reads one answer in the provider's words and tells it to `writer`.

    Attributes:
        ended: the provider's terminator has come; where that is the end of the body, `rest` sets it.
        usage: what it has said so far, disjoint; None before it said anything.
    """

    def __init__(self, provider: str, writer: ChatWriter, evidence: Evidence) -> None:
        self.provider = provider
        self.writer = writer
        self.evidence = evidence
        self.ended = False
        self.usage: Usage | None = None

    @abstractmethod
    def whole(self, body: bytes) -> None:
        """Read a whole answer. Raises Fault."""

    @abstractmethod
    def frame(self, frame: Frame) -> bool:
        """Read one frame of a stream; -> was it more than a keep-alive? Raises Fault."""

    def rest(self, pending: bytes) -> None:  # noqa: B027 - most have nothing to do
        """The body has ended, `pending` came after its last whole frame. Raises Fault if that is an error."""

    def model_version(self, name: str) -> None:
        """The model's exact name, if the provider says it."""
        if name and not self.evidence.model_version:
            self.evidence.model_version = self.writer.model = name

    def decode(self, decoder: msgspec.json.Decoder[T], data: bytes) -> T:
        """What `decoder` reads from `data`; BadAnswerFault if it is not that."""
        try:
            return decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.bad("sent something that is not in its own language", "bad_answer")

    def bad(self, message: str, code: str) -> NoReturn:
        raise BadAnswerFault(f"{self.provider} {message}", provider=self.provider, code=code)


class Native(ABC):
    """Chat over one `Endpoint` in the provider's own API. Stateless but for what a subclass remembers."""

    shape: Shape | None = None
    """may change the request body once it is written; -> what to tell about that"""

    def __init__(self, endpoint: Endpoint, client: Client) -> None:
        self.endpoint = endpoint
        self.rules = ModelRules(endpoint.models)
        self._client = client

    @abstractmethod
    def read_request(self, call: Call, model: str) -> Asked:
        """The call in neutral terms. Raises RejectedFault for what this provider cannot be asked."""

    @abstractmethod
    def request(self, call: Call, model: str, asked: Asked) -> tuple[str, dict[str, Any]]:
        """-> (path under the base, body). May add to `asked.stripped`. Raises RejectedFault."""

    @abstractmethod
    def reader(self, call: Call, writer: ChatWriter, evidence: Evidence) -> Reader: ...

    async def before(
        self, call: Call, model: str, asked: Asked, body: dict[str, Any], deadlines: Deadlines
    ) -> Deadlines:
        """What has to happen before the request is sent; may change `body`. -> the deadlines that are left."""
        return deadlines

    def frames(self) -> Frames:
        return Splitter()

    def fault(self, status: int, headers: Headers, body: bytes) -> Fault:
        """An HTTP error as a fault."""
        return fault_from(status, headers, body, self.endpoint.name)

    async def chat(self, call: Call, model: str, deadlines: Deadlines) -> Answer:
        """Ask `model`; the answer is OpenAI-shaped, its events arrive as the provider sends them.

        Raises a `rung.errors.Fault` (PrivacyError for a private call to another machine): before this
        returns for anything up to the response head, from the event stream afterwards.
        """
        end = self.endpoint
        asked = self.read_request(call, model)
        path, told = self.request(call, model, asked)
        deadlines = await self.before(call, model, asked, told, deadlines)
        shaped = self.shape(call, model, told) if self.shape is not None else ()
        evidence = Evidence(stripped=tuple(dict.fromkeys(asked.stripped)))
        answer = Answer("", f"{end.name}:{model}", evidence, headers=shaped)
        reader = self.reader(call, ChatWriter(call, model, evidence), evidence)
        ask = self._client.send if call.stream else self._client.fetch
        response = await ask(
            end.origin,
            "POST",
            end.base_path + path,
            end.headers,
            orjson.dumps(told),
            deadlines,
            private=call.private,
        )
        if end.on_headers is not None:
            end.on_headers(model, response.headers)
        evidence.simulated = SIMULATED in response.headers
        if response.status != 200:
            raise self.fault(response.status, response.headers, await response.read())
        if call.stream:
            answer.events = self._events(call, model, response, reader, deadlines.idle)
            return answer
        reader.whole(response.body)
        self._conclude(call, model, reader, nothing_sent=True)
        answer.body = reader.writer.whole(reader.usage)
        return answer

    async def _events(
        self, call: Call, model: str, response: Response, reader: Reader, idle: float
    ) -> AsyncIterator[Event]:
        frames = self.frames()
        silence = Silence(self.endpoint.name, idle)
        sent = False
        try:
            async for block in response.blocks():
                data = False
                for one in frames.feed(block):
                    data |= reader.frame(one)
                silence.heard(data)
                out, content = reader.writer.take()
                if out:
                    sent |= content
                    yield Event(out, content)
                if reader.ended:
                    break
            reader.rest(frames.pending)
            self._conclude(call, model, reader, nothing_sent=not sent)
            response.leave()
            out, content = reader.writer.take()
            yield Event(out + reader.writer.end(reader.usage), content, True)
        finally:
            response.close()

    def _conclude(self, call: Call, model: str, reader: Reader, *, nothing_sent: bool) -> None:
        """Was that an answer? Complete the evidence, or raise BadAnswerFault."""
        evidence, writer = reader.evidence, reader.writer
        if not reader.ended or not writer.finished:
            reader.bad("ended its answer without its terminator", "cut_stream")
        if not writer.visible:
            if evidence.finish_reason == "content_filter":
                reader.bad("refused to answer this (its content filter)", "content_filter")
            if evidence.finish_reason == "length" and nothing_sent:
                reader.bad("used up all its tokens before it said anything; allow more max_tokens", "empty_answer")
            if evidence.finish_reason != "length" and "stop" not in call.body:
                reader.bad("answered with no content at all", "empty_answer")
        elif writer.blank and wants_json(call.body) and evidence.finish_reason == "stop":
            reader.bad("answered with blanks instead of JSON", "empty_answer")
        evidence.usage = reader.usage
        if reader.usage is not None:
            evidence.cost = self.price(model, reader)
        evidence.complete = True

    def price(self, model: str, reader: Reader) -> int | None:
        """Pico-dollars of the answer just read, None if unknown."""
        return None if reader.usage is None else self.endpoint.price(model, reader.usage)
