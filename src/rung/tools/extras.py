"""The libraries of the ``[tools]`` extra, loaded when first needed."""

from __future__ import annotations

import importlib
from typing import Any

from rung.tools.result import CannotAnswer


def load(name: str) -> Any:
    """The module `name`; CannotAnswer naming the extra when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0].replace("_", "-")
        raise CannotAnswer(f"{package} is not installed: pip install 'rung[tools]'") from None
