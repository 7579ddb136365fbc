from __future__ import annotations

import pytest

from sparsetune.answers import collapse_rate
from sparsetune.answers.collapses import could_differ
from sparsetune.errors import SparsetuneError


@pytest.mark.parametrize(
    ("collapsed", "runs", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        # 1 - 0.025 ** (1 / 3)
        (0, 3, 0.0, 0.70760),
        (3, 3, 0.29240, 1.0),
        # Clopper and Pearson's table.
        (1, 10, 0.00253, 0.44502),
        (5, 10, 0.18709, 0.81291),
    ],
)
def test_exact_intervals(collapsed: int, runs: int, low: float, high: float) -> None:
    assert collapse_rate(collapsed, runs) == pytest.approx((low, high), abs=1e-5)


@pytest.mark.parametrize(
    ("collapsed", "runs", "expected"),
    [
        ((0, 0), (3, 3), True),
        ((0, 0), (40, 40), False),
        ((1, 0), (40, 40), True),
        ((1, 0), (100, 100), False),
        ((50, 0), (100, 100), True),
    ],
)
def test_rates_that_could_differ(
    collapsed: tuple[int, int], runs: tuple[int, int], expected: bool
) -> None:
    assert could_differ(collapsed, runs) == expected
    assert could_differ(collapsed[::-1], runs[::-1]) == expected


def test_no_more_collapse_than_ran() -> None:
    with pytest.raises(SparsetuneError, match="got 4"):
        collapse_rate(4, 3)
    with pytest.raises(SparsetuneError, match="got 95"):
        collapse_rate(1, 3, level=95)
