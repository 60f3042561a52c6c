"""The door against its own description: schemathesis reads docs/openapi.json and asks a live gateway.

    python -m fuzz.fuzz_openapi --examples 20000 --seed 1

The gateway runs in this process on a loopback port, with one key; schemathesis runs in a child. The only provider
is a scripted one, which fails in every way it can once in a while. Held to, every time:

- what the description allows is accepted (or told why nobody could answer it), what it forbids is refused;
- status, content type, headers and body of every response are described; no 500; nothing is logged as an error;
- an undescribed method, a missing key, a body that is no JSON: each refused as it should be;
- a stream ends with its note and its terminator, or with an explicit error event.

Prints one JSON line; exits 1 with schemathesis' report, which holds a curl line a failure, if there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import orjson
from fuzz.fuzz_http import Failure, peak_kilobytes

from rung import config
from rung.completion import DONE, frames
from rung.doors.app import App
from rung.doors.exchange import Exchange, Receive, Scope, Send
from rung.doors.server import running
from rung.gateway import Gateway
from rung.testing import Received, ScriptedUpstream, completion_reply, completion_stream, reply, stream_reply

DESCRIPTION = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"

KEY = "a-key-of-the-fuzzer"

ROUND = 2000
"""examples a child makes: it remembers each of them, 60 KB and more"""

GATEWAY = """
[server]
keys = ["{key}"]
[local]
enabled = false
[ledger]
enabled = false
[retry]
attempts = 1
[breaker]
enabled = false
[exact]
max_bytes = 1048576
[providers.mock]
base_url = "{url}"
models.strong = "big"
"""

# A call that is well formed may still fail upstream, be private, or name a model that is not there.
SCHEMATHESIS = """
suppress-health-check = ["all"]
request-timeout = 30
max-failures = 20
hooks = "{hooks}"
[output.sanitization]
enabled = false
[generation]
allow-extra-parameters = false
database = "none"
max-examples = {few}
[auth.openapi.bearer]
bearer = "{key}"
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", "502", "503", "504"]
[checks.positive_data_acceptance]
expected-statuses = ["200", "403", "404", "413", "422", "429", "502", "503", "504"]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "404", "405", "415"]
[[operations]]
include-operation-id = "createChatCompletion"
generation.max-examples = {many}
[[operations]]
include-operation-id = "watchClimbs"
enabled = false  # it ends only with the gateway
"""

HOOKS = """
import schemathesis

@schemathesis.hook
def map_case(context, case):
    body = case.body
    if not isinstance(body, dict):
        return case
    # JSON Schema cannot say what the description says in words: an integer is written without a fraction
    for name in ("n", "max_tokens", "max_completion_tokens"):
        if isinstance(body.get(name), float) and body[name].is_integer():
            body[name] = int(body[name])
    # Nor does it know our provider: send it half of the names, but where that would contradict the mode
    model = body.get("model")
    if isinstance(model, str) and len(model) % 2 and "local" not in f"{case.headers}{body}":
        body["model"] = f"mock:{model}"
    return case
"""


def _refused(status: int, **headers: str) -> bytes:
    told = {"error": {"message": "no", "type": "some_error", "code": "of_its_own"}}
    return reply(told, status, {name.replace("_", "-"): value for name, value in headers.items()})


_STREAM = frames("hello there", model="big", request_id="u", include_usage=True)

FAULTS: list[tuple[bytes, bytes]] = [
    (_refused(401), _refused(401)),
    (_refused(404), _refused(404)),
    (_refused(413), _refused(413)),
    (_refused(422), _refused(422)),
    (_refused(429, retry_after="7"), _refused(429)),
    (_refused(500), _refused(503)),
    (reply(b"<html>"), reply(b"<html>")),
    (completion_reply(""), stream_reply([*_STREAM[:2], b'data: {"error":{"message":"broken"}}\n\n', DONE])),
    (reply(b'{"object":"chat.completion","choices":[]}'), stream_reply(_STREAM[:2])),
]
"""whole and streamed; no 400, so that one tells of the gateway itself"""

GOOD = (completion_reply("hello there"), completion_stream("hello there"))


class Provider:
    """The upstream's reply to everything: every third one is the next fault."""

    def __init__(self) -> None:
        self._asked = 0

    async def __call__(self, request: Received, writer: asyncio.StreamWriter) -> None:
        self._asked += 1
        turn, rest = divmod(self._asked, 3)
        pair = GOOD if rest else FAULTS[turn % len(FAULTS)]
        writer.write(pair[bool(request.json().get("stream"))])
        await writer.drain()


class Tee:
    """An exchange whose reply is also remembered."""

    def __init__(self, exchange: Exchange) -> None:
        self.status = 0
        self.streams = False
        self.body = b""
        self.complete = False
        self._exchange = exchange

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exchange, name)

    def begin(self, status: int, head: bytes) -> None:
        self.status, self.streams = status, b"content-type: text/event-stream" in head
        self._exchange.begin(status, head)

    async def write(self, body: bytes, more: bool = False) -> None:
        await self._exchange.write(body, more)
        self.body += body
        self.complete = not more

    def whole(self, status: int, head: bytes, body: bytes) -> None:
        self._exchange.whole(status, head, body)
        self.status, self.body, self.complete = status, body, True


class Observer:
    """The application, seen from outside: counts what it answers, and looks at what a schema cannot say."""

    def __init__(self, app: App) -> None:
        self.statuses: Counter[int] = Counter()
        self.routes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)  # never: our own server asks `direct`

    def direct(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        seen = Tee(exchange)
        work = self._app.direct(cast(Exchange, seen))
        if work is not None:
            return self._watched(work, exchange.scope, seen)
        self._note(exchange.scope, seen)
        return None

    async def _watched(self, work: Coroutine[Any, Any, None], scope: Scope, seen: Tee) -> None:
        await work
        self._note(scope, seen)

    def _note(self, scope: Scope, seen: Tee) -> None:
        self.statuses[seen.status] += 1
        path = "/v1/models/{model}" if scope["path"].startswith("/v1/models/") else scope["path"]
        self.routes[f"{scope['method']} {path}"] += 1
        try:
            check(seen)
        except Failure as failure:
            self.wrong.append(str(failure))


def check(seen: Tee) -> None:
    """Raises Failure for a response that is not whole, or a stream without its end."""
    if not seen.complete:
        raise Failure(f"a response that is not whole: {seen.status} {seen.body[-600:]!r}")
    if not seen.streams:
        return
    body = seen.body
    events = [orjson.loads(line[6:]) for line in body.removesuffix(DONE).split(b"\n") if line.startswith(b"data: ")]
    last = "rung" if body.endswith(DONE) else "error"
    if not events or [last in event for event in events] != [False] * (len(events) - 1) + [True]:
        raise Failure(f"a stream without its end, or with more than one: {body[-600:]!r}")


async def run(examples: int, seed: int) -> dict[str, Any]:
    """Let schemathesis ask about that many times; -> figures. Raises Failure."""
    errors: list[str] = []
    listener = logging.Handler(logging.ERROR)
    listener.emit = lambda record: errors.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(listener)
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as home:
            async with ScriptedUpstream(Provider()) as upstream:
                upstream.received = _Forgetful()
                settings = await asyncio.to_thread(_settings, Path(home), upstream.base_url)
                async with Gateway(settings) as gateway:
                    observer = Observer(App(gateway))
                    async with running(observer) as url:
                        code, report = await _rounds(Path(home), url, examples, seed)
    finally:
        logging.getLogger().removeHandler(listener)
    if code or observer.wrong or errors:
        raise Failure("\n".join([report, *observer.wrong[:5], *errors[:5]]))
    return {
        "fuzz": "openapi",
        "inputs": observer.statuses.total(),
        "seed": seed,
        "seconds": round(time.perf_counter() - started, 1),
        "statuses": dict(sorted(observer.statuses.items())),
        "routes": dict(observer.routes.most_common(12)),
        "peak_rss_kb": peak_kilobytes(),
    }


class _Forgetful(list[Received]):
    """What the upstream received is not looked at, and there is much of it: only the last one is kept."""

    def append(self, request: Received) -> None:
        self[:] = [request]


def _settings(home: Path, url: str) -> config.Settings:
    path = home / "rung.toml"
    path.write_text(GATEWAY.format(key=KEY, url=url))
    return config.load({"RUNG_HOME": str(home), "HOME": str(home)}, path, cwd=home)


async def _rounds(home: Path, url: str, examples: int, seed: int) -> tuple[int, str]:
    """Run it until that many examples were made, or one round failed; -> (exit code, report) of the last round."""
    code, report, phases = 0, "", "examples,coverage,fuzzing,stateful"
    for number, begin in enumerate(range(0, examples, ROUND)):
        code, report = await _schemathesis(home, url, min(ROUND, examples - begin), seed + number, phases)
        if code:
            break
        phases = "fuzzing"
    return code, report


async def _schemathesis(home: Path, url: str, examples: int, seed: int, phases: str) -> tuple[int, str]:
    """Run it once, in a directory that is thrown away; -> (exit code, report)."""
    told, hooks = home / "schemathesis.toml", home / "openapi_hooks.py"
    hooks.write_text(HOOKS)
    many, few = max(examples * 9 // 10, 1), max(examples // 10, 1)
    told.write_text(SCHEMATHESIS.format(key=KEY, hooks=hooks, many=many, few=few))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(told), "--no-color", "run", str(DESCRIPTION)),
        *("--url", url, "--seed", str(seed), "--phases", phases),
        cwd=home,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        report, _ = await child.communicate()
    except BaseException:
        child.kill()
        await child.wait()
        raise
    assert child.returncode is not None
    return child.returncode, report.decode(errors="replace")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        figures = asyncio.run(run(options.examples, options.seed))
    except Failure as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
