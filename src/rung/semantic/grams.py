"""A prompt as one vector: its embedding beside hashed words, word pairs and pieces of words.

Feature hashing: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (2009).
"""

from __future__ import annotations

import re
import zlib
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

WORDS, PIECES = 1024, 512
"""dimensions the words and their pairs, and the pieces of four letters, are hashed into"""

_TOKEN = re.compile(r"[^\W_]+|[^\w\s]")
_LONGEST = 4000


def width(embedding: int) -> int:
    """Numbers in a vector made by `joined` from an embedding of so many."""
    return embedding + WORDS + PIECES


def joined(embedding: Vector, prompt: str) -> Vector:
    """The embedding (unit length), the hashed words (unit length) and the hashed pieces (unit length) in a row.

    Only the first few thousand characters are looked at.
    """
    text = " ".join(prompt[:_LONGEST].lower().split())
    words = ["<", *_TOKEN.findall(text), ">"]
    grams = words[1:-1] + [f"{one} {other}" for one, other in pairwise(words)]
    padded = f" {text} "
    pieces = [padded[at : at + 4] for at in range(len(padded) - 3)]
    return np.concatenate((embedding, _hashed(grams, WORDS), _hashed(pieces, PIECES)))


def _hashed(grams: list[str], size: int) -> Vector:
    hashes = np.fromiter((zlib.crc32(gram.encode()) for gram in grams), np.int64, len(grams))
    out = np.bincount(hashes % size, 1.0 - 2.0 * (hashes >> 31), size).astype(np.float32)
    length = float(np.sqrt(out @ out))
    return out / np.float32(length) if length else out
