"""How fast a local model really is: learnt from every answer, used to foresee the next one's time.

A backend's own clock is believed (llama.cpp's ``timings``, Ollama's durations); it leaves the queue and our own
overhead out. Figures are exponential averages, the newest answer counts `RATE`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from rung.local.whole import replace_whole

RATE = 0.2
_TRUSTED = 16
"""tokens below which a measured time is mostly overhead"""


class Timings(msgspec.Struct):
    """One answer's times as llama.cpp tells them; milliseconds. `prompt_n`: tokens read, not taken from a cache."""

    prompt_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0


class Speed(msgspec.Struct):
    """What is known about one model: tokens a second, tokens, seconds. 0: not measured yet."""

    prompt: float = 0.0
    generation: float = 0.0
    output: float = 0.0
    """tokens of an answer, on average"""
    load: float = 0.0
    answers: int = 0

    @property
    def seen(self) -> bool:
        """Has anything been measured?"""
        return bool(self.answers or self.load)

    def learn(self, told: Timings) -> None:
        """Take one answer into account."""
        self.answers += 1
        if told.prompt_n >= _TRUSTED and told.prompt_ms > 0:
            self.prompt = _mean(self.prompt, told.prompt_n / told.prompt_ms * 1e3)
        if told.predicted_n >= _TRUSTED and told.predicted_ms > 0:
            self.generation = _mean(self.generation, told.predicted_n / told.predicted_ms * 1e3)
        if told.predicted_n:
            self.output = _mean(self.output, told.predicted_n)

    def loaded(self, seconds: float) -> None:
        """A load took this long."""
        self.load = _mean(self.load, seconds)

    def predict(self, prompt_tokens: int, max_tokens: int | None) -> float:
        """Seconds an answer would take once it has a slot: the prompt, and as many tokens as answers usually
        have, at most `max_tokens`. What has not been measured counts 0."""
        output = self.output if max_tokens is None else min(self.output, max_tokens)
        reading = prompt_tokens / self.prompt if self.prompt else 0.0
        return reading + (output / self.generation if self.generation else 0.0)


class _Timed(msgspec.Struct):
    timings: Timings | None = None


_timed = msgspec.json.Decoder(_Timed)


def timings(data: bytes) -> Timings | None:
    """The ``timings`` member of a whole answer, or of one of a stream's frames; None if there is none."""
    if b'"timings":' not in data:  # only ever a key: inside a JSON string the quote before the colon is escaped
        return None
    for frame in data.split(b"\n\n"):
        if b'"timings":' in frame:
            try:
                return _timed.decode(frame.removeprefix(b"data: ")).timings
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None
    return None


class Setup(msgspec.Struct, frozen=True):
    """The settings of the engine that were found to answer soonest: threads, prompt tokens read at once, and whether
    the weights are copied."""

    threads: int
    batch: int
    repack: bool


class Trial(msgspec.Struct):
    """What one file reached when it was tried on this machine. `bytes` tells it from another file of that name.
    `setup`: with which settings it serves; None before others were tried."""

    bytes: int
    prompt: float
    generation: float
    threads: int
    at: str
    """the day, ISO 8601"""
    watts: float | None = None
    setup: Setup | None = None


class Kept(msgspec.Struct):
    """The file: what was `tried`, by file name, and what was `used`, by a key that says what the speed depends on
    (the backend, the model, the exact weights, the threads)."""

    tried: dict[str, Trial] = {}
    used: dict[str, Speed] = {}


_FILE = "speeds.json"
_MOST = 100
"""models remembered"""


def kept(folder: Path) -> Kept:
    """What is known of the models of `folder`; a file that is missing or damaged counts as empty. Blocks."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Kept)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return Kept()


def keep(folder: Path, told: Kept) -> None:
    """Replace the file whole. Raises OSError. Blocks."""
    replace_whole(folder / _FILE, msgspec.json.format(msgspec.json.encode(told)))


class Speeds:
    """The speeds of every model that was used here, kept beside the model files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Speed] = {}
        self._saved = b""

    def load(self) -> None:
        """Read the file. Blocks."""
        self._known = kept(self._folder).used
        self._saved = self._encoded()

    def of(self, key: str) -> Speed:
        """The speed kept under `key`: a new one if there is none. It is learnt into in place."""
        found = self._known.pop(key, None) or Speed()
        self._known[key] = found
        while len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
        return found

    def save(self) -> None:
        """Write what has changed, and keep what was tried meanwhile. A disk that refuses costs only memory. Blocks."""
        data = self._encoded()
        if data == self._saved:
            return
        try:
            keep(self._folder, Kept(kept(self._folder).tried, self._seen()))
        except OSError:
            return
        self._saved = data

    def _encoded(self) -> bytes:
        return msgspec.json.encode(self._seen())

    def _seen(self) -> dict[str, Speed]:
        return {key: one for key, one in self._known.items() if one.seen}


def _mean(old: float, new: float) -> float:
    return new if not old else old + RATE * (new - old)
