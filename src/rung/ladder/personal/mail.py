"""Mail addresses (RFC 5321 in its everyday form), but for the domains that belong to nobody (RFC 2606, RFC 6761)."""

from __future__ import annotations

import re

_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")
_DOMAIN = re.compile(r"((?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8})([^\W\d_]{2,24}|xn--[a-z0-9-]{2,59})(?![\w@(]|[.-]\w)")
_NOBODY = frozenset(("example", "test", "invalid", "localhost", "local", "internal"))
_NOBODYS = frozenset(("example.com", "example.net", "example.org"))
_MACHINES = frozenset(("git", "hg", "svn"))
"""who logs in by these names is no person: ``git@github.com:owner/name``"""

_GENERIC = frozenset(
    re.findall(
        r"\w+",
        """academy agency app art asia berlin bio biz blog cafe care cash cat center chat city cloud club codes coffee
        com community company computer consulting cool coop cymru dental design dev digital directory earth edu
        education email energy engineering enterprises eus events expert family fashion film finance fit foundation
        fun fund gal gallery games gmbh gov group guide guru hamburg health help holdings host hosting house
        industries info institute insurance int international investments io jobs koeln law legal life link live llc
        london ltd management market marketing media mil mobi money moscow museum name net network news nyc online
        org page paris partners photo photography pink plus post press pro productions properties pub quebec red
        rest restaurant review reviews rocks run sale school science scot services shop show site social software
        solutions space store studio style support swiss systems team tech technology tel tennis tokyo tools top
        tours town toys trade training travel university ventures vet video vip vision wales watch website wien wiki
        win work works world wtf xyz yoga zone zurich""",
    )
)
"""the generic top-level domains in wide use; of two letters all count"""


def has_email(text: str) -> bool:
    at = text.find("@")
    while at >= 0:
        if _is_email(text, at):
            return True
        at = text.find("@", at + 1)
    return False


def _is_email(text: str, at: int) -> bool:
    domain = _DOMAIN.match(text, at + 1)
    if domain is None:
        return False
    labels, top = domain[1].lower(), domain[2].lower()
    if len(top) > 2 and top.isascii() and not top.startswith("xn--") and top not in _GENERIC:
        return False
    if top in _NOBODY or f"{labels}{top}".endswith(tuple(f".{name}" for name in _NOBODYS)):
        return False
    if f"{labels}{top}" in _NOBODYS:
        return False
    local = _LOCAL.search(text[max(at - 64, 0) : at])
    if local is None:
        return False
    name = local[0].strip("'`{|}").rpartition("://")[2].rpartition("=")[2].rpartition("/")[2]
    return name not in _MACHINES and not name.startswith(".") and any(letter.isalnum() for letter in name)
