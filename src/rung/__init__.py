"""rung: an LLM gateway that answers every call at the lowest rung it has proved it can trust.

The names below are the public ones; each is imported when it is first used, so ``import rung`` is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rung import errors, testing, tools
    from rung.answer import Answer, Declined, Event, Evidence, Usage
    from rung.call import Call
    from rung.config import Settings
    from rung.errors import LadderExhausted, PrivacyError, RungError
    from rung.gateway import Gateway
    from rung.ladder.climb import Attempt
    from rung.result import Result, ResultStream
    from rung.sync import SyncGateway

_HOME = {
    "Answer": "answer",
    "Attempt": "ladder.climb",
    "Call": "call",
    "Declined": "answer",
    "Event": "answer",
    "Evidence": "answer",
    "Gateway": "gateway",
    "LadderExhausted": "errors",
    "PrivacyError": "errors",
    "Result": "result",
    "ResultStream": "result",
    "RungError": "errors",
    "Settings": "config",
    "SyncGateway": "sync",
    "Usage": "answer",
}
_ROOMS = ("errors", "testing", "tools")

__all__ = [
    "Answer",
    "Attempt",
    "Call",
    "Declined",
    "Event",
    "Evidence",
    "Gateway",
    "LadderExhausted",
    "PrivacyError",
    "Result",
    "ResultStream",
    "RungError",
    "Settings",
    "SyncGateway",
    "Usage",
    "errors",
    "testing",
    "tools",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"rung.{_HOME[name]}"), name)
    if name in _ROOMS:
        return import_module(f"rung.{name}")
    raise AttributeError(f"module 'rung' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
