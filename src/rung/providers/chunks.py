"""The chunks of one stream, most of which differ in nothing but their text: those are told apart by their bytes."""

from __future__ import annotations

from rung.providers.chat_wire import WORDS, Said, read_chunk

_CONTENT = b'"content":"'


class Chunks:
    """`read_chunk` for the chunks of one stream, most of which differ in nothing but their text."""

    __slots__ = ("_after", "_before", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._before = self._after = b""

    def read(self, payload: bytes) -> Said:
        """See `read_chunk`."""
        if self.only_words(payload):
            return WORDS
        said = read_chunk(payload, self._name)
        if said is WORDS:
            self._remember(payload)
        return said

    def only_words(self, payload: bytes) -> bool:
        """Is it the last chunk around another text? One without escapes, so that it ends where the last one ended."""
        before, after = self._before, self._after
        if not before or not payload.startswith(before) or not payload.endswith(after):
            return False
        text = payload[len(before) : -len(after)]
        return text.strip() != b"" and _unescaped(text)

    @property
    def known(self) -> bool:
        """One with words has been seen, so that others can be known by it."""
        return bool(self._before)

    def run(self, block: bytes) -> int:
        """How many bytes at the start of `block` are frames of one line that are `only_words`, at least two of them; 0
        if it is not as plain as that. All of them are looked at together: a frame costs a tenth of what it costs
        alone."""
        start, end = b"data: " + self._before, self._after + b"\n\n"
        if not self._before or not block.startswith(start):
            return 0
        between = end + start
        texts = block.split(between)
        texts[0] = texts[0][len(start) :]
        last = texts.pop()
        if (cut := last.find(end)) >= 0:  # else a frame that has not ended
            texts.append(last[:cut])
        words = b"".join(texts)
        if len(texts) < 2 or not _unescaped(words) or not all(map(bytes.strip, texts)):
            return 0
        return len(start) + len(words) + (len(texts) - 1) * len(between) + len(end)

    def _remember(self, payload: bytes) -> None:
        """What stands before and after the text of this chunk, if that is plain to see."""
        start = payload.find(_CONTENT) + len(_CONTENT)
        end = payload.find(b'"', start)
        if payload.count(_CONTENT) == 1 and payload.find(b"\\") < 0:
            self._before, self._after = payload[:start], payload[end:]


def _unescaped(text: bytes) -> bool:
    """Does it stand in JSON as it is, and end where it ends? In doubt no."""
    return text.isascii() and text.find(b'"') < 0 and text.find(b"\\") < 0 and text.decode("ascii").isprintable()
