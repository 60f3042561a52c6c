"""One stream of OpenAI's chunks on its way through: what passes at once, what is held back, what is learnt."""

from __future__ import annotations

from rung.answer import Evidence
from rung.call import Call
from rung.errors import BadAnswerFault, Fault
from rung.providers.chat_wire import WORDS, read_usage, require_noise, wants_json
from rung.providers.chunks import Chunks
from rung.providers.continuation import continues_prefix
from rung.wire.sse import Frame, Splitter


def require_answer(call: Call, evidence: Evidence, name: str, *, blank: bool) -> None:
    """Raise BadAnswerFault if nothing, or nothing but white space, is no answer to this call.

    DeepSeek sends spaces and ``stop`` where its JSON mode failed.
    """
    if evidence.finish_reason == "content_filter" and not blank:
        raise BadAnswerFault(
            f"{name} refused to answer this (its content filter)", provider=name, code="content_filter"
        )
    if evidence.finish_reason != "stop" or (not blank and "stop" in call.body):
        return
    if not blank:
        raise BadAnswerFault(f"{name} answered with no content at all", provider=name, code="empty_answer")
    if wants_json(call.body) or continues_prefix(call.body):
        raise BadAnswerFault(f"{name} answered with nothing but blanks", provider=name, code="empty_answer")


_FRAMING = len(b"data: \r\n\r\n")

_MANY = 1024
"""bytes from which a block may hold a run of frames that are worth looking at together"""


def _frames(block: bytes, count: int) -> int:
    """Where the first `count` frames of `block` end, or as many as it has; 0 if none does."""
    end = 0
    while count and (found := block.find(b"\n\n", end)) >= 0:
        end, count = found + 2, count - 1
    return end


def _clean(frame: Frame, payload: bytes) -> bytes:
    """The frame as it came, unless it holds more than its data: comments, other fields, or garbage."""
    if len(frame.raw) <= len(payload) + _FRAMING or b"\n" in payload:
        return frame.raw
    return b"data: " + payload + b"\n\n"


class Relay:
    """Frame bookkeeping of one stream: what passes now, what is held to the end, what is learnt."""

    __slots__ = (
        "_call",
        "_chunks",
        "_evidence",
        "_held",
        "_json",
        "_name",
        "_something",
        "_splitter",
        "_written",
        "broken",
        "done",
        "held_content",
        "spoke",
    )

    def __init__(self, name: str, call: Call, evidence: Evidence) -> None:
        self._name = name
        self._chunks = Chunks(name)
        self._splitter = Splitter()
        self._call = call
        self._json = wants_json(call.body)
        self._evidence = evidence
        self._held: list[bytes] = []
        self._something = False  # an answer, if perhaps a blank one
        self._written = False  # and not a blank one
        self.broken = b""  # the frame that was an error
        self.spoke = False
        self.held_content = False
        self.done = False

    def feed(self, block: bytes) -> tuple[bytes, bool, bool]:
        """Take what `block` completes -> (bytes to pass on now, do they carry content, was there any data frame)."""
        splitter, chunks = self._splitter, self._chunks
        if len(block) < _MANY or splitter.pending or self._held:
            return self.take(splitter.feed(block))
        out, content, data = b"", False, False
        if not chunks.known:  # the first frames say what the others will look like
            head = _frames(block, 3)
            out, content, data = self.take(splitter.feed(block[:head]))
            block = block[head:]
        if not splitter.pending and not self._held and (run := chunks.run(block)):
            self._something = self._written = self.spoke = content = data = True
            out += block[:run]
            block = block[run:]
        if block and not self.done:
            more, said, any_data = self.take(splitter.feed(block))
            out, content, data = out + more, content or said, data or any_data
        return out, content, data

    def take(self, frames: list[Frame]) -> tuple[bytes, bool, bool]:
        """`feed`, for whole frames."""
        if len(frames) == 1 and not self._held:  # what comes token by token
            frame = frames[0]
            if frame.data is not None and self._chunks.only_words(frame.data):
                self._something = self._written = self.spoke = True
                return _clean(frame, frame.data), True, True
        evidence = self._evidence
        out: list[bytes] = []
        content = data = False
        for frame in frames:
            payload = frame.data
            if payload is None:
                require_noise(frame.raw, self._name)  # the upstream's keep-alive; the door has its own
                continue
            data = True
            if payload == b"[DONE]":
                self.done = True
                break
            try:
                chunk = self._chunks.read(payload)
            except Fault:
                self.broken = payload
                self.spoke |= content
                raise
            if chunk is WORDS and not self._held:
                self._something = self._written = content = True
                out.append(_clean(frame, payload))
                continue
            if not evidence.model_version:
                evidence.model_version = chunk.model
            if chunk.usage is not None:
                evidence.usage = read_usage(chunk.usage)
                if not chunk.choices:
                    if self._call.include_usage:
                        self._held.append(b"data: " + payload + b"\n\n")
                    continue
            said = chunk.content
            if chunk.answer:
                self._something = True
                if not chunk.blank:
                    self._written = True
                elif self._json:
                    said = False
            if chunk.tool_calls:
                evidence.tool_calls = True
            if self._held and self._release(out):
                content = True
            if chunk.finish_reason is not None:
                if evidence.finish_reason in (None, "stop"):  # of several choices, the one that was cut
                    evidence.finish_reason = chunk.finish_reason
                self._held.append(b"data: " + payload + b"\n\n")
                self.held_content = said  # some servers put the last words on the finish chunk
                continue
            if said:
                content = True
            out.append(_clean(frame, payload))
        self.spoke |= content
        return out[0] if len(out) == 1 else b"".join(out), content, data

    def _release(self, out: list[bytes]) -> bool:
        """Pass on what was held, for more has come after it; -> did it carry content."""
        content = self.held_content
        out += self._held
        self._held, self.held_content = [], False
        return content

    def end(self) -> bytes:
        """The held tail, once the upstream has ended. Raises BadAnswerFault if it ended badly."""
        if not self.done or self._evidence.finish_reason is None:
            what = "without its terminator" if not self.done else "without a finish reason"
            cut = " in the middle of a frame" if self._splitter.pending.strip() else ""
            raise BadAnswerFault(f"{self._name}'s stream ended {what}{cut}", provider=self._name, code="cut_stream")
        if not self._written:
            require_answer(self._call, self._evidence, self._name, blank=self._something)
        return b"".join(self._held)
