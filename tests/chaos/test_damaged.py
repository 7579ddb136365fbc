"""Damaged study directories: refused by name, or the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import damaged


def test_no_damage_changes_a_number_silently_or_ends_in_a_traceback(tmp_path: Path) -> None:
    counts, defects = damaged.run(tmp_path, range(20))
    assert defects == []
    assert counts["refused"] > 5 and counts["named"] > 3


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_two_hundred_of_them(tmp_path: Path) -> None:
    counts, defects = damaged.run(tmp_path, range(200))
    assert defects == []
    assert counts["refused"] > 50 and counts["named"] > 50 and counts["same"] > 5


@pytest.mark.cluster
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(("through", "number"), [("report", 5), ("prepare", 40), ("resume", 8)])
def test_some_that_are_reported_prepared_and_resumed(
    tmp_path: Path, through: str, number: int
) -> None:
    counts, defects = damaged.run(tmp_path, range(number), through)
    assert defects == []
    assert 0 < counts["refused"] < number


@pytest.mark.slow
@pytest.mark.timeout(40_000)
@pytest.mark.parametrize(
    ("through", "number"),
    [("load", 10_000), ("report", 300), ("resume", 100), ("prepare", 9_600)],
)
def test_ten_thousand_of_them(tmp_path: Path, through: str, number: int) -> None:
    assert damaged.run(tmp_path, range(number), through)[1] == []
