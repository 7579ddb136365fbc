"""Probability that a study shows an effect, before it runs."""

from __future__ import annotations

import math

from sparsetune.answers.asked import Sides
from sparsetune.errors import SparsetuneError


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
    from scipy.special import nctdtr, stdtrit

    if not 0 < level < 1:
        raise SparsetuneError(
            f"`level` is the probability of a wrong answer, above 0 and below 1, got {level}"
        )
    if not sd > 0:
        raise SparsetuneError(f"`sd` is a standard deviation, above 0, got {sd}")
    if n < 2:
        return 0.0
    freedom = n - 1 if df is None else df
    quantile = -stdtrit(freedom, level / sides)
    noncentrality = effect / sd * math.sqrt(n)
    return float(1 - nctdtr(freedom, noncentrality, quantile))
