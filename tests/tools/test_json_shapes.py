"""The shapes a JSON parsing test-suite tries, by its three classes: must be accepted, must be rejected, undefined.

The classes follow the public suite's (y_, n_, i_); the texts are made here. The table in docs/tools.md is
`table()`: run this file.
"""

from __future__ import annotations

import json

import pytest

from rung.tools import Options, TooBig, run

CONTROL = [chr(code) for code in range(0x20)]

ACCEPT: dict[str, list[str]] = {
    "scalars at the top": ["0", "-0", "42", "true", "false", "null", '""', '"a"', " 1 ", "\n1\t", "[]", "{}"],
    "arrays": ["[]", "[ ]", "[[]]", "[1,2]", "[\n1\r\n,\t2 ]", "[null, 1, true, {}]", '["a"]', "[" * 150 + "]" * 150],
    "objects": ["{}", '{"a":1}', '{"":0}', '{"a":{"b":[]}}', '{"a" : 1 , "b" : 2}', '{"a\\u0000b":1}', '{"a":1}\n'],
    "numbers": [
        *[
            "0",
            "-0",
            "-1",
            "10",
            "0.1",
            "-0.0",
            "1e1",
            "1E1",
            "1e+1",
            "1e-1",
            "1.5E-9",
            "0e1",
            "0e+1",
            "20e1",
            "123.456e78",
        ],
        *["123456789012345678901234567890", "-123123123123123123123123", "1e-2147483", "0.000000000000000000001"],
    ],
    "escapes": [
        f'"{escape}"'
        for escape in [
            *(f"\\{mark}" for mark in '"\\/bfnrt'),
            "\\u0061",
            "\\uD83D\\uDE00",
            "\\u0000",
            "\\u001f",
            "\\uFFFF",
        ]
    ],
    "characters": ['"é"', '"\u2028"', '"\u2029"', '"😀"', '"\x7f"', '"\u0085"', '"\ufdd0"', '"a/*b*/c//d#e"', '"\\\\"'],
    "duplicate keys": ['{"a":1,"a":1}', '{"a":1,"a":2}', '{"a":1,"\\u0061":2}'],
}

REJECT: dict[str, list[str]] = {
    "nothing": ["", " ", "\n", "\t"],
    "commas": [
        "[1,]",
        "[,1]",
        "[1,,2]",
        "[,]",
        '{"a":1,}',
        '{,"a":1}',
        '{"a":1,,"b":2}',
        "1,",
        ",1",
        '["",]',
        "[1,\n]",
    ],
    "brackets": [
        "[",
        "]",
        "{",
        "}",
        "[1",
        "[1}",
        "{]",
        '{"a":1]',
        "[[]",
        "[]]",
        "{}}",
        '{"a":{}',
        '["a"',
        '{"a"',
        '{"a":',
        "[" * 150,
    ],
    "colons and keys": [
        '{"a" 1}',
        '{"a"::1}',
        '{"a":1:2}',
        "{1:1}",
        "{a:1}",
        "{null:1}",
        '{"a"}',
        '{"a","b"}',
        "{'a':1}",
        "[1:2]",
        "{:1}",
        "{[]:1}",
    ],
    "literals": [
        "nul",
        "tru",
        "fals",
        "TRUE",
        "True",
        "None",
        "undefined",
        "nan",
        "NaN",
        "Infinity",
        "-Infinity",
        "truefalse",
        "nulll",
        "[tru]",
    ],
    "numbers": [
        *[
            "01",
            "-01",
            "00",
            "+1",
            "-",
            "--1",
            "+-1",
            ".5",
            "1.",
            "-.5",
            "1.e1",
            ".e1",
            "1e",
            "1e+",
            "1E-",
            "1e1.5",
            "1.2.3",
            "0x1F",
        ],
        *[
            "0o7",
            "0b1",
            "1_000",
            "1 000",
            "1,5 ",
            "1a",
            "1e1e1",
            "- 1",
            "-a",
            "-2.",
            "2.e+3",
            "0.e1",
            "0e",
            "9.e+",
            "Inf",
            "1+2",
            "１",
            "-١",
        ],
    ],
    "strings": [
        '"',
        '"a',
        "'a'",
        "a",
        '"a\nb"',
        '"\\',
        '"\\x00"',
        '"\\u00"',
        '"\\u00G0"',
        '"\\a"',
        '"\\uD8"',
        '"\\ "',
        '"\\\\"\\"',
        "`a`",
        "“a”",
    ],
    "control characters": [f'"a{char}b"' for char in CONTROL],
    "white space": ["\x0b1", "\x0c1", "\u00a01", "\u20281", "[1\u00a0]", "\u20601", "\x001", "1\x00"],
    "comments": ["// a\n1", "/* a */1", "# a\n1", "[1 // a\n]", '{"a":1/**/}', "<!-- 1 -->"],
    "more than one": ["1 2", "{} {}", "[][]", '"a" "b"', "{}x", "[]#", '{"a":1}"b"', "1]", "null null"],
    "other languages": [
        "(1)",
        "[1;2]",
        '{"a"=1}',
        "{'a'}",
        "<a/>",
        "a: 1",
        "[1 2]",
        '["a" "b"]',
        "@",
        "$",
        "*",
        "[*]",
        "[a]",
        "{*}",
    ],
}

UNDEFINED: dict[str, list[str]] = {
    "numbers no machine type holds": ["1e400", "-1e9999", "1e-99999", "1" * 400],
    "lone surrogate escapes": ['"\\uD800"', '"\\uDC00"', '"\\uD800\\uD800"', '"\\uDADA\\u0041"'],
    "byte order mark": ["\ufeff1", "\ufeff{}"],
    "nested 10,000 deep": ["[" * 10_000 + "]" * 10_000, '{"a":' * 10_000 + "1" + "}" * 10_000],
}


def flat(shapes: dict[str, list[str]]) -> list[str]:
    return [text for texts in shapes.values() for text in texts]


@pytest.mark.parametrize("text", flat(ACCEPT))
def test_accepts(text: str) -> None:
    assert run("json", "validate", text).ok is True


@pytest.mark.parametrize("text", flat(REJECT))
def test_rejects_with_a_place(text: str) -> None:
    result = run("json", "validate", text)
    assert result.ok is False
    assert result.findings[0].line >= 1
    assert result.findings[0].column >= 1


@pytest.mark.parametrize(
    "text", [text for text in flat({**ACCEPT, **REJECT}) if not text.lstrip().startswith(("N", "I", "-I"))]
)
def test_agrees_with_the_standard_library(text: str) -> None:
    # NaN and Infinity aside, which Python's reader accepts although JSON has none.
    try:
        json.loads(text)
        valid = True
    except ValueError:
        valid = False
    assert run("json", "validate", text).ok is valid


def outcome(text: str) -> str:
    try:
        return {True: "accepted", False: "rejected", None: "?"}[run("json", "validate", text, Options()).ok]
    except TooBig:
        return "declined"


def test_undefined_shapes_have_a_fixed_answer() -> None:
    found = {name: {outcome(text) for text in texts} for name, texts in UNDEFINED.items()}
    assert found == {
        "numbers no machine type holds": {"accepted"},
        "lone surrogate escapes": {"accepted"},
        "byte order mark": {"rejected"},
        "nested 10,000 deep": {"declined"},
    }


def table() -> str:
    """The table of docs/tools.md."""
    lines = ["| class | shapes | accepted | rejected | declined |", "|---|---|---|---|---|"]
    for word, shapes in (("must accept", ACCEPT), ("must reject", REJECT), ("undefined", UNDEFINED)):
        for name, texts in shapes.items():
            found = [outcome(text) for text in texts]
            counts = [found.count(kind) for kind in ("accepted", "rejected", "declined")]
            lines.append(f"| {word}: {name} | {len(texts)} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
