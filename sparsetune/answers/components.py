"""Variance of paired differences, split into what seeds and what the test examples add."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sparsetune.answers.sample import Sample

SPREAD_TOLERANCE = 1e-12
"""Standard deviation that counts as 0, relative to values above 1 and absolute for smaller ones:
differences carry the rounding of the values that they were taken from."""


@dataclass(frozen=True)
class Components:
    """Parts of the variance of one contrast's mean over n seeds and N test examples.

    The model is two-way: a difference is its mean, plus what its seed adds, plus what its example
    adds, plus a residual (Searle, Casella and McCulloch, "Variance Components", 1992, chapter 4).

    Args:
        n: Number of seeds.
        n_examples: Number of test examples, 0 without them.
        mean: Mean over the seeds.
        seeds: Variance of one seed's difference, its share of the residual included:
            MS_seeds / N.
        examples: Variance of the mean that the choice of the test examples adds, however many
            seeds there are: (MS_examples - MS_residual) / (n N). The estimate may be negative.
        residual: Variance that the residual adds to one seed's difference: MS_residual / N.
    """

    n: int
    n_examples: int
    mean: float
    seeds: float
    examples: float
    residual: float

    @property
    def has_no_spread(self) -> bool:
        """Whether the differences are equal up to rounding, so that nothing tells their spread."""
        tolerance = SPREAD_TOLERANCE * max(1.0, abs(self.mean))
        return self.n > 1 and math.sqrt(max(self.seeds, self.residual)) <= tolerance

    @property
    def is_finite(self) -> bool:
        """Whether every part is a number, none of them too large to be squared."""
        return bool(np.isfinite([self.mean, self.seeds, self.examples, self.residual]).all())


def components(sample: Sample) -> Components:
    """Mean and parts of its variance, in closed form; NaN where they cannot be computed.

    Without examples, or with a single one, only `Components.seeds` is above 0.
    """
    n = sample.n
    if not n:
        return Components(0, 0, np.nan, np.nan, np.nan, np.nan)
    # Values too large to be squared give infinite variances, and so no verdict.
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(sample.differences.mean())
        seeds = float(sample.differences.var(ddof=1)) if n > 1 else np.nan
        if sample.examples is None or sample.examples.shape[1] < 2:
            return Components(n, 0, mean, seeds, 0.0, 0.0)
        return _two_way(sample, mean, seeds)


def _two_way(sample: Sample, mean: float, seeds: float) -> Components:
    assert sample.examples is not None
    n, n_examples = sample.examples.shape
    if n < 2:
        return Components(n, n_examples, mean, seeds, np.nan, np.nan)
    centred = sample.examples - sample.examples.mean()
    of_examples = centred.mean(axis=0)
    residuals = centred - centred.mean(axis=1, keepdims=True) - of_examples
    squares_examples = n * float(of_examples @ of_examples)
    squares_residual = float(np.vdot(residuals, residuals))
    mean_square_examples = squares_examples / (n_examples - 1)
    mean_square_residual = squares_residual / ((n - 1) * (n_examples - 1))
    examples = (mean_square_examples - mean_square_residual) / (n * n_examples)
    return Components(n, n_examples, mean, seeds, examples, mean_square_residual / n_examples)
