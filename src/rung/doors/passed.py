"""Answers by the fast path: calls that nobody waits for, whose answer is given on when it comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from rung.call import Call
from rung.completion import DONE
from rung.doors.climbed import STREAM, Streamed, whole
from rung.doors.exchange import Exchange
from rung.doors.reply import end_note, hit_head, passed_head, whole_head, with_note
from rung.fastpath import Hit, Path, Stream, Whole
from rung.gateway import Gateway

log = logging.getLogger("rung")


def _put_away(gateway: Gateway, done: Hit | Whole) -> None:
    """Do the books of a call that has been answered."""
    try:
        done.put_away()
        if gateway.lines is not None or gateway.watchers.all:
            gateway.tell(done.record())
    except Exception:
        log.exception("a call that has been answered could not be put away")
        if isinstance(done, Whole):
            done.give_way()


class PassedWhole(Whole):
    """A plain call for a whole answer."""

    __slots__ = ("_gateway", "_reply")

    def __init__(self, path: Path, call: Call, gateway: Gateway, reply: Exchange) -> None:
        super().__init__(path, call)
        self._gateway, self._reply = gateway, reply

    def replay(self) -> bool:
        """Answer as the same call was answered before; False, and nothing has been done, if that is not at hand."""
        found = self.hit()
        if found is None:
            return False
        assert found.answer.body is not None
        self._reply.whole(200, hit_head(found), found.answer.body)
        self._reply.then(partial(_put_away, self._gateway, found))
        return True

    def come(self) -> None:
        reply = self._reply
        try:
            answer = self.take()
            if answer is None:
                self._go_on()
                return
            assert answer.body is not None
            reply.whole(200, passed_head(self, answer, whole_head(answer.evidence.cost)), answer.body)
            reply.then(partial(_put_away, self._gateway, self))  # who waits is answered before the books are done
        except Exception as bug:
            self._gateway.close(self.hand_over(), bug)
            reply.failed()
        reply.ended()

    def cancel(self, msg: str) -> None:
        self._go_on()
        self._reply.cancel(msg)

    def _go_on(self) -> None:
        """By the slow path."""
        self._reply.run(whole(self._gateway, self.hand_over(), self._reply.whole))


class PassedStream(Stream):
    """A plain call for a stream; whenever something is to be waited for but the model, the slow path does."""

    __slots__ = ("_begun", "_gateway", "_heartbeat", "_last", "_loop", "_reply", "_state", "_timer")

    def __init__(
        self, path: Path, call: Call, gateway: Gateway, reply: Exchange, heartbeat: float, state: Mapping[str, Any]
    ) -> None:
        super().__init__(path, call)
        self._gateway, self._reply, self._heartbeat, self._state = gateway, reply, heartbeat, state
        self._begun = False
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def send(self) -> bool:
        sent = super().send()
        if sent:
            self._timer = self._loop.call_later(self._heartbeat, self._tick)
        return sent

    def come(self) -> None:
        reply = self._reply
        try:
            event = self.take()
            record = self.record
            if event is None:
                if self.odd:
                    self._go_on()
                return
            assert record is not None
            data = event.data
            if not self._begun:
                assert record.answer is not None
                reply.begin(200, passed_head(self, record.answer, STREAM))
                self._begun = True
            if not event.last:
                if reply.push(data):
                    record.keep(data)
                    self._last = self._loop.time()
                else:
                    self.put_back(event)
                    self._go_on()
                return
            record.keep(data)
            # the bill is complete before the last chunk goes out
            self._gateway.close(record, None)
            reply.close(with_note(data, end_note(record)) + DONE)
        except Exception as bug:
            self._gateway.close(self.record or self.hand_over(), bug)
            self.give_up()
            reply.failed()
        self._stop()
        reply.ended()

    def cancel(self, msg: str) -> None:
        self._go_on()
        self._reply.cancel(msg)

    def _go_on(self) -> None:
        """By the slow path."""
        self._stop()
        rest = Streamed(
            self._gateway, self.hand_over(), self._reply, self._heartbeat, self._state, self._begun, self._last
        )
        self._reply.run(rest.run())

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        """Re-armed lazily: one timer a stream, looked at only when it could matter."""
        left = self._last + self._heartbeat - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._tick)
        else:
            self._go_on()  # and says that we are there
