"""How the embedded engine is set up to be quick: what `rung.local.engine_child` is told beyond model and threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

MiB = 1024 * 1024

DEFAULT_CONTEXT = 8192
"""tokens; room for a file and its question. The 1.5B needs 224 MiB for it, and takes minutes to read it on 2 cores."""


class Drafts(msgspec.Struct, frozen=True):
    """Drafts looked up in the conversation so far: after its last `match` tokens, the up to `most` that followed them
    when they were said before.

    They are checked by the model in one step and kept only where it would have said the same, so they change the
    speed and not what is said (but for rounding: a batch of another size may break a tie otherwise). With a long
    `match` little is drafted where nothing is repeated, so ordinary chat pays nothing. A draft fills a step of 32
    tokens: shorter ones were measured to gain less (docs/local.md).
    """

    match: int = 20
    most: int = 31


class Tuning(msgspec.Struct, frozen=True):
    """Settings of one life of the engine.

    Attributes:
        batch: prompt tokens read at once. llama.cpp notices a client that left only between batches: at its default
            of 2048 an abandoned prompt holds the slot to its end, at 32 for one or two batches (2-3 s with the 1.5B
            on one core). Measured cost: none on one thread, a tenth of the prompt speed on two.
        drafts: None switches speculation off. A draft and its start must fit into a batch, or llama.cpp aborts.
        kept_prompts: bytes of memory for the KV of prompts that lost their slot, beside the model's own.
        repack: let llama.cpp copy Q4_K weights into a layout its CPU kernels like (600 MiB for the 1.5B).
        heads: the folder for `rung.local.heads.Heads`; None keeps nothing for the engine's next life.
    """

    batch: int = 32
    drafts: Drafts | None = Drafts()
    kept_prompts: int = 128 * MiB
    repack: bool = True
    heads: Path | None = None

    def told(self) -> dict[str, Any]:
        """The same for the child, as JSON's types."""
        drafts = self.drafts
        most = 0 if drafts is None else min(drafts.most, self.batch - 1)
        return {
            "batch": self.batch,
            "drafts": None if drafts is None else [drafts.match, most],
            "kept_prompts_mib": self.kept_prompts // MiB,
            "repack": self.repack,
            "heads": "" if self.heads is None else str(self.heads),
        }


DEFAULT_TUNING = Tuning()
