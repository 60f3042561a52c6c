"""The runner of the documentation's blocks: what it finds, runs, compares and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

import run_docs

PAGE = """
# title

```console
$ echo one; echo two
one
t...
$ printf '%s' \\
>   joined
joined
```

<!-- docs: skip needs a key -->
```python
raise SystemExit(9)
```

```python
print("hello", 3)
```

So it says:

<!-- docs: output -->
```text
hello …
```

```toml
not = run
```
"""


def page(tmp_path: Path, text: str) -> tuple[int, int]:
    path = tmp_path / "page.md"
    path.write_text(text)
    return run_docs.run_page(path, None)


def test_a_page_that_keeps_its_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert page(tmp_path, PAGE) == (3, 0)
    assert "skipped: needs a key" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("```console\n$ echo one\ntwo\n```", "the page shows:\ntwo\n--- it printed:\none"),
        ("```console\n$ echo one\none\n$ false\n```", "exit code 1, not 0"),
        ("```console\n$ echo silent no more\n```", "it printed:\nsilent no more"),
        ("```python\nprint(unknown)\n```", "NameError"),
        ("```python\nprint(1)\n```\n<!-- docs: output -->\n```\n2\n```", "the page shows:\n2"),
        ("<!-- docs: exit 2 -->\n```console\n$ true\n```", "exit code 0, not 2"),
    ],
)
def test_a_page_that_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str], block: str, said: str) -> None:
    assert page(tmp_path, block)[1] == 1
    assert said in capsys.readouterr().out


def test_an_expected_exit_code(tmp_path: Path) -> None:
    assert page(tmp_path, "<!-- docs: exit 3 -->\n```console\n$ echo no; exit 3\nno\n```") == (1, 0)


def test_blocks_of_a_page_share_a_folder_but_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "secret")
    python = "import os; print(open('f').read(), os.environ.get('GROQ_API_KEY'))"
    text = f"```console\n$ echo kept > f\n```\n```python\n{python}\n```\n"
    assert page(tmp_path, text + "<!-- docs: output -->\n```\nkept\n\x20None\n```") == (3, 0)


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("a ... c", "a b c", True),
        ("a ... c", "a b\nc", False),
        ("a\n…\nd", "a\nb\nc\nd\n", True),
        ("a\n...\nd", "a\nd\n", True),
        ("a\n...\nd", "a\nb\n", False),
        ("", "", True),
        ("", "x", False),
        ("{.*}", "{x}", False),
    ],
)
def test_dots_stand_for_what_varies(expected: str, got: str, same: bool) -> None:
    assert run_docs.matches(expected, got) is same


def test_blocks_that_need_a_model_are_skipped_without_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert page(tmp_path, "<!-- docs: model -->\n```console\n$ false\n```") == (0, 0)
    assert "no local model here" in capsys.readouterr().out
