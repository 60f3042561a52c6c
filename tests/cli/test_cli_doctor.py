from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from rung.cli import doctor
from rung.errors import ModelFileError
from rung.local import setup
from rung.local.discover import Found
from rung.local.gguf import Header
from rung.local.hardware import Hardware
from rung.local.predict import Measured, Probe
from rung.local.tuning import Tuning
from rung.wire.origin import Origin

GiB = 1024**3


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "look", lambda: Hardware(4, 8 * GiB, 6 * GiB, 4, "A Processor", ("avx2",)))
    monkeypatch.setattr(doctor, "probe", lambda threads, seconds: Probe(threads, 30e9, 850e6 * threads))
    has_engine(monkeypatch, "", ())
    serves(monkeypatch)


def has_engine(monkeypatch: pytest.MonkeyPatch, version: str, built: tuple[str, ...]) -> None:
    monkeypatch.setattr(doctor, "engine_version", lambda: version)
    monkeypatch.setattr(doctor, "compiled_for", lambda: built)


def serves(monkeypatch: pytest.MonkeyPatch, *found: Found) -> None:
    async def running() -> list[Found]:
        return list(found)

    monkeypatch.setattr(doctor, "_running", running)


def rung(*args: str) -> Result:
    return CliRunner().invoke(doctor.command, list(args), catch_exceptions=False)


def test_the_table_says_what_fits_and_why() -> None:
    told = rung()
    assert told.exit_code == 0
    assert "A Processor: 4 cores" in told.output
    assert "says no (4 cores, 8 GB, no GPU)" in told.output
    assert "qwen2.5-coder:1.5b" in told.output
    (line,) = (line for line in told.output.splitlines() if line.startswith("phi4 "))
    assert "does not fit: needs" in line


def test_json_for_programs() -> None:
    told = orjson.loads(rung("--json", "--context", "4096").output)
    models = {one["name"]: one for one in told["models"]}
    assert models["qwen2.5-coder:1.5b"]["verdict"] == "runs well"
    assert models["qwen2.5-coder:1.5b"]["pace"]["basis"] == "uncorrected"
    assert models["phi4"]["source"].startswith("from docs: ")
    assert told["context"] == 4096
    assert told["rule_of_thumb"]["met"] is False


def test_an_engine_compiled_for_less_than_this_processor_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    new = Hardware(4, 8 * GiB, 6 * GiB, 4, "A Processor", ("avx2", "avx512f", "avx512_vnni"))
    monkeypatch.setattr(doctor, "look", lambda: new)
    assert "compiled without" not in rung().output  # there is none
    assert orjson.loads(rung("--json").output)["engine"] is None
    has_engine(monkeypatch, "2026.10", ())
    assert "compiled without" not in rung().output  # it does not say
    has_engine(monkeypatch, "2026.10", ("avx2",))
    assert "the engine here was compiled without avx512f avx512_vnni:" in rung().output
    assert orjson.loads(rung("--json").output)["engine"] == {"version": "2026.10", "instructions": ["avx2"]}
    has_engine(monkeypatch, "2026.10", new.instructions)
    assert "compiled without" not in rung().output


def test_what_serves_models_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(f"m{number}" for number in range(8))
    at = Origin("http", "127.0.0.1", 11434)
    serves(monkeypatch, Found("Ollama", at, "", many, version="0.12.0"), Found("vLLM", at, "/v1"))
    lines = rung().output.splitlines()
    assert "runs here: Ollama 0.12.0 at 127.0.0.1:11434: m0, m1, m2, m3, m4, m5 and 2 more" in lines
    assert "runs here: vLLM at 127.0.0.1:11434: no model" in lines
    first, _ = orjson.loads(rung("--json").output)["running"]
    assert first == {"software": "Ollama", "version": "0.12.0", "at": "127.0.0.1:11434", "models": list(many)}


def test_models_by_name_only() -> None:
    told = orjson.loads(rung("--json", "phi4", "phi4-mini").output)
    assert {one["name"] for one in told["models"]} == {"phi4", "phi4-mini"}


def test_nothing_fits_is_a_no() -> None:
    assert rung("phi4").exit_code == 1


def test_an_unknown_model() -> None:
    with pytest.raises(ModelFileError, match="no file or model 'gpt-9'"):
        rung("gpt-9")


def test_trying_out_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"GGUF")
    header = Header("qwen2", "Mine", 2, 2, 64, 4096, 3, True, 4, 0, read_bytes=100, kinds={"Q4_K": 100})
    monkeypatch.setattr(doctor, "read_header", lambda path: header)

    async def trial(path: Path, *, threads: int, context: int, tuning: Tuning) -> Measured:
        tried.append((threads, context, tuning.batch, tuning.repack))
        return Measured(50.0 if tuning.batch == 32 else 80.0, 12.0, threads)

    tried: list[tuple[int, int, int, bool]] = []
    monkeypatch.setattr(doctor, "trial", trial)
    monkeypatch.setattr(setup, "trial", trial)
    (first,) = orjson.loads(rung("--json", str(file)).output)["models"]
    assert first["pace"]["basis"] == "uncorrected"
    (second,) = orjson.loads(rung("--probe", "--json", str(file)).stdout)["models"]
    assert tried == [(3, 8192, 32, True)]
    assert second["pace"]["basis"] == "measured"
    assert second["pace"]["generation"]["middle"] == 12.0
    told = rung("--tune", str(file))
    assert "kept: 3 threads, batches of 128, weights copied" in told.stderr
    tried.clear()
    rung("--probe", str(file))
    assert tried == [(3, 8192, 128, True)], "as the gateway would load it"


def test_what_there_is_no_memory_for_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"GGUF")
    header = Header("qwen2", "Mine", 2, 2, 64, 4096, 3, True, 4, 0, read_bytes=100, kinds={"Q4_K": 100})
    monkeypatch.setattr(doctor, "read_header", lambda path: header)
    monkeypatch.setattr(doctor, "look", lambda: Hardware(4, 8 * GiB, 600 * 1024**2))
    with pytest.raises(ModelFileError, match="MiB of memory and 512 to spare, 600 are free"):
        rung("--probe", str(file))


def test_nothing_to_try() -> None:
    with pytest.raises(ModelFileError, match="no model here to try"):
        rung("--probe")
