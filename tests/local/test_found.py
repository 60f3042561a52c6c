from __future__ import annotations

from pathlib import Path

import orjson

from rung.local.found import Found, find


def ollama_store(folder: Path) -> Path:
    weights = folder / "blobs" / "sha256-aa"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"GGUF")
    manifest = {
        "layers": [
            {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:bb"},
            {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:aa"},
        ]
    }
    for name in ("library/phi4/14b", "someone/tuned/latest"):
        path = folder / "manifests" / "registry.example" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(orjson.dumps(manifest))
    return folder


def test_ollamas_store(tmp_path: Path) -> None:
    store = ollama_store(tmp_path / "ollama")
    (store / "manifests" / "registry.example" / "library" / "phi4" / "broken").write_text("{")
    blob = store / "blobs" / "sha256-aa"
    assert find(ollama=[store], folders=[]) == [Found("someone/tuned:latest", blob, "Ollama")]  # one blob, told once
    blob.unlink()
    assert find(ollama=[store], folders=[]) == []


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "some-model.gguf").write_bytes(b"GGUF")
    (tmp_path / "notes.txt").write_text("no model")
    found = find(ollama=[tmp_path / "none"], folders=[("LM Studio", tmp_path), ("nobody", tmp_path / "none")])
    assert found == [Found("some-model", tmp_path / "deep" / "some-model.gguf", "LM Studio")]
