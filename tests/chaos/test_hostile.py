"""Directories that somebody sends who means harm: read without a trace outside of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sparsetune.paths import confined
from tests.chaos import hostile

UNGUARDED: dict[str, tuple[int, str, Any]] = {
    "TOUCHED folder/index.html": (
        20,
        "sparsetune.paths.confined._FOLDER",
        confined._FOLDER & ~os.O_NOFOLLOW,
    ),
    "prints control characters": (0, "sparsetune.terminal.printable", lambda text: text),
}
"""What is found without a guard: the seed that shows it, the guard, what stands in its place."""


def test_nothing_is_imported_touched_or_printed_raw(tmp_path: Path) -> None:
    counts, defects = hostile.run(tmp_path.resolve(), range(6), report_every=0)
    assert defects == []
    assert counts["harmless"] == 6


@pytest.mark.parametrize("found", UNGUARDED)
def test_a_guard_that_is_removed_is_missed(
    found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed, guard, nothing = UNGUARDED[found]
    monkeypatch.setattr(guard, nothing)
    counts, defects = hostile.run(tmp_path.resolve(), [seed])
    assert counts["defects"] == 1
    assert any(found in text for text in defects), defects


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_report_of_them_does_neither(tmp_path: Path) -> None:
    assert hostile.run(tmp_path.resolve(), range(6, 26), report_every=5)[1] == []


@pytest.mark.slow
@pytest.mark.timeout(20_000)
def test_five_hundred_of_them(tmp_path: Path) -> None:
    counts, defects = hostile.run(tmp_path.resolve(), range(500), report_every=4)
    assert defects == []
    assert counts["harmless"] == 500
