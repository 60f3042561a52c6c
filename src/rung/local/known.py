"""Models people ask about that rung has no verified file of: what they would weigh, from their documented shapes.

A Q4_K_M file is computed from the shape by llama.cpp's own recipe (``llama_tensor_get_type`` in
src/llama-quant.cpp): Q4_K everywhere, but Q6_K for the output matrix and for the value and down projections of
half the layers. Checked against published sizes: 0.2 to 2.4 % under for five models.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

_FILE = Path(__file__).with_name("known.json")

_Q4_K = 144 / 256
_Q6_K = 210 / 256
"""bytes per weight"""

_HEADER_PER_TOKEN = 39
"""bytes of the file's header a word of the vocabulary takes (measured: 5.9 MB for 151,936)"""


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model by its shape. `hidden`, `feed_forward`, `head_dim` are widths; sizes are in bytes, computed."""

    name: str
    title: str
    license: str
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    context_length: int
    ollama: str
    source: str

    @property
    def bytes(self) -> int:
        """The file."""
        first = 0 if self.tied else self._embedding * _Q4_K
        return round(self.read_bytes + first + _HEADER_PER_TOKEN * self.vocabulary)

    @property
    def q4_k_bytes(self) -> int:
        """Q4_K tensors outside the embedding, which llama.cpp copies into a faster layout."""
        return round(self._q4_k * _Q4_K)

    @property
    def read_bytes(self) -> int:
        """What is read for every generated token: all but a separate input embedding."""
        return round(self._q4_k * _Q4_K + self._q6_k * _Q6_K + self._embedding * _Q6_K)

    @property
    def kinds(self) -> dict[str, int]:
        """Weights read for every generated token, by quantisation."""
        return {"Q4_K": self._q4_k, "Q6_K": self._q6_k + self._embedding}

    @property
    def _embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def _q6_k(self) -> int:
        fine = sum(_uses_more_bits(place, self.layers) for place in range(self.layers))
        return fine * self.hidden * (self.kv_heads * self.head_dim + self.feed_forward)

    @property
    def _q4_k(self) -> int:
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.feed_forward) - self._q6_k


def _uses_more_bits(place: int, layers: int) -> bool:
    return place < layers // 8 or place >= 7 * layers // 8 or (place - layers // 8) % 3 == 2


@cache
def known() -> tuple[Known, ...]:
    """Every such model, the smallest first."""
    listed = msgspec.json.decode(_FILE.read_bytes())["models"]
    return tuple(sorted((msgspec.convert(one, Known) for one in listed), key=lambda one: one.bytes))
