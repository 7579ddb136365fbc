"""Verdicts from bounds."""

from __future__ import annotations

from sparsetune.answers.asked import Sides
from sparsetune.answers.bound import Verdict


def verdict_of(low: float, high: float, margin: float, sides: Sides) -> Verdict:
    """What an interval says about an effect.

    An effect that is shown to be above 0 and shown to be below the margin is a "no": it is too
    small to matter. Of one that nobody asked about, a negative one where one side was asked for,
    "no" is right too.

    Args:
        low: Lower bound; NaN where there is none.
        high: Upper bound.
        margin: Smallest effect that matters, above 0.
        sides: As in `Asked`.
    """
    if high < margin and (sides == 1 or low > -margin):
        return "no"
    if low > 0:
        return "yes"
    if sides == 2 and high < 0:
        return "opposite"
    return "not settled"
