"""JSON: format, minify, sort keys, validate. Needs no extra.

Proof: the lexemes of the answer are the lexemes of the input, in the same order (for sorted keys: the same
members in every object). Nothing is re-parsed through a library that could round a number.
"""

from __future__ import annotations

from dataclasses import replace

from rung.tools import lossless
from rung.tools.result import CannotAnswer, Finding, Options, Result

INDENT = "  "


def format_(text: str, options: Options) -> Result:
    """Re-indent (default two spaces) or, with `options.minify`, put on one line; `options.sort_keys` sorts.

    Raises CannotAnswer when the text is not JSON, repeats a key, or is over a limit.
    """
    try:
        value = lossless.require_unique_keys(lossless.parse(text))
    except lossless.InvalidJson as error:
        raise CannotAnswer(f"the payload is not valid JSON ({error.finding.code})") from None
    made = lossless.sort_keys(value) if options.sort_keys else value
    out = lossless.write(made, None if options.minify else (INDENT if options.indent is None else options.indent))
    _prove(text, value, out, options.sort_keys)
    return Result(out, "json")


def _prove(text: str, value: lossless.Value, out: str, reordered: bool) -> None:
    if reordered:
        same = lossless.same_members(value, lossless.parse(out, max_chars=1 << 30).value)
    else:
        same = lossless.tokens(text) == lossless.tokens(out)
    if not same:
        raise CannotAnswer("the result could not be proved equal to the input")


def validate(text: str, options: Options) -> Result:
    """`ok` by RFC 8259, with the place of the first fault. Repeated keys are valid JSON and are told.

    Raises TooBig beyond the limits: nothing is said about a document that was not read.
    """
    try:
        document = lossless.parse(text)
    except lossless.InvalidJson as error:
        return Result(ok=False, findings=(error.finding,))
    findings = tuple(_duplicate(key) for key in document.duplicates[:20])
    return Result(ok=True, findings=findings)


def _duplicate(key: str) -> Finding:
    shown = key if len(key) <= 40 else key[:37] + '..."'
    return Finding(
        f"the key {shown} occurs more than once in one object",
        code="duplicate-key",
        fr=f"la clé {shown} apparaît plusieurs fois dans un objet",
    )


def minify(text: str, options: Options) -> Result:
    """`format_` onto one line, without spaces between tokens."""
    return format_(text, replace(options, minify=True))
