"""``rung cache inspect|export|import|purge --offline`` and the scopes of ``rung trust``, on a file of their own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from rung.cli import cache, trust
from rung.store.semantic import Entry, Scope, SemanticStore, digest, listed
from rung.store.stored import Stored
from rung.store.writer import Writer

DAY = 86400.0


def an_entry(name: int, prompt: str, text: str, tenant: str = "local", answer: int = 0) -> Entry:
    data = orjson.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})
    now = time.time()
    stored = Stored(data=data, shape="whole", model="groq:m", rung="cloud", tenant=tenant, created=now)
    return Entry(
        name, b"s" * 16, tenant, now, now + DAY, answer, 7, digest(prompt), prompt, stored, "toy", b"\1\2" * 8, now
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNG_HOME", str(tmp_path))
    return tmp_path


def fill(home: Path, *entries: Entry, with_text: bool = True) -> None:
    writer = Writer()
    store = SemanticStore(home / "semantic.sqlite3", writer, with_text=with_text)
    for entry in entries:
        store.put(entry)
    told = {"state": "open", "limit": 0.01, "bound": 0.01, "confidence": 0.9, "requests": 2000, "hits": 700}
    store.learnt(Scope(b"s" * 16, "local", time.time(), "toy", orjson.dumps({**told, "wrong_known": 3}), b"snapshot-x"))
    assert writer.close()


def run(*words: str) -> Result:
    command = {"cache": cache.command, "trust": trust.command}[words[0]]
    result = CliRunner().invoke(command, list(words[1:]))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def shown(*words: str) -> Any:
    return orjson.loads(run("cache", "inspect", "--json", *words).stdout)


def test_inspect_shows_prompts_and_answers(home: Path) -> None:
    fill(home, an_entry(1, "How tall is it?", "Ninety metres."), an_entry(2, "Where is it?", "In Oslo.", "other"))
    assert {one["prompt"]: one["answer"] for one in shown()} == {
        "How tall is it?": "Ninety metres.",
        "Where is it?": "In Oslo.",
    }
    assert [one["id"] for one in shown("--tenant", "other")] == [2]
    assert [one["id"] for one in shown("--match", "NINETY")] == [1]
    assert "How tall is it?\n  -> Ninety metres." in run("cache", "inspect").stdout


def test_hashes_only_show_no_prompt_and_are_found_by_the_whole_of_it(home: Path) -> None:
    fill(home, an_entry(1, "How tall is the tower?", "Ninety."), with_text=False)
    assert b"tower" not in (home / "semantic.sqlite3").read_bytes()
    assert "(stored as a hash only)" in run("cache", "inspect").stdout
    assert len(shown("--match", "how tall is the  TOWER?")) == 1
    assert shown("--match", "tower") == []


@pytest.mark.parametrize("words", [("--match", "secret_plan"), ("--tenant", "other")])
def test_a_purge_leaves_no_byte_behind(home: Path, words: tuple[str, ...]) -> None:
    fill(home, an_entry(1, "Keep this", "kept"), an_entry(2, "The secret_plan", "told", "other"))
    (home / "semantic-00.vectors").write_bytes(b"vectors")
    assert run("cache", "purge", "--offline", *words).stdout == "1 stored answers forgotten\n"
    left = b"".join(path.read_bytes() for path in home.iterdir() if path.name.startswith("semantic"))
    assert b"Keep this" in left
    assert b"secret_plan" not in left
    assert b"snapshot-x" not in left  # what was learnt from it
    assert not (home / "semantic-00.vectors").exists()


def test_what_is_exported_can_be_imported_elsewhere(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(home, an_entry(1, "How tall?", "Ninety.", answer=3), an_entry(2, "Where?", "Oslo.", answer=4))
    assert "2 entries written" in run("cache", "export", str(tmp_path / "out.jsonl")).output
    monkeypatch.setenv("RUNG_HOME", str(tmp_path / "elsewhere"))
    fill(tmp_path / "elsewhere", an_entry(9, "Who?", "Me.", answer=5))
    assert run("cache", "import", str(tmp_path / "out.jsonl")).stdout == "2 entries added\n"
    found = {entry.prompt: entry for entry in listed(tmp_path / "elsewhere" / "semantic.sqlite3", None, None, -1)}
    assert {prompt: entry.answer for prompt, entry in found.items()} == {"Who?": 5, "How tall?": 9, "Where?": 10}
    assert len({entry.id for entry in found.values()}) == 3
    assert found["How tall?"].vector == b"\1\2" * 8
    (tmp_path / "bad.jsonl").write_text("{}\n")
    with pytest.raises(Exception, match="line 1 is no entry"):
        run("cache", "import", str(tmp_path / "bad.jsonl"))


def test_trust_shows_the_bound_per_request(home: Path) -> None:
    fill(home, an_entry(1, "How tall?", "Ninety."))
    assert "limit 1.0%  at most 1.0% of requests wrong (90% sure)  2000 requests, 700 hits" in run("trust").stdout
    assert orjson.loads(run("trust", "--json").stdout)["semantic"][0]["state"] == "open"
