"""The official SDKs, imported once a session and only if they are there, and clients of them on a simulator."""

import importlib
import warnings
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from rung.sim import simulator


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
