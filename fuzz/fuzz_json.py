"""JSON bodies against the whole gateway: door, guards, ladder, caches and the upstream client, in process.

    python -m fuzz.fuzz_json --inputs 1000000 --seed 1

The only provider is a server of ours on a loopback port. Held to, every time:

- the answer is one whole response: 200, a clear 4xx, or the 503 of a ladder without a rung; never a 500;
- an error has OpenAI's shape, and broken JSON is told with its place; nothing is logged as an error;
- an answer is JSON, or a stream that ends with its terminator or with an explicit error event;
- what reaches the provider is JSON with the provider's own model name and without rung's members.

Prints one JSON line; exits 1 with the offending input at the first failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import orjson
from fuzz.fuzz_http import Failure, peak_kilobytes
from fuzz.mutate import Mutator

from rung import config
from rung.completion import DONE, frames, whole
from rung.doors.app import App
from rung.doors.server import running
from rung.gateway import Gateway

SEEDS = [
    b'{"model":"mock:big","messages":[{"role":"user","content":"hi"}]}',
    b'{"model":"auto","messages":[{"role":"user","content":"Minify this JSON: {\\"a\\": [1, 2]}"}],"stream":true}',
    b'{"model":"strong","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"system","content":"s"},'
    b'{"role":"user","content":[{"type":"text","text":"t"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}',
    b'{"model":"mock:big","messages":[{"role":"user","content":null},{"role":"assistant","tool_calls":[{"id":"1","type":'
    b'"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"r"}],"tools":'
    b'[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":"auto"}',
    b'{"model":"fast","n":2,"seed":7,"stop":["x"],"temperature":0.2,"max_tokens":5,"logprobs":true,"response_format":'
    b'{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"a":{"type":"number"}}}}},'
    b'"rung":{"mode":"cloud","no_store":true,"session":"s"},"metadata":{"x-rung-task":"extraction"},'
    b'"messages":[{"role":"user","content":"{\\"a\\":1}"}]}',
    b'{"model":"local","rung":{"private":true},"messages":[{"role":"user","content":"Format this JSON: [1,{}]"}]}',
]

TOKENS = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"\\ud83d\\ude00",
        b"\xff",
        b"\xc0\xaf",
        b"\0",
    ),
    *(
        b"null",
        b"true",
        b"false",
        b"0",
        b"-1",
        b"1e999",
        b"1" * 400,
        b"0.1e-400",
        b"-0.0",
        b"NaN",
        b"Infinity",
        b"9223372036854775808",
    ),
    *(
        b'"model":"mock:big",',
        b'"model":"mock:none",',
        b'"model":7,',
        b'"model":"",',
        b'"model":"atuo",',
        b'"model":"a:b:c",',
    ),
    *(
        b'"stream":true,',
        b'"stream":"yes",',
        b'"stream_options":null,',
        b'"stream_options":{"include_usage":1},',
        b'"n":0,',
    ),
    *(
        b'"messages":[],',
        b'"messages":null,',
        b'{"role":"user","content":"again"},',
        b'"role":"user",',
        b'"content":{},',
    ),
    *(b'"rung":{},', b'"rung":[],', b'"rung":{"max_error":2},', b'"rung":{"deadline_ms":1},', b'"rung":{"mode":"up"},'),
    *(
        b'"metadata":{"x-rung-private":"true"},',
        b'"metadata":{"x-rung-mode":7},',
        b'"temperature":"hot",',
        b'"tools":[{}],',
    ),
    *(
        b"[" * 50,
        b'{"a":' * 50,
        b" " * 300,
        b"\\\\" * 100,
        b'"Format this JSON: ',
        b'"Validate this JSON: ',
        b'"Minify: ',
    ),
]

BOMBS = [
    b"[" * 200_000,
    b'{"model":"mock:big","messages":[{"role":"user","content":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
    b'{"model":"mock:big","messages":[' + b",".join([b'{"role":"user","content":"m"}'] * 10_000) + b"]}",
    b'{"model":"auto","messages":[{"role":"user","content":"Format this JSON: ' + b"[" * 20_000 + b'"}]}',
    b"{" + b",".join(b'"k%d":1' % number for number in range(20_000)) + b"}",
    b'{"model":"mock:big","messages":[{"role":"user","content":"x","'
    + b"k" * 200_000
    + b'":1}],"seed":'
    + b"9" * 4_000
    + b"}",
]

HEADERS = [
    (b"x-rung-mode", b"cloud"),
    (b"x-rung-mode", b"sideways"),
    (b"x-rung-private", b"true"),
    (b"x-rung-private", b"perhaps"),
    (b"x-rung-max-error", b"0.05"),
    (b"x-rung-max-error", b"nan"),
    (b"x-rung-deadline-ms", b"0"),
    (b"x-rung-deadline-ms", b"99999999999999999999"),
    (b"x-rung-no-store", b"1"),
    (b"x-rung-task", b"\xff\xfe"),
    (b"x-rung-unheard-of", b"1"),
    (b"authorization", b"Bearer \xff"),
    (b"origin", b"null"),
    (b"content-type", b"text/plain"),
]

VALUES: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        2.5,
        1e300,
        2**63,
        "",
        "auto",
        "mock:big",
        "mock:",
        ":",
        "user",
        "\u0000",
        "\U0001f600",
        "x" * 5000,
    ),
    *(
        [],
        {},
        [[]],
        [{}],
        {"": None},
        {"role": "user"},
        ["user"],
        {"type": "text", "text": "t"},
        {"include_usage": True},
    ),
    *(
        {"mode": "local"},
        {"private": True},
        {"x-rung-mode": "fast"},
        'Format this JSON: {"a":1}',
        "Minify this JSON: [1 ]",
    ),
]

STATUSES = frozenset({200, 400, 401, 403, 404, 413, 415, 422, 503, 504})


class Provider:
    """The upstream: looks at what it gets, answers at once."""

    def __init__(self) -> None:
        self.wrong: str | None = None
        self._expected: Any = None

    def expect(self, raw: bytes) -> None:
        """The next body that may come through, as its client sent it: of two members of one name the last counts."""
        try:
            model = orjson.loads(raw)["model"]
        except (orjson.JSONDecodeError, LookupError, TypeError):
            model = "auto"
        provider, colon, own = model.partition(":") if isinstance(model, str) else ("", "", "")
        self._expected = own if colon and provider == "mock" else "big"

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        raw = (await receive())["body"]
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            self.wrong = f"the provider got no JSON: {raw[:500]!r}"
            body = {}
        if body.get("model") != self._expected or "rung" in body:
            self.wrong = self.wrong or f"the provider got {raw[:500]!r}"
        if body.get("stream"):
            data = b"".join(frames("hello there", model="big", request_id="u", include_usage=True)) + DONE
            kind = b"text/event-stream"
        else:
            data, kind = whole("hello there", model="big", request_id="u"), b"application/json"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": data})


class Response:
    """Collects what an application sends."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.complete = False

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message.get("body", b"")
            self.complete = not message.get("more_body", False)


def reshape(random: Random, value: Any) -> Any:
    """`value` with one thing in it replaced, removed, doubled or wrapped."""
    if random.random() < 0.2 or not isinstance(value, dict | list) or not value:
        return random.choice((*VALUES, [value], {"a": value}))
    step = random.random()
    if isinstance(value, dict):
        name = random.choice(list(value))
        if step < 0.15:
            return {key: item for key, item in value.items() if key != name}
        if step < 0.3:
            return {**value, random.choice(("rung", "metadata", "stream", "n", "tools", "")): random.choice(VALUES)}
        return {**value, name: reshape(random, value[name])}
    at = random.randrange(len(value))
    if step < 0.2:
        return value[:at] + value[at + 1 :]
    if step < 0.4:
        return value * random.choice((2, 50))
    return [*value[:at], reshape(random, value[at]), *value[at + 1 :]]


class Bodies:
    """Half of them broken as bytes, half reshaped as JSON; every 500th a bomb."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._mutator = Mutator(random, SEEDS, TOKENS, rows=(1,))
        self._trees = [orjson.loads(seed) for seed in SEEDS]
        self._made = 0

    def make(self) -> bytes:
        """The next body."""
        random = self._random
        self._made += 1
        if self._made % 500 == 0:
            return random.choice(BOMBS)
        if random.random() < 0.5:
            return self._mutator.make()
        tree = random.choice(self._trees)
        for _ in range(random.choice((1, 1, 2, 3))):
            tree = reshape(random, tree)
        return json.dumps(tree).encode()


async def ask(app: App, body: bytes, extra: list[tuple[bytes, bytes]]) -> Response:
    """One POST to the chat route, without a socket."""
    response = Response()
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), *extra]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers, "state": {}}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    await app(scope, receive, response.send)
    return response


def check(response: Response) -> None:
    """Raises Failure for what must not be answered."""
    if not response.complete or response.status not in STATUSES:
        raise Failure(f"status {response.status}, complete {response.complete}: {response.body[:500]!r}")
    if response.status != 200:
        error = orjson.loads(response.body)["error"]
        if not {"message", "type", "param", "code"} <= set(error) or not error["message"]:
            raise Failure(f"an error of another shape: {error}")
        if error["code"] == "invalid_json" and "line" not in error["message"]:
            raise Failure(f"broken JSON without its place: {error}")
    elif response.headers[b"content-type"].startswith(b"text/event-stream"):
        if not response.body.endswith(DONE) and b'data: {"error":' not in response.body:
            raise Failure(f"a stream without its end: {response.body[-300:]!r}")
    else:
        orjson.loads(response.body)


async def run(inputs: int, seed: int) -> dict[str, Any]:
    """Feed that many inputs; -> figures. Raises Failure."""
    random = Random(seed)  # noqa: S311
    bodies = Bodies(random)
    statuses: Counter[int] = Counter()
    errors: list[str] = []
    listener = logging.Handler(logging.ERROR)
    listener.emit = lambda record: errors.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(listener)
    provider = Provider()
    started = time.perf_counter()
    early = 0
    try:
        with tempfile.TemporaryDirectory() as home:
            async with running(provider) as url, Gateway(await asyncio.to_thread(_settings, home, url)) as gateway:
                app = App(gateway)
                for number in range(inputs):
                    body = bodies.make()
                    extra = random.sample(HEADERS, 1) if random.random() < 0.1 else []
                    provider.expect(body)
                    try:
                        response = await ask(app, body, extra)
                        check(response)
                        if provider.wrong or errors:
                            raise Failure(provider.wrong or errors[0])
                    except Exception as error:
                        told = f"{type(error).__name__}: {error}\nheaders: {extra!r}\nbody: {body[:20_000]!r}"
                        raise Failure(told) from error
                    statuses[response.status] += 1
                    if number == inputs // 10:
                        early = peak_kilobytes()
    finally:
        logging.getLogger().removeHandler(listener)
    return {
        "fuzz": "json",
        "inputs": inputs,
        "seed": seed,
        "seconds": round(time.perf_counter() - started, 1),
        "statuses": dict(sorted(statuses.items())),
        "peak_rss_growth_kb_after_a_tenth": peak_kilobytes() - early,
    }


def _settings(home: str, url: str) -> config.Settings:
    path = Path(home) / "rung.toml"
    path.write_text(
        "[local]\nenabled = false\n[ledger]\nenabled = false\n[exact]\nmax_bytes = 8388608\n"
        f'[providers.mock]\nbase_url = "{url}/v1"\nmodels.strong = "big"\n'
    )
    return config.load({"RUNG_HOME": home, "HOME": home}, path, cwd=Path(home))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        figures = asyncio.run(run(options.inputs, options.seed))
    except Failure as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
