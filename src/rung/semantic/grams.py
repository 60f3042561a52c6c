"""A prompt in numbers: its embedding, and beside it hashed words, word pairs and pieces of words.

Feature hashing: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (2009). Few of the hashed
numbers are not zero, so only those are kept.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

WORDS, PIECES = 1024, 512
"""dimensions the words and their pairs, and the pieces of four letters, are hashed into"""

_TOKEN = re.compile(r"[^\W_]+|[^\w\s]")
_LONGEST = 4000


@dataclass(frozen=True, slots=True)
class Numbers:
    """`embedding` (unit length), then `WORDS` + `PIECES` numbers, which are `values` at `places` and else zero.

    The words' values have unit length together, and so have the pieces'.
    """

    embedding: Vector
    places: NDArray[np.intp]
    values: Vector


def width(embedding: int) -> int:
    """How many numbers a prompt with an embedding of so many has."""
    return embedding + WORDS + PIECES


def numbers(embedding: Vector, prompt: str) -> Numbers:
    """The prompt's numbers. Only the first few thousand characters are looked at."""
    text = " ".join(prompt[:_LONGEST].lower().split())
    words = ["<", *_TOKEN.findall(text), ">"]
    pairs = [f"{one} {other}" for one, other in pairwise(words)]
    padded = f" {text} "
    pieces = [padded[at : at + 4] for at in range(len(padded) - 3)]
    word_places, word_values = _hashed([*words[1:-1], *pairs], WORDS)
    piece_places, piece_values = _hashed(pieces, PIECES)
    return Numbers(
        embedding,
        np.concatenate((word_places, piece_places + WORDS)),
        np.concatenate((word_values, piece_values)),
    )


def _hashed(grams: list[str], size: int) -> tuple[NDArray[np.intp], Vector]:
    """-> (places, values) that are not zero."""
    hashes = np.array([crc32(gram.encode()) for gram in grams], np.int64)
    found = np.bincount(hashes % size, 1.0 - 2.0 * (hashes >> 31), size)
    places = found.nonzero()[0]
    values = found[places].astype(np.float32)
    length = math.sqrt(values @ values)
    return places, values / np.float32(length) if length else values
