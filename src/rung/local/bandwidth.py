"""Two seconds of measuring what bounds a model on a CPU: reading memory, and computing.

Generating a token reads every weight once, so memory bandwidth is its ceiling; reading a prompt is computing.
Neither needs a model or a library: libc's ``memchr`` reads as fast as the memory gives, and BLAKE2b stands for
what a core computes. Both let other threads run meanwhile.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from hashlib import blake2b

from rung.local.predict import Probe

_BUFFER = 128 * 1024 * 1024
"""bytes; larger than any cache it should not be measured in, shared by all threads"""

_STEP = 1 << 20


def probe(threads: int, *, seconds: float = 1.0, buffer: int = _BUFFER) -> Probe:
    """Measure for twice `seconds`. Blocks: call it off the event loop. Other work on the machine lowers it."""
    return Probe(threads, _read(threads, seconds, buffer), _compute(threads, seconds))


def _read(threads: int, seconds: float, size: int) -> float:
    held = bytearray(b"\x01") * size  # touched: untouched pages would all be one page of zeros
    window = (ctypes.c_char * size).from_buffer(held)
    start, part = ctypes.addressof(window), size // threads
    find = ctypes.CDLL(None).memchr
    find.restype, find.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)

    def read(place: int) -> int:
        find(start + place * part, 2, part)
        return part

    return _rate(threads, seconds, read)


def _compute(threads: int, seconds: float) -> float:
    block = bytes(_STEP)

    def compute(place: int) -> int:
        blake2b(block).digest()
        return _STEP

    return _rate(threads, seconds, compute)


def _rate(threads: int, seconds: float, work: Callable[[int], int]) -> float:
    """Bytes per second that `work(thread's number)` does on all threads together."""
    done = [0] * threads
    started = time.perf_counter()

    def run(place: int) -> None:
        while True:  # once at least, however late this thread comes to run
            done[place] += work(place)
            if time.perf_counter() - started >= seconds:
                return

    running = [threading.Thread(target=run, args=(place,)) for place in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    return sum(done) / (time.perf_counter() - started)
