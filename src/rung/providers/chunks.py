"""The chunks of one stream, most of which differ in nothing but their text: those are told apart by their bytes."""

from __future__ import annotations

from operator import itemgetter

from rung.providers.chat_wire import WORDS, Said, read_chunk

_CONTENT = b'"content":"'


class Chunks:
    """`read_chunk` for the chunks of one stream, most of which differ in nothing but their text."""

    __slots__ = ("_after", "_before", "_name", "_text")

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

    def run(self, payloads: list[bytes]) -> int:
        """How many of the first `payloads` are `only_words`, if it is plain to see that they all are up to the last
        that is; else 0. They are looked at together: one costs a tenth of what it costs alone."""
        before, after = self._before, self._after
        if not before or not payloads[0].startswith(before):
            return 0
        end = len(payloads)
        while end and not (payloads[end - 1].startswith(before) and payloads[end - 1].endswith(after)):
            end -= 1
        alike = payloads[:end]
        texts = list(map(self._text, alike))
        told = b"".join(texts)
        if not _unescaped(told) or not all(map(bytes.strip, texts)):
            return 0
        # Looking at each, or for the long needle between two texts, is slow; joining and comparing is not.
        plain = before + (after + before).join(texts) + after == b"".join(alike)
        return end if plain else 0

    def _remember(self, payload: bytes) -> None:
        """What stands before and after the text of this chunk, if that is plain to see."""
        start = payload.find(_CONTENT) + len(_CONTENT)
        end = payload.find(b'"', start)
        if payload.count(_CONTENT) == 1 and payload.find(b"\\") < 0 and payload.find(b"\n") < 0:
            self._before, self._after = payload[:start], payload[end:]
            self._text = itemgetter(slice(start, end - len(payload)))


def _unescaped(text: bytes) -> bool:
    """Does it stand in JSON as it is, and end where it ends? In doubt no."""
    return text.isascii() and text.find(b'"') < 0 and text.find(b"\\") < 0 and text.decode("ascii").isprintable()
