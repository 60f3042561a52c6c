"""TOML: validate, by the standard library's reader (TOML 1.0), and even out spacing where that is safe."""

from __future__ import annotations

import re
import tomllib

from rung.tools.result import CannotAnswer, Finding, Options, Result, TooBig

MAX_CHARS = 64_000
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_PAIR = re.compile(r"\s*([A-Za-z0-9_.\"' -]+?)\s*=\s*(\S.*?)\s*")
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*(\]\]?)\s*")


def _check(text: str) -> None:
    if len(text) > MAX_CHARS:
        raise TooBig(f"the TOML has more than {MAX_CHARS} characters")
    if re.search(r"(?:[\[{]\s*){60}", text) or re.search(r"(?:[\w-]+\s*\.\s*){100}", text):
        raise TooBig("the TOML is nested too deep")


def validate(text: str, options: Options) -> Result:
    """`ok` by TOML 1.0, with the place of the first fault."""
    _check(text)
    try:
        tomllib.loads(text, parse_float=str)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = _PLACE.search(message)
        line, column = (int(found[1]), int(found[2])) if found and found[1] else (text.count("\n") + 1, 0)
        return Result(ok=False, findings=(Finding(_PLACE.sub("", message), line, column or 1, "toml"),))
    except ValueError:
        raise CannotAnswer("a number of the TOML is too long") from None
    return Result(ok=True)


def format_(text: str, options: Options) -> Result:
    """One space around ``=``, none inside headers, one blank line before each. Values stay as written.

    Raises CannotAnswer for what spans lines or holds comments. Proved by reading both texts.
    """
    _check(text)
    if options.sort_keys or options.minify or options.indent is not None:
        raise CannotAnswer("TOML is only evened out")
    if '"""' in text or "'''" in text or "#" in text:
        raise CannotAnswer("the TOML has comments or long strings")
    out: list[str] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        if header := _HEADER.fullmatch(line):
            out += ["", f"{header[1]}{header[2]}{header[3]}"]
        elif pair := _PAIR.fullmatch(line):
            out.append(f"{pair[1]} = {pair[2]}")
        else:
            raise CannotAnswer("a value of the TOML spans lines")
    made = "\n".join(out).strip("\n")
    try:
        same = tomllib.loads(text, parse_float=str) == tomllib.loads(made, parse_float=str)
    except ValueError:
        raise CannotAnswer("the payload is not valid TOML") from None
    if not same:
        raise CannotAnswer("the result could not be proved equal to the input")
    return Result(made, "toml")
