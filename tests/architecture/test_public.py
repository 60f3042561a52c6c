"""What users may rely on: names, codes, words, order, versions."""

from __future__ import annotations

import ast
import inspect
import re

from source import ROOT, SRC

import rung
from rung import errors, rungs

PUBLIC = [
    "Answer",
    "Call",
    "Declined",
    "Gateway",
    "RungError",
    "Settings",
    "SyncGateway",
    "Usage",
    "__version__",
    "errors",
]

WORDS = {
    *("call", "answer", "rung", "ladder", "climb", "task", "cell", "reference", "check", "trust"),
    *("shadow", "audit", "ledger", "verdict"),
}

ERRORS = {
    name: cls
    for name, cls in vars(errors).items()
    if inspect.isclass(cls) and issubclass(cls, errors.RungError) and cls.__module__ == errors.__name__
}


def test_the_public_list() -> None:
    assert sorted(rung.__all__) == PUBLIC
    assert all(hasattr(rung, name) for name in rung.__all__)


def test_the_order_of_the_rungs_is_told_once() -> None:
    """`rungs.ORDER`, the files of the room and the table of docs/ladder.md agree."""
    files = {path.stem for path in (SRC / "rungs").glob("*.py") if path.stem != "__init__"}
    assert set(rungs.ORDER) == files
    page = (ROOT / "docs" / "ladder.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(rungs.ORDER)


def drawn() -> dict[str, tuple[str, str]]:
    """The tree in errors.py's docstring: class -> (parent, status)."""
    tree, path = {}, []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^ {4}(?P<branch>[ │├└─]*)(?P<name>[A-Z]\w+) +(?P<rest>\S+)", line)
        if found is None:
            continue
        depth = len(found["branch"]) // 4
        path[depth:] = [found["name"]]
        tree[found["name"]] = (path[depth - 1] if depth else "Exception", found["rest"])
    return tree


def test_the_error_tree_is_drawn_as_it_is() -> None:
    assert {name: parent for name, (parent, _) in drawn().items()} == {
        name: cls.__base__.__name__ for name, cls in ERRORS.items()
    }


def test_the_drawn_statuses_are_the_real_ones() -> None:
    said = {name: status for name, (_, status) in drawn().items() if status.isdigit()}
    assert said == {name: str(ERRORS[name].status) for name in said}
    assert len(said) >= len(ERRORS) - 2  # the root has none of its own, RejectedFault passes the provider's on


def codes() -> set[str]:
    """Every error code of the tree, and every one a raise statement gives instead."""
    given = {cls.code for cls in ERRORS.values()}
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                given |= {k.value.value for k in node.keywords if k.arg == "code" and isinstance(k.value, ast.Constant)}
    return given


def test_every_error_code_is_explained() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE))
    assert explained == codes()


def test_every_word_is_in_the_glossary() -> None:
    defined = re.findall(r"^\*\*([\w ]+)\*\*", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert sorted(WORDS - set(defined)) == []


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)\]?", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == rung.__version__
