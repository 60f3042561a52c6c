"""A gateway on a loopback port in front of a scripted upstream."""

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from rung import config
from rung.doors.app import App
from rung.doors.server import running
from rung.gateway import Gateway
from rung.testing import ScriptedUpstream

MODELS = os.environ.get("RUNG_TEST_MODELS")


@pytest.fixture(scope="session")
def engine_model():
    """A small GGUF file to serve, or None where there is none (RUNG_TEST_MODELS names the folder)."""
    found = sorted(Path(MODELS).glob("smollm2*.gguf")) if MODELS else []
    return found[0] if found else None


@pytest.fixture
def settings(tmp_path):
    """-> make(toml, **environment): Settings from a file and an environment of their own."""

    def make(toml="", **environ):
        path = tmp_path / "rung.toml"
        path.write_text(toml)
        return config.load({"RUNG_HOME": str(tmp_path), "HOME": str(tmp_path), **environ}, path, cwd=tmp_path)

    return make


@pytest.fixture
def serving(settings):
    """-> async with serving(*replies, toml=...) as there: there.url, there.upstream, there.gateway."""

    @asynccontextmanager
    async def serve(*script, toml="", provider='models.strong = "big"\n', environ=None, **edge):
        async with ScriptedUpstream(*script) as upstream:
            text = f'{toml}\n[providers.mock]\nbase_url = "{upstream.base_url}"\n{provider}'
            told = await asyncio.to_thread(settings, "[local]\nenabled = false\n" + text, **(environ or {}))
            async with Gateway(told) as gateway, running(App(gateway), **edge) as url:
                yield SimpleNamespace(url=url, upstream=upstream, gateway=gateway)

    return serve
