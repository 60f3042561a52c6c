"""What the tests of this room share: a directory with a rung.toml, and what load says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rung.config import Settings, load
from rung.errors import ConfigError

GROQ = {"GROQ_API_KEY": "gsk_one"}
DEEPSEEK = {"DEEPSEEK_API_KEY": "sk-two"}
OPENAI = {"OPENAI_API_KEY": "sk-three"}


def settings(folder: Path, text: str | None = None, environ: dict[str, str] | None = None) -> Settings:
    """What is loaded in `folder` with `text` as its rung.toml, with only `environ` in the environment."""
    if text is not None:
        (folder / "rung.toml").write_text(text)
    return load({"HOME": str(folder / "home"), **(environ or {})}, cwd=folder)


def problems(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """The problems of `text`, in order."""
    with pytest.raises(ConfigError) as caught:
        settings(folder, text, environ)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return list(caught.value.problems)
