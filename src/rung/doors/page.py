"""The page: its files, what it watches, what it shows on demand. No text of any call is in any of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from itertools import islice
from typing import Any

import msgspec
import orjson

from rung.doors.reply import NO_STORE, SSE, Reply, head, send_whole
from rung.gateway import Gateway
from rung.store.ledger import tail
from rung.watching import reason
from rung.web.pages import CSP, LANGUAGES, asset

LOOK = 2.0
"""seconds between two looks whether the gateway is about to stop"""

BEAT = 10
"""looks without news after which a comment keeps the connection open"""

RECENT = 60
"""climbs a page begins with"""

_STREAM = head([SSE, NO_STORE])
_JSON = head(["content-type: application/json", NO_STORE])
_KEPT_BACK = ("request_text", "answer_text", "fingerprint", "tenant", "session", "id")


async def events(gateway: Gateway, reply: Reply, state: Mapping[str, Any], *, head_only: bool = False) -> None:
    """Every climb as it ends, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html):
    ``climb`` with JSON, ``missed`` with a number. Ends when the gateway does."""
    if head_only:
        await send_whole(reply, 200, _STREAM, b"")
        return
    watcher = gateway.watchers.join()
    try:
        reply.begin(200, _STREAM)
        await reply.write(b"retry: 3000\n\n", True)
        quiet = 0
        while not state.get("draining"):
            climbs, missed = await watcher.next(LOOK)
            frames = [b"event: missed\ndata: %d\n\n" % missed] if missed else []
            frames += [b"event: climb\ndata: " + told + b"\n\n" for told in climbs]
            quiet = 0 if frames else quiet + 1
            if quiet == BEAT:
                frames, quiet = [b": still here\n\n"], 0
            if frames:
                await reply.write(b"".join(frames), True)
        await reply.write(b"event: end\ndata: \n\n")
    finally:
        gateway.watchers.leave(watcher)


async def file(path: str, language: str, reply: Reply) -> bool:
    """Serve the page's file at `path`; False if there is none."""
    found = await asyncio.to_thread(asset, path, language)  # the first time from disk
    if found is None:
        return False
    kind, content = found
    lines = [f"content-type: {kind}", "cache-control: no-cache", f"content-security-policy: {CSP}"]
    lines += ["x-content-type-options: nosniff", "referrer-policy: no-referrer"]
    await send_whole(reply, 200, head(lines), content)
    return True


async def told(gateway: Gateway, path: str, reply: Reply) -> None:
    """``/admin/climbs``, ``/admin/verdict`` or ``/admin/verdict/LANGUAGE``: read in a thread, so that no call waits
    for it."""
    read = _climbs if path == "/admin/climbs" else _VERDICTS[path]
    await send_whole(reply, 200, _JSON, await asyncio.to_thread(read, gateway))


def _climbs(gateway: Gateway) -> bytes:
    """The last climbs, newest last, as the ledger has them, without texts and without who asked."""
    path = gateway.settings.ledger.path
    if not gateway.settings.ledger.enabled or not path.exists():
        return b'{"climbs":[]}'
    rows = []
    for row in islice(tail(path, RECENT), RECENT):
        shown = {name: value for name, value in row.items() if name not in _KEPT_BACK}
        private = bool(row["private"])
        steps = [step | {"reason": reason(step.get("reason", ""), private)} for step in orjson.loads(row["attempts"])]
        rows.append(shown | {"attempts": steps} | ({"task": ""} if private else {}))
    return orjson.dumps({"climbs": rows})


def _verdict(gateway: Gateway, language: str = LANGUAGES[0]) -> bytes:
    # Here and not above: reports take megabytes, for those who ask.
    verdicts, page, words = (import_module(f"rung.{name}") for name in ("verdicts", "report.page", "report.words"))
    verdict = verdicts.weigh(gateway.settings, gateway.trust_cells().get("cells", []), say=words.Words(language))
    shown = {"verdict": msgspec.to_builtins(verdict), "html": page.body(verdict)}
    return orjson.dumps(shown)


_VERDICTS: dict[str, Callable[[Gateway], bytes]] = {
    "/admin/verdict": _verdict,
    **{f"/admin/verdict/{one}": partial(_verdict, language=one) for one in LANGUAGES},
}

ROUTES = ("/admin/events", "/admin/climbs", *_VERDICTS)
