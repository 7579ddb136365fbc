"""Variance over seeds and test examples, worked by hand.

Two seeds, three examples::

    1 0 0    mean 1/3
    1 1 0    mean 2/3

Example means 1, 1/2, 0; mean 1/2. Squares: in all 6 / 4; seeds 3 * 2 / 36 = 1/6; examples
2 * (1/4 + 1/4) = 1; residual 3/2 - 1/6 - 1 = 1/3. Mean squares: 1/6, 1/2, 1/6.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sparsetune.answers import Sample
from sparsetune.answers.components import components
from tests.answers.cases import judged
from tests.answers.simulation.coverage import coverage

EXAMPLES = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])


def of(examples: np.ndarray, group: str = "") -> Sample:
    return Sample(examples.mean(axis=1), examples, group)


def test_components_by_hand() -> None:
    found = components(of(EXAMPLES))
    assert (found.n, found.n_examples, found.mean) == (2, 3, pytest.approx(0.5))
    assert found.seeds == pytest.approx(1 / 6 / 3)
    assert found.examples == pytest.approx((1 / 2 - 1 / 6) / 6)
    assert found.residual == pytest.approx(1 / 6 / 3)


def test_an_interval_over_seeds_and_examples_by_hand() -> None:
    (bound,) = judged(of(EXAMPLES), sides=2)
    # (1/6 + 1/2 - 1/6) / 6
    assert bound.se == pytest.approx(math.sqrt(1 / 12))
    # t(1) at 2.5 % is 12.7062, the normal distribution's 1.95996; variances 1/36 and 1/18.
    half = (12.7062 / 36 + 1.95996 / 18) / math.sqrt(1 / 12)
    assert bound.high - bound.mean == pytest.approx(half, rel=1e-5)


def test_without_examples_only_seeds_count() -> None:
    (bound,) = judged(Sample(EXAMPLES.mean(axis=1), None, ""), sides=2)
    assert bound.se == pytest.approx(math.sqrt(1 / 36))


def test_a_single_example_tells_nothing_of_examples() -> None:
    found = components(of(EXAMPLES[:, :1] + [[0.0], [1.0]]))
    assert (found.n_examples, found.examples, found.residual) == (0, 0.0, 0.0)


def test_seeds_that_agree_by_chance_do_not_narrow_an_interval_below_the_residual() -> None:
    # Both means are 1/2: examples 1 and 2 change places.
    examples = np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
    found = components(of(examples))
    assert found.seeds == pytest.approx(0.0, abs=1e-15)
    # Squares: 2 in all, examples 1, residual 1 over 3 degrees of freedom.
    assert found.residual == pytest.approx(1 / 3 / 4)
    # The examples' mean square is 1/3 too: they add nothing.
    assert found.examples == pytest.approx(0.0)
    (bound,) = judged(of(examples), sides=2)
    assert bound.se == pytest.approx(math.sqrt(1 / 24))
    assert bound.high - bound.low == pytest.approx(2 * 1.95996 * math.sqrt(1 / 24), rel=1e-5)


def test_examples_that_add_nothing_do_not_narrow_an_interval() -> None:
    # Every example has mean 1/2, so that their mean square is 0, below the residual's.
    examples = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0]])
    assert components(of(examples)).examples < 0
    (bound,) = judged(of(examples), sides=2)
    (alone,) = judged(Sample(examples.mean(axis=1), None, ""), sides=2)
    assert bound.high >= alone.high


def test_identical_answers_of_all_seeds_have_no_spread() -> None:
    (bound,) = judged(of(np.array([[1.0, 0.0, 0.0]] * 3)))
    assert (bound.verdict, bound.reason) == ("not settled", "no spread")


def test_a_missing_example_takes_the_verdict_away() -> None:
    examples = EXAMPLES.copy()
    examples[0, 0] = math.nan
    (bound,) = judged(Sample(EXAMPLES.mean(axis=1), examples, ""), margin=100.0)
    assert (bound.verdict, bound.reason) == ("not settled", "not finite")


def test_components_are_those_of_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(0)
    shape = (200, 300)
    seeds, examples = 0.3 * rng.normal(size=(200, 1)), 2.0 * rng.normal(size=300)
    found = components(of(seeds + examples + rng.normal(size=shape)))
    assert found.seeds == pytest.approx(0.09 + 1 / 300, rel=0.25)
    assert found.examples == pytest.approx(4.0 / 300, rel=0.25)
    assert found.residual == pytest.approx(1 / 300, rel=0.02)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_hold_the_gap_of_the_population(seeds: int) -> None:
    found = coverage(360, seeds, 0.005, 300)
    assert found.covered > 0.92
    # Seeds alone miss what the test set adds.
    if seeds > 2:
        assert found.by_seeds < found.covered - 0.02


def test_bounds_of_a_family_hold_where_seeds_agree_by_chance() -> None:
    """A t with Satterthwaite's degrees of freedom is exceeded in 8 % here, ten times its level."""
    rng = np.random.default_rng(0)
    exceeded = []
    for _ in range(500):
        seeds = 0.05 * rng.normal(size=(2, 1))
        (bound,) = judged(of(seeds + rng.normal(size=(2, 100)) * 0.1), level=0.008, sides=2)
        exceeded.append(not bound.low <= 0 <= bound.high)
    assert stats.binomtest(sum(exceeded), len(exceeded), 0.008, "greater").pvalue > 0.001
