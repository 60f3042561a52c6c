"""YAML: validate, format where that is safe, and the reader and writer of conversions, by ruamel.yaml.

YAML 1.1 and 1.2 readers disagree on ``yes``, ``010``, ``1:30`` and more: such scalars are never converted.
Documents are composed to nodes, never constructed: no tag of the input can name a type, and aliases (and so
their expansion) are declined.
"""

from __future__ import annotations

import io
import json
import re
from functools import cache
from typing import Any

from rung.tools.extras import load
from rung.tools.lossless import MAX_DEPTH, Array, Object, Value, text_of
from rung.tools.result import CannotAnswer, Finding, Options, Result, TooBig

MAX_CHARS = 16_000
"""ruamel.yaml's pure Python reader takes about 6 microseconds a character"""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-][0-9]+)?)?")
_AMBIGUOUS = re.compile(
    r"(?i:y|n|yes|no|on|off)|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|[-+]?[0-9.][0-9_.xobeE+-]*|="
)
_PLAIN = re.compile(r"[^\W\d_][\w ./@-]*(?<! )")
_RESERVED = re.compile(r"(?i:null|true|false|y|n|yes|no|on|off|nan|inf)")
_TAG = "tag:yaml.org,2002:"


@cache
def _reader_class() -> Any:
    """ruamel's YAML without its plug-ins, which it would look for on disk each time one is made."""
    return type("Yaml", (load("ruamel.yaml").YAML,), {"official_plug_ins": lambda self: []})


def _documents(text: str) -> list[Any]:
    """The node trees of a stream. Raises ruamel's MarkedYAMLError."""
    if len(text) > MAX_CHARS:
        raise TooBig(f"the YAML has more than {MAX_CHARS} characters")
    if re.search(r"(?:[\[{]\s*){100}", text):
        raise TooBig("the YAML is nested too deep")
    yaml = _reader_class()(typ="safe", pure=True)
    return list(yaml.compose_all(text))


def validate(text: str, options: Options) -> Result:
    """`ok` by YAML 1.2, with the place of the first fault."""
    error_class = load("ruamel.yaml.error").YAMLError
    try:
        documents = _documents(text)
    except error_class as error:
        return Result(ok=False, findings=(_finding(error),))
    except (ValueError, AttributeError, TypeError):
        raise CannotAnswer("the YAML reader could not say") from None
    if any(document is not None and _repeats_key(document) for document in documents):
        return Result(
            ok=False,
            findings=(Finding("a mapping repeats a key", code="duplicate-key", fr="clé répétée dans un objet"),),
        )
    return Result(ok=True)


def _finding(error: Any) -> Finding:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    message = getattr(error, "problem", None) or getattr(error, "context", None) or "the document cannot be read"
    return Finding(str(message), mark.line + 1 if mark else 0, mark.column + 1 if mark else 0, "yaml")


def _repeats_key(root: Any) -> bool:
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) in seen or isinstance(node.value, str):
            continue
        seen.add(id(node))
        if node.id == "mapping":
            keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key.value, str)]
            if len(set(keys)) != len(keys):
                return True
            for pair in node.value:
                stack += pair
        else:
            stack += node.value
    return False


def read(text: str, options: Options) -> Value:
    """One YAML document as a value. CannotAnswer for aliases, tags, other keys than text, and ambiguous scalars."""
    error_class = load("ruamel.yaml.error").YAMLError
    try:
        documents = _documents(text)
    except (error_class, ValueError, AttributeError, TypeError):
        raise CannotAnswer("the payload is not valid YAML") from None
    if len(documents) != 1 or documents[0] is None:
        raise CannotAnswer("the YAML holds no document, or more than one")
    return _value(documents[0], set(), 0)


def _value(node: Any, seen: set[int], depth: int) -> Value:
    if id(node) in seen:
        raise CannotAnswer("the YAML uses an alias")
    if depth > MAX_DEPTH:
        raise TooBig("the YAML is nested too deep")
    seen.add(id(node))
    if node.id == "mapping":
        made = Object((_key(key), _value(item, seen, depth + 1)) for key, item in node.value)
        if len({key for key, _ in made}) != len(made):
            raise CannotAnswer("the YAML repeats a key in one mapping")
        return made
    if node.id == "sequence":
        return Array(_value(item, seen, depth + 1) for item in node.value)
    return _scalar(node)


def _key(node: Any) -> str:
    if node.id != "scalar":
        raise CannotAnswer("a key of the YAML is not text")
    lexeme = _scalar(node)
    if not lexeme.startswith('"') or node.value == "<<":
        raise CannotAnswer("a key of the YAML is not text")
    return lexeme


def _scalar(node: Any) -> str:
    text = str(node.value)
    quoted = json.dumps(text, ensure_ascii=False)
    kind = str(node.tag).removeprefix(_TAG)
    if node.style is not None:
        if kind != "str":
            raise CannotAnswer("the YAML uses tags")
        return quoted
    if kind == "null" and text in ("", "~", "null"):
        return "null"
    if kind == "bool" and text in ("true", "false"):
        return text
    if kind in ("int", "float") and _NUMBER.fullmatch(text):
        return text
    if kind == "timestamp" and re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return quoted
    if kind == "str" and not _AMBIGUOUS.fullmatch(text):
        return quoted
    raise CannotAnswer("YAML readers disagree on a value of this document")


def write(value: Value, options: Options) -> str:
    """A value in block style, two spaces a level."""
    lines: list[str] = []
    _block(value, "", lines)
    return "\n".join(lines)


def _block(value: Value, pad: str, lines: list[str]) -> None:
    if isinstance(value, str) or not value:
        lines.append(pad + _flow(value))
    elif isinstance(value, Object):
        for key, item in value:
            _entry(pad + _flow(key) + ":", item, pad + "  ", lines)
    else:
        for item in value:
            if isinstance(item, str) or not item:
                lines.append(f"{pad}- {_flow(item)}")
            else:
                start = len(lines)
                _block(item, pad + "  ", lines)
                lines[start] = f"{pad}- {lines[start][len(pad) + 2 :]}"


def _entry(head: str, item: Value, pad: str, lines: list[str]) -> None:
    if isinstance(item, str) or not item:
        lines.append(f"{head} {_flow(item)}")
    else:
        lines.append(head)
        _block(item, pad, lines)


def _flow(value: Value) -> str:
    if not isinstance(value, str):
        return "{}" if isinstance(value, Object) else "[]"
    if not value.startswith('"'):
        if value[0] in "-0123456789" and not _NUMBER.fullmatch(value):
            raise CannotAnswer("YAML readers disagree on a number of this document")
        return value
    text = text_of(value)
    if _PLAIN.fullmatch(text) and not _RESERVED.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=False)


def format_(text: str, options: Options) -> Result:
    """Even indentation (default two spaces) by ruamel.yaml's round trip, comments and quotes kept.

    Proved by composing both texts: same nodes, tags, values and styles, and the same comments.
    """
    ruamel = load("ruamel.yaml")
    if options.sort_keys or options.minify or options.indent == "\t":
        raise CannotAnswer("YAML is only re-indented with spaces")
    width = len(options.indent or "  ")
    yaml = _reader_class()(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = 1 << 20
    yaml.indent(mapping=width, sequence=width + 2, offset=width)
    out = io.StringIO()
    try:
        before = _documents(text)
        if len(before) != 1 or text.lstrip().startswith(("---", "%")):
            raise CannotAnswer("the YAML holds more than one document")
        yaml.dump(yaml.load(text), out)
        made = out.getvalue().rstrip("\n")
        after = _documents(made)
    except (ruamel.error.YAMLError, ValueError, AttributeError, TypeError):
        raise CannotAnswer("the YAML cannot be formatted safely") from None
    if any(map(_has_alias, before)):
        raise CannotAnswer("the YAML uses an alias")
    if [_shape(one) for one in before] != [_shape(one) for one in after] or _comments(text) != _comments(made):
        raise CannotAnswer("the result could not be proved equal to the input")
    return Result(made, "yaml")


def _has_alias(root: Any) -> bool:
    """Whether a node is reached twice. Asked before any walk: aliases of aliases grow without end."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            return True
        seen.add(id(node))
        if node.id == "mapping":
            for pair in node.value:
                stack += pair
        elif node.id == "sequence":
            stack += node.value
    return False


def _shape(node: Any) -> Any:
    if node.id == "mapping":
        return ("map", node.anchor, [(_shape(key), _shape(item)) for key, item in node.value])
    if node.id == "sequence":
        return ("seq", node.anchor, [_shape(item) for item in node.value])
    return (node.tag, node.anchor, node.value, node.style)


def _comments(text: str) -> list[str]:
    return [found.strip() for found in re.findall(r"(?:^|\s)(#[^\n]*)", text)]
