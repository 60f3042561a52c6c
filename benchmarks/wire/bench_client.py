"""CPU cost of rung's upstream client, in its own process: µs per fetch and per stream of 20 chunks.

    python benchmarks/wire/bench_client.py [--loop uvloop|asyncio] [--calls 20000] [--concurrency 16]

The upstream runs in a second process, pinned to another core where there is one. Process CPU time is what is
counted (user + system), so waiting does not matter but a busy machine still adds noise: the best of three
rounds is printed with the median.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from rung.wire.client import Client, Deadlines, Origin
from rung.wire.sse import Splitter

_HEADERS = b"content-type: application/json\r\nauthorization: Bearer sk-mock\r\nuser-agent: rung\r\n"
_BODY = b'{"model":"mock","messages":[{"role":"user","content":"Say hello to the world, please."}],"max_tokens":64}'


async def _measure(one: Callable[[], Awaitable[None]], calls: int, concurrency: int) -> float:
    """CPU microseconds per call."""

    async def worker() -> None:
        for _ in range(calls // concurrency):
            await one()

    started = time.process_time()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return (time.process_time() - started) / calls * 1e6


async def _run(port: int, calls: int, concurrency: int) -> dict[str, object]:
    client = Client()
    origin, _ = Origin.parse(f"http://127.0.0.1:{port}")
    deadlines = Deadlines()

    async def fetch() -> None:
        response = await client.fetch(origin, "POST", "/whole", _HEADERS, _BODY, deadlines)
        assert response.status == 200
        assert response.body.endswith(b"}}")

    async def stream() -> None:
        response = await client.send(origin, "POST", "/stream", _HEADERS, _BODY, deadlines)
        size = 0
        async for block in response.blocks():
            size += len(block)
        assert size > 1000

    async def frames() -> None:
        response = await client.send(origin, "POST", "/stream", _HEADERS, _BODY, deadlines)
        splitter = Splitter()
        count = 0
        async for block in response.blocks():
            count += len(splitter.feed(block))
        assert count == 20

    results: dict[str, object] = {}
    for name, one, share in (("fetch", fetch, 1), ("stream", stream, 8), ("stream_frames", frames, 8)):
        await _measure(one, concurrency * 20, concurrency)
        rounds = [await _measure(one, calls // share, concurrency) for _ in range(3)]
        results[name] = {"best_us": round(min(rounds), 1), "median_us": round(statistics.median(rounds), 1)}
    await client.aclose()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--calls", type=int, default=20000)
    parser.add_argument("--concurrency", type=int, default=16)
    options = parser.parse_args()
    mock = pathlib.Path(__file__).with_name("mock_upstream.py")
    with subprocess.Popen(
        [sys.executable, str(mock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as upstream:
        assert upstream.stdout is not None
        port = int(upstream.stdout.readline())
        with contextlib.suppress(AttributeError, OSError):  # not everywhere, and not with one core
            os.sched_setaffinity(0, {0})
            os.sched_setaffinity(upstream.pid, {1})
        run = uvloop.run if options.loop == "uvloop" else asyncio.run
        results = run(_run(port, options.calls, options.concurrency))
        upstream.communicate()
    told = {"loop": options.loop, "python": platform.python_version(), "machine": platform.machine()}
    print(json.dumps(told | {"calls": options.calls, "concurrency": options.concurrency} | results))


if __name__ == "__main__":
    main()
