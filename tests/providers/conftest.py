"""One adapter, as the gateway would make it, in front of a scripted upstream."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from provider_fakes import endpoint

from rung.providers.adapters import make_adapter
from rung.providers.rows import rows
from rung.testing import ScriptedUpstream, make_call
from rung.wire.client import Client, Deadlines


@pytest.fixture
def asking():
    """-> async with asking("gemini", *replies) as there: await there.ask("hi", stream=True)."""

    @asynccontextmanager
    async def start(name, *script, model=None, patience=None, num_ctx=None, **told):
        client = Client()
        async with ScriptedUpstream(*script) as upstream:
            base = upstream.base_url if name not in ("gemini", "anthropic", "ollama") else upstream.base_url[:-3]
            adapter = make_adapter(rows()[name].adapter, endpoint(name, base, **told), client, patience, num_ctx)

            async def ask(text="hi", *, deadlines=None, **options):
                call = options.pop("call", None) or make_call(text, **options)
                return await adapter.chat(call, model or rows()[name].strong or "phi4", deadlines or Deadlines())

            try:
                yield SimpleNamespace(ask=ask, upstream=upstream, adapter=adapter, client=client)
            finally:
                await client.aclose()

    return start
