"""Read a GGUF file's header: the model's shape, and whether the file is all there.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. llama.cpp says only "failed to load" for a
truncated or foreign file, so we look first and say what is wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from rung.errors import ModelFileError

_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
"""ggml type -> (weights per block, bytes per block), from ggml's type traits (ggml/src/ggml.c)."""

_NAMES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K",
    13: "Q5_K", 14: "Q6_K", 30: "BF16",
}  # fmt: skip
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_MAX_COUNT = 10_000_000
_MAX_STRING = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says about itself. Sizes in bytes.

    Attributes:
        kv_heads, head_dim: attention heads holding keys and values, and the width of each.
        context_length: the longest context the model was trained for, in tokens.
        vocabulary: how many tokens it knows.
        min_file_bytes: what the tensor table asks for; a shorter file is truncated.
        q4_k_bytes: Q4_K tensors outside the embeddings, which llama.cpp copies into a faster layout.
        read_bytes: what is read for every generated token: all but a separate input embedding.
        kinds: weights read for every generated token, by quantisation (``Q4_K``; ``other`` for rare ones).
    """

    architecture: str
    name: str
    layers: int
    kv_heads: int
    head_dim: int
    context_length: int
    vocabulary: int
    has_chat_template: bool
    min_file_bytes: int
    q4_k_bytes: int
    read_bytes: int = 0
    kinds: dict[str, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """The file's size, as its tensor table has it."""
        return self.min_file_bytes


def read_header(path: Path) -> Header:
    """Read and check the header of the file at `path`; takes up to half a second for large vocabularies.

    Raises ModelFileError if it is missing, no GGUF file, damaged, or shorter than its own tensor table says.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            return parse(file, size, path.name)
    except FileNotFoundError:
        raise ModelFileError(f"the model file {path.name} is missing; get it with `rung models pull`") from None
    except OSError as error:
        raise ModelFileError(f"the model file {path.name} cannot be read: {error.strerror}") from None


def parse(file: BinaryIO, size: int, name: str) -> Header:
    """Read the header from an open file of `size` bytes, called `name` in errors. Raises ModelFileError."""
    if file.read(4) != b"GGUF":
        raise ModelFileError(f"{name} is not a GGUF model file; remove it and pull the model again")
    try:
        version = _number(file, "<I")
        if version not in (2, 3):
            raise ModelFileError(f"{name} is GGUF version {version}; only versions 2 and 3 are read")
        tensors, pairs = _count(file), _count(file)
        facts = dict(_pair(file) for _ in range(pairs))
        held = [_tensor(file) for _ in range(tensors)]
        alignment = int(facts.get("general.alignment", 32))
        least = -(-file.tell() // alignment) * alignment + max((one.end for one in held), default=0)
    except (struct.error, UnicodeDecodeError, ValueError, KeyError, OverflowError):
        raise ModelFileError(f"the header of {name} is damaged; remove it and pull the model again") from None
    if size < least:
        raise ModelFileError(
            f"{name} is cut off: it has {size} of at least {least} bytes; remove it and pull the model again"
        )
    return _header(facts, least, held)


def _header(facts: dict[str, Any], least: int, held: list[_Tensor]) -> Header:
    architecture = str(facts.get("general.architecture", ""))

    def fact(key: str, default: int = 0) -> int:
        value = facts.get(f"{architecture}.{key}", default)
        return value if isinstance(value, int) else default

    heads = fact("attention.head_count", 1)
    return Header(
        architecture=architecture,
        name=str(facts.get("general.name", "")),
        layers=fact("block_count"),
        kv_heads=fact("attention.head_count_kv", heads),
        head_dim=fact("attention.key_length", fact("embedding_length") // max(1, heads)),
        context_length=fact("context_length"),
        vocabulary=facts.get("tokenizer.ggml.tokens", 0),
        has_chat_template="tokenizer.chat_template" in facts,
        min_file_bytes=least,
        q4_k_bytes=sum(one.bytes for one in held if one.kind == "Q4_K" and one.name != _EMBEDDING),
        **_reading(held),
    )


def _reading(held: list[_Tensor]) -> dict[str, Any]:
    """Where there is no output matrix, the embedding is it."""
    apart = any(one.name == _OUTPUT for one in held)
    read = [one for one in held if not (apart and one.name == _EMBEDDING)]
    kinds: dict[str, int] = {}
    for one in read:
        kinds[one.kind] = kinds.get(one.kind, 0) + one.weights
    return {"read_bytes": sum(one.bytes for one in read), "kinds": kinds}


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    kind: str
    weights: int
    bytes: int
    end: int
    """its last byte, counted from where the tensors begin"""


def _tensor(file: BinaryIO) -> _Tensor:
    name = _string(file)
    weights = 1
    for _ in range(_number(file, "<I")):
        weights *= _number(file, "<Q")
    kind, offset = _number(file, "<I"), _number(file, "<Q")
    per_block, block_bytes = _BLOCKS.get(kind, (1, 0))
    length = weights // per_block * block_bytes
    return _Tensor(name, _NAMES.get(kind, "other"), weights, length, offset + length)


def _pair(file: BinaryIO) -> tuple[str, Any]:
    key = _string(file)
    return key, _value(file, _number(file, "<I"))


def _value(file: BinaryIO, kind: int) -> Any:
    """One metadata value. Arrays are skipped (the vocabulary is millions of bytes): their length is returned."""
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        return _number(file, _SCALARS[kind])
    inner, count = _number(file, "<I"), _count(file)
    if inner == _ARRAY:
        raise ValueError("nested arrays are not used by any model")
    if inner == _STRING:
        skip: Callable[[int], bytes] = file.read
        for _ in range(count):
            length = int.from_bytes(skip(8), "little")
            if len(skip(_bounded(length, _MAX_STRING))) != length:
                raise ValueError("cut off inside the vocabulary")
    else:
        file.seek(count * struct.calcsize(_SCALARS[inner]), 1)
    return count


def _number(file: BinaryIO, layout: str) -> Any:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))[0]


def _count(file: BinaryIO) -> int:
    return _bounded(_number(file, "<Q"), _MAX_COUNT)


def _string(file: BinaryIO) -> str:
    length = _bounded(_number(file, "<Q"), _MAX_STRING)
    text: bytes = file.read(length)
    if len(text) != length:
        raise ValueError("cut off inside a string")
    return text.decode()


def _bounded(number: int, limit: int) -> int:
    if number > limit:
        raise ValueError("a count beyond any real model")
    return number
