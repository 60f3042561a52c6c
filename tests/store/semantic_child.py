"""Inserts entries and saves indexes until it is killed. Argument: a folder."""

import itertools
import sys
import time
from pathlib import Path

import numpy as np

from rung.store import writer
from rung.store.semantic import Entry, SemanticStore, digest
from rung.store.stored import Stored
from rung.store.vectors import Vectors

WIDTH, EXACT, SCOPE = 32, 300, b"s" * 16


def vector(name):
    made = np.random.default_rng(name).normal(size=WIDTH).astype(np.float32)
    return made / np.linalg.norm(made)


def entry(name):
    prompt = f"prompt {name}"
    return Entry(
        name, SCOPE, "local", time.time(), time.time() + 3600, name, 0, digest(prompt), prompt,
        Stored(data=b'{"answer": "%d"}' % name, shape="whole", model="m:m", rung="cloud"),
        "toy", vector(name).astype(np.float16).tobytes(), time.time(),
    )  # fmt: skip


def main(folder):
    writer.INTERVAL = 0.002
    store = SemanticStore(folder / "semantic.sqlite3", writer.Writer())
    vectors, index = Vectors(WIDTH, exact=EXACT), folder / "index"
    last, _ = store.known()
    known = {one.id: one.vector for one in store.load(SCOPE, time.time())[1]}
    vectors.load(index, known)
    print(len(known), vectors.indexed, flush=True)
    for name in itertools.count(last + 1):
        one = entry(name)
        vectors.add(name, vector(name))
        store.put(one)
        vectors.settle()
        if name % 40 == 0:
            vectors.save(index)
        if name % 7 == 0:
            store.flush(1.0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
