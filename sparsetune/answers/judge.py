"""Judging a family of questions: simultaneous bounds and a verdict for every contrast."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sparsetune.answers.asked import Asked, Contrast
from sparsetune.answers.bound import Bound, Reason, Verdict
from sparsetune.answers.family import shares, stage_level


def judge(
    family: Sequence[Asked], *, level: float = 0.05, stage: int = 1, is_complete: bool = True
) -> list[Bound]:
    """Bounds and verdicts of all contrasts; any of them is wrong with probability ``level``.

    Args:
        family: Every question that was declared, with every contrast.
        level: Probability that any answer is wrong, over all stages together.
        stage: Number of the stage of data, from 1.
        is_complete: Whether the stage's trials have all ended; otherwise verdicts are "open".

    Returns:
        One bound per contrast, question by question.

    Raises:
        SparsetuneError: if names are not unique, the level is outside (0, 1), or stage is below 1.
    """
    spent = stage_level(level, stage)
    places = [(asked, contrast) for asked in family for contrast in asked.contrasts]
    return [
        _bound(asked, contrast, spent * share, is_complete)
        for (asked, contrast), share in zip(places, shares(family), strict=True)
    ]


def _bound(asked: Asked, contrast: Contrast, level: float, is_complete: bool) -> Bound:
    from scipy.special import stdtrit

    values = contrast.sample.differences
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    sd = float(values.std(ddof=1)) if n > 1 else math.nan
    reason: Reason = "" if n > 1 else "too few seeds" if n else "never measured"
    se = sd / math.sqrt(n) if n > 1 else math.nan
    half = float(-stdtrit(n - 1, level / asked.sides)) * se if n > 1 else math.nan
    verdict = _verdict(mean - half, mean + half, asked) if is_complete else "open"
    return Bound(
        asked.name,
        contrast.name,
        n,
        mean,
        se,
        n - 1,
        mean - half,
        mean + half,
        level,
        verdict,
        math.nan,
        reason,
    )


def _verdict(low: float, high: float, asked: Asked) -> Verdict:
    is_below_margin = high < asked.margin
    if is_below_margin and (asked.sides == 1 or low > -asked.margin):
        return "no"
    if low > 0:
        return "yes"
    if high < 0 and asked.sides == 2:
        return "opposite"
    return "not settled"
