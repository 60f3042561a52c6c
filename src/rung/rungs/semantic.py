"""The semantic rung: a stored answer to a call that means the same, while its measured error is under the limit.

What may match at all is never learned: tenant, model class, system prompt, tools, response format, sampling and
every earlier turn are the scope, compared by fingerprint. Within it the decider judges (`rung.semantic`).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import orjson

from rung.answer import Answer, Declined
from rung.call import Call
from rung.ladder.rung import Rung
from rung.partition import Partition
from rung.partitions import Partitions
from rung.semantic import admit
from rung.semantic.decide import Decision
from rung.store.fingerprint import fingerprint
from rung.store.replay import REFUSED
from rung.store.semantic import Entry, digest
from rung.store.stored import Stored, shape_of, told_again

_HIDDEN = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]")
"""characters that are not seen: two prompts may look the same and not be"""
_FOREIGN = re.compile(r"[A-Za-z][\u0370-\u03ff\u0400-\u052f]|[\u0370-\u03ff\u0400-\u052f][A-Za-z]")
"""a Greek or Cyrillic letter beside a Latin one: a word that looks like another"""


class Lesson(msgspec.Struct, eq=False):
    """A call that has ended and its decision: what is to be learnt from it.

    `served`: the entry that was its answer; `new`: what the reference's answer may be stored as; `unlike`: it answered
    something that may not be stored, and so equals nothing that is.
    """

    call: Call
    partition: Partition
    decision: Decision
    reference: Rung | None
    purges: int
    """`Partitions.purges` when it was decided"""
    served: Entry | None = None
    new: Entry | None = None
    unlike: bool = False


class SemanticRung:
    """Answers from `partitions`.

    `config_version`: any text that changes with the configuration. `deadline`: seconds a look may take. `ttl`,
    `volatile_ttl`: seconds an answer is served, and one that seems to depend on time or state (0: not stored).
    `max_entry`: bytes of the largest answer stored. `shared`: tenants that share one store. `reference`: who needs no
    proof for a call. `learn`: takes a lesson, for the background. `behind`: do so many audits wait that nothing must
    be served?
    """

    name = "semantic"
    model = "semantic"
    stays_here = True

    def __init__(
        self,
        partitions: Partitions,
        *,
        config_version: str,
        deadline: float,
        ttl: float,
        volatile_ttl: float,
        max_entry: int,
        max_temperature: float,
        shared: frozenset[str],
        reference: Callable[[Call], Rung | None],
        learn: Callable[[Lesson], None],
        behind: Callable[[], bool],
    ) -> None:
        self._partitions = partitions
        self._config_version = config_version
        self._deadline = deadline
        self._ttl, self._volatile_ttl = ttl, volatile_ttl
        self._max_entry = max_entry
        self._max_temperature = max_temperature
        self._shared = shared
        self._reference, self._learn, self._behind = reference, learn, behind
        self._open: dict[int, tuple[Lesson, str]] = {}
        self._slow = ThreadPoolExecutor(1, "rung-semantic-look")

    def look(self, call: Call) -> Answer | Declined | None:
        """The answer, or why there is none; None if that takes longer than the event loop should wait."""
        found = self._place(call)
        if isinstance(found, Declined):
            return found
        partition, prompt = found
        if not partition.quick or not partition.lock.acquire(blocking=False):
            return None
        began = time.monotonic()
        try:
            decision, entry = partition.decide(prompt)
        finally:
            partition.lock.release()
        if time.monotonic() - began > self._deadline:
            return Declined("deadline")
        return self._say(call, partition, prompt, decision, entry)

    async def attempt(self, call: Call) -> Answer | Declined:
        """What `look` says, looked for in a thread."""
        found = self._place(call)
        if isinstance(found, Declined):
            return found
        partition, prompt = found
        seconds = min(self._deadline, call.remaining())

        def decide() -> tuple[Decision, Entry | None] | None:
            if not partition.lock.acquire(timeout=max(seconds, 0.0)):
                return None
            try:
                return partition.decide(prompt)
            finally:
                partition.lock.release()

        try:
            async with asyncio.timeout(seconds):
                decided = await asyncio.get_running_loop().run_in_executor(self._slow, decide)
        except TimeoutError:
            decided = None
        return Declined("deadline") if decided is None else self._say(call, partition, prompt, *decided)

    def settle(self, call: Call, answer: Answer | None, stored: bytes | None) -> None:
        """Hand the lesson of a call that has ended to the background."""
        opened = self._open.pop(id(call), None)
        if opened is None:
            return
        lesson, prompt = opened
        reference = lesson.reference = self._reference(call)  # by the task, which may be known only now
        if lesson.served is not None:
            # also where the caller has left: whether a hit is audited must not depend on what came of it
            self._learn(lesson)
        elif answer is not None and reference is not None and answer.model == reference.model:
            # every call the reference has answered counts, else the proof would be about other calls than are served
            lesson.new = self._entry(call, lesson.partition, answer, stored, prompt)
            lesson.unlike = lesson.new is None
            self._learn(lesson)

    def aclose(self) -> None:
        self._slow.shutdown(wait=False)

    def _place(self, call: Call) -> tuple[Partition, str] | Declined:
        """Where to look for what, or why not."""
        if (why := self._bypass(call)) is not None:
            return Declined(f"bypass: {why}")
        asked = admit.question(call.body)
        if isinstance(asked, str):
            return Declined(f"bypass: {asked}")
        if not asked.prompt.isascii() and (_HIDDEN.search(asked.prompt) or _FOREIGN.search(asked.prompt)):
            return Declined("bypass: look_alikes")
        if admit.keep_for(asked.prompt, self._ttl, self._volatile_ttl) <= 0:
            return Declined("bypass: volatile")  # never stored, so never compared: nothing is proved about such calls
        keeper = "shared" if call.tenant in self._shared else call.tenant
        scope = fingerprint(
            orjson.dumps(asked.frame),
            tenant=f"{'shared' if keeper != call.tenant else 'own'}:{keeper}",
            model=f"{call.model} {call.mode}",
            config_version=self._config_version,
            private=False,
        )
        partition = self._partitions.get(scope, keeper)
        return Declined(partition) if isinstance(partition, str) else (partition, asked.prompt)

    def _bypass(self, call: Call) -> str | None:
        if call.private:
            return "private"  # such answers are never compared off this machine, so nothing could be proved
        if call.no_store or call.purpose:
            return "no_store"
        if call.check:
            return "check"
        if call.max_error is not None and call.max_error < self._partitions.limit:
            return "limit"
        temperature = call.body.get("temperature")
        if temperature is not None and temperature > self._max_temperature:
            return "temperature"
        return None

    def _say(
        self, call: Call, partition: Partition, prompt: str, decision: Decision, entry: Entry | None
    ) -> Answer | Declined:
        if decision.serve and (entry is None or self._behind()):
            # as if it had not been asked: nothing was served, and the decision was to serve
            return Declined("expired" if entry is None else "audits_wait")
        answer = None
        if entry is not None:
            answer = _answer(entry.stored, call)
            if answer is None:
                partition.remove((entry.id,))
                return Declined("unreadable")
            partition.served(entry)
        self._open[id(call)] = (Lesson(call, partition, decision, None, self._partitions.purges, entry), prompt)
        return answer if answer is not None else Declined(f"miss: {decision.reason}")

    def _entry(
        self, call: Call, partition: Partition, answer: Answer, stored: bytes | None, prompt: str
    ) -> Entry | None:
        """What may be stored of an accepted answer of the reference: one that is whole and good."""
        evidence = answer.evidence
        if stored is None or evidence.unproved:
            return None
        if admit.storable(evidence.finish_reason, evidence.complete, evidence.tool_calls, len(stored), self._max_entry):
            return None
        seconds = admit.keep_for(prompt, self._ttl, self._volatile_ttl)
        now = self._partitions.clock()
        kept = Stored(
            data=stored,
            shape=shape_of(stream=answer.body is None, include_usage=call.include_usage),
            model=answer.model,
            rung=answer.rung,
            usage=evidence.usage,
            cost=evidence.cost,
            created=now,
            tenant=partition.tenant,
            mode=call.mode,
            finish_reason="stop",
            model_version=evidence.model_version,
            stripped=evidence.stripped,
            simulated=evidence.simulated,
        )
        name = self._partitions.next_id()
        return Entry(
            name, partition.scope, partition.tenant, now, now + seconds, -1, 0, digest(prompt), prompt, kept, used=now
        )


def _answer(stored: Stored, call: Call) -> Answer | None:
    """A hit in the shape asked for, streamed as if it came now; None if what is stored is no answer."""
    shape = shape_of(stream=call.stream, include_usage=call.include_usage)
    data = stored.replay(shape)
    if data is None:
        try:
            data = stored.converted(shape)
        except REFUSED:
            return None
    return told_again("semantic", stored, data, stream=call.stream)
