"""Estimates against counts that the o200k vocabulary really gives, and what the correction promises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.providers import estimate
from rung.providers.estimate import MEDIA_TOKENS, MESSAGE_TOKENS, SAMPLED, Correction, estimate_tokens

PYTHON = '''def moving_average(values: list[float], width: int) -> list[float]:
    """Means of each run of `width` neighbours. Raises ValueError for a width below one."""
    if width < 1:
        raise ValueError(f"width must be positive, not {width}")
    total = sum(values[:width])
    means = [total / width]
    for left, right in zip(values, values[width:]):
        total += right - left
        means.append(total / width)
    return means


class Window:
    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: list[float] = []

    def push(self, value: float) -> None:
        self._kept.append(value)
        del self._kept[: -self.size]
'''
ENGLISH = (
    "The harbour was quiet when the first boats came back. Nobody on the quay had expected them before noon, "
    "and the women who mended the nets looked up only when a boy began to shout. By the time the third mast "
    "had rounded the lighthouse, half the village stood on the stones, counting. There were seven sails where "
    "there should have been nine, and for a long while no one said anything at all. "
)
FRENCH = (
    "Le port était calme lorsque les premiers bateaux revinrent. Personne sur le quai ne les attendait avant "
    "midi, et les femmes qui réparaient les filets ne levèrent la tête que lorsqu'un garçon se mit à crier. "
    "Quand le troisième mât eut dépassé le phare, la moitié du village était là, debout sur les pierres, à "
    "compter. Il y avait sept voiles où il aurait dû y en avoir neuf, et longtemps personne ne dit rien. "
)
JSON = (
    '{"order": {"id": 48213, "status": "shipped", "customer": {"name": "Ada Byron", "email": "ada@example.org"}, '
    '"lines": [{"sku": "TX-4417", "quantity": 3, "unit_price": 12.50}, {"sku": "QL-0093", "quantity": 1, '
    '"unit_price": 249.00}], "created_at": "2026-11-23T09:14:52Z", "gift": false, "note": null}}'
)
CHINESE = "第一批渔船回来的时候,港口很安静。码头上没有人想到他们会在中午之前回来,补网的妇女们听到一个男孩喊叫才抬起头。"


@pytest.mark.parametrize(("text", "counted"), [(PYTHON, 175), (ENGLISH, 84), (FRENCH, 100), (JSON, 115), (CHINESE, 48)])
def test_within_a_fifth_of_what_o200k_counts(text: str, counted: int) -> None:
    assert estimate_tokens(text) == pytest.approx(counted, rel=0.2)
    assert estimate_tokens(text.encode()) == estimate_tokens(text)


def test_nothing_is_nothing_and_anything_is_something() -> None:
    assert estimate_tokens("") == estimate_tokens(b"") == estimate_tokens({}) == 0
    assert estimate_tokens(" ") == estimate_tokens("\x01") == 1


def test_a_body_is_its_texts_and_a_frame_a_message() -> None:
    system, user = ENGLISH * 3, FRENCH * 2
    plain = {"model": "m", "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}]}
    parts = {
        "system": [{"type": "text", "text": system}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": user}]}],
    }
    expected = estimate_tokens(system + user)
    assert estimate_tokens(plain) == pytest.approx(expected + 2 * MESSAGE_TOKENS, abs=4)
    assert estimate_tokens(parts) == pytest.approx(expected + MESSAGE_TOKENS, abs=8)


def test_tools_and_calls_count() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": JSON}}
    body: dict[str, Any] = {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}
    with_call = estimate_tokens(body)
    assert with_call >= estimate_tokens(JSON)
    body["tools"] = [{"type": "function", "function": {"name": "find", "description": ENGLISH}}]
    assert estimate_tokens(body) >= with_call + estimate_tokens(ENGLISH)


def test_an_image_counts_once_however_long_its_bytes() -> None:
    def body(size: int) -> dict[str, Any]:
        url = "data:image/png;base64," + "A" * size
        return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}

    assert estimate_tokens(body(10)) == estimate_tokens(body(100_000))
    assert MEDIA_TOKENS <= estimate_tokens(body(10)) <= MEDIA_TOKENS + 10


@pytest.mark.parametrize("text", [ENGLISH, FRENCH, CHINESE, PYTHON + ENGLISH])
def test_a_long_text_is_sampled_and_stays_near_the_whole(text: str) -> None:
    times = 3 * SAMPLED // len(text.encode()) + 20
    assert len((text * times).encode()) > 2 * SAMPLED
    assert estimate_tokens(text * times) == pytest.approx(times * estimate_tokens(text), rel=0.05)


def test_the_middle_and_the_end_of_a_long_text_are_looked_at() -> None:
    words, digits = "a" * SAMPLED, "7" * SAMPLED
    assert estimate_tokens(words + digits) == pytest.approx(estimate_tokens(digits + words), rel=0.05)
    assert estimate_tokens(words + digits) > 1.5 * estimate_tokens(words + words)


@given(st.text(st.characters(codec=None), max_size=300))
def test_any_text_has_an_estimate(text: str) -> None:
    """Lone surrogates too: JSON can hold them."""
    assert bool(text) <= estimate_tokens(text)
    assert estimate_tokens(text) <= 3 * len(text) + 1


@given(st.text(max_size=200), st.text(max_size=200))
def test_more_text_is_never_fewer_tokens(first: str, second: str) -> None:
    assert estimate_tokens(first + second) >= max(estimate_tokens(first), estimate_tokens(second))


@given(st.binary(max_size=300))
def test_bytes_that_are_no_text_have_an_estimate(data: bytes) -> None:
    assert 0 <= estimate_tokens(data) <= 3 * len(data) + 1


def test_a_factor_is_learnt_for_each_model_alone() -> None:
    learnt = Correction()
    for _ in range(60):
        learnt.learn("deepseek", "flash", 1000, 1300)
    assert learnt.factor("deepseek", "flash") == pytest.approx(1.3, rel=0.01)
    assert learnt.tokens("deepseek", "flash", 100) in (130, 131)
    assert learnt.factor("deepseek", "pro") == learnt.factor("other", "flash") == 1.0


def test_it_follows_a_change() -> None:
    learnt = Correction()
    for ratio in (2.0, 0.5):
        for _ in range(60):
            learnt.learn("a", "b", 5000, int(5000 * ratio))
        assert learnt.factor("a", "b") == pytest.approx(ratio, rel=0.01)


def test_a_tiny_prompt_teaches_little() -> None:
    small, large = Correction(), Correction()
    small.learn("a", "b", 5, 20)
    large.learn("a", "b", 5000, 20_000)
    assert small.factor("a", "b") < 1.2 < 3.5 < large.factor("a", "b")


@given(st.lists(st.tuples(st.integers(-5, 10**7), st.integers(-5, 10**7)), max_size=50))
def test_the_factor_never_leaves_its_bounds_nor_what_was_seen(pairs: list[tuple[int, int]]) -> None:
    learnt = Correction()
    seen = [1.0]
    for estimated, returned in pairs:
        learnt.learn("a", "b", estimated, returned)
        if estimated > 0 and returned > 0:
            seen.append(min(max(returned / estimated, Correction.LOWEST), Correction.HIGHEST))
        assert min(seen) - 1e-9 <= learnt.factor("a", "b") <= max(seen) + 1e-9


def test_the_memory_is_bounded_and_keeps_what_is_used() -> None:
    learnt = Correction(limit=3)
    for model in ("a", "b", "c", "a", "d", "e"):
        learnt.learn("p", model, 1000, 2000)
    assert len(learnt) == 3
    assert learnt.factor("p", "b") == learnt.factor("p", "c") == 1.0
    assert min(learnt.factor("p", model) for model in ("a", "d", "e")) > 1.5


def test_every_byte_that_starts_a_character_has_a_weight() -> None:
    kinds = estimate._ASCII + estimate._BEYOND
    weighed = b"".join(kind for kind, _ in kinds)
    assert len(weighed) == len(set(weighed))
    assert set(weighed) == {*range(0x80), *range(0xC2, 0xF5)}


def test_parts_of_a_strange_type_are_counted_as_what_they_hold():
    body = {"messages": [{"role": "user", "content": [{"type": ["text"], "text": "some words here"}]}]}
    assert estimate_tokens(body) > 0
