from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sparsetune.answers import Sample, judge, stage_level
from tests.answers.cases import asked, sample


def by_hand(mean: float, sd: float, n: int, margin: float, level: float) -> float:
    """The same, for one contrast without examples, by trying every number."""
    for more in range(1, 1001):
        half = stats.t.isf(level, n + more - 1) * sd / math.sqrt(n + more)
        if mean - half > 0 or mean + half < margin:
            return more
    return math.inf


@pytest.mark.parametrize("mean", [-0.5, 0.0, 0.1, 0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_seeds_needed_are_the_fewest_that_settle(mean: float, n: int) -> None:
    values = np.arange(n) - (n - 1) / 2
    values = mean + values / values.std(ddof=1)
    (bound,) = judge([asked(sample(values), margin=0.6)], level=0.05)
    assert bound.verdict == "not settled"
    # They begin the second stage.
    assert bound.seeds_needed == by_hand(mean, 1.0, n, 0.6, stage_level(0.05, 2))


def test_so_many_seeds_settle_and_one_less_does_not() -> None:
    first = sample([0.0, 1.0, 2.0])
    (bound,) = judge([asked(first, margin=0.6)], level=0.05)
    for more, is_settled in ((int(bound.seeds_needed), True), (int(bound.seeds_needed) - 1, False)):
        n = 3 + more
        values = np.arange(n) - (n - 1) / 2
        values = 1.0 + values / values.std(ddof=1)
        (later,) = judge([asked(sample(values), margin=0.6)], level=0.05, look=2)
        assert (later.verdict == "yes") == is_settled


def test_test_examples_limit_what_seeds_can_show() -> None:
    rng = np.random.default_rng(0)
    examples = 0.02 + rng.normal(size=(1, 400)) + 0.01 * rng.normal(size=(3, 400))
    differences = examples.mean(axis=1)
    seeds_alone, limited = (
        judge([asked(Sample(differences, kept, ""), margin=0.01)])[0] for kept in (None, examples)
    )
    assert limited.verdict == "not settled"
    assert math.isinf(limited.seeds_needed)
    assert math.isfinite(seeds_alone.seeds_needed)


def test_a_contrast_that_may_not_be_no_waits_for_a_yes() -> None:
    values = 0.01 + np.array([-1.0, 0.0, 1.0])
    free = judge([asked(sample(values))])[0]
    collapsed = judge([asked(sample(values, collapsed=(1, 0), runs=(200, 200)))])[0]
    assert math.isfinite(free.seeds_needed)
    assert collapsed.reason == ""
    assert math.isinf(collapsed.seeds_needed)
