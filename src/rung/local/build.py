"""Which engine is installed, and for which processor it was compiled: a wheel uses what all processors have."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module

from rung.local.hardware import USEFUL

_ASK = "import xllamacpp; print(xllamacpp.get_system_info())"
_SECONDS = 30.0

_OTHER_NAMES = {"avx512": "avx512f", "dotprod": "asimddp", "matmul_int8": "i8mm"}
"""llama.cpp's for what Linux calls otherwise"""


def engine_version() -> str:
    """The version of the installed engine; empty if there is none."""
    metadata = import_module("importlib.metadata")  # a megabyte, for those who have an engine
    try:
        return str(metadata.version("xllamacpp"))
    except metadata.PackageNotFoundError:
        return ""


def compiled_for() -> tuple[str, ...]:
    """The instruction sets its kernels use, as `Hardware.instructions` names them; empty if it does not say. Blocks for
    a second: it is asked in a process of its own, for it is 100 MB."""
    try:
        asked = subprocess.run(  # noqa: S603
            [sys.executable, "-P", "-c", _ASK], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return read_info(asked.stdout)


def read_info(told: str) -> tuple[str, ...]:
    """The instruction sets in llama.cpp's line of what it was compiled with (``AVX2 = 1 | AVX512 = 0 | ...``)."""
    has = {name.lower() for name, value in re.findall(r"(\w+) = (\d+)", told) if value != "0"}
    has |= {other for name, other in _OTHER_NAMES.items() if name in has}
    return tuple(one for one in USEFUL if one in has)
