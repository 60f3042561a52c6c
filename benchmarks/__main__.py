"""The benchmark suite: python -m benchmarks [PART ...]; parts and what they need are in README.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = {
    "gateway": "gateway/run.py",
    "callgrind": "callgrind/count.py",
    "soak": "soak/soak.py",
    "prompt_cache": "prompt_cache/run.py",
}
DEFAULT = ("gateway", "callgrind")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    failed = [name for name in names or DEFAULT if subprocess.run([sys.executable, str(HERE / PARTS[name])]).returncode]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
