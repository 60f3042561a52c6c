"""Small files that are replaced whole, so that nobody ever reads half of one."""

from __future__ import annotations

import os
from pathlib import Path


def replace_whole(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file, whose folder is made if need be. Raises OSError. Blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # two processes may write at once; the last one wins
    part.write_bytes(content)
    os.replace(part, path)
