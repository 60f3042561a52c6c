"""One stream of OpenAI's chunks on its way through: what passes at once, what is held back, what is learnt."""

from __future__ import annotations

from rung.answer import Evidence
from rung.call import Call
from rung.errors import BadAnswerFault, Fault
from rung.providers.chat_wire import WORDS, read_usage, require_noise, wants_json
from rung.providers.chunks import Chunks
from rung.providers.continuation import continues_prefix
from rung.wire.sse import Frame, Splitter, framed


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
        payloads = self._splitter.payloads(block)
        if payloads is None:
            return self._take(self._splitter.feed(block))
        chunks = self._chunks
        if len(payloads) == 1 and not self._held and chunks.only_words(payloads[0]):  # what comes token by token
            self._something = self._written = self.spoke = True
            return block, True, True
        out: list[bytes] = []
        content = False
        if not chunks.known:  # the first ones say what the others will look like
            content = self._each(payloads[:2], out)
            payloads = payloads[2:]
        if payloads and not self._held and (run := chunks.run(payloads)):
            self._something = self._written = self.spoke = content = True
            out.append(framed(payloads[:run]))
            payloads = payloads[run:]
        if payloads and not self.done and self._each(payloads, out):
            content = True
        return b"".join(out), content, True

    def _each(self, payloads: list[bytes], out: list[bytes]) -> bool:
        """Take the frames of `Splitter.payloads`; -> does what is added to `out` carry content."""
        content = False
        for place, payload in enumerate(payloads):
            if payload.find(b"\n") >= 0:  # something else than one line of data
                rest, said, _ = self._take(self._splitter.feed(framed(payloads[place:])))
                out.append(rest)
                return content or said
            if payload == b"[DONE]":
                self.done = True
                break
            if self._one(payload, b"data: " + payload + b"\n\n", out):
                content = True
        return content

    def _take(self, frames: list[Frame]) -> tuple[bytes, bool, bool]:
        """`feed`, for frames of any kind."""
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
            if self._one(payload, _clean(frame, payload), out):
                content = True
        return b"".join(out), content, data

    def _one(self, payload: bytes, raw: bytes, out: list[bytes]) -> bool:
        """Take the frame `raw`; -> does what is added to `out` carry content."""
        try:
            chunk = self._chunks.read(payload)
        except Fault:
            self.broken = payload
            raise
        if chunk is WORDS and not self._held:
            self._something = self._written = self.spoke = True
            out.append(raw)
            return True
        evidence = self._evidence
        if not evidence.model_version:
            evidence.model_version = chunk.model
        if chunk.usage is not None:
            evidence.usage = read_usage(chunk.usage)
            if not chunk.choices:
                if self._call.include_usage:
                    self._held.append(b"data: " + payload + b"\n\n")
                return False
        said = chunk.content
        if chunk.answer:
            self._something = True
            if not chunk.blank:
                self._written = True
            elif self._json:
                said = False
        if chunk.tool_calls:
            evidence.tool_calls = True
        content = bool(self._held) and self._release(out)
        if chunk.finish_reason is not None:
            if evidence.finish_reason in (None, "stop"):  # of several choices, the one that was cut
                evidence.finish_reason = chunk.finish_reason
            self._held.append(b"data: " + payload + b"\n\n")
            self.held_content = said  # some servers put the last words on the finish chunk
        else:
            content = content or said
            out.append(raw)
        self.spoke = self.spoke or content
        return content

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
