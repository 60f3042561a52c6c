"""The same gateway asked by the fast path and by the slow one, and all that it has kept of it."""

import asyncio
import re
from contextlib import asynccontextmanager

import orjson

from rung.testing import completion_reply
from rung.wire.client import Client, Deadlines, Origin

PRICED = '[prices."mock:big"]\ninput = 0.1\noutput = 0.4\n'
SLOW = {"x-rung-mode": "auto"}
"""says nothing new, but a call that says anything is not plain"""

GOOD = completion_reply("a whole answer")
OWN = re.compile(rb"(?mi)^(?:x-rung-request-id|date|server-timing|content-length): .*\r\n")
CHANGING = re.compile(rb'127\.0\.0\.1:[0-9]+|[0-9]+\.[0-9] s|"request_id":"[0-9a-f]+"')
"""in bodies: whose port, how many seconds still, which call"""


def request(text="what?", **more):
    return {"model": "mock:big", "messages": [{"role": "user", "content": text}], "max_tokens": 9, **more}


class Seen:
    """One gateway, asked over HTTP, and what it has kept of that.

    `passages`: those of the fast path since the first call, each with whether it was `sent`.
    """

    def __init__(self, there, headers):
        self.gateway, self.upstream = there.gateway, there.upstream
        self.rows, self.taken, self.passages = [], [], []
        self._origin, _ = Origin.parse(there.url)
        self._headers = {"content-type": "application/json", **headers}
        self._client = Client()
        assert self.gateway._ledger is not None
        self.gateway._ledger.record = self.rows.append

    async def send(self, body):
        """-> the response, whose body is still to be read."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self._headers.items()).encode()
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        return await self._client.send(self._origin, "POST", "/v1/chat/completions", lines, raw, Deadlines())

    async def ask(self, body):
        """-> (status, headers that do not change from call to call, body)."""
        response = await self.send(body)
        told = await response.read()
        head = b"".join(b"%b: %b\r\n" % header for header in response.headers)
        return response.status, OWN.sub(b"", head), CHANGING.sub(b"", told)

    def kept(self):
        rows = [self.row(place) for place in range(len(self.rows))]
        stats = self.gateway._cache.stats()
        breakers = {name: (one.state, one.free, one._consecutive, one._calls) for name, one in self._breakers()}
        budget = round(self.gateway._wiring.budget._level, 6)
        asked = [received.body for received in self.upstream.received]
        return rows, stats, breakers, budget, asked, self.flights

    async def followers(self, count=1):
        """Wait until so many calls wait for the one on its way."""
        while not self.flights or len(next(iter(self.flights.values())).waiting) < count:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0)

    async def shown(self, watcher):
        """What `watcher` is told next, without its times."""
        told, _ = await watcher.next(5)
        shown = orjson.loads(told[0])
        for name in ("at", "id", "ms", "first_ms"):
            del shown[name]
        for attempt in shown["attempts"]:
            del attempt["ms"]
        return shown

    @property
    def flights(self):
        return self.gateway._wiring.lineup.exact._flights

    def _breakers(self):
        return self.gateway._breakers._all.items()

    def row(self, place):
        """A row of the ledger, without what is of one call only."""
        row = self.rows[place]
        told = {name: getattr(row, name) for name in row.__struct_fields__}
        told["fingerprint"] = told["fingerprint"] is not None  # it depends on the settings, and so on a port
        told["attempts"] = orjson.loads(told["attempts"])
        for one in told["attempts"]:
            assert one.pop("ms", 1) > 0  # left out where it is 0
        assert told.pop("total_ms") > 0
        told["first_content_ms"] = told["first_content_ms"] is not None
        del told["request_id"], told["started_at"]
        return orjson.loads(orjson.dumps(told))

    async def aclose(self):
        await self._client.aclose()


def asking(serving, monkeypatch, passage):
    """-> async with asked(*script, fast=True) as Seen: a gateway that has answered one call before. `passage`: the
    class whose `send` is watched."""
    told = []
    send = passage.send

    def sent(one):
        answer = send(one)
        if told:
            told[-1].taken.append(answer)
            told[-1].passages.append(one)
        return answer

    monkeypatch.setattr(passage, "send", sent)

    @asynccontextmanager
    async def asked(*script, fast=True, toml="", **more):
        async with serving(GOOD, *script, toml=PRICED + "[retry]\nattempts = 1\n" + toml, **more) as there:
            seen = Seen(there, {} if fast else SLOW)
            await seen.ask(request("the first call opens the connection"))
            told.append(seen)
            yield seen
            await seen.aclose()

    return asked
