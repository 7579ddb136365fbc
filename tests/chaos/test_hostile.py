"""Directories that somebody sends who means harm: read without a trace outside of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import hostile


def test_nothing_is_imported_touched_or_printed_raw(tmp_path: Path) -> None:
    counts, defects = hostile.run(tmp_path.resolve(), range(20), report_every=20)
    assert defects == []
    assert counts["harmless"] == 20


@pytest.mark.slow
@pytest.mark.timeout(20_000)
def test_five_hundred_of_them(tmp_path: Path) -> None:
    counts, defects = hostile.run(tmp_path.resolve(), range(500), report_every=4)
    assert defects == []
    assert counts["harmless"] == 500
