"""Sessions stay where their prompt is warm, unless that costs more."""

from types import SimpleNamespace

import pytest

from rung.answer import Usage
from rung.call import Prefix
from rung.ladder.affinity import Affinity
from rung.ladder.attempt import Attempt
from rung.testing import ScriptedRung, make_call

EXACT = ScriptedRung([], name="exact", model="exact", stays_here=True)
A, B, C = (ScriptedRung([], model=f"{name}:m") for name in "abc")
LOCAL = ScriptedRung([], name="local", model="local:m", stays_here=True)
RUNGS = (EXACT, A, B, C, LOCAL)
TTL = 300.0


class Prices(dict):
    def __call__(self, model, tokens):
        return self.get(model)


def rates(cache_read, cache_write, output=0):
    return SimpleNamespace(cache_read=cache_read, cache_write=cache_write, output=output)


def prefix(turns, session=b"s", changed=99):
    """A prompt of `turns` boundaries of 4,000 bytes each; from `changed` on it is another one."""
    ends = b"".join(bytes([n >= changed, *b"-", n, *b"-----"]) for n in range(turns))
    return Prefix(session, ends, [4000 * (n + 1) for n in range(turns)], 1)


@pytest.fixture
def there():
    """-> there.affinity, there.prices, there.time (a list of one), there.told(turns, model, ...)"""
    prices = Prices({f"{name}:m": rates(10, 100) for name in "abc"})
    time = [0.0]
    affinity = Affinity(prices, lambda model: TTL, clock=lambda: time[0], max_sessions=3)

    def told(turns, model, *, failed=(), lost=(), read=None, output=0, session=b"s"):
        call = make_call()
        call.prefix = prefix(turns, session)
        attempts = [Attempt(one, one, "failed", "server_error") for one in failed]
        attempts += [Attempt(one, one, "cancelled", "hedge_lost") for one in lost]
        attempts.append(Attempt("cloud", model, "answered"))
        read = 1000 * (turns - 1) if read is None else read
        affinity.learn(call, attempts, model, Usage(1000 * turns - read, read, 0, output))

    return SimpleNamespace(affinity=affinity, prices=prices, time=time, told=told)


def order(there, turns, **changed):
    return there.affinity.order(prefix(turns, **changed), RUNGS)


def test_a_new_session_goes_where_the_policy_says(there):
    assert order(there, 1) is RUNGS


def test_after_a_failure_it_stays_where_it_went(there):
    there.told(3, "a:m")
    there.told(4, "b:m", failed=["a:m"])
    assert order(there, 5) == (EXACT, B, A, C, LOCAL)
    there.told(5, "b:m")
    assert order(there, 6) == (EXACT, B, A, C, LOCAL)


def test_it_leaves_when_the_other_is_cheaper_even_cold(there):
    there.told(4, "b:m")
    there.prices["a:m"] = rates(1, 20)  # 5000 * 20 against 4000 * 10 + 1000 * 100
    assert order(there, 5)[1] is A
    there.prices["a:m"] = rates(1, 29)
    assert order(there, 5)[1] is B


def test_the_price_of_the_answer_counts_too(there):
    there.told(4, "b:m", output=1000)
    there.prices["b:m"] = rates(10, 100, output=500)
    assert order(there, 5)[1] is A


def test_what_is_warm_at_the_other_counts_for_it(there):
    there.told(9, "a:m")
    there.told(10, "b:m", failed=["a:m"])
    assert order(there, 11)[1] is B  # 10 of 11 warm at home, 9 of 11 there: home is cheaper
    there.prices["a:m"] = rates(1, 90)
    assert order(there, 11)[1] is A  # 9 * 1 + 2 * 90 against 10 * 10 + 1 * 100
    there.time[0] += TTL - 1
    there.told(11, "b:m")
    there.time[0] += 1
    assert order(there, 12)[1] is B  # what was warm there has expired


def test_an_unknown_price_is_no_reason_to_move(there):
    there.told(4, "b:m")
    there.prices["a:m"] = None
    assert order(there, 5)[1] is B
    there.prices.update({"a:m": rates(0, 0), "b:m": None})
    assert order(there, 5)[1] is B


def test_a_cache_that_has_expired_holds_nobody(there):
    there.told(4, "b:m")
    there.time[0] = TTL
    assert order(there, 5) is RUNGS


def test_a_history_that_was_rewritten_is_cold(there):
    there.told(4, "b:m")
    assert order(there, 5, changed=0) is RUNGS
    assert order(there, 5, changed=3)[1] is B


def test_a_lost_hedge_moves_nobody(there):
    there.told(3, "b:m")
    there.told(4, "c:m", lost=["b:m"])
    assert order(there, 5)[1] is B


def test_a_provider_that_does_not_read_loses_its_sessions(there):
    there.prices["a:m"] = rates(10, 99)
    there.told(3, "b:m")
    for turns in range(4, 40):
        there.told(turns, "b:m", read=0)
    assert order(there, 40)[1] is A


def test_a_home_that_is_not_asked_changes_nothing(there):
    there.told(3, "z:m")
    assert order(there, 4) is RUNGS


def test_the_least_recent_sessions_are_forgotten(there):
    for session in (b"1", b"2", b"3", b"1", b"4"):
        there.told(3, "b:m", session=session)
    assert len(there.affinity) == 3
    assert there.affinity.home(prefix(3, b"1")) == "b:m"
    assert there.affinity.home(prefix(3, b"2")) == ""


def test_a_call_without_a_prefix_is_not_learnt_from(there):
    there.affinity.learn(make_call(), [], "a:m", Usage(1))
    assert len(there.affinity) == 0
