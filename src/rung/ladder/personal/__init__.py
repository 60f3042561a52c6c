"""Does a text hold personal data or secrets? Mail addresses, phones, IBANs, cards; keys, tokens, passwords.

Everything is found by its form and, where there is one, its check digits; nothing is guessed from meaning, so names
and street addresses are not found. Every look takes linear time: patterns are tried only where a plain search has
found their beginning, and none can go back further than a bounded number of characters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from rung.ladder.personal.mail import has_email
from rung.ladder.personal.numbers import has_card, has_iban, has_phone
from rung.ladder.personal.secrets import has_key
from rung.ladder.personal.text import plain

KINDS: Mapping[str, Callable[[str], bool]] = {
    "email": has_email,
    "phone": has_phone,
    "iban": has_iban,
    "card": has_card,
    "key": has_key,
}
"""what can be looked for; ``key``: API keys, tokens, private keys, passwords written as such"""

LONGEST = 4 * 1024 * 1024
"""characters of a request that are looked through"""

_MEDIA = ("data:image/", "data:audio/", "data:video/")
"""beginnings of what holds no text: pictures and sounds are not looked into"""


class Detector:
    """Looks for these `kinds` (of `KINDS`) and for these `words` (any case) in calls. Keeps nothing of them."""

    def __init__(self, kinds: Collection[str], words: Sequence[str] = ()) -> None:
        self._kinds = [(kind, has) for kind, has in KINDS.items() if kind in kinds]
        self._words = [plain(word).casefold() for word in words]

    def find(self, text: str) -> tuple[str, ...]:
        """The kinds that are in `text`, ``word`` for one of the words; never what was found."""
        text = plain(text)
        found = [kind for kind, has in self._kinds if has(text)]
        if self._words:
            folded = text.casefold()
            if any(word in folded for word in self._words):
                found.append("word")
        return tuple(found)

    def find_in(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        """The same for every text of a request, whatever member it stands in; ``too_long_to_read`` if it is."""
        text = "\n\0\n".join(texts(body))  # what begins in one text does not go on in the next
        return ("too_long_to_read",) if len(text) > LONGEST else self.find(text)


def texts(body: Any) -> Iterator[str]:
    """Every text in a JSON value, names of members included; pictures and sounds left out."""
    waiting = [body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            if not node.startswith(_MEDIA):
                yield node
        elif isinstance(node, Mapping):
            for name, value in node.items():
                if type(value) is str:
                    # together: `password` is the name of a member as often as it stands in a text
                    yield name if value.startswith(_MEDIA) else f"{name}: {value}"
                else:
                    yield name
                    waiting.append(value)
        elif isinstance(node, list):
            waiting += node
        elif isinstance(node, int) and not isinstance(node, bool):
            yield str(node)
