"""How many tokens a prompt will have, before any model has counted it: an estimate, and always called one.

Each kind of character weighs its mean share of a token. The weights were fitted to the o200k vocabulary on
code, prose in fifteen languages, JSON and tables of numbers; docs/costs.md says how good they are. Other
vocabularies count otherwise, so `Correction` learns each model's own factor from the usage it returns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from rung.call import Call

MESSAGE_TOKENS = 4
"""what the frame of one chat message adds, roughly, everywhere"""

MEDIA_TOKENS = 1000
"""taken for an image, a sound or a file, whose size in tokens is the model's own affair"""

SAMPLED = 8 * 1024
"""bytes that are looked at; of a longer text, evenly spaced pieces speak for the rest"""

_PIECES = 8
_MEDIA = frozenset(("image_url", "input_image", "image", "input_audio", "audio", "input_file", "file", "document"))
_PROMPT = ("system", "messages", "input", "prompt")
_SCHEMAS = ("tools", "functions", "response_format")


def _bytes(*spans: tuple[int, int]) -> bytes:
    return b"".join(bytes(range(first, last + 1)) for first, last in spans)


# Tokens per character, told by the first byte of its UTF-8 (those after the first weigh nothing).
_ASCII = (
    (_bytes((0x61, 0x7A)), 0.22),
    (_bytes((0x41, 0x5A)), 0.48),
    (_bytes((0x30, 0x39)), 0.9),
    (_bytes((0x00, 0x09), (0x0B, 0x1F), (0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7F)), 0.25),
    (b" ", 0.135),
    (b"\n", 0.95),
)
_BEYOND = (
    (_bytes((0xC2, 0xC3)), 0.45),  # Western European letters
    (_bytes((0xC4, 0xCA)), 1.35),  # other Latin letters
    (_bytes((0xCB, 0xCF)), 0.42),  # Greek
    (_bytes((0xD0, 0xD3)), 0.33),  # Cyrillic
    (_bytes((0xD4, 0xE0)), 0.39),  # Hebrew, Arabic, India's and Thai scripts
    (_bytes((0xE1, 0xE1), (0xE3, 0xE9)), 0.72),  # Chinese, Japanese
    (b"\xe2", 1.6),  # dashes, quotes, arrows
    (_bytes((0xEA, 0xED)), 0.72),  # Korean
    (_bytes((0xEE, 0xF4)), 2.0),  # emoji
)


def estimate_tokens(prompt: str | bytes | Mapping[str, Any]) -> int:
    """Estimated tokens of a text (bytes: UTF-8), or of the prompt of a chat, messages or embeddings body.

    0 only for nothing at all.
    """
    if not isinstance(prompt, Mapping):
        return _round_up(_weigh(prompt.encode("utf-8", "surrogatepass") if isinstance(prompt, str) else prompt))
    found = [part for name in _PROMPT for part in _parts(prompt.get(name))]
    schemas = [orjson.dumps(prompt[name]).decode() for name in _SCHEMAS if prompt.get(name)]
    messages = prompt.get("messages")
    frames = MESSAGE_TOKENS * len(messages) if isinstance(messages, list) else 0
    media = MEDIA_TOKENS * sum(part is None for part in found)
    text = "".join([part for part in found if part is not None] + schemas)
    return frames + media + _round_up(_weigh(text.encode("utf-8", "surrogatepass")))


def prompt_tokens(call: Call) -> int:
    """`estimate_tokens` of a call's prompt, worked out once."""
    if not call.estimated:
        call.estimated = estimate_tokens(call.body)
    return call.estimated


def _parts(value: Any) -> Iterator[str | None]:
    """Every text in a message list, in any API's shape; None for each image, sound or file."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _parts(item)
    elif isinstance(value, Mapping):
        if str(value.get("type")) in _MEDIA:  # a caller may have put anything there
            yield None
            return
        for item in value.values():
            yield from _parts(item)


def _weigh(data: bytes) -> float:
    if len(data) <= SAMPLED:
        return _weigh_all(data)
    size, stride = SAMPLED // _PIECES, (len(data) - SAMPLED // _PIECES) / (_PIECES - 1)
    pieces = b"".join(data[int(stride * n) : int(stride * n) + size] for n in range(_PIECES))
    return _weigh_all(pieces) * len(data) / len(pieces)


def _weigh_all(data: bytes) -> float:
    kinds = _ASCII if data.isascii() else _ASCII + _BEYOND
    # `translate` deletes at the speed of memory: a loop over the characters would be a hundred times slower.
    return sum(weight * (len(data) - len(data.translate(None, kind))) for kind, weight in kinds)


def _round_up(tokens: float) -> int:
    return int(-(-tokens // 1))


class Correction:
    """What each model's own counts are to our estimates: a factor learnt from returned usage.

    One exponential average of (returned / estimated) per provider and model, without any clock. A short
    prompt, most of which is framing nobody sees, teaches less. The factor always lies in [`LOWEST`, `HIGHEST`]
    and, of a model never seen, is 1. At most `limit` models are remembered, the least recently used goes first.
    """

    LOWEST, HIGHEST = 0.25, 4.0
    RATE = 0.1
    """share of the newest answer once some have been seen; the first ones weigh more"""
    HALF_TOKENS = 100
    """an estimate of this size teaches half as much as a very long one"""

    def __init__(self, limit: int = 1024) -> None:
        self._limit = limit
        self._learnt: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def factor(self, provider: str, model: str) -> float:
        known = self._learnt.get((provider, model))
        return 1.0 if known is None else known[0]

    def tokens(self, provider: str, model: str, estimated: int) -> int:
        """The estimate as this model would count it: still an estimate."""
        return _round_up(estimated * self.factor(provider, model))

    def learn(self, provider: str, model: str, estimated: int, returned: int) -> None:
        """A model counted `returned` prompt tokens where `estimate_tokens` had said `estimated`."""
        if estimated <= 0 or returned <= 0:
            return
        key = (provider, model)
        factor, seen = self._learnt.pop(key, (1.0, 0))
        ratio = min(max(returned / estimated, self.LOWEST), self.HIGHEST)
        share = max(self.RATE, 1 / (seen + 1)) * estimated / (estimated + self.HALF_TOKENS)
        self._learnt[key] = (factor + share * (ratio - factor), min(seen + 1, 1000))
        if len(self._learnt) > self._limit:
            self._learnt.popitem(last=False)

    def __len__(self) -> int:
        return len(self._learnt)
