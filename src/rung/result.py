"""What an in-process call gives back: the same answer and record as over HTTP, without the HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any, Protocol

import orjson

from rung.answer import Answer, Usage
from rung.call import Call, check_chat
from rung.errors import InvalidRequestError, ServerFault
from rung.ladder.climb import Attempt, Climb

CALL_FIELDS = ("mode", "private", "task", "session", "max_error", "check", "no_store", "continues", "tenant")


class Climber(Protocol):
    """What `ResultStream` needs of a gateway."""

    async def climb(self, record: Climb) -> Answer: ...
    async def end(self, record: Climb, error: BaseException | None) -> None: ...


def make_call(
    messages: list[dict[str, Any]], model: str, told: dict[str, Any], *, stream: bool, request_id: str
) -> Call:
    """Build a call from keyword arguments: `CALL_FIELDS`, `timeout` in seconds, the rest is the chat body.

    Raises InvalidRequestError as the HTTP door would.
    """
    fields = {name: told.pop(name) for name in CALL_FIELDS if name in told}
    timeout = told.pop("timeout", None)
    body = {"model": model, "messages": messages, **told}
    if stream:
        body["stream"] = True
    check_chat(body)
    try:
        raw = orjson.dumps(body)
    except TypeError as error:
        raise InvalidRequestError(f"the call holds something JSON cannot: {error}", code="invalid_type") from None
    call = Call(body=body, raw=raw, model=model, stream=stream, request_id=request_id, **fields)
    if timeout is not None:
        call.deadline = time.monotonic() + timeout
    return call


class _Told:
    """What a climb says once it has ended."""

    def __init__(self, record: Climb) -> None:
        self._record = record

    @property
    def rung(self) -> str:
        """Who answered: ``tool``, ``exact``, ``local``, ``cloud``."""
        return self._record.rung

    @property
    def model(self) -> str:
        """The model that answered, as ``provider:model``."""
        return self._record.answer.model if self._record.answer is not None else ""

    @property
    def path(self) -> str:
        """The climb on one line."""
        return self._record.path()

    @property
    def attempts(self) -> list[Attempt]:
        return self._record.attempts

    @property
    def cost(self) -> int | None:
        """Pico-dollars (10^-12 USD) of every attempt; None if a price is unknown."""
        return self._record.cost()

    @property
    def usage(self) -> Usage | None:
        """Tokens of the answer, where the model told them."""
        return self._record.answer.evidence.usage if self._record.answer is not None else None

    @property
    def unproved(self) -> bool:
        """Answered by a model below the reference that nothing has been proved about."""
        return self._record.answer is not None and self._record.answer.evidence.unproved

    @property
    def task(self) -> str:
        """What kind of call it was, as the caller said or as it was recognised; empty if nobody needed to know."""
        return self._record.call.task

    @property
    def task_confidence(self) -> float:
        """How sure that is, from 0 to 1; 1 where the caller said it."""
        return self._record.call.task_confidence

    @property
    def task_why(self) -> str:
        """Why it seems to be that task; empty where the caller said it."""
        return self._record.call.task_why

    @property
    def why(self) -> str:
        """Why the models were asked in the order they were, in a line; empty if none had to be put in order."""
        return self._record.why

    @property
    def found(self) -> tuple[str, ...]:
        """The kinds of personal data or secrets, or the rule, that made the call private."""
        return self._record.call.found

    @property
    def continued_at(self) -> int | None:
        """Characters of text after which the answer was cut, and continued by the same model; None if it was not."""
        return self._record.joined_at

    @property
    def edits(self) -> tuple[str, ...]:
        """What a repair changed, one line each."""
        return self._record.answer.evidence.edits if self._record.answer is not None else ()

    @property
    def simulated(self) -> bool:
        """Answered by a simulated provider: no figure of it says anything about a real one."""
        return self._record.answer is not None and self._record.answer.evidence.simulated


class Result(_Told):
    """A whole answer. `body` is the ``chat.completion`` as a dict."""

    def __init__(self, record: Climb, body: dict[str, Any]) -> None:
        super().__init__(record)
        self.body = body

    @property
    def message(self) -> dict[str, Any]:
        """The first choice's message."""
        message: dict[str, Any] = self.body["choices"][0]["message"]
        return message

    @property
    def text(self) -> str:
        """The first choice's text; empty for a tool call."""
        return self.message.get("content") or ""


class ResultStream(_Told):
    """A streamed answer: iterate for the text as it comes; the rest is known once it has ended."""

    def __init__(self, gateway: Climber, record: Climb) -> None:
        super().__init__(record)
        self._gateway = gateway

    def __aiter__(self) -> AsyncGenerator[str, None]:
        return self.pieces()

    async def pieces(self) -> AsyncGenerator[str, None]:
        """The text as it comes."""
        async for chunk in self.chunks():
            for choice in chunk["choices"]:
                text = choice["delta"].get("content")
                if text and choice.get("index", 0) == 0:
                    yield text

    async def chunks(self) -> AsyncGenerator[dict[str, Any], None]:
        """Every ``chat.completion.chunk`` as a dict. Raises a RungError if the answer breaks off."""
        record = self._record
        error: BaseException | None = None
        ended = False
        try:
            await self._gateway.climb(record)
            async for event in record.events():
                for line in event.data.splitlines():
                    if line.startswith(b"data:"):
                        yield orjson.loads(line[5:])
                ended = event.last
            if not ended:
                raise ServerFault("the answer ended without its last chunk")
        except BaseException as broken:
            error = broken
            raise
        finally:
            await self._gateway.end(record, error)
