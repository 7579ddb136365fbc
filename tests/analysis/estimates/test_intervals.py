from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.estimates.intervals import (
    BOOTSTRAP_FROM,
    IQM_FROM,
    bca_interval,
    bootstrap_interval,
    estimate_means,
    pooled_sd,
    seeds_needed,
    t_interval,
    unsettled_text,
    welch_difference,
    welch_intervals,
)
from sparsetune.errors import SparsetuneError


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
    frame = estimate_means(values, ["a", "a", "a", "b"])
    assert frame["n"].tolist() == [2, 3, 1, 1]
    assert frame["mean"].tolist() == [2.0, 2.0, 5.0, 7.0]
    pooled = np.sqrt((1 * 2 + 2 * 4) / 3)
    assert frame["pooled_sd"].tolist()[:3] == pytest.approx([pooled] * 3)
    assert frame["df"].tolist() == [3, 3, 3, 0]
    # one value has an interval only through its group: t(0.975, df 3) = 3.182446
    assert frame["high"][2] == pytest.approx(5 + 3.182446 * pooled)
    assert np.isnan(frame["high"][3])
    assert frame["interval"].tolist() == ["t", "t", "t", ""]


def test_nothing_measured_is_nan() -> None:
    row = estimate_means([[np.nan, np.nan]], ["a"]).iloc[0]
    assert row[["mean", "sd", "pooled_sd", "low", "high", "iqm"]].isna().all()
    assert (row["n"], row["df"], row["interval"]) == (0, 0, "")


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.floats(-10, 10), min_size=3, max_size=3), min_size=1, max_size=4),
    st.floats(-5, 5),
)
def test_intervals_hold_the_mean_and_move_with_the_values(
    values: list[list[float]], shift: float
) -> None:
    like = [0] * len(values)
    frame = estimate_means(values, like)
    moved = estimate_means(np.asarray(values) + shift, like)
    if frame["low"].isna().any():
        assert (frame["pooled_sd"] < 1e-10).all()
        return
    assert (frame["low"] <= frame["mean"]).all() and (frame["mean"] <= frame["high"]).all()
    assert (estimate_means(values, like, level=0.99)["high"] >= frame["high"]).all()
    assert moved["low"].isna().any() or np.allclose(moved["low"], frame["low"] + shift)


@pytest.mark.parametrize(("n", "pooled"), [(2, 1), (3, 1), (5, 1), (2, 4), (3, 4), (5, 4), (12, 1)])
def test_intervals_cover_what_they_claim(n: int, pooled: int) -> None:
    """Normal values of studies of ``pooled`` cells; means by cell, one spread by study."""
    cells = 4_000 if n < BOOTSTRAP_FROM else 1_600
    random = np.random.default_rng(n)
    true = random.normal(size=(cells, 1))
    spread = np.repeat(random.uniform(0.1, 3, cells // pooled), pooled)[:, None]
    frame = estimate_means(
        true + spread * random.normal(size=(cells, n)), np.arange(cells) // pooled
    )
    covered = ((frame["low"] <= true[:, 0]) & (frame["high"] >= true[:, 0])).mean()
    assert 0.93 <= covered <= 0.97
    assert set(frame["interval"]) == {"t" if n < BOOTSTRAP_FROM else "bootstrap"}


def test_a_bootstrap_follows_the_skew_and_only_its_own_cell() -> None:
    skewed = np.random.default_rng(3).exponential(size=BOOTSTRAP_FROM + 2)
    frame = estimate_means([skewed, -100 * skewed], ["a", "a"])
    assert frame["interval"].tolist() == ["bootstrap"] * 2
    first = frame.iloc[0]
    assert first["high"] - first["mean"] > 1.15 * (first["mean"] - first["low"])
    alone = estimate_means([skewed], ["a"]).iloc[0]
    assert (alone["low"], alone["high"]) == pytest.approx((first["low"], first["high"]))


def test_from_ten_values_on_a_bootstrap_and_from_eight_a_middle_half() -> None:
    values = np.full((3, BOOTSTRAP_FROM), np.nan)
    values[0] = np.random.default_rng(0).normal(size=BOOTSTRAP_FROM)
    values[1, : BOOTSTRAP_FROM - 1], values[2, : IQM_FROM - 1] = values[0, 1:], values[0, 3:]
    frame = estimate_means(values, range(3))
    assert frame["interval"].tolist() == ["bootstrap", "t", "t"]
    expected = [scipy.stats.trim_mean(row[~np.isnan(row)], 0.25) for row in values[:2]]
    assert frame["iqm"].tolist()[:2] == pytest.approx(expected)
    assert np.isnan(frame["iqm"][2])
    # eight values: two cut at each end
    assert estimate_means([[0, 100, 3, 4, 5, 6, -90, 90.0]], [0])["iqm"][0] == pytest.approx(4.5)


def test_equal_values_leave_nothing_to_resample() -> None:
    same = np.full(BOOTSTRAP_FROM, 0.1)
    frame = estimate_means([same, same + np.linspace(-0.01, 0.01, BOOTSTRAP_FROM)], [0, 0])
    assert frame["interval"].tolist() == ["t", "bootstrap"]
    assert frame["high"][0] > 0.1
    alone = estimate_means([same], [0]).iloc[0]
    assert (
        np.isnan(alone["low"]) and alone["mean"] == pytest.approx(0.1) and alone["interval"] == ""
    )


@pytest.mark.parametrize(
    "values",
    [
        [[0.95, 0.95]],
        [[0.1 + 0.2, 0.3]],
        [[1e6 * (0.1 + 0.2), 1e6 * 0.3]],
        [[0.94 - 0.95, 0.84 - 0.85]],
    ],
)
def test_equal_seeds_have_no_interval_and_others_have(values: list[list[float]]) -> None:
    """Rounding, as in 0.1 + 0.2, is no spread; differences carry their operands' rounding."""
    frame = estimate_means(values, ["a"])
    assert frame[["sd", "pooled_sd"]].to_numpy().tolist() == [[0, 0]] and frame[
        "interval"
    ].tolist() == [""]
    assert frame[["low", "high"]].isna().all(axis=None) and frame["n"].tolist() == [2]
    spread = estimate_means([[x + 1e-6 * k for k, x in enumerate(row)] for row in values], ["a"])
    assert spread[["low", "high"]].notna().all(axis=None) and spread["interval"].tolist() == ["t"]
    like = estimate_means([*values, [0.0, 1.0]], ["a", "a"])
    assert like[["low", "high"]].notna().all(axis=None), (
        "a cell like it tells how far seeds may lie apart"
    )


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, "0.95"])
def test_a_level_is_a_fraction(level: float) -> None:
    message = f"a fraction such as 0.95, above 0 and below 1, got {level}"
    calls: list[Callable[[], object]] = [
        lambda: estimate_means([[1.0, 2.0]], [0], level),
        lambda: t_interval(1.0, 1.0, 3, level=level),
        lambda: bootstrap_interval(np.arange(24.0).reshape(2, 12), level),
        lambda: seeds_needed(1.0, 1.0, 3, level),
    ]
    for call in calls:
        with pytest.raises(SparsetuneError, match=message):
            call()


@pytest.mark.parametrize("level", [0.9, 0.97])
def test_a_bootstrap_interval_is_that_of_scipy(level: float) -> None:
    random = np.random.default_rng(1)
    for values in (random.lognormal(size=12), random.normal(size=10), np.r_[np.zeros(11), 1.0]):
        means = values[random.integers(len(values), size=(2_000, len(values)))].mean(axis=1)
        given = SimpleNamespace(bootstrap_distribution=means)
        theirs = scipy.stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=0,
            confidence_level=level,
            method="BCa",
            bootstrap_result=given,
        )
        assert bca_interval(values, means, level) == pytest.approx(theirs.confidence_interval)


def test_the_seed_of_the_bootstrap_matters() -> None:
    values = np.random.default_rng(0).normal(size=(1, BOOTSTRAP_FROM))
    ends = [float(bootstrap_interval(values, seed=seed)[0][0]) for seed in (0, 0, 1)]
    assert ends[0] == ends[1] != ends[2]
    first, again, other = (estimate_means(values, [0], seed=seed) for seed in (0, 0, 1))
    assert first.equals(again) and not first.equals(other)


def test_seeds_needed_by_hand() -> None:
    # mean 1, sd 1: t(0.975, N - 1) / sqrt(N) is 1.2415 at 5, 1.0494 at 6, 0.9248 at 7 values
    assert float(seeds_needed(1.0, 1.0, 3)) == 4
    assert float(seeds_needed(-1.0, 1.0, 3)) == 4
    # 20 degrees of freedom now: t(0.975, 21) / sqrt(4) = 1.0398, t(0.975, 22) / sqrt(5) = 0.9275
    assert float(seeds_needed(1.0, 1.0, 3, df=20)) == 2
    assert seeds_needed([9.0, 0.0, 1e-6, np.nan], 1.0, 3).tolist()[:3] == [0, np.inf, np.inf]
    assert np.isnan(seeds_needed(np.nan, 1.0, 3)) and np.isnan(seeds_needed(1.0, np.nan, 1))
    # equal values do not say how many would do
    assert np.isnan(seeds_needed([1.0, 0.0, 1.0], [0.0, 0.0, 7.9e-17], 3)).all()
    # one seed whose spread is known from like cells: t(0.975, 5) / sqrt(2) = 1.8177
    assert float(seeds_needed(2.0, 1.0, 1, df=4)) == 1


@settings(deadline=None, max_examples=40)
@given(st.floats(0.05, 3), st.integers(2, 9), st.sampled_from([0.8, 0.95, 0.99]))
def test_seeds_needed_are_the_fewest_that_separate(mean: float, n: int, level: float) -> None:
    k = float(seeds_needed(mean, 1.0, n, level))
    if np.isfinite(k):
        assert t_interval(mean, 1.0, n + k, level=level)[0] > 0
    if 0 < k < np.inf:
        assert t_interval(mean, 1.0, n + k - 1, level=level)[0] <= 0


def test_not_settled_in_words() -> None:
    assert unsettled_text(3, 4) == "not settled with 3 seeds: about 4 more seeds"
    assert unsettled_text(3, 1) == "not settled with 3 seeds: about 1 more seed"
    assert unsettled_text(3, np.inf) == "not settled with 3 seeds: more than 1,000 more seeds"
    assert unsettled_text(1, np.nan) == "not settled with 1 seed"
    assert unsettled_text(2, other="2 others") == "not settled against 2 others with 2 seeds"


def test_no_interval_of_a_fraction_leaves_its_range() -> None:
    # Mean 0.98, sd 0.02, n 3: t 4.302653, half 0.0496828, so 0.930 to 1.030.
    values = [[0.96, 0.98, 1.0]]
    row = estimate_means(values, ["a"], bounds=(0.0, 1.0)).iloc[0]
    half = 0.0496828 / (0.98 * 0.02)
    assert row["low"] == pytest.approx(1 / (1 + np.exp(half) * 0.02 / 0.98), rel=1e-5)
    assert row["high"] == pytest.approx(1 / (1 + np.exp(-half) * 0.02 / 0.98), rel=1e-5)
    assert row["mean"] == pytest.approx(0.98)
    # The same spread in the middle of the range: nothing changes.
    middle = [[0.48, 0.50, 0.52]]
    plain = estimate_means(middle, ["a"])
    assert estimate_means(middle, ["a"], bounds=(0.0, 1.0)).equals(plain)
    assert plain["high"][0] == pytest.approx(0.5496828)
    # Means at the very end, with the spread of a like cell: cut.
    ends = estimate_means([[1.0, 1.0], [0.9, 0.8]], ["a", "a"], bounds=(0.0, 1.0))
    assert ends["high"][0] == 1 and 0 < ends["low"][0] < 1


def test_no_interval_of_a_loss_is_below_zero_and_others_keep_theirs() -> None:
    loss = [[0.1, 0.2, 0.6]]
    plain = estimate_means(loss, ["a"]).iloc[0]
    cut = estimate_means(loss, ["a"], bounds=(0.0, np.inf)).iloc[0]
    assert plain["low"] < 0 == cut["low"]
    assert cut["high"] == plain["high"]
    # What is called a loss and is negative somewhere is no such loss.
    odd = [[0.1, 0.2, 0.6], [-0.1, -0.2, -0.3]]
    assert estimate_means(odd, ["a", "a"], bounds=(0.0, np.inf)).equals(
        estimate_means(odd, ["a", "a"])
    )


def test_within_the_range_more_skewed_fractions_are_covered_than_without_it() -> None:
    random = np.random.default_rng(0)
    values = random.beta(0.9 * 13.1, 0.1 * 13.1, (4_000, 3))
    plain = estimate_means(values, list(range(4_000)))
    inside = estimate_means(values, list(range(4_000)), bounds=(0.0, 1.0))
    covers = [((found["low"] <= 0.9) & (found["high"] >= 0.9)).mean() for found in (plain, inside)]
    # 91.2 and 94.4 % over 40,000 draws.
    assert covers[0] < 0.925 < covers[1]
    assert (plain["high"] > 1).mean() > 0.5
    assert inside["low"].min() >= 0 and inside["high"].max() <= 1


def test_welch_by_hand() -> None:
    """Variances 9 and 4 over 5 and 3 runs: 1.8 + 4/3, and 3.1333^2 / (1.8^2/4 + (4/3)^2/2)."""
    found = welch_intervals([-7, -7, -7], [[9, 4], [9, 4], [9, np.nan]], [[5, 3], [1, 3], [5, 3]])
    assert found["n"].tolist() == [3, 1, 3]
    assert found["df"][0] == pytest.approx(9.817778 / (0.81 + 0.888889), rel=1e-6)
    half = scipy.stats.t.ppf(0.975, 5.778940) * np.sqrt(3.133333)
    assert found.loc[0, ["low", "high"]].tolist() == pytest.approx([-7 - half, -7 + half])
    assert half == pytest.approx(4.371, abs=1e-3)
    # One run, or a spread that is not known, gives no interval.
    assert found.loc[1:, ["sd", "df", "low", "high"]].isna().all(axis=None)


def test_welch_is_scipys() -> None:
    values = [1.0, 2.0, 4.0, np.nan]
    others = [0.0, 0.5]
    found = welch_difference(values, others)
    expected = scipy.stats.ttest_ind([1.0, 2.0, 4.0], others, equal_var=False)
    ends = expected.confidence_interval(0.95)
    assert (found["mean"], found["n"]) == (pytest.approx(7 / 3 - 0.25), 2)
    assert [found["df"], found["low"], found["high"]] == pytest.approx(
        [expected.df, ends.low, ends.high]
    )
    assert found["mean"] / (found["sd"] / 2**0.5) == pytest.approx(expected.statistic)
    assert (
        np.isnan(welch_difference([1.0], [2.0, 3.0])["low"])
        and welch_difference([1.0], [2.0, 3.0])["mean"] == -1.5
    )
    same = welch_difference([1.0, 1.0], [2.0, 2.0])
    assert same["mean"] == -1 and np.isnan(same["low"]) and np.isnan(same["high"])
    assert np.isfinite(welch_difference([1.0, 1.0], [2.0, 2.1])["high"])
