"""The page's files, read once: a frame, a style, a script, and the words of each language."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent

CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # noqa: E501
"""nothing from elsewhere, nothing inline (https://www.w3.org/TR/CSP3/)"""

LANGUAGES = ("en", "fr")

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


@cache
def _files() -> dict[str, tuple[str, bytes]]:
    found = (path for path in sorted(_HERE.iterdir()) if path.suffix in _KINDS)
    return {f"/page/{path.name}": (_KINDS[path.suffix], path.read_bytes()) for path in found}


def asset(path: str, language: str = "") -> tuple[str, bytes] | None:
    """-> (media type, bytes) of ``/`` or ``/page/NAME``; else None. `language`: an Accept-Language value."""
    if path != "/":
        return _files().get(path)
    kind, frame = _files()["/page/index.html"]
    return kind, frame.replace(b'lang="en"', f'lang="{chosen(language)}"'.encode(), 1)


def chosen(language: str) -> str:
    """The language of `LANGUAGES` that an Accept-Language value (RFC 9110 §12.5.4) prefers."""
    wanted = []
    for place, part in enumerate(language.split(",")[:20]):
        name, _, weight = part.partition(";q=")
        try:
            rank = float(weight) if weight else 1.0
        except ValueError:
            continue
        wanted.append((-rank, place, name.strip().lower()[:2]))
    return next((name for rank, _, name in sorted(wanted) if name in LANGUAGES and rank), LANGUAGES[0])
