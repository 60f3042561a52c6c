"""Which calls are private, and what a private call may not hold, because answering it would fetch it from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from typing import Any

from rung.call import Call
from rung.errors import PrivacyError
from rung.ladder.personal import KINDS, Detector
from rung.ladder.task import classify

_REMOTE = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
"""a URL with an authority: http, https, ftp, s3, scheme-relative; not ``data:`` and not ``#/definitions``"""

_PARTS = ("image_url", "input_audio", "file", "video_url", "audio_url")


LONG = 64 * 1024
"""bytes from which looking through a call is worth a thread"""


class PrivateCalls:
    """The rules of ``[privacy]``: applied to a call before anything else sees it. They only ever make it private."""

    def __init__(
        self,
        *,
        every: bool = False,
        tenants: Collection[str] = (),
        detect: Collection[str] = (),
        words: Sequence[str] = (),
        models: Sequence[str] = (),
        tasks: Collection[str] = (),
    ) -> None:
        self._every = every
        self._tenants = frozenset(tenants)
        kinds = tuple(KINDS) if "all" in detect else tuple(detect)
        self._detector = Detector(kinds, words) if kinds or words else None
        self._models = tuple(models)
        self._tasks = frozenset(tasks)

    @property
    def idle(self) -> bool:
        """There is no rule: `apply` does nothing."""
        return not (self._every or self._tenants or self._detector or self._models or self._tasks)

    def slow(self, call: Call) -> bool:
        """Would `apply` take long enough to be noticed by other calls?"""
        return self._detector is not None and not call.private and len(call.raw) > LONG

    def apply(self, call: Call) -> None:
        """Mark `call` private if a rule says so, and note which kinds of data were found: never the data."""
        if self._every or call.tenant in self._tenants:
            call.private = True
        if self._models and any(fnmatchcase(call.model, pattern) for pattern in self._models):
            call.private, call.found = True, ("model",)
        if self._tasks and not call.private:
            if not call.task and call.model == "auto":
                recognise(call)
            if call.task in self._tasks:
                call.private, call.found = True, ("task",)
        if self._detector is not None and not call.private:
            found = self._detector.find_in(call.body)
            if found:  # and what is too long to be read may hold anything
                call.private, call.found = True, found


def recognise(call: Call) -> None:
    """Set the task of a call whose caller has not said it."""
    guess = classify(call.body)
    call.task, call.task_confidence = guess.task, guess.confidence
    call.task_why, call.task_by_rule = guess.why, guess.by_rule


def check_nothing_remote(call: Call) -> None:
    """Raises PrivacyError for media by URL and for schemas whose ``$ref`` points elsewhere.

    Whoever answers, a private call must make nobody open such an address.
    """
    for place, message in enumerate(call.body["messages"]):
        content = message.get("content")
        if isinstance(content, list) and any(_remote_part(part) for part in content):
            raise PrivacyError(
                "a private call cannot use media by URL: fetching it would leave this machine; send it inline",
                param=f"messages[{place}].content",
            )
    for name in ("response_format", "tools", "functions"):
        if _remote_ref(call.body.get(name)):
            raise PrivacyError(
                "a private call cannot use a $ref that points elsewhere; put the definition into the schema",
                param=name,
            )


def _remote_part(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    for name in _PARTS:
        held = part.get(name)
        urls = held.values() if isinstance(held, dict) else (held,)
        if any(isinstance(url, str) and _REMOTE.match(url) for url in urls):
            return True
    return False


def _remote_ref(schema: Any) -> bool:
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            ref = node.get("$ref")
            if isinstance(ref, str) and not ref.startswith("#"):
                return True
            waiting += node.values()
    return False
