from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from local_fakes import gguf

from rung.errors import ModelFileError
from rung.local.remote import remote_header


@contextmanager
def served(content: bytes, *, ranges: bool = True, status: int = 206) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Range"])
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            part = content[int(first) : int(last) + 1] if ranges else content
            self.send_response(status if ranges else 200)
            self.send_header("Content-Length", str(len(part)))
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
            self.end_headers()
            self.wfile.write(part)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/models/tiny.gguf", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_only_the_header_is_fetched() -> None:
    whole = gguf()
    with served(whole + bytes(8 << 20)) as (url, asked):
        header = remote_header(url, insecure=True)
    assert (header.layers, header.vocabulary, header.kinds) == (2, 3, {"Q4_K": 256})
    assert len(asked) == 1


def test_a_long_header_takes_more_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rung.local.remote._PIECE", 64)
    with served(gguf()) as (url, asked):
        assert remote_header(url, insecure=True).layers == 2
    assert len(asked) > 3


@pytest.mark.parametrize(
    ("content", "told", "message"),
    [
        (gguf()[:-100], {}, "cut off"),
        (b"<html>not found</html>" * 20, {}, "not a GGUF"),
        (gguf(), {"ranges": False}, "does not serve parts"),
        (gguf(), {"status": 404}, "answered 404"),
    ],
)
def test_what_may_be_wrong(content: bytes, told: dict, message: str) -> None:
    with served(content, **told) as (url, _), pytest.raises(ModelFileError, match=message):
        remote_header(url, insecure=True)


def test_only_https_and_a_header_has_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelFileError, match="https"):
        remote_header("http://127.0.0.1:1/x.gguf")
    monkeypatch.setattr("rung.local.remote._MOST", 100)
    with served(gguf()) as (url, _), pytest.raises(ModelFileError, match="longer than any"):
        remote_header(url, insecure=True)


def test_nobody_there() -> None:
    with served(gguf()) as (url, _):
        pass
    with pytest.raises(ModelFileError, match="cannot be reached"):
        remote_header(url, insecure=True)
