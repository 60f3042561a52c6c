"""Which wire adapter speaks to a provider: the word in its row, and the class behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rung.answer import Answer
from rung.call import Call
from rung.providers.anthropic import Anthropic
from rung.providers.endpoint import Endpoint
from rung.providers.gemini import Gemini
from rung.providers.ollama import Ollama
from rung.providers.openai_compatible import OpenAICompatible
from rung.wire.client import Client, Deadlines


class Adapter(Protocol):
    """What every adapter does: one chat call to one model, answered in OpenAI's shape."""

    async def chat(self, call: Call, model: str, deadlines: Deadlines) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """For servers that load models: how long a call waits for that, and how long the load itself may take (s)."""

    wait: float = 60.0
    load: float = 180.0


def make_adapter(
    kind: str, endpoint: Endpoint, client: Client, patience: Patience | None = None, num_ctx: int | None = None
) -> Adapter:
    """The adapter named `kind` in a provider's row. `num_ctx`: tokens of context Ollama loads its models with."""
    if kind == "gemini":
        return Gemini(endpoint, client)
    if kind == "anthropic":
        return Anthropic(endpoint, client)
    if kind == "ollama":
        limits = patience or Patience()
        return Ollama(endpoint, client, wait=limits.wait, load=limits.load, num_ctx=num_ctx)
    return OpenAICompatible(endpoint, client)
