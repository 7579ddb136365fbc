"""Intervals and verdicts, against numbers from a table of Student's t.

t(2) at 5 % is 2.919986, at 2.5 % 4.302653; others are scipy's.
"""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import stats

from sparsetune.answers import Sample, Verdict, judge
from sparsetune.errors import SparsetuneError
from tests.answers.cases import asked, judged, sample


def test_a_one_sided_interval_by_hand() -> None:
    (bound,) = judged(sample([1.0, 2.0, 3.0]))
    assert (bound.n, bound.mean, bound.df) == (3, 2.0, 2.0)
    assert bound.se == pytest.approx(1 / math.sqrt(3))
    half = 2.919986 / math.sqrt(3)
    assert (bound.low, bound.high) == pytest.approx((2 - half, 2 + half), rel=1e-6)
    assert bound.level == pytest.approx(0.05)


def test_a_two_sided_interval_has_half_of_the_level_on_each_side() -> None:
    (bound,) = judged(sample([1.0, 2.0, 3.0]), sides=2)
    half = 4.302653 / math.sqrt(3)
    assert (bound.low, bound.high) == pytest.approx((2 - half, 2 + half), rel=1e-6)


CLOSE = np.array([-0.1, 0.0, 0.1])
"""Half of an interval around its mean: 0.1686 at 5 % on one side, 0.2484 at 2.5 % on each."""


@pytest.mark.parametrize(
    ("mean", "sides", "margin", "verdict"),
    [
        (0.17, 1, 0.2, "yes"),
        (0.16, 1, 0.2, "not settled"),
        (0.03, 1, 0.2, "no"),
        (0.04, 1, 0.2, "not settled"),
        (-5.0, 1, 0.2, "no"),
        (0.25, 2, 0.3, "yes"),
        (0.24, 2, 0.3, "not settled"),
        (-0.25, 2, 0.3, "opposite"),
        (-0.24, 2, 0.3, "not settled"),
        (0.05, 2, 0.3, "no"),
        (-0.05, 2, 0.3, "no"),
        (0.06, 2, 0.3, "not settled"),
        # Shown to be above 0, and shown to be too small to matter.
        (0.17, 1, 0.5, "no"),
        (-0.25, 2, 0.6, "no"),
    ],
)
def test_verdicts(mean: float, sides: int, margin: float, verdict: Verdict) -> None:
    (bound,) = judged(sample(mean + CLOSE), sides=sides, margin=margin)  # type: ignore[arg-type]
    assert bound.verdict == verdict
    assert bound.reason == ""
    assert (bound.seeds_needed == 0) == (verdict != "not settled")


def test_a_group_shares_its_spread_but_never_below_a_contrasts_own() -> None:
    bounds = judged(sample([1.0, 2.0, 3.0]), sample([0.0, 2.0, 4.0]))
    # Variances 1 and 4, mean 2.5; 4 degrees of freedom count like 4 * 8 / 9.
    assert [bound.se for bound in bounds] == pytest.approx([math.sqrt(2.5 / 3), math.sqrt(4 / 3)])
    assert [bound.df for bound in bounds] == pytest.approx([32 / 9, 32 / 9])
    half = stats.t.isf(0.05, 32 / 9) * math.sqrt(2.5 / 3)
    assert bounds[0].low == pytest.approx(2 - half)


def test_seeds_weigh_in_a_shared_spread() -> None:
    bounds = judged(sample([1.0, 2.0, 3.0]), sample([0.0, 4.0]))
    # (2 * 1 + 1 * 8) / 3
    assert bounds[0].se == pytest.approx(math.sqrt(10 / 3 / 3))
    assert bounds[0].df == pytest.approx(3 * 8 / 9)


def test_other_groups_and_copies_add_nothing() -> None:
    alone = judged(sample([1.0, 2.0, 3.0]), sample([]))[0]
    others = judged(sample([1.0, 2.0, 3.0]), sample([0.0, 2.0, 9.0], "acdc 0.98"))[0]
    copies = judged(sample([1.0, 2.0, 3.0]), sample([1.0, 2.0, 3.0]))
    assert others == alone
    assert [(bound.low, bound.df) for bound in copies] == [(alone.low, alone.df)] * 2


@pytest.mark.parametrize(
    ("differences", "reason"),
    [
        ([], "never measured"),
        ([3.0], "too few seeds"),
        ([3.0, 3.0, 3.0], "no spread"),
        ([0.0, 0.0], "no spread"),
        ([0.1 + 0.2, 0.3, 0.3], "no spread"),
        ([1e170, 1e170], "no spread"),
        ([1.0, math.nan, 1.1], "not finite"),
        ([1.0, math.inf, 1.1], "not finite"),
        ([1e200, 1.1e200, 1e200], "not finite"),
        ([1.7e308, 1.7e308, 1.6e308], "not finite"),
    ],
)
@pytest.mark.parametrize("sides", [1, 2])
def test_what_cannot_be_judged_is_not_settled(
    differences: list[float], reason: str, sides: int
) -> None:
    unclear, clear = judged(
        sample(differences),
        sample([1.0, 1.1, 1.2]),
        sides=sides,  # type: ignore[arg-type]
        margin=1e9,
    )
    assert (unclear.verdict, unclear.reason) == ("not settled", reason)
    assert math.isnan(unclear.low) and math.isnan(unclear.high)
    assert math.isnan(unclear.seeds_needed)
    assert unclear.n == len(differences)
    # And it does not touch what its group shares.
    assert clear.se == pytest.approx(0.1 / math.sqrt(3))
    assert clear.df == 2


def test_large_values_are_judged_as_small_ones_are() -> None:
    small = judged(sample([1.0, 2.0, 3.0]))[0]
    large = judged(sample([1e100, 2e100, 3e100]), margin=1e100)[0]
    assert large.low == pytest.approx(1e100 * small.low)
    assert large.verdict == small.verdict == "yes"


def test_values_that_are_barely_finite_settle_nothing() -> None:
    (bound,) = judged(sample([0.0, 1e154]))
    assert bound.verdict == "not settled"


def test_an_incomplete_stage_is_open() -> None:
    (bound,) = judge([asked(sample([1.0, 1.1, 1.2]))], is_complete=False)
    assert (bound.verdict, bound.reason) == ("open", "open stage")


def test_later_stages_have_wider_intervals() -> None:
    family = [asked(sample([1.0, 2.0, 3.0]))]
    lows = [judge(family, look=stage)[0].low for stage in (1, 2, 3)]
    assert lows[0] > lows[1] > lows[2]


@pytest.mark.parametrize(
    ("collapsed", "runs", "mean", "verdict"),
    [
        # 1 of 5 may be 72 %, 0 of 5 none.
        ((1, 0), (5, 5), 5.0, "not settled"),
        ((0, 1), (5, 5), 5.0, "not settled"),
        ((1, 0), (5, 5), 0.0, "not settled"),
        # 1 of 100 is at most 5.4 %.
        ((1, 0), (100, 100), 5.0, "yes"),
        ((1, 0), (100, 100), 0.0, "not settled"),
        ((0, 0), (5, 5), 0.0, "no"),
    ],
)
def test_collapses_forbid_a_no_and_where_rates_could_differ_everything(
    collapsed: tuple[int, int], runs: tuple[int, int], mean: float, verdict: Verdict
) -> None:
    (bound,) = judged(sample(mean + CLOSE, collapsed=collapsed, runs=runs))
    assert bound.verdict == verdict
    assert bound.reason == ("collapses" if any(collapsed) and verdict == "not settled" else "")
    assert bound.mean == pytest.approx(mean)


@pytest.mark.parametrize(
    ("differences", "examples", "said"),
    [
        (np.zeros((2, 2)), None, r"shape \(2, 2\)"),
        (np.zeros(2), np.zeros((3, 4)), r"for 2 seeds, got an array of shape \(3, 4\)"),
        (np.zeros(2), np.zeros(2), "one row per seed"),
    ],
)
def test_shapes_must_fit(differences: np.ndarray, examples: np.ndarray | None, said: str) -> None:
    with pytest.raises(SparsetuneError, match=said):
        Sample(differences, examples, "a")


def test_no_more_runs_collapse_than_there_are() -> None:
    with pytest.raises(SparsetuneError, match=r"got \(1, 0\) of \(0, 0\)"):
        sample([1.0], collapsed=(1, 0))


def test_a_family_is_judged_in_milliseconds() -> None:
    rng = np.random.default_rng(0)
    seeds = [sample(rng.normal(size=5), f"{number // 3}") for number in range(40)]
    assert fastest(seeds) < 0.02
    examples = rng.integers(-1, 2, size=(10, 10_000)).astype(float)
    assert fastest([Sample(examples.mean(axis=1), examples, "")]) < 0.05


def fastest(samples: list[Sample]) -> float:
    """Seconds of the fastest of ten judgements: the machine may be busy."""
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        judge([asked(*samples)])
        seconds.append(time.perf_counter() - start)
    return min(seconds)
