"""How often intervals over seeds and test examples hold the gap of the population."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from sparsetune.answers import Asked, Bound, Contrast, Sample, collapse_rate, judge

TEST_SETS = (360, 872, 10_000)
SEEDS = (2, 3, 5, 10)
SPREADS = (0.0, 0.005, 0.02)
"""Standard deviations over seeds of each network's accuracy."""
ACCURACIES = (0.92, 0.90)
GAP = ACCURACIES[0] - ACCURACIES[1]
COVERAGE = 0.95
FIRST_STAGE = 6 / math.pi**2
"""Part of a level that the first stage spends."""


@dataclass(frozen=True)
class Coverage:
    """Intervals for one gap between two networks.

    Args:
        covered: Fraction of intervals over seeds and examples that hold the gap.
        by_seeds: Fraction of intervals over seeds alone that hold it.
        width: Median width of the former, as a fraction.
    """

    covered: float
    by_seeds: float
    width: float


def coverage(n_examples: int, seeds: int, spread: float, draws: int, seed: int = 0) -> Coverage:
    """Coverage for networks of one kind each, over drawn seeds and test sets.

    Args:
        n_examples: Size of the test set.
        seeds: Number of seeds.
        spread: Standard deviation over seeds of each network's accuracy.
        draws: Number of simulated comparisons.
        seed: Seed of the simulation.
    """
    rng = np.random.default_rng([seed, n_examples, seeds, round(1e6 * spread)])
    found, alone = [], []
    for _ in range(draws):
        examples = _differences(n_examples, seeds, spread, rng)
        differences = examples.mean(axis=1)
        found.append(_interval(Sample(differences, examples, ""), 1 - COVERAGE))
        alone.append(_interval(Sample(differences, None, ""), 1 - COVERAGE))
    return Coverage(
        float(np.mean([one.low <= GAP <= one.high for one in found])),
        float(np.mean([one.low <= GAP <= one.high for one in alone])),
        float(np.median([one.high - one.low for one in found])),
    )


def _interval(sample: Sample, level: float) -> Bound:
    """Two-sided interval of a single contrast at this level."""
    family = [Asked("gap", 2, 1.0, [Contrast("gap", sample)])]
    return judge(family, level=level / FIRST_STAGE)[0]


def _differences(
    n_examples: int, seeds: int, spread: float, rng: np.random.Generator
) -> np.ndarray:
    """Differences between right and wrong answers, shape [n_seeds, N]; half of each network's
    variance over seeds is that of its pair."""
    pair = rng.standard_normal(seeds)
    alone = rng.standard_normal((2, seeds))
    accuracies = np.array(ACCURACIES)[:, None] + spread * np.sqrt(0.5) * (pair + alone)
    quantiles = ndtri(np.clip(accuracies, 1e-6, 1 - 1e-6)).astype(np.float32)
    difficulty = np.sqrt(np.float32(0.25)) * rng.standard_normal(
        (2, seeds, n_examples), dtype=np.float32
    )
    difficulty += np.sqrt(np.float32(0.25)) * rng.standard_normal(
        (2, 1, n_examples), dtype=np.float32
    )
    difficulty += np.sqrt(np.float32(0.5)) * rng.standard_normal(n_examples, dtype=np.float32)
    right = (difficulty < quantiles[:, :, None]).astype(np.int8)
    return (right[0] - right[1]).astype(np.float64)


@dataclass(frozen=True)
class CollapsingCoverage:
    """95 % intervals where some runs collapse.

    Args:
        of_all: Fraction that hold the mean of all runs, collapsed ones included.
        of_rest: Fraction that hold the mean of the others, where there are two.
        of_rate: Fraction of `collapse_rate` that hold the rate.
    """

    of_all: float
    of_rest: float
    of_rate: float


def collapsing_coverage(rate: float, seeds: int, draws: int, seed: int = 0) -> CollapsingCoverage:
    """Coverage where a run falls by 80 points at this rate, and varies by 0.3 points otherwise."""
    rng = np.random.default_rng([seed, round(1000 * rate), seeds])
    of_all, of_rest, of_rate = [], [], []
    for _ in range(draws):
        is_collapsed = rng.random(seeds) < rate
        values = 0.003 * rng.standard_normal(seeds)
        every = _interval(Sample(values - 0.8 * is_collapsed, None, ""), 1 - COVERAGE)
        of_all.append(every.low <= -0.8 * rate <= every.high)
        if (~is_collapsed).sum() > 1:
            rest = _interval(Sample(values[~is_collapsed], None, ""), 1 - COVERAGE)
            of_rest.append(rest.low <= 0 <= rest.high)
        low, high = collapse_rate(int(is_collapsed.sum()), seeds)
        of_rate.append(low <= rate <= high)
    return CollapsingCoverage(*(float(np.mean(one)) for one in (of_all, of_rest, of_rate)))
