"""On which line of a TOML text each key and array element stands: the standard parser does not say.

Only for a text `tomllib` has accepted: what is wrong TOML is that parser's to tell, so nothing is checked
here a second time. Grammar: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]
"""Keys and array indices from the top of the document: ``("providers", "groq", "strip", 0)``"""

_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # up to two quotes may stand right before the closing three
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")  # numbers, booleans, dates; a date may hold a space
_DOT = re.compile(r"[ \t]*\.[ \t]*")


def positions(text: str) -> dict[Path, int]:
    """1-based line at which each key, table and array element of a valid TOML text is first written."""
    return _Scan(text).run()


class _Scan:
    """One pass over the text; `at` is the offset of what comes next."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.ends = [match.start() for match in re.finditer("\n", text)]
        self.lines: dict[Path, int] = {}
        self.last: dict[Path, int] = {}
        """arrays of tables -> index of their latest element"""

    def run(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip():
            if self._take("[["):
                table = self._element()
                self._take("]]")
            elif self._take("["):
                table = self._name((), self._keys())
                self._take("]")
            else:
                self._pair(table)
        return self.lines

    def _skip(self) -> bool:
        """Go past white space and comments; False at the end of the text."""
        found = _GAP.match(self.text, self.at)
        assert found is not None  # it matches nothing, too
        self.at = found.end()
        return self.at < len(self.text)

    def _take(self, word: str) -> bool:
        self._skip()
        if self.text.startswith(word, self.at):
            self.at += len(word)
            return True
        return False

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def _note(self, path: Path, offset: int) -> None:
        self.lines.setdefault(path, bisect_right(self.ends, offset) + 1)

    def _keys(self) -> list[tuple[str, int]]:
        """The parts of a dotted key, each with its offset."""
        parts = []
        while True:
            self._skip()
            start = self.at
            quoted = self._match(_STRING)
            # The standard parser undoes the escapes, so that there is one way to read a key.
            key = tomllib.loads(f"k = {quoted}")["k"] if quoted is not None else self._match(_BARE) or ""
            parts.append((key, start))
            if self._match(_DOT) is None:
                return parts

    def _name(self, path: Path, parts: list[tuple[str, int]]) -> Path:
        """Go down `parts` from `path`, noting each step; through an array of tables by its latest element."""
        for key, offset in parts:
            path = (*path, key)
            self._note(path, offset)
            if path in self.last:
                path = (*path, self.last[path])
        return path

    def _element(self) -> Path:
        """A ``[[header]]``: one more element of an array of tables."""
        *above, (key, offset) = self._keys()
        array = (*self._name((), above), key)
        self._note(array, offset)
        self.last[array] = self.last.get(array, -1) + 1
        element = (*array, self.last[array])
        self._note(element, offset)
        return element

    def _pair(self, table: Path) -> None:
        path = self._name(table, self._keys())
        self._take("=")
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip()
        if self._take("["):
            index = 0
            while self._skip() and not self._take("]"):
                self._note((*path, index), self.at)
                self._value((*path, index))
                self._take(",")
                index += 1
        elif self._take("{"):
            while self._skip() and not self._take("}"):
                self._pair(path)
                self._take(",")
        elif self._match(_STRING) is None and self._match(_SCALAR) is None:
            self.at += 1  # never for valid TOML; whatever comes, the scan ends
