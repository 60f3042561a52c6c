"""``rung sim``."""

import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

from rung import config
from rung.cli.sim import command
from rung.errors import ConfigError
from rung.sim.scenario import PROVIDERS

RUN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from rung.cli.sim import command
command()
"""


def test_the_printed_configuration_switches_every_provider_on_without_keys(tmp_path):
    shown = CliRunner().invoke(command, ["--print-config", "--port", "7901"])
    path = tmp_path / "rung.toml"
    path.write_text(shown.output)
    settings = config.load({"HOME": str(tmp_path), "RUNG_HOME": str(tmp_path)}, path, cwd=tmp_path)
    assert shown.exit_code == 0
    for name, provider in settings.providers.items():
        assert provider.base_url.startswith(f"http://127.0.0.1:7901/{name}")
        assert provider.key is None
    assert {"groq", "deepseek", "openai", "ollama"} <= set(settings.providers) <= set(PROVIDERS)


def test_it_listens_until_it_is_stopped(tmp_path):
    scenario = tmp_path / "s.toml"
    scenario.write_text("[openai]\nscript = [500]")
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, "--port", "0", "--scenario", str(scenario), "--seed", "3"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = child.stdout.readline().split()[-1]
        with urlopen(f"{url}/sim/books", timeout=10) as answer:
            assert answer.headers["x-rung-simulated"] == "true"
        child.send_signal(signal.SIGINT)
        rest = child.stdout.read()  # not communicate(): it forgets what readline() read ahead
        child.wait(timeout=20)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert child.returncode == 0
    assert f"{url}/groq/openai/v1" in rest


def test_mistakes_are_told(tmp_path):
    runner = CliRunner()
    missing = runner.invoke(command, ["--scenario", str(tmp_path / "none.toml")])
    assert isinstance(missing.exception, ConfigError)
    assert runner.invoke(command, ["--print-config", "--port", "0"]).exit_code == 2


def test_a_taken_port_is_told():
    blocker = subprocess.Popen([sys.executable, "-c", RUN, "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        port = blocker.stdout.readline().rpartition(":")[2].strip()
        with pytest.raises(ConfigError, match=f"cannot listen on port {port}"):
            CliRunner().invoke(command, ["--port", port], catch_exceptions=False)
    finally:
        blocker.kill()
        blocker.wait()
        blocker.stdout.close()
