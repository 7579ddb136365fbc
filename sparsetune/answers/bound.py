"""Results of judging a family: an interval, a verdict and what would settle it, per contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["yes", "no", "opposite", "not settled", "open"]
"""``yes``: the effect is above 0. ``opposite``: below 0, where both directions were asked for.
``no``: it is smaller than the margin. ``not settled``: the data allow more than one of these.
``open``: trials of the look have not ended."""
Reason = Literal[
    "", "never measured", "too few seeds", "not finite", "no spread", "collapses", "open stage"
]
"""Why there is no answer; empty where the interval is just too wide. ``no spread``: all differences
are equal, which does not tell how far the next one may lie."""
SEEDS_HELP: tuple[Reason, ...] = ("", "too few seeds", "no spread")
"""Reasons that further seeds may remove. They bring back no run that diverged or learned nothing,
and collapses forbid an answer until there are far more runs than a study grants."""


@dataclass(frozen=True)
class Bound:
    """Interval and verdict of one contrast.

    Args:
        question: Name of the question.
        name: Name of the contrast.
        n: Number of seeds.
        mean: Mean difference, NaN without results.
        se: Standard error of the mean.
        df: Degrees of freedom of the spread over seeds, which contrasts of a group share.
        low: Lower bound, at `level` where one side was asked for, at half of it where two were.
        high: Upper bound, likewise.
        level: Probability of a wrong answer that this contrast may spend at this look.
        verdict: The answer.
        seeds_needed: Further seeds until the contrast is settled, mean and spread staying as they
            are: 0 if it is, infinite if more seeds do not settle it, NaN if that is unknown.
        reason: Why there is no answer, where it is not just that the interval is too wide.
        look: Number of the look at the data that it is of, from 1.
    """

    question: str
    name: str
    n: int
    mean: float
    se: float
    df: float
    low: float
    high: float
    level: float
    verdict: Verdict
    seeds_needed: float
    reason: Reason = ""
    look: int = 1

    @property
    def is_settled(self) -> bool:
        """True if there is an answer."""
        return self.verdict not in ("not settled", "open")

    @property
    def needs_seeds(self) -> bool:
        """True if there is no answer, and further report seeds may give one."""
        return not self.is_settled and self.reason in SEEDS_HELP
