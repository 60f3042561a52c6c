from __future__ import annotations

from pathlib import Path

import pytest

from rung.local.energy import between, joules


def package(root: Path, name: str, used: str, span: str) -> None:
    (root / name).mkdir()
    (root / name / "energy_uj").write_text(used + "\n")
    (root / name / "max_energy_range_uj").write_text(span + "\n")


def test_packages_add_up_and_their_parts_do_not(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", "5000000", "100000000")
    package(tmp_path, "intel-rapl:1", "2500000", "100000000")
    package(tmp_path, "intel-rapl:0:0", "999", "999")
    assert joules(tmp_path) == (7.5, 200.0)


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    assert joules(tmp_path) is None
    package(tmp_path, "intel-rapl:0", "soon", "100")
    assert joules(tmp_path) is None


@pytest.mark.parametrize(
    ("before", "after", "taken"),
    [((5.0, 100.0), (8.0, 100.0), 3.0), ((98.0, 100.0), (2.0, 100.0), 4.0), (None, (2.0, 100.0), None)],
)
def test_the_counters_wrap(before, after, taken) -> None:
    assert between(before, after) == taken
