"""Runs that collapsed: an interval for their rate, and when they forbid an answer."""

from __future__ import annotations

from sparsetune.answers.family import require_level
from sparsetune.errors import SparsetuneError

COLLAPSE_DISTANCE = 0.05
"""Part of the loss of the best constant answer that a training must have removed, or it counts as
collapsed."""
RATE_DIFFERENCE = 0.1
"""Difference in collapse rates that could make the mean of the other runs misleading."""
RATE_LEVEL = 0.05
"""Probability that the interval of a rate misses it."""


def has_collapsed(loss: float, chance: float, distance: float = COLLAPSE_DISTANCE) -> bool:
    """True if a training has collapsed; False also where the loss of chance is not above 0.

    Args:
        loss: Its final training loss.
        chance: Loss of the best constant answer.
        distance: Part of it that a training must have removed, in (0, 1).
    """
    return chance > 0 and loss >= (1 - distance) * chance


def collapse_rate(collapsed: int, runs: int, level: float = RATE_LEVEL) -> tuple[float, float]:
    """Ends of the exact interval for a rate (Clopper and Pearson 1934).

    Args:
        collapsed: Number of runs that collapsed.
        runs: Number of runs; 0 gives (0, 1).
        level: Probability that the interval misses the rate, in (0, 1).

    Raises:
        SparsetuneError: if more runs collapsed than there are, or the level is outside (0, 1).
    """
    from scipy.special import betaincinv

    if not 0 <= collapsed <= runs:
        raise SparsetuneError(f"`collapsed` is 0 to {runs}, the number of runs, got {collapsed}")
    require_level(level)
    rest = runs - collapsed
    low = betaincinv(collapsed, rest + 1, level / 2) if collapsed else 0.0
    high = betaincinv(collapsed + 1, rest, 1 - level / 2) if rest else 1.0
    return float(low), float(high)


def could_differ(collapsed: tuple[int, int], runs: tuple[int, int]) -> bool:
    """Whether the collapse rates of two sides could differ by more than `RATE_DIFFERENCE`.

    Read from their intervals: the low end of one against the high end of the other.
    """
    (low, high), (other_low, other_high) = map(collapse_rate, collapsed, runs)
    return max(high - other_low, other_high - low) > RATE_DIFFERENCE
