"""One stream of an OpenAI-compatible model, block by block: for whoever waits for it and for whoever is called back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from rung.answer import Answer, Event
from rung.call import Call
from rung.errors import Fault, RejectedFault, ServerFault
from rung.providers.chat_wire import tier_of
from rung.providers.endpoint import Endpoint
from rung.providers.relay import Relay
from rung.providers.silence import Silence
from rung.wire.client import Response

Rescue = Callable[[Call, Answer, bytes], Awaitable[bool]]


class Flow:
    """What is passed on as it comes, what is held back until the stream has ended well, and what it took.

    Attributes:
        answer: fills as the stream goes on. waiting: an event that has come and could not be passed on yet.
        fault: what it has broken with.
    """

    __slots__ = ("_call", "_endpoint", "_model", "_relay", "_response", "_silence", "answer", "fault", "waiting")

    def __init__(
        self, endpoint: Endpoint, call: Call, model: str, response: Response, answer: Answer, idle: float
    ) -> None:
        """`idle`: see `Silence`."""
        self._endpoint, self._call, self._model, self._response = endpoint, call, model, response
        self._relay = Relay(endpoint.name, call, answer.evidence)
        self._silence = Silence(endpoint.name, idle)
        self.answer = answer
        self.waiting: Event | None = None
        self.fault: Fault | None = None

    @property
    def done(self) -> bool:
        """Its terminator has come: time to `end`."""
        return self._relay.done

    def feed(self, block: bytes) -> Event | None:
        """What a block brings that may be passed on. Raises a Fault."""
        out, content, data = self._relay.feed(block)
        self._silence.heard(data)
        return Event(out, content) if out else None

    def end(self) -> Event:
        """The last event; then the evidence is complete, and nobody reads on. Raises BadAnswerFault if the stream has
        not ended well."""
        relay, end, evidence = self._relay, self._endpoint, self.answer.evidence
        held = relay.end()
        self._response.leave()
        if evidence.usage is not None:
            asked = self._call.body.get("service_tier") if end.tier_untold else None
            if isinstance(asked, str) and not evidence.usage.service_tier:
                evidence.usage.service_tier = tier_of(asked)
            evidence.cost = end.price(self._model, evidence.usage)
        evidence.complete = True
        return Event(held, relay.held_content, True)

    async def events(self, rescue: Rescue) -> AsyncIterator[Event]:
        """The events from here on. `rescue` fills an answer with what is hidden in the error it has ended with."""
        answer, relay, response = self.answer, self._relay, self._response
        try:
            if self.waiting is not None:
                yield self.waiting
                if self.waiting.last:
                    return
            if self.fault is not None:
                raise self.fault
            async for block in response.blocks():
                event = self.feed(block)
                if event is not None:
                    yield event
                if relay.done:
                    break
            yield self.end()
        except (ServerFault, RejectedFault):
            if relay.spoke or not await rescue(self._call, answer, relay.broken):
                raise
            assert answer.events is not None
            async for event in answer.events:
                yield event
        finally:
            response.close()
