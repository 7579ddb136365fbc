"""Judging a family of questions: simultaneous bounds and a verdict for every contrast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sparsetune.answers.asked import Asked, Contrast
from sparsetune.answers.bound import Bound, Reason, Verdict
from sparsetune.answers.collapses import could_differ
from sparsetune.answers.components import Components, components
from sparsetune.answers.family import look_level, shares
from sparsetune.answers.precision import Floats, Precision
from sparsetune.answers.sample import Sample
from sparsetune.answers.seeds_needed import Targets, seeds_needed
from sparsetune.answers.verdict import verdict_of


def judge(
    family: Sequence[Asked],
    *,
    level: float = 0.05,
    look: int = 1,
    declared: Sequence[int] = (1,),
    is_complete: bool = True,
) -> list[Bound]:
    """Bounds and verdicts of all contrasts; any verdict is wrong with probability ``level``.

    The level is split over looks (`look_level`), questions and contrasts (Bonferroni). One-sided
    bounds each have the contrast's whole level: a "yes" is wrong at effects of 0 or less, a "no"
    at effects of the margin or more, so that only one of them can be. Two-sided ones have half of
    it each.

    Args:
        family: Every question that was declared, with every contrast.
        level: Probability that any answer is wrong, over all looks together, in (0, 1).
        look: Number of the look at the data, from 1.
        declared: Report seeds of a cell at each look that the study declares.
        is_complete: Whether the look's trials have all ended; otherwise every verdict is "open".

    Returns:
        One bound per contrast, question by question.

    Raises:
        SparsetuneError: if names are not unique, the level is outside (0, 1), or the look below 1.
    """
    places = [(asked, contrast) for asked in family for contrast in asked.contrasts]
    share = np.array(shares(family))
    if not places:
        return []
    samples = [contrast.sample for _, contrast in places]
    parts = [components(sample) for sample in samples]
    precision = Precision.of(samples, parts)
    sides = np.array([asked.sides for asked, _ in places])
    mean = np.array([part.mean for part in parts])
    level_here = look_level(level, look, declared) * share
    half = precision.half_widths(level_here / sides)
    numbers = zip(
        mean - half,
        mean + half,
        precision.standard_errors(),
        precision.df,
        level_here,
        _seeds_needed(places, mean, precision, look_level(level, look + 1, declared) * share),
        strict=True,
    )
    bounds = []
    for (asked, contrast), part, row in zip(places, parts, numbers, strict=True):
        low, high, se, df, own_level, needed = map(float, row)
        verdict, reason = _answer(asked, contrast.sample, part, low, high)
        if verdict != "not settled":
            needed = 0.0
        elif reason == "collapses":
            needed = np.nan
        bound = Bound(
            question=asked.name,
            name=contrast.name,
            n=part.n,
            mean=part.mean,
            se=se,
            df=df,
            low=low,
            high=high,
            level=own_level,
            verdict=verdict,
            seeds_needed=needed,
            reason=reason,
            look=look,
        )
        bounds.append(bound if is_complete else replace(bound, verdict="open", reason="open stage"))
    return bounds


def judge_looks(
    family: Callable[[int], Sequence[Asked]],
    *,
    looks: Sequence[int],
    declared: Sequence[int] = (1,),
    level: float = 0.05,
    is_complete: bool = True,
) -> list[Bound]:
    """Bounds of all contrasts at the last of several looks; what an earlier one settled stays so.

    Args:
        family: Gives every question with every contrast, as measured at a look.
        looks: Numbers of the looks, in order, at least one.
        declared: Report seeds of a cell at each look that the study declares.
        level: As in `judge`.
        is_complete: Whether the trials of the last look have all ended.

    Returns:
        One bound per contrast, question by question. Its `Bound.look` is the one that it is of.
    """
    *earlier, last = looks
    settled: dict[tuple[str, str], Bound] = {}
    for look in earlier:
        for bound in judge(family(look), level=level, look=look, declared=declared):
            if bound.is_settled:
                settled.setdefault((bound.question, bound.name), bound)
    found = judge(family(last), level=level, look=last, declared=declared, is_complete=is_complete)
    return [settled.get((bound.question, bound.name), bound) for bound in found]


def _seeds_needed(
    places: Sequence[tuple[Asked, Contrast]], mean: Floats, precision: Precision, level: Floats
) -> Floats:
    """Further seeds of each contrast; they begin another look, which has a level of its own."""
    sides = np.array([asked.sides for asked, _ in places])
    targets = Targets(
        mean=mean,
        margin=np.array([asked.margin for asked, _ in places]),
        is_two_sided=sides == 2,
        can_be_no=np.array([not any(contrast.sample.collapsed) for _, contrast in places]),
        level=level / sides,
    )
    return seeds_needed(targets, precision)


def _answer(
    asked: Asked, sample: Sample, part: Components, low: float, high: float
) -> tuple[Verdict, Reason]:
    """Verdict of one contrast, and why there is none."""
    obstacle = _obstacle(sample, part)
    if obstacle:
        return "not settled", obstacle
    verdict = verdict_of(low, high, asked.margin, asked.sides)
    if verdict == "no" and any(sample.collapsed):
        return "not settled", "collapses"
    return verdict, ""


def _obstacle(sample: Sample, part: Components) -> Reason:
    """What forbids any verdict, empty if nothing does."""
    if any(sample.collapsed) and could_differ(sample.collapsed, sample.runs):
        return "collapses"
    if part.n == 0:
        return "never measured"
    if part.n == 1:
        return "too few seeds"
    if not part.is_finite:
        return "not finite"
    return "no spread" if part.has_no_spread else ""
