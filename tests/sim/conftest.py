"""The official SDKs, imported once a session and only if they are there, and clients of them on a simulator."""

import asyncio
import importlib
import warnings
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import pytest

from rung import config
from rung.doors.app import App
from rung.doors.server import running
from rung.gateway import Gateway
from rung.sim import Clock, simulator


def sdk(name):
    """The module, its own warnings at import apart; a skip that says what to install without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError:
            package = {"google.genai": "google-genai"}.get(name, name)
            pytest.skip(f"the official SDK is not installed: pip install {package}")


@pytest.fixture(scope="session")
def openai():
    return sdk("openai")


@pytest.fixture(scope="session")
def groq():
    return sdk("groq")


@pytest.fixture(scope="session")
def genai():
    return sdk("google.genai")


@pytest.fixture(scope="session")
def anthropic():
    return sdk("anthropic")


@pytest.fixture(scope="session")
def ollama():
    return sdk("ollama")


@pytest.fixture
def sim():
    """-> async with sim(scenario) as (client, there): an SDK's client against one simulated provider."""

    @asynccontextmanager
    async def connected(make, scenario=None, **options):
        async with AsyncExitStack() as stack:
            there = await stack.enter_async_context(simulator(scenario, **options))
            client = make(there)
            if hasattr(client, "__aenter__"):
                client = await stack.enter_async_context(client)
            yield client, there

    return connected


def settings(place, sim, providers, toml):
    path = place / "rung.toml"
    tables = "".join(f'[providers.{name}]\nbase_url = "{sim.url(name)}"\n' for name in providers)
    path.write_text(f"[local]\nenabled = false\n{tables}{toml}")
    return config.load({"RUNG_HOME": str(place), "HOME": str(place)}, path, cwd=place)


@pytest.fixture
def inside(tmp_path):
    """-> async with inside(scenario, *providers) as (gateway, sim): in process, with the simulators behind it."""

    @asynccontextmanager
    async def connected(scenario, *providers, toml=""):
        async with simulator(scenario, clock=Clock(datetime.now(UTC))) as sim:
            told = await asyncio.to_thread(settings, tmp_path, sim, providers, toml)
            async with Gateway(told) as gateway:
                yield gateway, sim

    return connected


@pytest.fixture
def through(inside, openai):
    """-> async with through(scenario, *providers) as (client, sim): OpenAI's SDK, the gateway, the simulators."""

    @asynccontextmanager
    async def connected(scenario, *providers, toml=""):
        async with (
            inside(scenario, *providers, toml=toml) as (gateway, sim),
            running(App(gateway)) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
        ):
            yield client, sim

    return connected
