from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics import estimate, pooled_sd, t_interval


def test_pooled_sd_weighs_by_degrees_of_freedom() -> None:
    # (1 * 2^2 + 3 * 1^2) / 4 = 7/4; the cell of one value adds nothing
    sd, df = pooled_sd([2.0, 1.0, np.nan], [2, 4, 1])
    assert (sd, df) == (pytest.approx(np.sqrt(7 / 4)), 4)
    assert np.isnan(pooled_sd([np.nan], [1])[0])


def test_t_interval_by_hand() -> None:
    # t(0.975, df 2) = 4.302653, sd 1, n 3: half width 2.484138
    low, high = t_interval(10.0, 1.0, 3)
    assert (float(low), float(high)) == (pytest.approx(7.515862), pytest.approx(12.484138))
    # t(0.975, df 10) = 2.228139, n 4
    assert float(t_interval(0.0, 2.0, 4, df=10)[1]) == pytest.approx(2.228139)
    assert np.isnan(t_interval(1.0, 1.0, 1)[0])


def test_estimate_pools_within_groups() -> None:
    values = [[1.0, 3.0, np.nan], [0.0, 2.0, 4.0], [5.0, np.nan, np.nan], [7.0, np.nan, np.nan]]
    frame = estimate(values, ["a", "a", "a", "b"])
    assert frame["n"].tolist() == [2, 3, 1, 1]
    assert frame["mean"].tolist() == [2.0, 2.0, 5.0, 7.0]
    pooled = np.sqrt((1 * 2 + 2 * 4) / 3)
    assert frame["pooled_sd"].tolist()[:3] == pytest.approx([pooled] * 3)
    assert frame["df"].tolist() == [3, 3, 3, 0]
    # one value has an interval only through its group: t(0.975, df 3) = 3.182446
    assert frame["high"][2] == pytest.approx(5 + 3.182446 * pooled)
    assert np.isnan(frame["high"][3])


def test_nothing_measured_is_nan() -> None:
    assert estimate([[np.nan, np.nan]], ["a"]).isna().to_numpy()[0].tolist() == [
        False,
        True,
        True,
        True,
        False,
        True,
        True,
    ]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.floats(-10, 10), min_size=3, max_size=3), min_size=1, max_size=4), st.floats(-5, 5))
def test_intervals_hold_the_mean_and_move_with_the_values(values: list[list[float]], shift: float) -> None:
    like = [0] * len(values)
    frame, moved = estimate(values, like), estimate(np.asarray(values) + shift, like)
    assert (frame["low"] <= frame["mean"]).all() and (frame["mean"] <= frame["high"]).all()
    assert np.allclose(moved["low"], frame["low"] + shift)
    assert (estimate(values, like, level=0.99)["high"] >= frame["high"]).all()


def test_intervals_cover_what_they_claim() -> None:
    values = np.random.default_rng(0).normal(size=(2000, 3))
    frame = estimate(values, range(2000))
    assert ((frame["low"] <= 0) & (frame["high"] >= 0)).mean() == pytest.approx(0.95, abs=0.015)
