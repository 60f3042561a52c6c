"""The child's own protocol, against a fake `xllamacpp`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rung.local.tuning import Drafts, Tuning

FAKE = """
import json, sys

class Threads:
    n_threads = -1

class Model:
    path = ""

class Ngrams:
    n_match = n_min = n_max = -1

class Speculative:
    def __init__(self):
        self.types, self.ngram_simple = [], Ngrams()

class common_speculative_type:
    COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE = "ngram_simple"

class llama_flash_attn_type:
    LLAMA_FLASH_ATTN_TYPE_DISABLED = "off"

class CommonParams:
    def __init__(self):
        self.model, self.cpuparams, self.cpuparams_batch = Model(), Threads(), Threads()
        self.speculative = Speculative()

class Server:
    listening_address = "http://127.0.0.1:4321"
    def __init__(self, params):
        print("chatter on stdout", flush=True)
        told = {key: value for key, value in vars(params).items() if not hasattr(value, "__dict__")}
        told["drafts"] = params.speculative.types + list(vars(params.speculative.ngram_simple).values())
        told |= {"path": params.model.path, "threads": [params.cpuparams.n_threads, params.cpuparams_batch.n_threads]}
        print(json.dumps(told, default=sorted), file=sys.stderr, flush=True)
        if params.model.path == "broken":
            raise RuntimeError("no such tensor")
"""

TOLD = {
    "model": "m.gguf",
    "alias": "tiny",
    "threads": 3,
    "context": 1000,
    "slots": 2,
    "api_key": "secret",
    **Tuning(heads=Path("/kept")).told(),
}

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(told: dict[str, object], fake: str = FAKE) -> subprocess.Popen[bytes]:
        (tmp_path / "xllamacpp.py").write_text(fake)
        command = [sys.executable, "-P", "-m", "rung.local.engine_child"]
        pipe = subprocess.PIPE
        environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environ)
        started.append(child)
        assert child.stdin is not None
        child.stdin.write(json.dumps(told).encode() + b"\n")
        child.stdin.flush()
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def said(child: subprocess.Popen[bytes]) -> dict[str, object]:
    assert child.stdout is not None
    told: dict[str, object] = json.loads(child.stdout.readline())
    return told


def test_it_tells_its_port_and_leaves_at_the_end_of_its_input(start: Start) -> None:
    child = start(TOLD)
    assert said(child) == {"port": 4321}
    assert child.poll() is None
    out, log = child.communicate(timeout=20)
    assert child.returncode == 0
    assert out == b""  # what the library prints goes to the log
    assert b"chatter on stdout" in log


def test_what_llama_cpp_is_told(start: Start) -> None:
    child = start(TOLD)
    said(child)
    log = child.communicate(timeout=20)[1].decode().splitlines()
    told = json.loads(next(line for line in log if line.startswith("{")))
    assert told["path"] == "m.gguf"
    assert told["threads"] == [3, 3]
    assert (told["n_ctx"], told["n_parallel"]) == (2000, 2)
    assert told["api_keys"] == ["secret"]
    assert told["hostnames"] == ["127.0.0.1"]
    assert told["model_alias"] == ["tiny"]
    assert told["offline"] is True
    assert told["cache_ram_mib"] == 128
    assert told["n_batch"] == told["n_ubatch"] == 32
    assert told["slot_save_path"] == "/kept/"
    assert told["no_extra_bufts"] is False
    assert told["flash_attn_type"] == "off"
    assert told["drafts"] == ["ngram_simple", 20, 31]


def test_a_draft_and_its_start_fit_into_a_batch(start: Start) -> None:
    tuning = Tuning(batch=8, drafts=Drafts(match=4, most=64), repack=False)
    child = start({**TOLD, **tuning.told()})
    said(child)
    log = child.communicate(timeout=20)[1].decode().splitlines()
    told = json.loads(next(line for line in log if line.startswith("{")))
    assert told["drafts"] == ["ngram_simple", 4, 7]  # llama.cpp aborts where it does not
    assert told["no_extra_bufts"] is True


def test_without_drafts_nothing_is_looked_up(start: Start) -> None:
    child = start({**TOLD, **Tuning(drafts=None).told()})
    said(child)
    log = child.communicate(timeout=20)[1].decode().splitlines()
    told = json.loads(next(line for line in log if line.startswith("{")))
    assert told["drafts"] == []
    assert "slot_save_path" not in told


def test_a_model_that_cannot_be_loaded(start: Start) -> None:
    child = start({**TOLD, "model": "broken"})
    assert "no such tensor" in str(said(child)["error"])
    assert child.wait(20) == 1


def test_an_engine_that_is_not_installed(start: Start) -> None:
    child = start(TOLD, "raise ImportError('no libgomp')")
    assert "no libgomp" in str(said(child)["error"])
    assert child.wait(20) == 1


def test_it_leaves_while_loading_too(start: Start) -> None:
    child = start(TOLD, FAKE + "\nimport time\nServer.__init__ = lambda self, params: time.sleep(60)\n")
    child.communicate(timeout=20)
    assert child.returncode == 0
