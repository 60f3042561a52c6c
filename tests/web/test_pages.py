"""The page's files: small, whole, nothing inline, every word in both languages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rung import web
from rung.web.pages import CSP, LANGUAGES, asset, chosen

HERE = Path(web.__file__).parent
FILES = {path.name: path.read_text() for path in HERE.iterdir() if path.suffix in (".html", ".css", ".js", ".svg")}


def words() -> dict[str, dict[str, str]]:
    text = FILES["words.js"]
    return json.loads(text[text.index("{\n") : text.rindex("}") + 1])


def test_it_is_small() -> None:
    assert sum(len(text.encode()) for text in FILES.values()) < 150_000


def test_every_word_is_in_every_language() -> None:
    told = words()
    assert tuple(told) == LANGUAGES
    assert set(told["en"]) == set(told["fr"])
    for name, text in told["en"].items():
        assert text.strip(), name
        assert told["fr"][name].strip(), name
        assert re.findall(r"{\d}", text).sort() == re.findall(r"{\d}", told["fr"][name]).sort(), name


def test_every_word_asked_for_is_there() -> None:
    asked = set(re.findall(r'word\("(\w+)"', FILES["page.js"]))
    asked |= {name for _, name in re.findall(r'card\("(\w+)", "(\w+)"', FILES["page.js"])}
    assert len(asked) > 40
    assert asked <= set(words()["en"])


@pytest.mark.parametrize(
    ("family", "states"),
    [
        ("status_{}", ["ready", "loading", "nothing_to_ask"]),
        ("local_{}", ["ready", "loading", "busy", "failing", "gone"]),
        ("breaker_{}", ["open", "half_open"]),
        ("{}", ["open", "shadow", "closed", "quarantined"]),
        ("{}", ["answered", "declined", "failed", "cancelled"]),
    ],
)
def test_every_state_has_a_word(family: str, states: list[str]) -> None:
    assert {family.format(state) for state in states} <= set(words()["en"])


def test_every_reason_of_a_miss_has_a_word() -> None:
    from rung.cli.cache import WHY

    assert set(WHY) <= set(words()["en"])


def test_every_rung_stands_on_the_ladder() -> None:
    from rung.rungs import ORDER

    shown = re.search(r"const RUNGS = \[(.*?)\]", FILES["page.js"])
    assert shown is not None
    assert re.findall(r'"(\w+)"', shown[1]) == list(reversed(ORDER))
    assert set(ORDER) <= set(words()["en"])


def test_nothing_inline_and_nothing_from_elsewhere() -> None:
    frame = FILES["index.html"]
    assert not re.search(r"<style|\son\w+=|\sstyle=", frame)
    assert all(re.search(r'src="/page/\w+\.js"', script) for script in re.findall(r"<script.*?</script>", frame))
    for name, text in FILES.items():
        reached = set(re.findall(r"https?://[^\s\"')]+", text)) - {"http://www.w3.org/2000/svg"}
        assert reached == set(), name
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", FILES["page.js"])
    for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in CSP
    assert "unsafe" not in CSP


def test_what_the_frame_names_is_served() -> None:
    kind, frame = asset("/", "") or ("", b"")
    assert kind == "text/html; charset=utf-8"
    named = re.findall(r'(?:href|src)="([^"]+)"', frame.decode())
    assert len(named) == 4
    assert all(asset(path) for path in named)


@pytest.mark.parametrize("path", ["/page/", "/page/pages.py", "/page/../pages.py", "/page/%2e%2e/pages.py", "/other"])
def test_nothing_else_is(path: str) -> None:
    assert asset(path) is None


@pytest.mark.parametrize(
    ("told", "language"),
    [
        ("", "en"),
        ("fr", "fr"),
        ("fr-CA,fr;q=0.9,en;q=0.8", "fr"),
        ("de-DE,en;q=0.5,fr;q=0.7", "fr"),
        ("en-US,fr;q=0.9", "en"),
        ("fr;q=0,en;q=0.1", "en"),
        ("fr;q=much,de", "en"),
        ("de", "en"),
        ("," * 100_000 + "fr", "en"),
    ],
)
def test_the_language_a_browser_prefers(told: str, language: str) -> None:
    assert chosen(told) == language
    found = asset("/", told)
    assert found is not None
    assert f'<html lang="{language}">'.encode() in found[1]
