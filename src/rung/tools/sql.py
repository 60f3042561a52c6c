"""SQL: syntax and layout, by sqlglot.

sqlglot reads more than SQL has (``select a, from t``), and every dialect reads something else. So ``valid`` is
said only when the statement, written back by sqlglot, has the tokens it came with; ``not valid`` only when
no dialect takes it; between the two the tool declines. Layout moves white space and the case of reserved
words only: the token stream is the proof.
"""

from __future__ import annotations

import logging
import re
from itertools import pairwise
from typing import Any

from rung.tools.extras import load
from rung.tools.result import CannotAnswer, Finding, Options, Result, TooBig

MAX_CHARS = 16_000
DIALECTS = ("", "postgres", "mysql", "sqlite", "tsql", "oracle", "bigquery", "snowflake", "duckdb", "spark")
_LEADS = frozenset(
    re.split(
        r",\s*",
        """SELECT, FROM, WHERE, GROUP BY, ORDER BY, HAVING, LIMIT, OFFSET, UNION, UNION ALL, EXCEPT, INTERSECT, VALUES,
        SET, RETURNING, WITH, INSERT INTO, INSERT, UPDATE, DELETE FROM, DELETE, JOIN, LEFT JOIN, RIGHT JOIN, INNER JOIN,
        FULL JOIN, CROSS JOIN, NATURAL JOIN, LEFT OUTER JOIN, RIGHT OUTER JOIN, FULL OUTER JOIN, ON""",
    )
)
_RESERVED = frozenset(
    re.findall(
        r"\w+",
        """SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT OFFSET UNION ALL EXCEPT INTERSECT VALUES SET RETURNING WITH
        INSERT INTO UPDATE DELETE JOIN LEFT RIGHT INNER FULL CROSS OUTER NATURAL ON USING AND OR NOT IN IS NULL LIKE
        BETWEEN EXISTS CASE WHEN THEN ELSE END AS DISTINCT ASC DESC CREATE TABLE PRIMARY KEY FOREIGN REFERENCES
        DEFAULT UNIQUE INDEX VIEW DROP ALTER ADD COLUMN""",
    )
)
_BREAKS = ("AND", "OR")
_LISTS = ("SELECT", "GROUP BY", "ORDER BY", "SET")
_TIGHT_BEFORE = frozenset([",", ")", ";", ".", "::", "]"])
_TIGHT_AFTER = frozenset(["(", ".", "::", "["])


def _sqlglot() -> Any:
    module = load("sqlglot")
    # Its warnings quote the statement: text of a request must not reach a log.
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    return module


def _limit(text: str) -> None:
    if len(text) > MAX_CHARS:
        raise TooBig(f"the SQL has more than {MAX_CHARS} characters")
    depth = deepest = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)
    if deepest > 50:
        raise TooBig("the SQL is nested too deep")


def validate(text: str, options: Options) -> Result:
    """`ok` by syntax alone: tables and columns are not known. Raises CannotAnswer where dialects disagree, or where
    others take what the dialect that was named does not."""
    _limit(text)
    sqlglot = _sqlglot()
    finding = None
    first = options.dialect or DIALECTS[0]
    read = False
    for dialect in (first, *(one for one in DIALECTS if one != first)):
        try:
            trees = sqlglot.parse(text, read=dialect or None)
        except sqlglot.errors.ParseError as error:
            finding = finding or _finding(error)
        except sqlglot.errors.TokenError:
            finding = finding or Finding("the statement cannot be split into tokens: an open quote?", code="sql")
        else:
            if dialect != first and options.dialect:
                raise CannotAnswer("another dialect takes this statement")
            if _faithful(sqlglot, text, trees, dialect):
                return Result(ok=True)
            if all(tree is not None and _is_no_statement(sqlglot, tree) for tree in trees):
                finding = finding or Finding("this is not a statement", 1, 1, "sql", "ce n'est pas une instruction")
                continue
            read = True
    if read:
        raise CannotAnswer("SQL dialects may disagree on this statement")
    return Result(ok=False, findings=(finding,) if finding else ())


def _is_read(sqlglot: Any, text: str, dialect: str) -> bool:
    """Whether a dialect's parser takes the text as statements. Enough for layout, which keeps every token."""
    try:
        trees = sqlglot.parse(text, read=dialect or None)
    except (sqlglot.errors.ParseError, sqlglot.errors.TokenError):
        return False
    if not any(trees) or not all(tree is None or isinstance(tree, _statements(sqlglot)) for tree in trees):
        return False
    return _finished(_words(sqlglot, text, dialect))


def _statements(sqlglot: Any) -> tuple[type, ...]:
    names = ("Query", "DML", "DDL", "Create", "Drop", "Alter", "Update", "Delete")
    return tuple(getattr(sqlglot.exp, name) for name in names)


def _is_no_statement(sqlglot: Any, tree: Any) -> bool:
    return isinstance(tree, sqlglot.exp.Alias | sqlglot.exp.Column | sqlglot.exp.Identifier)


def _faithful(sqlglot: Any, text: str, trees: list[Any], dialect: str) -> bool:
    trees = [tree for tree in trees if tree is not None]
    if not trees or not all(isinstance(tree, _statements(sqlglot)) for tree in trees):
        return False
    if any(isinstance(star.parent, sqlglot.exp.Alias) for tree in trees for star in tree.find_all(sqlglot.exp.Star)):
        return False
    if any(isinstance(tree, sqlglot.exp.Delete) and tree.args.get("tables") for tree in trees):
        return False  # MySQL's ``delete t from ...``, or ``from`` misspelt
    made = "; ".join(tree.sql(dialect=dialect or None) for tree in trees)
    words = _words(sqlglot, text, dialect)
    if not _finished(words):
        return False  # sqlglot takes ``order`` for an alias in ``select * from t order``
    # sqlglot writes ``x is not null`` as ``not x is null``: the same tokens, in another order.
    return sorted(words) == sorted(_words(sqlglot, made, dialect))


_OPTIONAL = frozenset(["AS", ";", "INNER", "OUTER", "ASC", "(", ")"])
_SYNONYMS = {"!=": "<>", "IFNULL": "COALESCE", "NVL": "COALESCE", "SUBSTR": "SUBSTRING", "INT": "INTEGER"}
_UNFINISHED = _RESERVED - frozenset(
    ["END", "NULL", "ALL", "ASC", "DESC", "DEFAULT", "KEY", "VIEW", "TABLE", "INDEX", "UNIQUE", "UPDATE"]
)
_COMPARE = ("=", "<", ">", "<>", "<=", ">=")
_IMPOSSIBLE = {(one, two) for one in _COMPARE for two in _COMPARE} | {
    ("SET", "WHERE"),
    ("SELECT", "WHERE"),
    (",", "FROM"),
    (",", "WHERE"),
    ("FROM", "FROM"),
}


def _finished(words: list[str]) -> bool:
    return bool(words) and words[-1] not in _UNFINISHED and not any(two in _IMPOSSIBLE for two in pairwise(words))


def _words(sqlglot: Any, text: str, dialect: str) -> list[str]:
    """Tokens for comparison: by text, without case and without the words SQL lets one leave out."""
    found = [
        repr(token.text.upper()) if token.token_type.name == "STRING" else token.text.upper()
        for token in sqlglot.tokenize(text, read=dialect or None)
    ]
    return [_SYNONYMS.get(one, one) for one in found if one not in _OPTIONAL]


def _finding(error: Any) -> Finding:
    first = error.errors[0] if error.errors else {}
    message = str(first.get("description") or "the statement cannot be parsed")
    message = message.partition(" <Token")[0].partition(" for <class")[0].rstrip(". ")
    return Finding(message, first.get("line") or 0, first.get("col") or 0, "sql")


def format_(text: str, options: Options) -> Result:
    """One clause a line, select lists and conditions one a line, reserved words in capitals.

    Raises CannotAnswer for comments (their place would be a guess) and for what does not parse.
    """
    _limit(text)
    if options.sort_keys or options.minify:
        raise CannotAnswer("SQL has no such format")
    sqlglot = _sqlglot()
    if not any(_is_read(sqlglot, text, dialect) for dialect in DIALECTS):
        raise CannotAnswer("the payload is not valid SQL")
    tokens = sqlglot.tokenize(text)
    if any(token.comments for token in tokens):
        raise CannotAnswer("the SQL has comments")
    lexemes = [text[token.start : token.end + 1] for token in tokens]
    if "".join("".join(lexemes).split()) != "".join(text.split()):
        raise CannotAnswer("the SQL could not be split into tokens without loss")
    made = _layout(lexemes, "  " if options.indent is None else options.indent)
    if _fold(lexemes) != _fold([made[token.start : token.end + 1] for token in sqlglot.tokenize(made)]):
        raise CannotAnswer("the result could not be proved equal to the input")
    return Result(made, "sql")


def _fold(lexemes: list[str]) -> list[str]:
    """Lexemes, reserved words without case, the space inside two-word tokens evened out."""
    return [" ".join(one.split()).upper() if _words_reserved(one) else one for one in lexemes]


def _words_reserved(lexeme: str) -> bool:
    return all(word.upper() in _RESERVED for word in lexeme.split())


def _layout(lexemes: list[str], indent: str) -> str:
    flat = [word for lexeme in lexemes for word in (lexeme.split() if _words_reserved(lexeme) else [lexeme])]
    out = _Layout(indent)
    i = 0
    while i < len(flat):
        size = next(
            (n for n in (3, 2, 1) if " ".join(flat[i : i + n]).upper() in _LEADS and len(flat[i : i + n]) == n), 0
        )
        if size:
            out.lead(" ".join(flat[i : i + size]).upper())
            i += size
        else:
            out.word(flat[i].upper() if flat[i].upper() in _RESERVED else flat[i])
            i += 1
    return out.text()


class _Layout:
    """Lines of a statement as they are made."""

    def __init__(self, indent: str) -> None:
        self.indent = indent
        self.lines: list[str] = [""]
        self.stack: list[tuple[bool, str]] = []  # per open bracket: is it a sub-query, and its clause outside
        self.base = 0
        self.clause = ""
        self.previous = ""
        self.between = False

    def lead(self, words: str) -> None:
        """A clause's first words: they begin a line, unless they stand inside an ordinary bracket."""
        opened = self.previous == "(" and words in ("SELECT", "WITH")
        if opened:
            self.stack[-1] = (True, self.stack[-1][1])
            self.base += 1
        elif words == "ON" or (self.stack and not self.stack[-1][0]):
            self.word(words)
            return
        self._line(self.base) if self.lines[-1].strip() else None
        self.lines[-1] += words
        self.clause, self.previous = words, words
        if words in _LISTS:
            self._line(self.base + 1)

    def word(self, word: str) -> None:
        """Any other lexeme."""
        plain = not self.stack or self.stack[-1][0]
        if word == ")" and self.stack:
            query, clause = self.stack.pop()
            if query:
                self.base -= 1
                self._line(self.base + (clause in _LISTS))
            self.clause = clause
        elif word in _BREAKS and plain and self.clause in ("WHERE", "HAVING") and not self.between:
            self._line(self.base + 1)
        self.between = word == "BETWEEN" or (self.between and word != "AND")
        glued = not self.lines[-1].strip() or word in _TIGHT_BEFORE or self.previous in _TIGHT_AFTER
        called = word == "(" and (self.previous.replace("_", "a").isalnum() and self.previous not in _RESERVED)
        self.lines[-1] += word if glued or called else " " + word
        if word == "(":
            self.stack.append((False, self.clause))
        if word == "," and plain and self.clause in _LISTS:
            self._line(self.base + 1)
        if word == ";" and not self.stack:
            self._line(0)
            self.base, self.clause = 0, ""
        self.previous = word

    def _line(self, level: int) -> None:
        if self.lines[-1].strip():
            self.lines.append("")
        self.lines[-1] = self.indent * level

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines if line.strip())
