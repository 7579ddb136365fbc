"""Probability that a study shows an effect, before it runs."""

from __future__ import annotations

import math

import numpy as np

from sparsetune.answers.asked import Sides
from sparsetune.answers.family import require_level
from sparsetune.errors import SparsetuneError

REACH = 10.0
"""Distance from 0 beyond which a normal distribution holds nothing."""
STEPS = 4_001


def power(
    n: int, sd: float, effect: float, level: float, sides: Sides, df: float | None = None
) -> float:
    """Probability that a contrast is answered "yes".

    With one side it is also the probability of a "no" at a true effect of margin - ``effect``.

    Args:
        n: Number of seeds.
        sd: Standard deviation over seeds of the paired difference, above 0.
        effect: True mean difference, in the same units.
        level: Level of the contrast (`Bound.level`), in (0, 1).
        sides: 1 or 2, as in `Asked`.
        df: Degrees of freedom of the spread where contrasts share it; n - 1 by default.

    Returns:
        A probability; 0 where n is below 2.

    Raises:
        SparsetuneError: if the level is outside (0, 1) or ``sd`` is not above 0.
    """
    from scipy.special import stdtrit

    require_level(level)
    if not sd > 0:
        raise SparsetuneError(f"`sd` is a standard deviation, above 0, got {sd}")
    if n < 2:
        return 0.0
    freedom = n - 1 if df is None else df
    quantile = float(-stdtrit(freedom, level / sides))
    return _exceeding(quantile, freedom, effect / sd * math.sqrt(n))


def _exceeding(quantile: float, df: float, shift: float) -> float:
    """Probability that Student's t, its normal part shifted, exceeds a quantile.

    scipy's own noncentral t is NaN for large shifts.
    """
    from scipy.special import gammainc, ndtr

    if quantile < 0:
        return 1 - _exceeding(-quantile, df, -shift)
    if quantile == 0:
        return float(ndtr(shift))
    # It exceeds where the normal part z + shift is above 0 and chi is below their quotient.
    z = np.linspace(max(-REACH, -shift), REACH, STEPS) if shift > -REACH else np.zeros(1)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    below = gammainc(df / 2, df / 2 * ((z + shift) / quantile) ** 2)
    return min(1.0, float(np.trapezoid(density * below, z)))


def smallest_margin(n_examples: int, disagreement: float, level: float, sides: Sides) -> float:
    """Smallest margin that a test set lets a "no" be shown for, however many seeds there are.

    At an effect of 0 a "no" within this margin is as likely as not.

    Args:
        n_examples: Number of test examples, at least 1.
        disagreement: Fraction of them that only one of the two networks gets right, in [0, 1].
        level: Level of the contrast (`Bound.level`), in (0, 1).
        sides: 1 or 2, as in `Asked`.

    Returns:
        A fraction of the examples.

    Raises:
        SparsetuneError: if an argument is out of its range.
    """
    from scipy.special import ndtri

    require_level(level)
    if n_examples < 1:
        raise SparsetuneError(f"`n_examples` is at least 1, got {n_examples}")
    if not 0 <= disagreement <= 1:
        raise SparsetuneError(f"`disagreement` is a fraction, 0 to 1, got {disagreement}")
    # A difference of right and wrong answers is -1, 0 or 1: around 0 its variance is its square's.
    return float(-ndtri(level / sides) * math.sqrt(disagreement / n_examples))
