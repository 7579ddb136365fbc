"""Seeds until contrasts are settled, if means and spreads stay as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsetune.answers.precision import Precision

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MAX_MORE_SEEDS = 1_000
"""Largest number of further seeds that is ever suggested."""


@dataclass(frozen=True)
class Targets:
    """What the contrasts of a family must show, each of shape [n_contrasts].

    Args:
        mean: Mean difference.
        margin: Smallest effect that matters.
        is_two_sided: Whether both directions were asked for.
        can_be_no: Whether a "no" would be an answer.
        level: Probability of a wrong bound, on either side.
    """

    mean: Floats
    margin: Floats
    is_two_sided: Flags
    can_be_no: Flags
    level: Floats

    def are_settled(self, precision: Precision) -> Flags:
        """Whether each contrast has an answer at this precision."""
        half = precision.half_widths(self.level)
        low, high = self.mean - half, self.mean + half
        is_no = (high < self.margin) & (~self.is_two_sided | (low > -self.margin))
        is_effect = (low > 0) | (self.is_two_sided & (high < 0))
        return np.where(is_no, self.can_be_no, is_effect)


def seeds_needed(targets: Targets, precision: Precision) -> Floats:
    """Number of further seeds for each contrast, at least 1, shape [n_contrasts].

    Infinite above `MAX_MORE_SEEDS`: so it is where the test examples limit what can be shown. NaN
    where the mean or the spread is unknown.
    """
    is_known = np.isfinite(targets.mean) & np.isfinite(precision.seeds)
    # More seeds always narrow the interval: the fewest that do are found by bisection.
    low = np.zeros(len(targets.mean))
    high = np.full(len(targets.mean), float(MAX_MORE_SEEDS))
    is_reachable = targets.are_settled(precision.with_seeds(high))
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        is_enough = targets.are_settled(precision.with_seeds(middle))
        is_open = high - low > 1
        high = np.where(is_open & is_enough, middle, high)
        low = np.where(is_open & ~is_enough, middle, low)
    needed = np.where(is_reachable, high, np.inf)
    return np.where(is_known, needed, np.nan)
