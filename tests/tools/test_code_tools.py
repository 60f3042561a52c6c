"""Python, SQL, XML, YAML, TOML: verdicts, formats, what is declined."""

from __future__ import annotations

import tomllib

import pytest

from rung.tools import CannotAnswer, Options, run


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "def f(a):\n    return a\n"),
        ("python", "x: int = 1 if True else 2\nmatch x:\n    case 1: pass\n"),
        ("sql", "select a, count(*) from t where b in (1,2) group by a order by 2 desc limit 3"),
        ("sql", "insert into t (a, b) values (1, 'x')"),
        ("sql", "update t set a = 1 where b = 2"),
        ("sql", "create table t (id int primary key, name varchar(20))"),
        ("sql", "with x as (select 1 as a) select a from x"),
        ("xml", '<?xml version="1.0"?>\n<a b="1"><!-- c --><d/></a>'),
        ("yaml", "a: 1\nb:\n  - x\n  - y: [1, 2]\n---\nc: d\n"),
        ("toml", 'a = 1\n[b]\nc = "d"\n'),
    ],
)
def test_valid(language: str, text: str) -> None:
    result = run(language, "validate", text)
    assert result.ok is True
    assert result.findings == ()


@pytest.mark.parametrize(
    ("language", "text", "line"),
    [
        ("python", "def f(:\n    pass\n", 1),
        ("python", "x = 1\nfor i in x\n    pass\n", 2),
        ("python", "return 1", 1),
        ("python", 'print "x"', 1),
        ("sql", "select id from where x = 1", 1),
        ("sql", "select * from", 1),
        ("sql", "select count(* from t", 1),
        ("sql", "hello world", 1),
        ("xml", "<a>\n<b></a>", 2),
        ("xml", "<a><b/>", 1),
        ("xml", "just text", 1),
        ("yaml", "a: [1, 2\nb: 3", 2),
        ("yaml", "a: 1\n b: 2", 2),
        ("yaml", "a: 1\na: 2", 0),
        ("toml", "a = 1\nb = ", 2),
        ("toml", "a = 1\na = 2", 2),
    ],
)
def test_not_valid_with_a_place(language: str, text: str, line: int) -> None:
    result = run(language, "validate", text)
    assert result.ok is False
    assert result.findings[0].line == line
    assert result.findings[0].message


@pytest.mark.parametrize(
    "text", ["select a, from t", "select * users", "delete form t", "call p(1)", "select a b c d(1"]
)
def test_sql_that_only_a_lenient_parser_takes_is_never_called_valid(text: str) -> None:
    try:
        assert run("sql", "validate", text).ok is False
    except CannotAnswer:
        pass


def test_lint_finds_and_finds_nothing() -> None:
    result = run("python", "lint", "import os\nimport sys\n\nprint(sys.argv)\nx = undefined\n")
    assert [(one.code, one.line) for one in result.findings] == [("F401", 1), ("F821", 5)]
    assert result.ok is False
    assert run("python", "lint", "x = 1\n").ok is True
    only = run("python", "lint", "import os\nx = undefined\n", Options(select=("F401",)))
    assert [one.code for one in only.findings] == ["F401"]


def test_lint_text_is_never_an_argument_or_a_configuration() -> None:
    assert run("python", "lint", "--config=/etc/passwd\n").ok is False
    assert run("python", "lint", "import os  # noqa\n").ok is True


def test_python_format() -> None:
    assert run("python", "format", "x=1  # c\ny =  {'a':1}\n").text == 'x = 1  # c\ny = {"a": 1}'
    assert run("python", "format", "if x:\n  y()\n", Options(indent="\t")).text == "if x:\n\ty()"
    with pytest.raises(CannotAnswer):
        run("python", "format", "def f(:\n")


@pytest.mark.parametrize(
    ("text", "made"),
    [
        (
            "select id, name from users where age > 18 and ok order by name",
            "SELECT\n  id,\n  name\nFROM users\nWHERE age > 18\n  AND ok\nORDER BY\n  name",
        ),
        (
            "select a from (select b from t where c between 1 and 2) x;",
            "SELECT\n  a\nFROM (\n  SELECT\n    b\n  FROM t\n  WHERE c BETWEEN 1 AND 2\n) x;",
        ),
        ("select count(*) from t group by a", "SELECT\n  count(*)\nFROM t\nGROUP BY\n  a"),
    ],
)
def test_sql_format(text: str, made: str) -> None:
    assert run("sql", "format", text).text == made
    assert run("sql", "format", made).text == made


@pytest.mark.parametrize(
    "text",
    [
        "select a from t where b is not null and c not in (1, 2)",
        "select a from t where b != 3",
        "select date_trunc('month', d) from t where d > now() - interval '7 days'",
        "select a from t for update",
        "create table t (id integer primary key autoincrement)",
    ],
)
def test_ordinary_sql_is_formatted_and_mostly_called_valid(text: str) -> None:
    assert run("sql", "format", text).text
    try:
        assert run("sql", "validate", text).ok
    except CannotAnswer:
        pass


def test_a_named_dialect_decides() -> None:
    text = "select `a` from t"
    assert run("sql", "validate", text, Options(dialect="mysql")).ok
    with pytest.raises(CannotAnswer):
        run("sql", "validate", text, Options(dialect="postgres"))


@pytest.mark.parametrize("text", ["select a -- why\nfrom t", "select a from", "select a, from t"])
def test_sql_format_declines(text: str) -> None:
    with pytest.raises(CannotAnswer):
        run("sql", "format", text)


def test_sql_format_keeps_names_and_strings() -> None:
    made = run("sql", "format", "select Name, \"From\" from Users where x = 'select  from' and Y like 'a%'").text
    assert "'select  from'" in made
    assert '"From"' in made
    assert "Name" in made
    assert "Users" in made


def test_xml_format() -> None:
    text = '<r a="1"><i>x y</i><j><k/></j><!-- c --></r>'
    made = run("xml", "format", text).text
    assert made == '<r a="1">\n  <i>x y</i>\n  <j>\n    <k/>\n  </j>\n  <!-- c -->\n</r>'
    assert run("xml", "format", made).text == made


@pytest.mark.parametrize(
    "text",
    [
        "<p>mixed <b>content</b></p>",
        '<p xml:space="preserve"><b/></p>',
        "<p><![CDATA[ x ]]></p>",
        "<p><b></p>",
        '<!DOCTYPE r [<!ENTITY a "aaa">]><r>&a;</r>',
        '<!DOCTYPE r SYSTEM "file:///etc/passwd"><r/>',
        "<a>" * 300 + "</a>" * 300,
    ],
)
def test_xml_that_cannot_be_indented_safely_is_declined(text: str) -> None:
    with pytest.raises(CannotAnswer):
        run("xml", "format", text)


@pytest.mark.parametrize("action", ["validate", "format"])
def test_xml_entity_bombs_are_declined(action: str) -> None:
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 9))
    with pytest.raises(CannotAnswer):
        run("xml", action, f'<!DOCTYPE r [<!ENTITY a0 "x">{entities}]><r>&a8;</r>')


def test_yaml_format_keeps_comments_and_quotes() -> None:
    made = run("yaml", "format", "a:   # why\n    b:   'x'\n    c: [1,2]\n").text
    assert made == "a:   # why\n  b: 'x'\n  c: [1, 2]"


def test_yaml_format_declines_aliases() -> None:
    with pytest.raises(CannotAnswer):
        run("yaml", "format", "a: &x [1]\nb: *x\n")


def test_toml_format() -> None:
    text = 'title="x"\n[ owner ]\nage=3\n[[rows]]\na=1'
    made = run("toml", "format", text).text
    assert made == 'title = "x"\n\n[owner]\nage = 3\n\n[[rows]]\na = 1'
    assert tomllib.loads(made) == tomllib.loads(text)
    with pytest.raises(CannotAnswer):
        run("toml", "format", "a=1 # why")


@pytest.mark.parametrize(
    ("language", "action"), [("python", "validate"), ("python", "lint"), ("sql", "validate"), ("xml", "validate")]
)
def test_nested_bombs_have_an_end(language: str, action: str) -> None:
    for text in ("(" * 50_000, "[" * 50_000, "<a>" * 50_000, "select " + "(" * 10_000, "-" * 15_000 + "1"):
        try:
            assert run(language, action, text).ok in (True, False)
        except CannotAnswer:
            pass


def test_a_tool_that_is_not_there() -> None:
    with pytest.raises(CannotAnswer, match="no tool to lint xml"):
        run("xml", "lint", "<a/>")
