"""Thousands of calls through the whole gateway while everything behind it breaks.

    python -m benchmarks.chaos.chaos             # everything: some ten thousand calls, minutes
    python -m benchmarks.chaos.chaos --quick     # what the tests run

Phases: `cuts` breaks every provider's answer at every byte; `storm` lets all of them fail in every way at once,
with hedges, breakers and clients that leave; `outage` lets them die and come back; `wire` is a server that speaks
no HTTP, names that do not resolve and certificates that have expired. Held to, every time: a call ends whole or
with a clear error within its deadline (see `harness`); no answer is of two sources; nothing broken is stored;
what a call is said to cost is what the simulator's books say, or `unknown`; no task, socket or file is left.
Everything is simulated, on loopback. Prints counts; exits 1 at the first broken promise.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.chaos.harness import JSON_QUESTION, MODELS, ORDER, Broken, Room, cut, room, says

from rung.sim.books import Entry
from rung.sim.delivery import Delivery

Counts = Counter[str]

PHASES = ("cuts", "storm", "outage", "wire")
ENDS = ("whole", "short", "error", "cut", "left")

EVERY_TIME = "[retry]\nattempts = 1\nbudget = 1.0\n[breaker]\nenabled = false\n"

CONTINUES = "deepseek"
"""can be given the beginning of an answer: its streams are cut once more with leave to go on"""


# ---- cuts ----


async def cuts(place: Path, *, stride: int, providers: Sequence[str] = ORDER) -> Counts:
    """Each provider's answer ends after every `stride` bytes of its body, in each of three ways in turn."""
    total: Counts = Counter()
    for name in providers:
        async with room(place / name, EVERY_TIME) as there:
            model = f"{name}:{MODELS[name]}"
            for stream, go_on in ((True, False), (False, False), *([(True, True)] if name == CONTINUES else [])):
                await there.play({})  # answers differ by their place: each is the first
                size = await _size(there, model, stream, go_on)
                for number, after in enumerate(range(0, size + 1, stride)):
                    how = ("close", "clean", "reset")[number % 3]
                    await there.play({name: {"script": [cut(after, how)]}})
                    first, before = len(there.gateway.climbs), there.sim.books.requests
                    question = f"{name} {stream} {go_on} {after} {how}"
                    outcome = await there.ask(question, model=model, stream=stream, go_on=go_on)
                    there.counts["continued"] += outcome.continued
                    if outcome.kind == "whole" and not outcome.continued and after < size - len("data: [DONE]\n\n") - 4:
                        raise Broken(f"{name} was cut after {after} of {size} bytes and taken for whole: {outcome}")
                    there.counts += _charged(there, first, before)
            await there.play({})
            first, before = len(there.gateway.climbs), there.sim.books.requests
            await _kept(there)
            there.counts += _charged(there, first, before)
        total += there.counts
    return total


async def _size(there: Room, model: str, stream: bool, go_on: bool) -> int:
    """Bytes of a good answer's body."""
    sizes: list[int] = []
    plain = Delivery._kept

    def measured(self: Delivery) -> list[Any]:
        pieces = plain(self)
        sizes.append(sum(len(piece.data) for piece in pieces))
        return pieces

    Delivery._kept = measured  # type: ignore[method-assign]
    try:
        await there.ask(f"{model} {stream} {go_on} 0000 whole", model=model, stream=stream)
    finally:
        Delivery._kept = plain  # type: ignore[method-assign]
    return sizes[-1]


def _charged(there: Room, first: int, before: int) -> Counts:
    """One call, asked alone: each of its attempts costs what its request stands for in the books, or is unknown."""
    attempts = [attempt for climb in there.gateway.climbs[first:] for attempt in climb.attempts if ":" in attempt.model]
    entries = [entry for entry in there.sim.requests if entry.number > before]
    return _balance(attempts, entries)


def _balance(attempts: Sequence[Any], entries: Sequence[Entry]) -> Counts:
    """What was claimed is in the books to the pico-dollar; what was billed and not claimed is known to be unknown."""
    claimed = Counter(attempt.cost for attempt in attempts if attempt.cost)
    billed = Counter(entry.cost_pico_usd for entry in entries if entry.cost_pico_usd)
    if invented := claimed - billed:
        raise Broken(f"charged {dict(invented)} pico-dollars that are not in the books")
    unknown = sum(attempt.cost is None for attempt in attempts)
    missed = billed - claimed
    if missed.total() > unknown:
        lost = [(entry.provider, entry.fault, entry.outcome, entry.cost_pico_usd) for entry in entries]
        seen = [(attempt.model, attempt.outcome, attempt.reason, attempt.cost) for attempt in attempts]
        raise Broken(f"{missed.total()} billed requests, but only {unknown} attempts of unknown cost: {lost}, {seen}")
    return Counter(
        {
            "pico-dollars claimed": sum(cost * times for cost, times in claimed.items()),
            "pico-dollars billed": sum(cost * times for cost, times in billed.items()),
            "attempts of unknown cost": unknown,
        }
    )


async def _kept(there: Room) -> None:
    """Ask everything again, with nobody broken: what came whole may come from the cache, all else must not."""
    for question, (model, stream, before) in list(there.asked.items()):
        if before.kind == "left":
            continue
        again = await there.ask(question, model=model, stream=stream, by=before.provider)
        if again.kind != "whole":
            raise Broken(f"{question!r} came to {again} although nothing is broken any more")
        hit = "exact=hit" in again.climb
        if hit and (before.kind != "whole" or before.continued):
            raise Broken(f"{question!r} was {before.kind} before, and is in the cache: {before}")
        there.counts["stored answers found again"] += hit


# ---- storm ----


def every_fault(name: str) -> list[dict[str, Any]]:
    """Half of all requests meet something."""
    told: list[dict[str, Any]] = [
        *({"kind": "status", "status": status} for status in (400, 404, 408, 413, 422, 429, 498, 500, 502, 503, 529)),
        {"kind": "status", "status": 429, "retry_after": 0.05},
        {"kind": "status", "status": 503, "retry_after": 0.02},
        {"kind": "status", "status": 402},
        {"kind": "status", "status": 500, "body": "<html>no JSON</html>"},
        {"kind": "empty"},
        {"kind": "blocked"},
        {"kind": "blocked", "where": "answer"},
        {"kind": "only_thinking"},
        {"kind": "blank_json"},
        {"kind": "broken_json"},
        {"kind": "finish"},
        {"kind": "stream_error"},
        {"kind": "stream_error", "after_chunks": 0},
        {"kind": "error_200"},
        {"kind": "no_done"},
        {"kind": "no_finish"},
        *(cut(after, how) for after in (0, 1, 40, 170, 333) for how in ("close", "clean", "reset")),
        {"kind": "wrong_length", "by": 10},
        {"kind": "wrong_length", "by": -3},
        {"kind": "half_close"},
        {"kind": "stall"},
        {"kind": "stall", "after_chunks": 2},
        {"kind": "keepalives", "seconds": None, "every": 0.02},
        {"kind": "keepalives", "seconds": 0.04, "every": 0.01},
        {"kind": "keepalives", "seconds": 0.04, "every": 0.01, "then": "close"},
        {"kind": "refused"},
        {"kind": "slow", "first_token": 0.15},
        {"kind": "split", "size": 1},
        {"kind": "split", "size": 7},
        {"kind": "garbage"},
    ]
    if name == "groq":
        told.append({"kind": "failed_generation", "text": says(name, JSON_QUESTION)[:-1]})  # which can be repaired
    # what opens a breaker for long is made rare, or little else would be seen
    return [{**fault, "rate": 0.002 if fault.get("status") in (402, 404) else 0.012} for fault in told]


STORM = """
[breaker]
open = 0.05
max_open = 0.2
long_open = 0.1
[retry]
budget = 0.2
[hedge]
enabled = true
"""


async def storm(place: Path, *, calls: int, at_once: int, seed: int) -> Counts:
    """All providers fail in every way while `at_once` clients ask `calls` questions in all, and some leave."""
    questions = iter(range(calls))
    async with room(place, STORM, faults={name: every_fault(name) for name in ORDER}, seed=seed, silence=0.3) as there:

        async def client() -> None:
            for number in questions:
                rng = Random(f"{seed}/{number}")
                stream = rng.random() < 0.6
                text = f"{JSON_QUESTION} " if rng.random() < 0.15 else ""
                name = rng.choice(ORDER)
                await there.ask(
                    f"{text}{stream} {number} {'x' * rng.randrange(300)}",
                    model=rng.choice(["auto", "auto", "strong", f"{name}:{MODELS[name]}"]),
                    stream=stream,
                    leave_after=rng.randrange(1, 60) if rng.random() < 0.05 else None,
                    go_on=rng.random() < 0.3,
                )

        try:
            async with asyncio.TaskGroup() as clients:
                for _ in range(at_once):
                    clients.create_task(client())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        await _quiet(there)
        if not calls - there.counts["left"] <= len(there.gateway.climbs) <= calls:
            raise Broken(f"{calls} calls, but {len(there.gateway.climbs)} climbs")
        attempts = [attempt for climb in there.gateway.climbs for attempt in climb.attempts if ":" in attempt.model]
        there.counts += _balance(attempts, there.sim.requests)
        there.counts["attempts"] = len(attempts)
        there.counts["continued"] = sum(attempt.reason == "continued" for attempt in attempts)
        hedger = there.gateway._wiring.hedger
        there.counts["hedges"] = hedger.hedges if hedger is not None else 0
        there.counts["hedges lost"] = sum(attempt.reason == "hedge_lost" for attempt in attempts)
        there.counts["turned away by a breaker"] = sum(attempt.reason.startswith("breaker") for attempt in attempts)
        await there.play({})
        await there.be_patient()
        await asyncio.sleep(0.3)  # until the breakers let a probe through
        await _kept(there)
    return there.counts


async def _quiet(there: Room) -> None:
    """Until the calls of clients that left have ended, and the simulators know it."""
    for _ in range(500):
        if all(entry.outcome != "open" for entry in there.sim.requests):
            return
        await asyncio.sleep(0.01)
    raise Broken("requests upstream are still open although nobody waits for them")


# ---- outage ----


async def outage(place: Path, *, calls: int) -> Counts:
    """One provider dies under steady calls, and comes back: what reaches it, and who answers meanwhile."""
    toml = "[breaker]\nfailures = 5\nopen = 0.2\nmax_open = 0.4\n[retry]\nattempts = 1\n[exact]\nenabled = false\n"
    async with room(place, toml) as there:
        await there.play({"groq": {"outages": [{"fault": {"kind": "status", "status": 503}}]}})
        started = time.monotonic()
        for number in range(calls):
            outcome = await there.ask(f"True {number}", model="auto", stream=True)
            if (outcome.kind, outcome.provider) != ("whole", "deepseek"):
                raise Broken(f"with groq down, a call came to {outcome}")
        reached = sum(entry.provider == "groq" for entry in there.sim.requests)
        allowed = 5 + 2 + (time.monotonic() - started) / 0.4
        if reached > allowed:
            raise Broken(f"{reached} calls reached the dead provider, {allowed:.0f} are allowed")
        there.counts["reached the dead provider"] = reached
        await there.play({})
        await asyncio.sleep(0.45)
        for number in range(5):
            outcome = await there.ask(f"True back {number}", model="auto", stream=True)
            if outcome.provider != "groq":
                raise Broken(f"groq is back, but call {number} came to {outcome}")
        limited = {"kind": "status", "status": 429, "retry_after": 5}
        await there.play({"groq": {"script": [limited]}})
        before = there.sim.books.requests
        for number in range(5):
            await there.ask(f"True limited {number}", model="auto", stream=True)
        asked = [entry for entry in there.sim.requests if entry.number > before and entry.provider == "groq"]
        if len(asked) != 1:
            raise Broken(f"a provider that said 429 with a delay was asked {len(asked)} times within it")
    return there.counts


# ---- wire ----

GOOD = json.dumps(
    {"model": "m", "choices": [{"index": 0, "message": {"content": says("mock", "")}, "finish_reason": "stop"}]}
).encode()
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

LIES: dict[str, bytes] = {
    "nothing": b"",
    "no HTTP": b"\x16\x03\x01 this is not HTTP\r\n\r\n",
    "HTTP/9": b"HTTP/9.9 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "half a head": OK[:30],
    "longer than it is": OK + b"content-length: 9999\r\n\r\n" + GOOD,
    "shorter than it is": OK + b"content-length: 20\r\n\r\n" + GOOD,
    "negative length": OK + b"content-length: -5\r\n\r\n" + GOOD,
    "two lengths": OK + b"content-length: 5\r\ncontent-length: 9\r\n\r\n" + GOOD,
    "length and chunks": OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n" + GOOD,
    "endless chunk": OK + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + GOOD,
    "no last chunk": OK + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(GOOD), GOOD),
    "chunk of letters": OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n" + GOOD,
    "huge header": OK + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
    "endless 100": b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
    "redirect": b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "page": b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>",
    "bad gzip": OK + b"content-encoding: gzip\r\ncontent-length: 9\r\n\r\nnot gzip!",
    "not UTF-8": OK + b"content-length: 4\r\n\r\n\xff\xfe\x00\x80",
    "null": OK + b"content-length: 4\r\n\r\nnull",
    "list": OK + b"content-length: 2\r\n\r\n[]",
    "deep": OK + b"content-length: 20000\r\n\r\n" + b"[" * 20_000,
    "no choices": OK + b'content-length: 14\r\n\r\n{"choices":[]}',
    "error in a 200": OK + b'content-length: 30\r\n\r\n{"error":{"message":"broken"}}',
    "unread tail": OK + b"content-length: %d\r\n\r\n%bHTTP/1.1 200 OK\r\n\r\n" % (len(GOOD), GOOD),
}
WHOLE = {"unread tail"}
"""lies that leave one good answer standing"""


async def wire(place: Path) -> Counts:
    """A server that lies, names that do not resolve, a certificate of the past: clear errors, one and all."""
    authority, served = await asyncio.to_thread(expired_certificate, place)
    before = os.environ.get("SSL_CERT_FILE")
    async with _sending(LIES) as (lies, plain), _sending({}, served) as (_, secret):
        toml = EVERY_TIME + "".join(
            f'[providers.{name}]\nbase_url = "{address}/v1"\n'
            for name, address in {
                "mock": f"http://127.0.0.1:{plain}",
                "nowhere": "http://nowhere.invalid",
                "past": f"https://localhost:{secret}",
            }.items()
        )
        async with room(place / "wire", toml) as there:
            for name in LIES:
                for stream in (True, False):
                    lies.told = name
                    outcome = await there.ask(f"{name} {stream}", model="mock:m", stream=stream)
                    if (outcome.kind == "whole") != (name in WHOLE and not stream):
                        raise Broken(f"a server that sends {name!r} ended in {outcome}")
            for stream in (True, False):
                with _resolver(answers=False):
                    await _fails(there, f"{stream} unknown name", "nowhere:m", stream, "connect_failed")
                with _resolver(answers=None):
                    await _fails(there, f"{stream} silent resolver", "nowhere:m", stream, "connect_timeout")
                os.environ["SSL_CERT_FILE"] = str(authority)
                try:
                    await _fails(there, f"{stream} expired", "past:m", stream, "connect_failed")
                finally:
                    os.environ.pop("SSL_CERT_FILE") if before is None else os.environ.update(SSL_CERT_FILE=before)
            told = there.gateway.climbs[-1].faults[-1].message
            if "expired" not in told:
                raise Broken(f"an expired certificate is told as {told!r}")
    return there.counts


async def _fails(there: Room, question: str, model: str, stream: bool, code: str) -> None:
    outcome = await there.ask(question, model=model, stream=stream)
    if (outcome.kind, outcome.code) != ("error", code):
        raise Broken(f"{question!r} came to {outcome}, not to {code}")


@dataclass
class _Lies:
    told: str = ""


@asynccontextmanager
async def _sending(lies: Mapping[str, bytes], tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[_Lies, int]]:
    """-> (what to send next, port): reads a request, sends those bytes and closes."""
    which = _Lies()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(lies[which.told])
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    try:
        yield which, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@contextmanager
def _resolver(*, answers: bool | None) -> Iterator[None]:
    """The loop's resolver fails at once (False) or says nothing for ever (None)."""
    loop: Any = asyncio.get_running_loop()

    async def resolve(*asked: Any, **told: Any) -> Any:
        if answers is None:
            await asyncio.Event().wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    loop.getaddrinfo = resolve
    try:
        yield
    finally:
        del loop.getaddrinfo


def expired_certificate(place: Path) -> tuple[Path, ssl.SSLContext]:
    """-> (its authority's file, a server's context) for localhost, with the openssl command."""
    there = place / "tls"
    there.mkdir(parents=True)
    (there / "san").write_text("subjectAltName=DNS:localhost\n")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    sign = ["openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    for command in (
        [*new, "-x509", "-days", "2", "-subj", "/CN=chaos", "-keyout", "ca.key", "-out", "ca.pem"],
        [*new, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"],
        [*sign, "-days", "-1", "-extfile", "san", "-out", "server.pem"],
    ):
        subprocess.run(command, cwd=there, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(there / "server.pem", there / "server.key")
    return there / "ca.pem", context


# ---- all of it ----


async def run(place: Path, *, quick: bool, seed: int, phases: Sequence[str] = PHASES) -> dict[str, dict[str, int]]:
    """-> phase -> counts. Raises Broken."""
    told: dict[str, dict[str, int]] = {}
    for phase in phases:
        started = time.monotonic()
        if phase == "cuts":
            counts = await cuts(place / phase, stride=97 if quick else 1)
        elif phase == "storm":
            counts = await storm(place / phase, calls=400 if quick else 6000, at_once=24, seed=seed)
        elif phase == "outage":
            counts = await outage(place / phase, calls=60 if quick else 400)
        else:
            counts = await wire(place / phase)
        told[phase] = {**dict(sorted(counts.items())), "seconds": round(time.monotonic() - started)}
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description="Thousands of calls while everything breaks.")
    parser.add_argument("--quick", action="store_true", help="the short form that the tests run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--phase", choices=PHASES, action="append", help="only this one (may be repeated)")
    options = parser.parse_args()
    print(f"simulated, on loopback; seed {options.seed}")
    with tempfile.TemporaryDirectory() as place:
        try:
            told = asyncio.run(run(Path(place), quick=options.quick, seed=options.seed, phases=options.phase or PHASES))
        except Broken as broken:
            sys.exit(f"a promise is broken (seed {options.seed}): {broken}")
    told["all"] = {
        "calls": sum(count for counts in told.values() for name, count in counts.items() if name.split()[0] in ENDS),
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(told, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
