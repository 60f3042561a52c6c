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


INNER = """
import os
import socket
import time
import rung

def test_swallowed_connection():
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=0.01)
    except OSError:
        pass

async def test_swallowed_blocking_call():
    code = "try: time.sleep(0)\\nexcept Exception: pass"
    exec(compile(code, rung.__file__, "exec"), {"time": time})

def test_clean_environment(tmp_path):
    assert "set-by-the-shell" not in os.environ.values()
    assert os.environ["HOME"].startswith(str(tmp_path))
"""


def test_the_guards_fail_a_test_even_when_the_code_swallows_exceptions(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "RUNG_PORT", "https_proxy", "OLLAMA_HOST"):
        monkeypatch.setenv(name, "set-by-the-shell")
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile(INNER)
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--anyio-mode=auto")
    ran.assert_outcomes(passed=3, errors=2)  # the guards speak after the test, as errors of its teardown
    ran.stdout.fnmatch_lines_random(
        [
            "E *this test tried to leave the machine: *192.0.2.1*",
            "E *blocking calls on the event loop: *time.sleep*",
            "ERROR *::test_swallowed_connection*",
            "ERROR *::test_swallowed_blocking_call*",
        ]
    )


def test_loopback_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
