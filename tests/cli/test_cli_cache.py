"""`rung cache` talks to the running gateway, and says so when there is none."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rung.cli.cache import command
from rung.errors import RungError

STATS = {
    "enabled": True,
    "entries": 2,
    "bytes": 3 * 2**20,
    "max_bytes": 64 * 2**20,
    "hits": 3,
    "misses": 1,
    "stored": 4,
    "evicted": 1,
    "expired": 1,
    "too_large": 0,
}


class FakeGateway(HTTPServer):
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.reply: tuple[int, Any] = (200, STATS)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeGateway

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.command, self.path, headers, body))
        status, told = self.server.reply
        data = told if isinstance(told, bytes) else json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test asks `asked`."""


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(*args: str, environ: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(command, args, env=environ)


def test_stats(gateway: FakeGateway) -> None:
    result = run("stats", "--url", gateway.url)

    assert result.exit_code == 0, result.output
    assert "entries  2\nmemory   3.0 of 64 MiB\nhits     3 of 4 (75.0%)\n" in result.stdout
    assert gateway.asked[0][:2] == ("GET", "/admin/cache")
    assert json.loads(run("stats", "--url", gateway.url + "/", "--json").stdout) == STATS


def test_stats_of_a_cache_that_is_off_or_was_never_asked(gateway: FakeGateway) -> None:
    gateway.reply = 200, {"enabled": False}
    assert run("stats", "--url", gateway.url).stdout == "the exact cache is switched off\n"
    gateway.reply = 200, {**STATS, "hits": 0, "misses": 0}
    assert "hits     0 of 0 (none asked)" in run("stats", "--url", gateway.url).stdout


def test_purge_posts_json(gateway: FakeGateway) -> None:
    gateway.reply = 200, {"purged": 7}

    assert run("purge", "--url", gateway.url).stdout == "7 stored answers forgotten\n"

    method, path, headers, body = gateway.asked[0]
    assert (method, path, body, headers["content-type"]) == ("POST", "/admin/cache/purge", b"{}", "application/json")
    assert "authorization" not in headers


def test_the_configured_address_and_key_are_used(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "rung.toml"
    file.write_text(f"[server]\nport = {gateway.server_port}\n")

    result = run("stats", "--config", str(file), environ={"RUNG_KEYS": "sesame"})

    assert result.exit_code == 0, result.output
    assert gateway.asked[0][2]["authorization"] == "Bearer sesame"


def test_a_proxy_of_the_environment_is_not_used(gateway: FakeGateway) -> None:
    assert (
        run("stats", "--url", gateway.url, environ={"no_proxy": "", "http_proxy": "http://127.0.0.1:9"}).exit_code == 0
    )


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ((401, {"error": {"message": "show a key"}}), "answered 401: show a key"),
        ((500, b"oops"), "answered 500: without a reason"),
        ((200, b"not json"), "no gateway answers"),
    ],
)
def test_what_the_gateway_refuses_is_told(gateway: FakeGateway, reply: tuple[int, Any], told: str) -> None:
    gateway.reply = reply

    error = run("stats", "--url", gateway.url).exception

    assert isinstance(error, RungError)
    assert told in error.message


def test_no_gateway_there() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: refuses
        error = run("purge", "--url", f"http://127.0.0.1:{held.getsockname()[1]}").exception

    assert isinstance(error, RungError)
    assert "start it with rung serve" in error.message


def test_an_odd_address_is_bad_usage() -> None:
    assert run("stats", "--url", "file:///etc/passwd").exit_code == 2


SUMS = {
    "calls": 3,
    "input_tokens": 30_000,
    "hit_rate": 0.5,
    "hit_rate_of_expected": 0.75,
    "saved": 2_500_000_000,
    "lost": 10**9,
    "simulated": 3,
}
MISS = {
    "reason": "timestamp",
    "model": "openai:gpt-6-luna",
    "expected_tokens": 5000,
    "read_tokens": 0,
    "lost": 10**9,
    "part": "messages[0] (system)",
    "byte": 38,
    "before": "xx xx 99:91",
    "after": "xx xx 99:92",
}
EXPLAINED = {
    "enabled": True,
    "models": [{"model": "openai:gpt-6-luna", **SUMS, "prefixes": [{"prefix": "ab" * 8, **SUMS, "saved": -5}]}],
    "reasons": {"timestamp": 1},
    "misses": [MISS],
}


def test_explain(gateway: FakeGateway) -> None:
    gateway.reply = 200, EXPLAINED
    lines = run("explain", "--url", gateway.url).stdout.splitlines()
    assert lines[0] == "openai:gpt-6-luna  (simulated)"
    assert "50.0% read (75.0% of what was sent before), saved 0.0025, lost 0.001 USD" in lines[1]
    assert "saved -0.000000000005" in lines[2]
    assert lines[3] == "misses: timestamp 1"
    assert lines[4] == "- a timestamp changed: openai:gpt-6-luna, 0 of 5,000 tokens read, 0.001 USD lost"
    assert lines[5:] == ["  in messages[0] (system), byte 38", "  before  xx xx 99:91", "  after   xx xx 99:92"]
    assert gateway.asked[0][1] == "/admin/cache/explain"
    assert json.loads(run("explain", "--url", gateway.url, "--json").stdout) == EXPLAINED


def test_explain_of_nothing(gateway: FakeGateway) -> None:
    gateway.reply = 200, {"enabled": False, "models": [], "reasons": {}, "misses": []}
    assert "is false" in run("explain", "--url", gateway.url).stdout
    gateway.reply = 200, {"enabled": True, "models": [], "reasons": {}, "misses": []}
    assert "no call yet" in run("explain", "--url", gateway.url).stdout
