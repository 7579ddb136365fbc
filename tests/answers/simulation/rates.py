"""Error rates and power of whole reports, over draws of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sparsetune.answers import Asked, Bound, Sides, judge
from tests.answers.simulation.generator import QUESTIONS, Drawn, Floats

LEVEL = 0.05
PRIMARY = [one.is_primary for question in QUESTIONS for one in question.differences]
"""Whether each contrast is its question's primary one, in the order of the bounds."""


@dataclass(frozen=True)
class Study:
    """One simulated study, with as many seeds as its last stage could need.

    Args:
        drawn: What was measured, and the truth.
        margin: Smallest effect that matters.
        first_seeds: Number of seeds of the first stage.
        optimum: Accuracies of the optima, where the runs are winners of searches.
    """

    drawn: Drawn
    margin: float
    first_seeds: int
    optimum: Floats | None = None


@dataclass(frozen=True)
class Outcome:
    """What the reports of one study said.

    Args:
        bounds: Bounds of the last stage.
        truths: True effect of every contrast.
        false_yes: Whether any stage's report said a false "yes" (or "opposite").
        false_no: Whether any stage's report said a false "no".
        missed_optimum: Whether any answer is false of the optima, instead of what was found.
        seeds: Seeds of the last stage.
    """

    bounds: Sequence[Bound]
    truths: Sequence[float]
    false_yes: bool
    false_no: bool
    missed_optimum: bool
    seeds: int


def is_false_yes(bound: Bound, truth: float) -> bool:
    """Whether an effect was said to be there that is not, or is the other way round."""
    said_up, said_down = bound.verdict == "yes", bound.verdict == "opposite"
    return (said_up and truth <= 0) or (said_down and truth >= 0)


def is_false_no(bound: Bound, truth: float, margin: float, sides: Sides) -> bool:
    """Whether an effect was said to be smaller than the margin that is not."""
    # An effect at the margin in exact arithmetic may be a rounding error below it.
    reached = margin * (1 - 1e-9)
    is_large = truth >= reached or (sides == 2 and truth <= -reached)
    return bound.verdict == "no" and is_large


def reports_of(study: Study, stages: int = 1) -> Outcome:
    """Judge a study, adding the seeds that each report advises, for so many stages at most."""
    truths = study.drawn.truths()
    optima = truths
    if study.optimum is not None:
        optima = replace(study.drawn, accuracies=study.optimum).truths()
    n = study.first_seeds
    most = study.drawn.values.shape[1]
    false_yes = false_no = missed = False
    for stage in range(1, stages + 1):
        family = study.drawn.family(study.margin, n)
        bounds = judge(family, level=LEVEL, look=stage)
        sides = sides_of(family)
        false_yes |= any(map(is_false_yes, bounds, truths))
        false_no |= any(
            is_false_no(*one, study.margin, side)
            for one, side in zip(zip(bounds, truths, strict=True), sides, strict=True)
        )
        missed |= any(
            is_false_yes(bound, truth) or is_false_no(bound, truth, study.margin, side)
            for bound, truth, side in zip(bounds, optima, sides, strict=True)
        )
        more = seeds_advised(bounds)
        if stage == stages or not more or n == most:
            break
        n = min(n + more, most)
    return Outcome(bounds, truths, false_yes, false_no, missed, n)


def sides_of(family: Sequence[Asked]) -> list[Sides]:
    """Sides of every contrast, in the order of the bounds."""
    return [asked.sides for asked in family for _ in asked.contrasts]


def seeds_advised(bounds: Sequence[Bound]) -> int:
    """Seeds that a report would advise: those that settle the closest contrast, 0 for none."""
    needed = [bound.seeds_needed for bound in bounds if 0 < bound.seeds_needed < np.inf]
    return int(min(needed, default=0))


@dataclass(frozen=True)
class Rates:
    """Rates over the draws of a scenario, as fractions.

    Args:
        draws: Number of draws.
        false_yes: Reports with any false "yes".
        false_no: Reports with any false "no".
        either: Reports with any false answer.
        missed_optimum: Reports with any answer that is false of the optima.
        yes: Contrasts answered "yes", of those whose true effect is above 0.
        primary_yes: The same of primary contrasts.
        settled: Contrasts with an answer, of all.
        seeds: Mean number of seeds at the end.
    """

    draws: int
    false_yes: float
    false_no: float
    either: float
    missed_optimum: float
    yes: float
    primary_yes: float
    settled: float
    seeds: float


def rates(
    study: Callable[[np.random.Generator], Study],
    draws: int,
    report: Callable[[Study], Outcome],
    seed: int,
) -> Rates:
    """Draw studies of a scenario and judge them; draw k is the same however many there are."""
    found = [report(study(np.random.default_rng([seed, number]))) for number in range(draws)]
    bounds = [bound for outcome in found for bound in outcome.bounds]
    truths = [truth for outcome in found for truth in outcome.truths]
    primary = PRIMARY * draws
    up = [bound for bound, truth in zip(bounds, truths, strict=True) if truth > 0]
    up_primary = [
        bound
        for bound, truth, is_primary in zip(bounds, truths, primary, strict=True)
        if is_primary and truth > 0
    ]
    return Rates(
        draws,
        _share(outcome.false_yes for outcome in found),
        _share(outcome.false_no for outcome in found),
        _share(outcome.false_yes or outcome.false_no for outcome in found),
        _share(outcome.missed_optimum for outcome in found),
        _share(bound.verdict == "yes" for bound in up),
        _share(bound.verdict == "yes" for bound in up_primary),
        _share(bound.verdict != "not settled" for bound in bounds),
        float(np.mean([outcome.seeds for outcome in found])),
    )


def _share(happened: Iterable[bool]) -> float:
    """Fraction of True; NaN of nothing."""
    values = list(happened)
    return sum(values) / len(values) if values else float("nan")
