"""Run a model for a few seconds and see how fast it really is.

What was measured is kept by file name and size (`rung.local.speeds`): predictions are corrected by it.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
from msgspec.structs import replace

from rung.errors import ModelFileError
from rung.local.catalogue import Row
from rung.local.energy import between, joules
from rung.local.engine import Engine
from rung.local.installed import serving
from rung.local.predict import Measured
from rung.local.speeds import Kept, Setup, Trial, keep, kept
from rung.local.tuning import DEFAULT_TUNING, Tuning
from rung.wire.client import Client, Deadlines

_PROMPT = "The quick brown fox packs its bag and counts: one, two, three, four, five, six, seven, eight. "
_TOKENS, _ROOM = 24, 32
"""of `_PROMPT`: about, and at most"""

_READING = 6.0
"""seconds of reading a trial means to take, within `_FEWEST` and `_MOST` copies: quick models read more, for their
speed depends more on how much they have read"""

_FEWEST, _MOST = 8, 48
_OUTPUT = 48


_USED = 5
"""answers from which their mean speed says more than a trial"""


class _Timings(msgspec.Struct):
    prompt_per_second: float
    predicted_per_second: float


class _Completion(msgspec.Struct):
    timings: _Timings


async def trial(
    model: Path, *, threads: int, context: int, tuning: Tuning = DEFAULT_TUNING, load_deadline: float = 300.0
) -> Measured:
    """Load `model`, read a prompt, generate some tokens, unload it.

    Without the drafts of `tuning`: what they gain depends on what is said.

    Raises ModelFileError with the engine's own words if it cannot be run.
    """
    engine = Engine(
        model,
        alias="trial",
        threads=threads,
        context=context,
        load_deadline=load_deadline,
        delays=(),
        tuning=replace(tuning, drafts=None),
    )
    client = Client()
    try:
        await engine.start()
        if not await engine.ready(load_deadline) or engine.origin is None:
            raise ModelFileError(f"{model.name} could not be run: {engine.detail or engine.state}")
        warm, _ = await _read_and_write(client, engine, 1, 4)
        room = (context - 2 * _OUTPUT) // _ROOM
        wanted = round(warm.prompt_per_second * _READING / _TOKENS)
        timings, watts = await _read_and_write(client, engine, max(1, min(_MOST, room, max(_FEWEST, wanted))), _OUTPUT)
    except msgspec.ValidationError as error:
        raise ModelFileError(f"{model.name} ran but did not tell its speed: {error}") from None
    finally:
        await client.aclose()
        await engine.stop()
    return Measured(timings.prompt_per_second, timings.predicted_per_second, threads, watts)


async def _read_and_write(client: Client, engine: Engine, copies: int, output: int) -> tuple[_Timings, float | None]:
    """Have the engine read copies of the prompt and write `output` tokens; -> its times, and watts where they show."""
    assert engine.origin is not None
    asked = {
        "prompt": _PROMPT * copies,
        "n_predict": output,
        "ignore_eos": True,
        "cache_prompt": False,
        "temperature": 0,
    }
    before, began = await asyncio.to_thread(joules), time.monotonic()
    response = await client.fetch(
        engine.origin,
        "POST",
        "/completion",
        f"authorization: Bearer {engine.api_key}\r\ncontent-type: application/json\r\n".encode(),
        msgspec.json.encode(asked),
        Deadlines(5.0, 120.0, 120.0, 240.0),
    )
    timings = msgspec.json.decode(response.body or b"", type=_Completion).timings
    taken = between(before, await asyncio.to_thread(joules))
    return timings, None if taken is None else taken / (time.monotonic() - began)


def remember(models_dir: Path, model: Path, measured: Measured, day: str, setup: Setup | None = None) -> None:
    """Keep what `model` reached, and the setup that was found for it; None leaves the one it had. Raises OSError."""
    told = kept(models_dir)
    size = model.stat().st_size
    before = _tried(told, model.name, size)
    setup = setup or (None if before is None else before.setup)
    tried = Trial(size, measured.prompt, measured.generation, measured.threads, day, measured.watts, setup)
    keep(models_dir, Kept({**told.tried, model.name: tried}, told.used))


def setup_of(models_dir: Path, file: str, size: int) -> Setup | None:
    """The setup found for the model file of that name and size; None if others were never tried. Blocks."""
    found = _tried(kept(models_dir), file, size)
    return None if found is None else found.setup


def recall(models_dir: Path, file: str, size: int) -> Measured | None:
    """What the model file of that name and size reached here, if it was ever tried."""
    found = _tried(kept(models_dir), file, size)
    return None if found is None else Measured(found.prompt, found.generation, found.threads, found.watts)


def _tried(told: Kept, file: str, size: int) -> Trial | None:
    found = told.tried.get(file)
    return found if found is not None and found.bytes == size else None


def measured_here(model: Row, models_dir: Path) -> Measured | None:
    """What the file that serves for `model` really reached on this machine: in use, where it has been used enough,
    else when it was tried; None if neither. Watts are those of the trial. Blocks."""
    version = serving(model, models_dir)
    if version is None:
        return None
    tried = recall(models_dir, version.file, version.bytes)
    beginning = f"embedded/{model.alias}/{version.sha256[:12]}/"
    for key, speed in kept(models_dir).used.items():
        threads = key.removeprefix(beginning).removesuffix(" threads")
        if (
            key.startswith(beginning)
            and threads.isdigit()
            and speed.answers >= _USED
            and speed.prompt
            and speed.generation
        ):
            watts = None if tried is None else tried.watts
            return Measured(speed.prompt, speed.generation, int(threads), watts)
    return tried
