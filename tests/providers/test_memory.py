"""What providers want back with a tool call is kept, within bounds."""

from rung.providers.memory import CallMemory


def test_the_least_used_is_forgotten_first() -> None:
    memory = CallMemory(max_entries=2)
    memory.put("t", "a", "1")
    memory.put("t", "b", "2")
    assert memory.get("t", "a") == "1"
    memory.put("t", "c", "3")
    assert [memory.get("t", name) for name in "abc"] == ["1", None, "3"]
    assert len(memory) == 2


def test_bytes_are_bounded_and_counted_once() -> None:
    memory = CallMemory(max_bytes=100)
    for _ in range(50):
        memory.put("t", "same", "x" * 40)
    memory.put("t", "other", ["y" * 40])
    assert memory.get("t", "same") == "x" * 40
    memory.put("t", "huge", "z" * 1000)
    assert len(memory) == 0


def test_tenants_do_not_share() -> None:
    memory = CallMemory()
    memory.put("one", "a", {"k": 1})
    assert memory.get("two", "a") is None
    assert memory.get("one", "a") == {"k": 1}
