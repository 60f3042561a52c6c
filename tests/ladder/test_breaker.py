"""The breaker: what is down is hardly asked, one probe finds what is back, one call's trouble is its own."""

import logging
import math

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from rung.errors import (
    BadAnswerFault,
    ConnectFault,
    CredentialFault,
    Fault,
    MissingModelFault,
    RateLimitFault,
    RejectedFault,
    ServerFault,
    TimeoutFault,
)
from rung.ladder.breaker import CLOSED, HALF_OPEN, OPEN, Breaker, BreakerRules, Breakers

RULES = BreakerRules(failures=3, open=5, max_open=40, long_open=600, window=30, min_calls=10, rate=0.5, patience=10)
DEAD = ServerFault("the provider answered 500")


def broken(now: float = 0.0) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker("p:m", RULES)
    for _ in range(RULES.failures):
        assert breaker.refusal(now) is None
        breaker.failed(DEAD, breaker.ticket, now)
    assert breaker.state == OPEN
    return breaker


def test_failures_in_a_row_open_it_and_it_says_when_to_come_back():
    refusal = broken(100.0).refusal(101.0)
    assert refusal is not None
    assert refusal.reason == "breaker_open: retry in 4.0 s"
    assert isinstance(refusal.fault, ServerFault)
    assert (refusal.fault.status, refusal.fault.code, refusal.fault.retry_after) == (503, "breaker_open", 4.0)
    assert "answered 500" in refusal.fault.message


def test_an_answer_in_between_starts_the_count_anew():
    breaker = Breaker("p:m", RULES)
    for _ in range(9):
        for _ in range(RULES.failures - 1):
            breaker.failed(DEAD, 0, 0.0)
        for _ in range(RULES.failures + 1):
            breaker.worked(0, 0.0)
    assert breaker.state == CLOSED


def test_a_high_share_of_failures_opens_it_too_but_not_one_of_long_ago():
    breaker = Breaker("p:m", RULES)
    for now in range(4):
        breaker.failed(DEAD, 0, float(now))
        breaker.worked(0, float(now))
    assert breaker.state == CLOSED  # eight calls are too few
    for now in (100.0, 101.0, 102.0, 103.0):
        breaker.worked(0, now)
        breaker.worked(0, now)
    breaker.failed(DEAD, 0, 104.0)
    assert breaker.state == CLOSED  # the old failures are forgotten
    for _ in range(9):
        breaker.failed(DEAD, 0, 105.0)
        breaker.failed(DEAD, 0, 105.0)
        breaker.worked(0, 105.0)
    assert breaker.state == OPEN


def test_one_probe_at_a_time_and_its_first_content_lets_everybody_in():
    breaker = broken()
    assert breaker.refusal(5.0) is None
    assert breaker.state == HALF_OPEN
    refusal = breaker.refusal(5.0)
    assert refusal is not None
    assert refusal.reason == "breaker_open: a probe is under way"
    breaker.answering(breaker.ticket)
    assert breaker.state == CLOSED
    assert breaker.refusal(5.0) is None


def test_a_provider_that_dies_again_in_the_middle_is_given_one_call():
    breaker = broken()
    assert breaker.refusal(5.0) is None
    breaker.answering(breaker.ticket)
    breaker.failed(DEAD, breaker.ticket, 6.0)
    assert breaker.state == OPEN
    assert breaker.refusal(6.0 + 9.9) is not None  # twice as long as before
    assert breaker.refusal(6.0 + 10.0) is None
    breaker.answering(breaker.ticket)
    breaker.worked(breaker.ticket, 17.0)
    breaker.failed(DEAD, breaker.ticket, 18.0)
    assert breaker.state == CLOSED


def test_the_open_period_doubles_up_to_its_bound():
    breaker, now, periods = broken(), 0.0, []
    for _ in range(8):
        refusal = breaker.refusal(now)
        assert refusal is not None
        assert refusal.fault.retry_after is not None
        periods.append(refusal.fault.retry_after)
        now += refusal.fault.retry_after
        assert breaker.refusal(now) is None
        breaker.failed(DEAD, breaker.ticket, now)
    assert periods == [5, 10, 20, 40, 40, 40, 40, 40]


def test_a_probe_that_was_abandoned_is_left_to_the_next_call():
    breaker = broken()
    assert breaker.refusal(5.0) is None
    breaker.abandoned(breaker.ticket)
    assert breaker.refusal(5.0) is None
    assert breaker.refusal(5.0) is not None


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (CredentialFault("p answered 402 (its credit is used up)"), CredentialFault, "provider_credentials"),
        (CredentialFault("p answered 401 (check its key)"), CredentialFault, "provider_credentials"),
        (MissingModelFault("p answered 404"), MissingModelFault, "model_not_found"),
    ],
)
def test_keys_credit_and_unknown_models_open_it_at_once_for_long(fault, kind, code, caplog):
    breaker = Breaker("p:m", RULES)
    with caplog.at_level(logging.WARNING, "rung"):
        breaker.failed(fault, 0, 0.0)
        breaker.failed(fault, 0, 0.0)
    refusal = breaker.refusal(599.0)
    assert refusal is not None
    assert isinstance(refusal.fault, kind)
    assert refusal.fault.code == code
    assert breaker.refusal(600.0) is None
    (line,) = [record.getMessage() for record in caplog.records]
    assert fault.message in line
    assert ("retired" in line) == (kind is MissingModelFault)


def test_a_limit_with_a_hint_opens_it_for_just_that_long():
    breaker = Breaker("p:m", RULES)
    breaker.failed(RateLimitFault("slow down", retry_after=7.5), 0, 100.0)
    refusal = breaker.refusal(104.0)
    assert refusal is not None
    assert isinstance(refusal.fault, RateLimitFault)
    assert refusal.fault.retry_after == 3.5
    assert breaker.refusal(107.5) is None
    breaker.answering(breaker.ticket)
    breaker.failed(DEAD, breaker.ticket, 108.0)
    assert breaker.state == CLOSED  # a limit is no failure


def test_a_later_limit_counts_even_from_a_call_sent_before_it_opened():
    breaker = Breaker("p:m", RULES)
    breaker.failed(RateLimitFault("slow", retry_after=5), 0, 0.0)
    breaker.failed(RateLimitFault("slower", retry_after=20), 0, 1.0)
    breaker.failed(RateLimitFault("slow", retry_after=2), 0, 2.0)
    assert breaker.refusal(20.9) is not None
    assert breaker.refusal(21.0) is None


def test_a_daily_limit_is_looked_at_again_before_tomorrow():
    breaker = Breaker("p:m", RULES)
    breaker.failed(RateLimitFault("come back tomorrow", retry_after=86_400), 0, 0.0)
    assert breaker.refusal(600.0) is None


def test_an_outage_with_a_hint_is_left_alone_that_long():
    breaker = Breaker("p:m", RULES)
    for _ in range(3):
        breaker.failed(ServerFault("503", retry_after=30), 0, 0.0)
    assert breaker.refusal(29.0) is not None
    assert breaker.refusal(30.0) is None


OF_ONE_CALL = [
    RejectedFault("400"),
    RejectedFault("413", status=413),
    BadAnswerFault("not JSON", code="not_json"),
    BadAnswerFault("filtered", code="content_filter"),
    BadAnswerFault("nothing", code="empty_answer"),
]


@pytest.mark.parametrize("fault", OF_ONE_CALL)
def test_what_concerns_one_call_never_opens_it_and_ends_a_probe_well(fault):
    breaker = Breaker("p:m", RULES)
    for _ in range(50):
        breaker.failed(fault, 0, 0.0)
    assert breaker.state == CLOSED
    breaker = broken()
    assert breaker.refusal(5.0) is None
    breaker.failed(fault, breaker.ticket, 5.0)
    assert breaker.state == CLOSED


def test_a_callers_own_short_deadline_says_nothing_but_a_patient_one_does():
    late = TimeoutFault("took longer than its total deadline", code="total_timeout")
    breaker = Breaker("p:m", RULES)
    for _ in range(50):
        breaker.failed(late, 0, 0.0, waited=0.2, late=True)
    assert breaker.state == CLOSED
    for _ in range(3):
        breaker.failed(late, 0, 0.0, waited=12.0, late=True)
    assert breaker.state == OPEN


def test_outcomes_of_calls_sent_before_it_opened_change_nothing():
    breaker = broken()
    breaker.answering(0)
    breaker.worked(0, 1.0)
    breaker.abandoned(0)
    assert breaker.refusal(4.9) is not None
    assert breaker.refusal(5.0) is None
    breaker.answering(0)
    breaker.failed(DEAD, 0, 5.0)
    assert breaker.state == HALF_OPEN


def test_a_told_limit_is_obeyed_before_it_must_be_enforced():
    breaker = Breaker("p:m", RULES)
    breaker.pause(100.0, 2.0)
    refusal = breaker.refusal(101.0, 10)
    assert refusal is not None
    assert refusal.reason == "rate_limited: retry in 1.0 s"
    assert isinstance(refusal.fault, RateLimitFault)
    assert breaker.refusal(102.0, 10) is None
    assert breaker.idle


def test_few_tokens_left_stop_only_the_calls_that_need_more():
    breaker = Breaker("p:m", RULES)
    breaker.pause(0.0, 10.0, tokens_left=100)
    assert breaker.refusal(1.0, 799) is None
    assert breaker.refusal(1.0, 800) is not None
    assert breaker.refusal(1.0, 799) is None


def test_breakers_are_bounded_and_forget_the_healthy_first():
    breakers = Breakers(RULES)
    kept = breakers.of("dead:model")
    assert kept is not None
    kept.failed(CredentialFault("401"), 0, 0.0)
    for number in range(5000):
        breakers.of(f"p:made-up-{number}")
    assert breakers.of("dead:model") is kept
    assert len(breakers._all) <= 1024


def test_a_reload_forgets_providers_that_have_changed_and_keeps_the_others():
    breakers = Breakers(RULES)
    old = {name: breakers.of(f"{name}:m") for name in ("same", "new_key", "gone")}
    breakers.reload(RULES, {"same": 1, "new_key": 1, "gone": 1}, {"same": 1, "new_key": 2})
    assert breakers.of("same:m") is old["same"]
    assert breakers.of("new_key:m") is not old["new_key"]
    breakers.reload(BreakerRules(failures=9), {"same": 1}, {"same": 1})
    assert breakers.of("same:m") is not old["same"]
    breakers.reload(BreakerRules(enabled=False), {}, {})
    assert breakers.of("same:m") is None
    assert breakers.listener("same") is None


def test_headers_reach_the_breaker_of_their_model():
    breakers = Breakers(RULES)
    heard = breakers.listener("groq")
    assert heard is not None
    heard("m", [(b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"30s")])
    heard("other", [(b"x-ratelimit-remaining-requests", b"7"), (b"x-ratelimit-reset-requests", b"30s")])
    paused, free = breakers.of("groq:m"), breakers.of("groq:other")
    assert paused is not None
    assert free is not None
    assert not paused.idle
    assert free.idle


class Life(RuleBasedStateMachine):
    """Calls come, go and end in any order while a provider dies and comes back. The clock is ours.

    Promises: one probe at a time; `failures` in a row open it, and so does a failed probe; a provider that is
    back is in use after one probe; a call that was abandoned or rejected opens nothing.
    """

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker("p:m", RULES)
        self.now = 1000.0
        self.alive = True
        self.serial = 0
        self.probes: set[int] = set()
        self.failures_in_a_row = 0

    @rule(target=calls)
    def ask(self):
        before = self.breaker.state
        refusal = self.breaker.refusal(self.now)
        if refusal is not None:
            assert before != CLOSED
            assert 0 <= refusal.fault.retry_after <= RULES.long_open
            return None
        self.serial += 1
        if self.breaker.state == HALF_OPEN:
            self.probes.add(self.serial)
        return self.serial, self.breaker.ticket, self.alive

    @rule(call=consumes(calls), how=st.sampled_from(["end", "abandon", "reject"]))
    def end(self, call, how):
        if call is None:
            return
        serial, ticket, alive = call
        self.probes.discard(serial)
        state = self.breaker.state
        if how == "abandon":
            self.breaker.abandoned(ticket)
            assert self.breaker.state in (state, OPEN)
            assert state != CLOSED or self.breaker.state == CLOSED
        elif how == "reject":
            self.breaker.failed(RejectedFault("400"), ticket, self.now)
            assert state == self.breaker.state or self.breaker.state == CLOSED
        elif alive:
            self.breaker.answering(ticket)
            if state == HALF_OPEN and ticket == self.breaker.ticket:
                assert self.breaker.state == CLOSED  # back after one probe
            self.breaker.worked(ticket, self.now)
            self.failures_in_a_row = 0
        else:
            fresh = ticket == self.breaker.ticket
            self.breaker.failed(ConnectFault("refused"), ticket, self.now)
            if fresh:
                self.failures_in_a_row += 1
                if state == HALF_OPEN or self.failures_in_a_row >= RULES.failures:
                    assert self.breaker.state == OPEN

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds):
        self.now += seconds

    @precondition(lambda self: self.alive)
    @rule()
    def die(self):
        self.alive = False

    @precondition(lambda self: not self.alive)
    @rule()
    def come_back(self):
        self.alive = True

    @invariant()
    def one_probe_at_a_time(self):
        assert len(self.probes) <= 1
        assert (self.breaker.state == HALF_OPEN) == bool(self.probes)


Life.TestCase.settings = settings(stateful_step_count=60, suppress_health_check=[HealthCheck.too_slow])
TestLife = Life.TestCase


@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize("healthy", [0, 500])
def test_no_more_than_n_calls_reach_a_dead_upstream(at_once, healthy):
    """An hour of a call every 50 ms: five at first (and who was on the way), then one a period."""
    rules = BreakerRules()
    breaker = Breaker("p:m", rules)
    for _ in range(healthy):
        breaker.worked(breaker.ticket, 0.0)
    reached, now = 0, 0.0
    while now < 3600:
        sent = []
        for _ in range(at_once):
            if breaker.refusal(now) is None:
                reached += 1
                sent.append(breaker.ticket)
        for ticket in sent:
            breaker.failed(DEAD, ticket, now)
        now += 0.05
    doublings = math.ceil(math.log2(rules.max_open / rules.open))
    assert reached <= rules.failures + at_once - 1 + doublings + 3600 / rules.max_open
    assert reached >= rules.failures + 3600 / rules.max_open - 2
    while breaker.refusal(now) is not None:
        now += 0.05
    breaker.answering(breaker.ticket)  # and it is back with one probe
    assert all(breaker.refusal(now) is None for _ in range(50))


def test_the_fault_kept_is_not_the_exception_itself():
    """An exception holds its frames, and with them the call's text."""
    breaker = Breaker("p:m", RULES)
    raised: Fault = CredentialFault("401")
    breaker.failed(raised, 0, 0.0)
    assert breaker._why is not raised


def test_while_few_tokens_are_left_a_call_is_measured_by_its_estimate():
    breaker = Breaker("a:b")
    asked = []

    def tokens(count):
        return lambda: asked.append(count) or count

    assert breaker.free
    breaker.pause(0.0, seconds=10.0, tokens_left=1000)
    assert not breaker.free
    assert breaker.refusal(1.0, 900, tokens(10)) is None
    assert breaker.refusal(1.0, 9000, tokens(10)) is not None
    assert asked == []  # a token is a byte at least, and eight at most
    assert breaker.refusal(1.0, 4000, tokens(990)) is None
    assert breaker.refusal(1.0, 4000, tokens(1010)) is not None
    assert breaker.refusal(1.0, 4000) is None
    assert breaker.refusal(11.0, 4000, tokens(1010)) is None
