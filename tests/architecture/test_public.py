"""What users may rely on: names, codes, words, order, versions."""

from __future__ import annotations

import ast
import inspect
import re

from source import ROOT, SRC, nodes

import rung
from rung import errors, rungs

PUBLIC = [
    "Answer",
    "Attempt",
    "Call",
    "Declined",
    "Event",
    "Evidence",
    "Gateway",
    "LadderExhausted",
    "PrivacyError",
    "Result",
    "ResultStream",
    "RungError",
    "Settings",
    "SyncGateway",
    "Usage",
    "errors",
    "testing",
    "tools",
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
    """`rungs.ORDER`, the files of the room and the first table of docs/ladder.md agree."""
    files = {path.stem for path in (SRC / "rungs").glob("*.py") if path.stem != "__init__"}
    assert set(rungs.ORDER) == files
    page = (ROOT / "docs" / "ladder.md").read_text().partition("\n## ")[0]
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
    """Every error code of the tree, and every one given instead to an error or to a function that returns one.

    A code built by an f-string is a pattern: ``not_\\w+``.
    """
    given = {cls.code for cls in ERRORS.values()}
    makers = {node.name for _, node in nodes(ast.FunctionDef) if named(node.returns) in ERRORS}
    for _, node in nodes(ast.Call):
        if named(node.func) in {*ERRORS, *makers}:
            given |= {spelled(k.value) for k in node.keywords if k.arg == "code"} - {""}
    return given


def named(node: ast.AST | None) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def spelled(value: ast.expr) -> str:
    if isinstance(value, ast.Constant):
        return str(value.value)
    if isinstance(value, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in value.values)
    return ""  # passed on from elsewhere


def test_every_error_code_is_explained_and_every_explained_code_exists() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    given = codes()
    assert sorted(code for code in given if not any(re.fullmatch(code, word) for word in explained)) == []
    assert sorted(word for word in explained if not any(re.fullmatch(code, word) for code in given)) == []


def test_every_word_is_in_the_glossary() -> None:
    defined = re.findall(r"^\*\*([\w ]+)\*\*", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert sorted(WORDS - set(defined)) == []


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)\]?", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == rung.__version__
