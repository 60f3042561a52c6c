"""Who watches is told every climb, and nothing of what was said in it; who is slow is told how much was missed."""

import json

import pytest

from rung import watching
from rung.call import Call
from rung.errors import OverloadedError
from rung.ladder.attempt import Attempt
from rung.ladder.climb import Climb
from rung.watching import WAITING, WATCHERS, Watchers, shown

SECRET = "the launch code is 7321"


def climb(**told):
    call = Call(body={"messages": [{"role": "user", "content": SECRET}]}, raw=SECRET.encode(), model="auto", **told)
    call.tenant, call.session = "tenant-of-mine", "session-of-mine"
    record = Climb(call)
    record.attempts.append(Attempt("tool", "tool", outcome="declined", reason="not_a_tool_task: it speaks of a launch"))
    record.close(None)
    return record


def test_watchers_are_false_while_nobody_watches():
    watchers = Watchers()
    assert not watchers.all
    watcher = watchers.join()
    assert watchers.all
    watchers.leave(watcher)
    watchers.leave(watcher)
    assert not watchers.all


async def test_every_watcher_is_told_each_climb_once():
    watchers = Watchers()
    first, second = watchers.join(), watchers.join()
    watchers.tell(climb(request_id="a"))
    watchers.tell(climb(request_id="b"))
    for watcher in (first, second):
        told, missed = await watcher.next(5)
        assert [json.loads(one)["id"] for one in told] == ["a", "b"]
        assert missed == 0
        assert await watcher.next(0) == ([], 0)


async def test_the_oldest_are_dropped_and_counted():
    watchers = Watchers()
    watcher = watchers.join()
    for number in range(WAITING + 3):
        watchers.tell(climb(request_id=str(number)))
    told, missed = await watcher.next(5)
    assert missed == 3
    assert [json.loads(one)["id"] for one in told] == [str(number) for number in range(3, WAITING + 3)]
    watchers.tell(climb(request_id="last"))
    assert (await watcher.next(5))[1] == 0


def test_only_so_many_may_watch():
    watchers = Watchers()
    seated = [watchers.join() for _ in range(WATCHERS)]
    with pytest.raises(OverloadedError, match="close one"):
        watchers.join()
    watchers.leave(seated[0])
    watchers.join()


def test_no_text_and_nobodys_name_is_told():
    told = json.dumps(shown(climb(task="math")))
    assert SECRET not in told
    assert "of-mine" not in told
    assert json.loads(told)["task"] == "math"


def test_of_a_private_call_not_even_what_it_was_like():
    told = shown(climb(task="math", private=True))
    assert told["private"] is True
    assert told["task"] == ""
    assert told["attempts"][0]["reason"] == "not_a_tool_task"
    assert "launch" not in json.dumps(told)


async def test_nothing_is_made_for_nobody(serving, monkeypatch):
    made = []
    monkeypatch.setattr(watching, "shown", lambda record: made.append(record) or {})
    async with serving(toml="[ledger]\nenabled = false\n") as there:
        ask = [{"role": "user", "content": "Minify this JSON: [1, 2]"}]
        await there.gateway.chat(ask)
        assert made == []
        there.gateway.watchers.join()
        await there.gateway.chat(ask)
        assert len(made) == 1
