"""What a private call may not hold, because answering it would fetch something from elsewhere."""

from __future__ import annotations

import re
from typing import Any

from rung.call import Call
from rung.errors import PrivacyError

_REMOTE = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
"""a URL with an authority: http, https, ftp, s3, scheme-relative; not ``data:`` and not ``#/definitions``"""

_PARTS = ("image_url", "input_audio", "file", "video_url", "audio_url")


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
