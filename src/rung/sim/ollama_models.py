"""The models of the simulated Ollama: what is installed, what is loaded and until when, what is being pulled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rung.sim.clock import Clock
from rung.sim.prompt import Prompt
from rung.sim.scenario import Model, Provider

_FOREVER = datetime(2318, 1, 1, tzinfo=UTC)
_LAYERS = 2


@dataclass(slots=True)
class _Loaded:
    settings: Mapping[str, Any]
    ready: float
    """scenario seconds at which the load is done"""
    keep: float
    expires: float
    context: int | None
    running: int = 0
    prompt: bytes = b""


@dataclass
class Installed:
    """`models` are there; those of `row.models` that are not can be pulled."""

    row: Provider
    models: dict[str, Model]
    clock: Clock
    _loaded: dict[str, _Loaded] = field(default_factory=dict)

    def load(
        self,
        model: str,
        settings: Mapping[str, Any],
        keep: float,
        seconds: float,
        context: int | None,
        *,
        answers: bool = True,
    ) -> float:
        """Make sure it is loaded with these options; -> seconds until it is. One that `answers` must be told
        when it is `over`."""
        self._drop_expired()
        now = self.clock.now()
        there = self._loaded.get(model)
        if there is None or (settings and dict(settings) != dict(there.settings)):
            there = self._loaded[model] = _Loaded(settings, now + seconds, keep, 0.0, context)
        there.keep = keep
        there.running += answers
        there.expires = max(now, there.ready) + keep
        return max(0.0, there.ready - now)

    def over(self, model: str, outcome: str) -> None:
        """One answer ended. Nothing is left of a load whose only client went away."""
        there = self._loaded.get(model)
        if there is None:
            return
        there.running = max(0, there.running - 1)
        now = self.clock.now()
        if there.running:
            return
        there.expires = now + there.keep
        if there.keep == 0 or (outcome == "left" and now < there.ready):
            del self._loaded[model]

    def unload(self, model: str) -> None:
        self._loaded.pop(model, None)

    def warm(self, model: str, prompt: Prompt) -> bool:
        """Is this exactly the prompt the model still holds? Remembers it."""
        there = self._loaded.get(model)
        ends = list(prompt.prefixes(0))
        if there is None or not ends:
            return False
        same, there.prompt = there.prompt == ends[-1].digest, ends[-1].digest
        return same

    def remove(self, model: str) -> None:
        self.unload(model)
        del self.models[model]

    def tags(self) -> list[dict[str, Any]]:
        return [self._tag(name) for name in self.models]

    def ps(self) -> list[dict[str, Any]]:
        """What is loaded, the longest-lived first."""
        self._drop_expired()
        now = self.clock.now()
        there = [(name, kept) for name, kept in self._loaded.items() if kept.ready <= now]
        rows = []
        for name, kept in sorted(there, key=lambda pair: pair[1].expires, reverse=True):
            until = kept.expires if not kept.running else now + kept.keep
            at = _FOREVER if until == float("inf") else self.clock.start + timedelta(seconds=until)
            row = {**self._tag(name), "expires_at": _time(at), "size_vram": 0, "context_length": kept.context or 4096}
            row.pop("modified_at")
            rows.append(row)
        return rows

    def show(self, name: str) -> dict[str, Any]:
        tag = self._tag(name)
        family = tag["details"]["family"]
        told = {
            "modelfile": f"FROM {name}\n",
            "parameters": 'stop                           "<|im_end|>"',
            "template": "{{ .Prompt }}",
            "details": tag["details"],
            "model_info": {
                "general.architecture": family,
                "general.parameter_count": 1_543_714_304,
                f"{family}.context_length": 32_768,
                f"{family}.block_count": 28,
                f"{family}.embedding_length": 1536,
                f"{family}.attention.head_count": 12,
                f"{family}.attention.head_count_kv": 2,
                "tokenizer.ggml.tokens": None,
            },
            "capabilities": tag["capabilities"],
            "modified_at": tag["modified_at"],
        }
        return told | {key: tag[key] for key in ("remote_model", "remote_host") if key in tag}

    def pull(self, name: str) -> str | None:
        """Install it; -> what is wrong, or None."""
        *_, last = self.pulling(name)
        return last.get("error")

    def pulling(self, name: Any) -> Iterator[dict[str, Any]]:
        """The lines of a pull: layers interleave, the first of each has no `completed` yet."""
        yield {"status": "pulling manifest"}
        model = self.row.models.get(str(name))
        if model is None:
            yield {"error": "pull model manifest: file does not exist"}
            return
        size = model.size or 1_000_000
        digests = [hashlib.sha256(f"{name}/{layer}".encode()).hexdigest() for layer in range(_LAYERS)]
        held = name in self.models
        for step in (4,) if held else (0, 1, 2, 3, 4):
            for digest in digests:
                line = {"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}", "total": size}
                yield line if not step else {**line, "completed": size * step // 4}
        self.models[str(name)] = model
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            yield {"status": status}

    def _drop_expired(self) -> None:
        now = self.clock.now()
        self._loaded = {name: kept for name, kept in self._loaded.items() if kept.running or now < kept.expires}

    def _tag(self, name: str) -> dict[str, Any]:
        model = self.models[name]
        thinks = (model.thinking or self.row.thinking) != "none"
        family = name.partition(":")[0].rstrip("0123456789.")
        details = {
            "parent_model": "",
            "format": "gguf",
            "family": family,
            "families": [family],
            "parameter_size": "1.5B",
            "quantization_level": "Q4_K_M",
        }
        tag = {
            "name": name,
            "model": name,
            "modified_at": _time(self.clock.start),
            "size": model.size or 1_000_000,
            "digest": hashlib.sha256(name.encode()).hexdigest(),
            "details": details,
            "capabilities": ["completion", "tools", *(["thinking"] if thinks else [])],
        }
        remote = model.remote_host or self.row.remote_host
        return {**tag, "remote_model": name.removesuffix("-cloud"), "remote_host": remote} if remote else tag


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
