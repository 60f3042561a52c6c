"""Environment and `rung.toml` in, frozen `Settings` out. The only reader of both."""

from rung.config.load import load, load_here
from rung.config.paths import Paths, paths
from rung.config.secret import Secret
from rung.config.sections import (
    Breaker,
    Check,
    Deadlines,
    Exact,
    Hedge,
    Ladder,
    Ledger,
    Local,
    Log,
    Models,
    Privacy,
    PromptCache,
    Retry,
    Server,
    Trust,
)
from rung.config.settings import ProviderSettings, Proxies, Settings
from rung.config.watch import Watcher

__all__ = [
    "Breaker",
    "Check",
    "Deadlines",
    "Exact",
    "Hedge",
    "Ladder",
    "Ledger",
    "Local",
    "Log",
    "Models",
    "Paths",
    "Privacy",
    "PromptCache",
    "ProviderSettings",
    "Proxies",
    "Retry",
    "Secret",
    "Server",
    "Settings",
    "Trust",
    "Watcher",
    "load",
    "load_here",
    "paths",
]
