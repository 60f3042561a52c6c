"""``--what-if hardware=8c/32GB/RTX4060 model=qwen2.5-coder:7b price.groq*2 traffic*10``: another world, predicted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import msgspec

from rung.local import hardware as machine
from rung.local.hardware import Gpu, Hardware
from rung.local.predict import Probe

GB = 10**9

_GPUS = Path(machine.__file__).with_name("gpus.json")
_HARDWARE = re.compile(r"(\d{1,3})c/(\d{1,4})gb(?:/([a-z0-9]+))?")
_FACTOR = re.compile(r"(price\.[a-z0-9._-]+|price|traffic)\*(\d+(?:\.\d+)?)")

_CORE = 850e6
"""bytes/s of BLAKE2b on one core (`rung.local.predict`)"""

_CORE_READ, _MOST_READ = 12e9, 50e9
"""bytes/s of memory one core reads, and all of an ordinary machine's together"""

_GPU_CORES = 60
"""how many CPU cores a graphics processor computes like, roughly: prompts are read that much quicker"""

_GPU_READ = 0.6
"""share of its stated bandwidth that generation reaches (whichllm measured .55 for Q4_K_M)"""


class Imagined(msgspec.Struct, frozen=True):
    """A machine that is not here. `free`: bytes a model may take."""

    words: str
    hardware: Hardware
    probe: Probe


class WhatIf(msgspec.Struct, frozen=True):
    """What is changed. `prices`: factor by provider, ``""`` for all."""

    words: str = ""
    machine: Imagined | None = None
    model: str = ""
    prices: dict[str, float] = {}
    traffic: float = 1.0

    def price(self, model_id: str) -> float:
        """The factor for ``provider:model``."""
        return self.prices.get(model_id.partition(":")[0], self.prices.get("", 1.0))


def parse(told: Iterable[str]) -> WhatIf:
    """Read what follows ``--what-if``, one or several words each. Raises ValueError with what there is."""
    words = [word for one in told for word in one.split()]
    found = WhatIf(" ".join(words))
    for word in words:
        name, equals, value = word.partition("=")
        factor = _FACTOR.fullmatch(word.lower())
        if name == "hardware" and equals:
            found = msgspec.structs.replace(found, machine=imagine(value))
        elif name == "model" and value:
            found = msgspec.structs.replace(found, model=value)
        elif factor and factor[1] == "traffic":
            found = msgspec.structs.replace(found, traffic=float(factor[2]))
        elif factor:
            provider = factor[1].removeprefix("price").removeprefix(".")
            found = msgspec.structs.replace(found, prices={**found.prices, provider: float(factor[2])})
        else:
            raise ValueError(
                f"{word!r} is none of: hardware=8c/32GB or hardware=8c/32GB/RTX4060, model=NAME, price.groq*2, "
                "price*2, traffic*10"
            )
    if found.traffic <= 0 or any(factor <= 0 for factor in found.prices.values()):
        raise ValueError("a factor is above 0")
    return found


def imagine(told: str) -> Imagined:
    """``8c/32GB`` or ``8c/32GB/RTX4060``: cores, memory (three quarters of it free), a graphics processor."""
    match = _HARDWARE.fullmatch(told.lower())
    if match is None or not int(match[1]) or not int(match[2]):
        raise ValueError(f"{told!r} is no machine; write it like 8c/32GB or 8c/32GB/RTX4060")
    cores, memory, name = int(match[1]), int(match[2]) * GB, match[3]
    threads = max(1, cores - 1)
    probe = Probe(threads, min(_CORE_READ * threads, _MOST_READ), _CORE * threads)
    free = memory * 3 // 4
    gpus: tuple[Gpu, ...] = ()
    if name:
        if name not in _gpus():
            raise ValueError(f"no figures for a {told.rpartition('/')[2]!r}; known: {', '.join(sorted(_gpus()))}")
        its_memory, bandwidth = _gpus()[name]
        gpus = (Gpu(told.rpartition("/")[2], its_memory * GB or None),)
        free = max(free, its_memory * GB)
        probe = Probe(1, _GPU_READ * bandwidth * GB, _CORE * _GPU_CORES)
    return Imagined(told, Hardware(cores, memory, free, gpus=gpus), probe)


@cache
def _gpus() -> dict[str, tuple[int, int]]:
    """(GB, GB/s) by name."""
    return msgspec.convert(msgspec.json.decode(_GPUS.read_bytes())["gpus"], dict[str, tuple[int, int]])


NOTHING = WhatIf()
