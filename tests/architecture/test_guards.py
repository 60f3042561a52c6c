"""The guards of conftest.py must themselves be able to fail a test."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.mark.parametrize(
    ("host", "here"),
    [
        (("127.0.0.1", 80), True),
        (("127.8.9.1", 80), True),
        (("::1", 80, 0, 0), True),
        ("localhost", True),
        (b"localhost", True),
        ("/run/some.sock", True),
        ("", True),
        (None, True),
        (("10.0.0.1", 80), False),
        (("0.0.0.0", 80), False),
        ("api.example.com", False),
        ("localhost.example.com", False),
    ],
)
def test_what_counts_as_here(pytestconfig: pytest.Config, host: object, here: bool) -> None:
    conftest = pytestconfig.pluginmanager.get_plugin(str(CONFTEST))
    assert conftest.stays_here(host) is here


def run(pytester: pytest.Pytester, test: str) -> str:
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile(test)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "--anyio-mode=auto").stdout.str()


def test_a_connection_off_the_machine_fails_even_when_swallowed(pytester: pytest.Pytester) -> None:
    out = run(
        pytester,
        """
        import socket

        def test_it():
            try:
                socket.create_connection(("192.0.2.1", 80), timeout=0.01)
            except OSError:
                pass
        """,
    )
    assert "this test tried to leave the machine" in out


def test_a_blocking_call_of_rung_fails_even_when_swallowed(pytester: pytest.Pytester) -> None:
    out = run(
        pytester,
        """
        import time
        import rung

        async def test_it():
            code = compile("try:\\n    time.sleep(0)\\nexcept Exception:\\n    pass", rung.__file__, "exec")
            exec(code, {"time": time})
        """,
    )
    assert "blocking calls on the event loop: ['time.sleep']" in out


def test_loopback_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


def test_the_environment_is_clean(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "RUNG_PORT", "https_proxy", "OLLAMA_HOST"):
        monkeypatch.setenv(name, "set-by-the-shell")
    out = run(
        pytester,
        """
        import os

        def test_it(tmp_path):
            assert "set-by-the-shell" not in os.environ.values()
            assert os.environ["HOME"].startswith(str(tmp_path))
        """,
    )
    assert "1 passed" in out
