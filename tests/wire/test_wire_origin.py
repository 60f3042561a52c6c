from __future__ import annotations

import pytest

from rung.errors import ConfigError
from rung.wire.origin import Origin


@pytest.mark.parametrize(
    ("url", "origin", "path", "host"),
    [
        ("https://api.openai.com/v1", Origin("https", "api.openai.com", 443), "/v1", b"api.openai.com"),
        ("HTTP://LocalHost:8000/", Origin("http", "localhost", 8000), "", b"localhost:8000"),
        ("http://[::1]:8080/a/b/", Origin("http", "::1", 8080), "/a/b", b"[::1]:8080"),
        ("http://[0:0:0:0:0:0:0:1]", Origin("http", "::1", 80), "", b"[::1]"),
        ("https://bücher.example:444/é%20", Origin("https", "xn--bcher-kva.example", 444), "/%C3%A9%20", None),
    ],
)
def test_parse(url: str, origin: Origin, path: str, host: bytes | None) -> None:
    assert Origin.parse(url) == (origin, path)
    assert host is None or origin.host_header == host


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com/v1",
        "ftp://x",
        "https://",
        "https:///v1",
        "https://user:secret@x/",
        "https://@x/",
        "http://x:0",
        "http://x:99999",
        "http://x:port",
        "http://x?a=b",
        "http://x/#a",
        "http://x\r\nevil: 1",
        "http://a b/",
        "http://[fe80::1%25eth0]/",
        "http://[::1/",
        "http://" + "a" * 70 + ".example",
        "http://[v1.x]/",
        'http://a"b/',
        "http://a,b/",
    ],
)
def test_parse_refuses(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Origin.parse(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("::1", True),
        ("localhost", True),
        ("127.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:127.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("10.0.0.1", False),
        ("ip6-localhost", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert Origin("http", host, 80).is_loopback is loopback
