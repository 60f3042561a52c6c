"""XML: well-formedness by defusedxml (no DTD, no entities, nothing fetched), and indentation where it is safe.

White space counts in XML. Only elements that hold nothing but elements are re-indented; text stays as it is,
and a document with mixed content, ``xml:space`` or CDATA is declined.
"""

from __future__ import annotations

import re
from typing import Any

from rung.tools.extras import load
from rung.tools.result import CannotAnswer, Finding, Options, Result, TooBig

MAX_CHARS = 200_000
MAX_DEPTH = 200
_PIECE = re.compile(
    r"<!--.*?-->|<\?.*?\?>|<!\[CDATA\[.*?\]\]>|<[^!?](?:[^<>\"']|\"[^\"]*\"|'[^']*')*>|[^<]+", re.DOTALL
)


def _root(text: str) -> Any:
    if len(text) > MAX_CHARS:
        raise TooBig(f"the XML has more than {MAX_CHARS} characters")
    defused = load("defusedxml.ElementTree")
    common = load("defusedxml.common")
    declared = re.match(r"\s*<\?xml[^>]*encoding=[\"']([^\"']+)", text)
    if declared and declared[1].lower() not in ("utf-8", "utf8", "ascii", "us-ascii"):
        raise CannotAnswer("the XML declares another encoding")
    try:
        return defused.fromstring(text.strip("\n").encode(), forbid_dtd=True)
    except (common.DefusedXmlException, UnicodeEncodeError):
        raise CannotAnswer("the XML has a DTD or entities") from None


def validate(text: str, options: Options) -> Result:
    """`ok` if the document is well-formed, with the place of the first fault. DTDs and entities are declined."""
    try:
        root = _root(text)
    except SyntaxError as error:
        line, column = getattr(error, "position", (0, -1))
        line += len(text) - len(text.lstrip("\n"))
        return Result(ok=False, findings=(Finding(str(error).partition(":")[0], line, column + 1, "xml"),))
    del root
    return Result(ok=True)


def format_(text: str, options: Options) -> Result:
    """Each child element on its own line. Proved by comparing elements, attributes and texts of both trees."""
    if options.sort_keys or options.minify:
        raise CannotAnswer("XML has no such format")
    try:
        before = _shape(_root(text), 0)
        made = _indent(text, "  " if options.indent is None else options.indent)
        after = _shape(_root(made), 0)
    except SyntaxError:
        raise CannotAnswer("the payload is not well-formed XML") from None
    kept = [one for one in _PIECE.findall(text) if one.strip()] == [one for one in _PIECE.findall(made) if one.strip()]
    if before != after or not kept:
        raise CannotAnswer("the result could not be proved equal to the input")
    return Result(made, "xml")


def _shape(node: Any, depth: int) -> Any:
    """An element as a tuple. Raises CannotAnswer for mixed content and depth."""
    if depth > MAX_DEPTH:
        raise TooBig("the XML is nested too deep")
    children = list(node)
    text = node.text or ""
    if children:
        if text.strip() or any((child.tail or "").strip() for child in children):
            raise CannotAnswer("the XML has mixed content")
        text = ""
    if any(name.endswith("}space") for name in node.attrib):
        raise CannotAnswer("the XML keeps its white space")
    return (node.tag, tuple(node.attrib.items()), text, tuple(_shape(child, depth + 1) for child in children))


def _indent(text: str, indent: str) -> str:
    pieces = _PIECE.findall(text)
    if "".join(pieces) != text or "<![CDATA[" in text:
        raise CannotAnswer("the XML holds something that cannot be indented safely")
    out: list[str] = []
    level = 0
    glue = False
    for i, piece in enumerate(pieces):
        if not piece.startswith("<"):
            following = pieces[i + 1] if i + 1 < len(pieces) else ""
            leaf = _opens(pieces[i - 1]) and following.startswith("</") if i else False
            if piece.strip() and not leaf:
                raise CannotAnswer("the XML has mixed content")
            if leaf:
                out[-1] += piece
                glue = True
            continue
        if piece.startswith("</"):
            level -= 1
            if glue or _opens(pieces[i - 1]):
                out[-1] += piece
            else:
                out.append(indent * level + piece)
        else:
            out.append(indent * level + piece)
            level += _opens(piece)
        glue = False
    return "\n".join(out)


def _opens(piece: str) -> bool:
    return piece[:1] == "<" and piece[1:2] not in ("/", "!", "?") and not piece.endswith("/>")
