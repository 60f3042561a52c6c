"""The real `rung` command, plus one thread that tells what the process holds.

python observed.py STATE_FILE serve --config rung.toml ...

On SIGUSR1 the thread collects garbage and writes to STATE_FILE how many asyncio tasks are unfinished, how many
threads run, and how many objects of each type live. Nothing else of the process is changed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import threading
from collections import Counter

from rung.cli.main import main


def take_stock() -> dict[str, object]:
    gc.collect()
    objects = gc.get_objects()
    tasks = sum(isinstance(x, asyncio.Task) and not x.done() for x in objects)
    types = Counter(f"{type(x).__module__}.{type(x).__qualname__}" for x in objects)
    return {"tasks": tasks, "threads": threading.active_count(), "objects": len(objects), "types": types}


def watch(path: str) -> None:
    while True:
        signal.sigwait({signal.SIGUSR1})
        stock = json.dumps(take_stock())
        with open(f"{path}.new", "w") as out:
            out.write(stock)
        os.replace(f"{path}.new", path)


if __name__ == "__main__":
    state_file = sys.argv.pop(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # every later thread inherits it: only `watch` gets it
    threading.Thread(target=watch, args=(state_file,), name="soak-watch", daemon=True).start()
    main()
