"""Rate-limit headers, as OpenAI, Groq and Anthropic write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.ladder.limits import LONGEST, Limit, exhausted, seconds_until


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7.66s", 7.66),
        ("940ms", 0.94),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3723.0),
        ("6m0s", 360.0),
        ("1s", 1.0),
        ("0s", 0.0),
        ("12.5", 12.5),
        ("soon", None),
        ("", None),
        ("1.2.3s", None),
        ("2026-11-22T10:00:00", None),
    ],
)
def test_a_reset_is_read_as_it_is_written(text, seconds):
    assert seconds_until(text) == pytest.approx(seconds)


@pytest.mark.parametrize("write", [lambda at: at.isoformat(), lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ")])
def test_rfc_3339_and_unix_times_are_moments(write):
    at = datetime.now(UTC) + timedelta(seconds=100)
    assert 95 < seconds_until(write(at)) <= 100
    assert 95 < seconds_until(str(at.timestamp())) <= 100
    assert seconds_until("2020-01-01T00:00:00Z") == 0


@given(hours=st.integers(0, 30), minutes=st.integers(0, 59), millis=st.integers(0, 59_999))
def test_go_durations_add_up(hours, minutes, millis):
    text = f"{hours}h{minutes}m{millis / 1000:g}s"
    assert seconds_until(text) == pytest.approx(hours * 3600 + minutes * 60 + millis / 1000, abs=0.01)


@given(st.text(max_size=30))
def test_no_text_breaks_it(text):
    seconds = seconds_until(text)
    assert seconds is None or seconds >= 0


def groq(requests: str, tokens: str, reset_requests: str = "2m0s", reset_tokens: str = "7s"):
    return [
        (b"content-type", b"application/json"),
        (b"x-ratelimit-limit-requests", b"1000"),
        (b"x-ratelimit-remaining-requests", requests.encode()),
        (b"x-ratelimit-remaining-tokens", tokens.encode()),
        (b"x-ratelimit-reset-requests", reset_requests.encode()),
        (b"x-ratelimit-reset-tokens", reset_tokens.encode()),
    ]


def test_plenty_left_is_nothing_to_say():
    assert exhausted(groq("12", "249500")) is None
    assert exhausted([]) is None


def test_the_limit_that_binds_longest_is_told_and_is_bounded():
    assert exhausted(groq("12", "0")) == Limit(7.0, 0)
    assert exhausted(groq("0", "0", "30s")) == Limit(30.0, 0)
    assert exhausted(groq("0", "249500")) == Limit(LONGEST, 0)


def test_few_tokens_are_told_with_their_number():
    assert exhausted(groq("12", "350")) == Limit(7.0, 350)


def test_anthropics_headers_count_too():
    reset = (datetime.now(UTC) + timedelta(seconds=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    left = [
        (b"anthropic-ratelimit-output-tokens-remaining", b"500"),
        (b"anthropic-ratelimit-output-tokens-reset", reset.encode()),
        (b"anthropic-ratelimit-requests-remaining", b"0"),
        (b"anthropic-ratelimit-requests-reset", reset.encode()),
    ]
    limit = exhausted(left)
    assert limit is not None
    assert 15 < limit.seconds <= 20
    assert exhausted(left[:2]) is None  # who knows how long an answer will be


def test_a_limit_without_a_reset_or_with_one_in_the_past_is_no_reason_to_wait():
    assert exhausted([(b"x-ratelimit-remaining-requests", b"0")]) is None
    assert exhausted(groq("0", "249500", "0s")) is None
