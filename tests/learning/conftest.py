import pytest
from learning_fakes import benches

from rung.store import writer as writer_module


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A learner in a world of scripted models; `await bench.start()` first."""
    monkeypatch.setattr(writer_module, "INTERVAL", 0.001)
    yield from benches(tmp_path / "trust.sqlite3")
