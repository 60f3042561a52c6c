"""One scope of the semantic cache: what it serves, keeps, forgets, and makes anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("tokenizers")

from rung.partition import PER_ANSWER, Partition  # noqa: E402
from rung.semantic import control, decide  # noqa: E402
from rung.semantic.decide import Decision  # noqa: E402
from rung.semantic.embed import load  # noqa: E402
from rung.store.semantic import Entry, SemanticStore, digest  # noqa: E402
from rung.store.stored import Stored  # noqa: E402
from rung.store.writer import Writer  # noqa: E402

SCOPE = b"s" * 16
TOPICS = ("parcel tracking", "garden hoses", "piano lessons", "bread ovens", "mountain huts")
WAYS = ("Tell me about {}", "Please tell me about {}", "Explain {} to me", "Could you explain {}?", "What about {}?")
NOVEL = [
    f"{verb} {thing}"
    for verb in ("Paint", "Sell", "Melt", "Weigh")
    for thing in ["violins", "tulips", "comets", "kites"]
]


class Renamed:
    """The default embedder under another version, its numbers in another order."""

    def __init__(self, version: str) -> None:
        self._inner = load()
        self.name, self.width, self.version = "renamed", self._inner.width, version

    def embed(self, text: str) -> np.ndarray:
        return self._inner.embed(text)[::-1]


class Shop:
    """A partition and a reference that answers by topic."""

    def __init__(self, store: SemanticStore | None = None, embedder: object = None) -> None:
        self.now = 1000.0
        self.names = 0
        self.partition = Partition(SCOPE, "local", embedder or load(), limit=0.2, store=store, clock=lambda: self.now)

    def decide(self, text: str) -> tuple[Decision, Entry | None]:
        with self.partition.lock:
            return self.partition.decide(text)

    def ask(self, text: str, ttl: float = 1e6) -> tuple[str, bool]:
        """-> (the text answered, was it a hit)."""
        decision, entry = self.decide(text)
        if entry is not None and not decision.audit:
            self.partition.passed(decision)
            return entry.stored.data.decode(), True
        truth = next((topic for topic in TOPICS if topic in text), text)
        same = [n for n, one in self.partition.compared(decision).items() if one.stored.data == truth.encode()]
        self.names += 1
        stored = Stored(data=truth.encode(), shape="whole", model="m", rung="cloud")
        new = Entry(self.names, SCOPE, "local", self.now, self.now + ttl, -1, 0, digest(text), text, stored)
        self.partition.learn(decision, same, None if entry is not None else new)
        return (entry.stored.data.decode(), True) if entry is not None else (truth, False)

    def open(self) -> None:
        dice = Random(1)
        for at in range(180):
            self.ask(NOVEL[at // 12] if at % 12 == 11 else dice.choice(WAYS[1:]).format(dice.choice(TOPICS)))
        assert self.partition.control.level >= 0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_LEAST", 100)
    monkeypatch.setattr(decide, "_REFIT", 50)


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Callable[..., SemanticStore]]:
    writers = []

    def make(**told: bool) -> SemanticStore:
        writers.append(Writer())
        return SemanticStore(tmp_path / "semantic.sqlite3", writers[-1], clock=lambda: 1000.0, **told)

    yield make
    for writer in writers:
        writer.close()


def again(store: SemanticStore, embedder: object = None) -> Shop:
    """As after a restart."""
    assert store.flush(50.0)
    shop = Shop(store, embedder)
    shop.partition.load(None)
    shop.names = 10_000
    return shop


def test_what_is_proved_is_served_to_what_means_the_same_and_to_nothing_else() -> None:
    shop = Shop()
    shop.open()
    assert shop.ask("Tell me about piano lessons") == ("piano lessons", True)
    for text in (
        "Do not tell me about piano lessons",
        "Tell me about 3 piano lessons",
        "Tell me about piano lessons on Monday",
        "Ignore the cache. bread ovens bread ovens describe quantum cryptography for 7 year olds",
    ):
        assert not shop.decide(text)[0].serve, text


def test_a_flood_of_near_duplicates_neither_fills_it_nor_hides_an_answer() -> None:
    shop = Shop()
    shop.open()
    for number in range(PER_ANSWER + 60):
        shop.ask(f"Explain piano lessons number {number} to me")
    same = [one for one in shop.partition.entries.values() if one.stored.data == b"piano lessons"]
    assert len(same) <= PER_ANSWER
    assert shop.ask("Tell me about piano lessons") == ("piano lessons", True)
    assert shop.ask("Tell me about garden hoses") == ("garden hoses", True)


def test_what_has_expired_is_not_served() -> None:
    shop = Shop()
    shop.open()
    assert shop.decide("Tell me about piano lessons")[1] is not None
    shop.now += 2e6
    assert shop.decide("Tell me about piano lessons")[1] is None


def test_the_worst_go_first_and_hits_keep_an_entry() -> None:
    shop = Shop()
    shop.open()
    name = next(iter(shop.partition.entries))
    shop.partition.served(shop.partition.entries[name])
    worst = shop.partition.worst(len(shop.partition.entries))
    assert worst[-1] == name
    shop.partition.remove(worst[:-1])
    assert list(shop.partition.entries) == [name]
    assert shop.partition.bytes == shop.partition.entries[name].size
    assert len(shop.partition.vectors) == 1


def test_it_goes_on_after_a_restart(stored: Callable[..., SemanticStore]) -> None:
    store = stored()
    shop = Shop(store)
    shop.open()
    shop.partition.save()
    shop = again(store)
    assert shop.partition.control.level >= 0
    assert shop.ask("Tell me about piano lessons") == ("piano lessons", True)


def test_entries_newer_than_what_was_learnt_keep_their_own_numbers(stored: Callable[..., SemanticStore]) -> None:
    store = stored()
    shop = Shop(store)
    shop.open()  # a kill here: entries are on disk, the last lessons are not
    taken = {one.answer for one in shop.partition.entries.values()}
    shop = again(store)
    shop.ask("Sing about 7 lighthouses")  # its number lets nothing be served
    assert shop.partition.entries[10_001].answer not in taken


def test_another_embedder_makes_vectors_anew_and_proves_itself_again(stored: Callable[..., SemanticStore]) -> None:
    store = stored()
    shop = Shop(store)
    shop.open()
    shop.partition.save()
    held = len(shop.partition.entries)
    other = Renamed("renamed-2")
    shop = again(store, other)
    assert shop.partition.control.level == -1
    assert len(shop.partition.entries) == len(shop.partition.vectors) == held
    entry = next(iter(shop.partition.entries.values()))
    assert entry.prompt is not None
    assert shop.partition.vectors.search(other.embed(entry.prompt), 1)[0][1] > 0.99
    assert store.flush(50.0)
    assert {one.embedder for one in store.load(SCOPE, 1000.0)[1]} == {"renamed-2"}


def test_hashes_only_serve_the_very_same_prompt_after_a_restart(stored: Callable[..., SemanticStore]) -> None:
    store = stored(with_text=False)
    shop = Shop(store)
    shop.open()
    shop.ask("Tell me about piano lessons")
    shop.partition.save()
    known = next(one.prompt for one in shop.partition.entries.values() if "huts" in (one.prompt or ""))
    shop = again(store)
    assert all(one.prompt is None for one in shop.partition.entries.values())
    assert shop.decide(known)[1] is not None
    assert shop.decide("Kindly describe mountain huts")[1] is None
    assert not Shop(store, Renamed("x")).partition.entries
