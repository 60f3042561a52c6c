"""docs/openapi.json describes what the door does: by hand here, and by the short form of ``fuzz/fuzz_openapi.py``."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from rung import config
from rung.completion import DONE, frames
from rung.doors import app as door
from rung.doors import page
from rung.doors.app import App
from rung.errors import OverloadedError
from rung.gateway import Gateway
from rung.testing import Reply, ScriptedUpstream, completion_reply, completion_stream, reply, stream_reply
from rung.web import pages

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION: dict[str, Any] = orjson.loads((ROOT / "docs" / "openapi.json").read_bytes())

NOT_BY_HTTP = {
    *("bad_configuration", "store_unavailable"),  # of the start, and of the log
    "unknown_cell",  # of `rung trust`
    "bad_traffic",  # of `rung replay` and `rung verdict`
    *("model_file", "model_source", "unknown_model", "disk_full", "does_not_fit", "model_locked"),  # of `rung models`
}

CALL: dict[str, Any] = {"messages": [{"role": "user", "content": "Who are you?"}]}
STREAMED = {**CALL, "stream": True}

needs_schemathesis = pytest.mark.skipif(
    find_spec("schemathesis") is None, reason="schemathesis is not installed: pip install 'rung[fuzz]', or make fuzz"
)


def resolved(node: Any) -> Any:
    """`node`, or what its ``$ref`` names."""
    while isinstance(node, dict) and "$ref" in node:
        path, node = node["$ref"], DESCRIPTION
        assert path.startswith("#/")
        for step in path[2:].split("/"):
            node = node[step]
    return node


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in `node`."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DESCRIPTION["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DESCRIPTION["components"]})


def codes(response: dict[str, Any]) -> set[str]:
    """The error codes a response is described with."""
    found: set[str] = set()
    for node in walk(resolved(response).get("content", {})):
        code = node.get("code", {})
        found.update(code.get("enum", ()), code.get("examples", ()), [code["const"]] if "const" in code else ())
    return found


def test_the_description_is_whole() -> None:
    assert DESCRIPTION["openapi"].startswith("3.1.")
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    for node in walk(DESCRIPTION):
        resolved(node)  # every reference leads somewhere
        if "schema" in node:
            Draft202012Validator.check_schema(node["schema"])
    for schema in DESCRIPTION["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for _, path, operation in operations():
        parameters = [resolved(parameter) for parameter in operation.get("parameters", ())]
        assert all({"name", "in", "schema"} <= set(parameter) for parameter in parameters)
        assert re.findall(r"{(\w+)}", path) == [told["name"] for told in parameters if told["in"] == "path"]
        assert all(resolved(response)["description"] for response in operation["responses"].values())


def test_every_component_is_used() -> None:
    used = set(re.findall(r'"#/components/(\w+/\w+)"', orjson.dumps(DESCRIPTION).decode()))
    there = {f"{kind}/{name}" for kind, named in DESCRIPTION["components"].items() for name in named}
    assert {name for name in there if not name.startswith("securitySchemes/")} == used


def test_every_route_is_described() -> None:
    source = Path(door.__file__).read_text()
    routes = {path.replace("/models/", "/models/{model}") for path in re.findall(r'"(/[a-z0-9/]+)"', source)}
    routes = routes - {"/page/", "/admin/"} | {"/", "/page/{name}", *map(templated, page.ROUTES)}
    assert routes == set(DESCRIPTION["paths"])


def test_every_file_of_the_page_is_described() -> None:
    (name,) = DESCRIPTION["paths"]["/page/{name}"]["get"]["parameters"]
    assert {f"/page/{file}" for file in name["schema"]["enum"]} == set(pages._files())


def test_every_header_is_described() -> None:
    from rung.doors.request import _OPTIONS

    told = {name.removeprefix("x-rung-") for name in (each["name"] for each in walk(DESCRIPTION) if "in" in each)}
    assert set(_OPTIONS) == told - {"model", "name", "language", "Accept-Language", "x-api-key"}
    options = DESCRIPTION["components"]["schemas"]["Options"]["properties"]
    assert {name.replace("_", "-") for name in options} == set(_OPTIONS)
    metadata = DESCRIPTION["components"]["schemas"]["ChatRequest"]["properties"]["metadata"]["properties"]
    assert {name.removeprefix("x-rung-") for name in metadata} == set(_OPTIONS)


def test_every_code_is_described_with_its_status() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    assert len(rows) > 40
    told = {
        (code, status)
        for _, _, operation in operations()
        for status, response in operation["responses"].items()
        for code in codes(response)
    }
    assert {(code, status) for code, status in rows if code not in NOT_BY_HTTP} - told == set()
    assert {code for code, _ in rows} >= NOT_BY_HTTP
    assert not NOT_BY_HTTP & {code for code, _ in told}


# ---- a live gateway, one response of every kind that a client can bring about


class Answer:
    """What an application sent."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")


async def ask(app: App, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
    answer = Answer()
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    told = {"host": "localhost", "authorization": "Bearer key", "content-type": "application/json", **headers}
    pairs = [(name.encode(), value.encode()) for name, value in told.items()]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    await app({"type": "http", "method": method, "path": path, "headers": pairs}, receive, answer.send)
    return answer


def templated(path: str) -> str:
    """The path as the description has it."""
    for parent, name in (("/v1/models/", "{model}"), ("/page/", "{name}"), ("/admin/verdict/", "{language}")):
        if path.startswith(parent):
            return parent + name
    return path


def check(answer: Answer, method: str, path: str) -> None:
    """Fail unless the description has this answer."""
    route = templated(path)
    methods = DESCRIPTION["paths"][route]
    operation = methods.get(method.lower()) or next(iter(methods.values()))
    response = resolved(operation["responses"][str(answer.status)])
    kind = answer.headers["content-type"].partition(";")[0]
    schema = response["content"][kind]["schema"]
    described = {name.lower() for name in response.get("headers", ())}
    if answer.status == 200:
        assert {name for name in answer.headers if name.startswith("x-rung")} <= described
    for name, header in response.get("headers", {}).items() if answer.status == 200 else ():
        if name.lower() in answer.headers:
            validator(header["schema"]).validate(answer.headers[name.lower()])
        else:
            assert not header.get("required"), name
    if kind != "text/event-stream":
        validator(schema).validate(orjson.loads(answer.body) if kind == "application/json" else answer.body.decode())
        return
    events = [line[6:].decode() for line in answer.body.split(b"\n") if line.startswith(b"data: ")]
    data = resolved(schema)["properties"]["data"]["anyOf"][1]["contentSchema"]
    for event in events:
        validator(schema).validate({"data": event})
        if event != "[DONE]":
            validator(data).validate(orjson.loads(event))
    assert ("rung" in orjson.loads(events[-2])) if answer.body.endswith(DONE) else ("error" in orjson.loads(events[-1]))


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """-> ask(method, path, body=..., upstream=...) of a gateway with one key; the answer has been checked."""
    async with ScriptedUpstream() as upstream:
        path = tmp_path / "rung.toml"
        path.write_text(
            '[server]\nkeys = ["key"]\n[local]\nenabled = false\n[ledger]\nenabled = false\n[retry]\nattempts = 1\n'
            f'[providers.mock]\nbase_url = "{upstream.base_url}"\nmodels.strong = "big"\n'
        )
        home = {"RUNG_HOME": str(tmp_path), "HOME": str(tmp_path)}
        settings = await asyncio.to_thread(config.load, home, path, cwd=tmp_path)
        async with Gateway(settings) as gateway:
            app = App(gateway)

            async def one(
                method: str, path: str, body: Any = None, *, upstream_says: Sequence[Reply] = (), **headers: str
            ) -> Answer:
                upstream.script = list(upstream_says)
                answer = await ask(app, method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
                check(answer, method, path)
                return answer

            one.gateway = gateway  # type: ignore[attr-defined]
            yield one


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/v1/models", 200),
        ("GET", "/v1/models/auto", 200),
        ("GET", "/v1/models/atuo", 404),
        ("GET", "/admin/cache", 200),
        ("GET", "/admin/cache/explain", 200),
        ("GET", "/admin/trust", 200),
        ("GET", "/", 200),
        ("GET", "/page/page.js", 200),
        ("GET", "/page/icon.svg", 200),
        ("GET", "/admin/climbs", 200),
        ("GET", "/admin/verdict", 200),
        ("GET", "/admin/verdict/fr", 200),
        ("POST", "/admin/events", 405),
        ("POST", "/", 405),
        ("GET", "/v1/feedback", 405),
        ("POST", "/admin/cache/purge", 200),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/chat/completions", 405),
        ("PUT", "/admin/cache/purge", 405),
    ],
)
async def test_routes(asking: Callable[..., Any], method: str, path: str, status: int) -> None:
    answer = await asking(method, path)
    assert answer.status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer other"}, 401),
        ({"host": "elsewhere.example"}, 403),
        ({"origin": "https://elsewhere.example"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"x_rung_private": "true"}, 403),
        ({"x_rung_mode": "sideways"}, 400),
        ({"x_rung_unheard_of": "1"}, 400),
        ({"x_rung_mode": "local"}, 503),
    ],
)
async def test_refusals_by_header(asking: Callable[..., Any], headers: dict[str, str], status: int) -> None:
    answer = await asking("POST", "/v1/chat/completions", CALL, **headers)
    assert answer.status == status


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        ([], "invalid_type"),
        ({"messages": [{"role": 7}]}, "invalid_type"),
        ({"messages": []}, "empty_messages"),
        ({**CALL, "model": ""}, "empty_model"),
        ({**CALL, "n": 0}, "invalid_value"),
        ({**CALL, "rung": {"max_error": 2}}, "invalid_request"),
        ({**CALL, "model": "atuo"}, "model_not_found"),
    ],
)
async def test_refusals_by_body(asking: Callable[..., Any], body: Any, code: str) -> None:
    answer = await asking("POST", "/v1/chat/completions", body)
    assert orjson.loads(answer.body)["error"]["code"] == code


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"request_id": "nobody", "verdict": "wrong", "corrected": "x"}, 404),
        ({"request_id": "nobody", "verdict": "maybe"}, 400),
        ({"request_id": "nobody"}, 400),
        (b"{", 400),
    ],
)
async def test_feedback(asking: Callable[..., Any], body: Any, status: int) -> None:
    assert (await asking("POST", "/v1/feedback", body)).status == status
    assert (await asking("POST", "/v1/feedback", body, content_type="text/plain")).status == 415


@pytest.mark.parametrize(
    ("upstream_says", "status"),
    [(429, 429), (422, 422), (413, 413), (400, 400), (404, 404), (401, 502), (500, 502), (200, 502)],
)
@pytest.mark.parametrize("body", [CALL, STREAMED], ids=["whole", "streamed"])
async def test_the_providers_failures(
    asking: Callable[..., Any], body: dict[str, Any], upstream_says: int, status: int
) -> None:
    told = reply({"error": {"message": "no", "type": "t", "code": "own"}}, upstream_says, {"retry-after": "9"})
    answer = await asking("POST", "/v1/chat/completions", body, upstream_says=[told])
    assert answer.status == status


@pytest.mark.parametrize("text", ["Who are you?", "Minify this JSON: [1, 2]"])
async def test_answers(asking: Callable[..., Any], text: str) -> None:
    body = {"messages": [{"role": "user", "content": text}], "temperature": 0}
    for told in (body, body, {**body, "stream": True}, {**body, "stream": True}):  # the second one is a hit
        answer = await asking(
            "POST",
            "/v1/chat/completions",
            told,
            upstream_says=[completion_stream("hello there") if "stream" in told else completion_reply("hello there")],
            x_rung_task="analysis",
        )
        assert answer.status == 200
        validator({"$ref": "#/components/schemas/ChatRequest"}).validate(told)


async def test_a_stream_that_breaks(asking: Callable[..., Any]) -> None:
    broken = stream_reply(frames("hello there", model="big", request_id="u", include_usage=False)[:2])
    answer = await asking("POST", "/v1/chat/completions", STREAMED, upstream_says=[broken])
    assert answer.status == 200
    assert b'"error"' in answer.body


async def test_not_ready_and_overloaded_look_different(
    asking: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = asking.gateway  # type: ignore[attr-defined]
    for told in (gateway.readiness()[1], OverloadedError("too many").body()):
        monkeypatch.setattr(gateway, "readiness", lambda told=told: (503, told))
        assert (await asking("GET", "/readyz")).status == 503


# ---- the fuzzer


@pytest.fixture
def fuzz_openapi(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT)
    from fuzz import fuzz_openapi

    return fuzz_openapi


CHUNK = b'data: {"choices":[]}\n\n'
NOTED = b'data: {"choices":[],"rung":{}}\n\n'


@pytest.mark.parametrize(
    ("body", "good"),
    [
        (CHUNK + NOTED + DONE, True),
        (CHUNK + b'data: {"error":{}}\n\n', True),
        (CHUNK + NOTED, False),
        (CHUNK + DONE, False),
        (NOTED + CHUNK + DONE, False),
        (CHUNK + b'data: {"error":{}}\n\n' + DONE, False),
        (b": keep-alive\n\n", False),
    ],
)
def test_the_end_of_a_stream_is_looked_at(fuzz_openapi: ModuleType, body: bytes, good: bool) -> None:
    seen = fuzz_openapi.Tee(None)
    seen.status, seen.streams, seen.body, seen.complete = 200, True, body, True
    if good:
        fuzz_openapi.check(seen)
    else:
        with pytest.raises(fuzz_openapi.Failure):
            fuzz_openapi.check(seen)


@needs_schemathesis
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_door_does_what_its_description_says(fuzz_openapi: ModuleType) -> None:
    figures = await fuzz_openapi.run(30, int.from_bytes(os.urandom(4), "big"))
    assert figures["statuses"][200] > 20
    assert figures["statuses"][400] > 50


@needs_schemathesis
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_door_that_does_otherwise_is_found_out(
    fuzz_openapi: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gateway, "cache_stats", lambda self: {"enabled": "yes"})
    with pytest.raises(fuzz_openapi.Failure, match="/admin/cache"):
        await fuzz_openapi.run(1, 1)
