"""The one real model of the test suite: SmolLM2 135M, 98 MB, fetched once."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from rung.errors import ModelFileError
from rung.local import pull
from rung.local.catalogue import row

CACHE = Path(__file__).parents[2] / ".cache" / "models"


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """Path of the file; fetched into `.cache/models` (or $RUNG_TEST_MODELS) where it is missing, else a skip."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("the engine is not installed: pip install -e '.[local]'")
    folder = Path(os.environ.get("RUNG_TEST_MODELS") or CACHE)
    try:
        return pull.pull(row("smollm2:135m"), folder, say=print, progress=lambda here, size: None)
    except (ModelFileError, OSError) as error:
        pytest.skip(f"no model to test with: {error}")
