"""Report seeds until answers are settled: error rates of whole reports, and what stopping costs.

An estimate at which sampling stopped because it was extreme is too extreme on average. How much, is
found here for one contrast alone, whose seeds vary by a normal distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from sparsetune.answers import Bound, judge, look_level
from tests.answers.simulation.generator import QUESTIONS, Drawn
from tests.answers.simulation.rates import (
    LEVEL,
    Outcome,
    Study,
    is_false_no,
    is_false_yes,
    sides_of,
)

DECLARED = (3, 6, 12)
"""Seeds at the looks of the simulated studies."""
GAINS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""True gains, in standard deviations of one seed's difference."""
MARGIN = 1.0
"""Smallest effect that matters, in the same unit."""
SHARES = {"one answer": 1.0, "one of eight": 1 / 8}
"""Part of the level that the contrast has, in a family of so many answers."""


def settled_report(study: Study, declared: Sequence[int] = DECLARED) -> Outcome:
    """Judge a study look by look; only runs of open contrasts get the seeds of the next look."""
    weights = [one.weights for question in QUESTIONS for one in question.differences]
    drawn = study.drawn
    counts = np.full(len(drawn.values), declared[0])
    settled: dict[int, Bound] = {}
    bounds: list[Bound] = []
    for look, seeds in enumerate(declared, start=1):
        family = _with_seeds(drawn, counts).family(study.margin, seeds)
        bounds = judge(family, level=LEVEL, look=look, declared=declared)
        bounds = [settled.get(place, bound) for place, bound in enumerate(bounds)]
        settled = {place: bound for place, bound in enumerate(bounds) if bound.is_settled}
        for bound, runs in zip(bounds, weights, strict=True):
            if bound.needs_seeds and look < len(declared):
                counts[list(runs)] = declared[look]
    truths = drawn.truths()
    pairs = list(zip(bounds, truths, sides_of(family), strict=True))
    return Outcome(
        bounds,
        truths,
        any(is_false_yes(bound, truth) for bound, truth, _ in pairs),
        any(is_false_no(bound, truth, study.margin, sides) for bound, truth, sides in pairs),
        missed_optimum=False,
        seeds=round(float(counts.mean())),
    )


def _with_seeds(drawn: Drawn, counts: np.ndarray) -> Drawn:
    """The study with so many seeds of each run, shape [N_RUNS]."""
    is_run = np.arange(drawn.values.shape[1]) < counts[:, None]
    return replace(drawn, values=np.where(is_run, drawn.values, np.nan))


@dataclass(frozen=True)
class Stopping:
    """What one contrast's looks give, over draws.

    Args:
        yes: Part of the draws that end in a yes.
        no: Part of them that end in a no.
        seeds: Mean number of seeds.
        bias: Mean of the estimates minus the truth, in standard deviations of one seed.
        settled_bias: The same over the draws that were settled; NaN without any.
        covered: Part of the draws whose last interval holds the truth.
    """

    yes: float
    no: float
    seeds: float
    bias: float
    settled_bias: float
    covered: float


def stopping(
    gain: float,
    share: float,
    declared: Sequence[int] = DECLARED,
    draws: int = 40_000,
    seed: int = 0,
    differences: Callable[[np.random.Generator, tuple[int, int]], np.ndarray] | None = None,
) -> Stopping:
    """Judge one contrast, asked on one side, at each look until it is settled.

    Args:
        gain: Its true mean, in standard deviations of one seed.
        share: Part of the family's level that it has.
        declared: Seeds at each look; one number for a study without looks.
        draws: Number of draws.
        seed: Seed of the simulation.
        differences: Draws differences of mean 0, shape [draws, n_seeds]; None for normal ones.
    """
    rng = np.random.default_rng(seed)
    shape = (draws, declared[-1])
    noise = rng.standard_normal(shape) if differences is None else differences(rng, shape)
    values = gain + noise
    is_open = np.ones(draws, dtype=bool)
    is_yes, is_no, is_covered = (np.zeros(draws, dtype=bool) for _ in range(3))
    seeds = np.zeros(draws)
    estimate = np.zeros(draws)
    for look, n in enumerate(declared, start=1):
        seen = values[:, :n]
        mean = seen.mean(axis=1)
        level = look_level(LEVEL, look, declared) * share
        half = -stdtrit(n - 1, level) * seen.std(axis=1, ddof=1) / np.sqrt(n)
        seeds[is_open] = n
        estimate[is_open] = mean[is_open]
        is_covered[is_open] = (np.abs(mean - gain) <= half)[is_open]
        says_no = is_open & (mean + half < MARGIN)
        says_yes = is_open & ~says_no & (mean - half > 0)
        is_no |= says_no
        is_yes |= says_yes
        is_open &= ~(says_no | says_yes)
    off = estimate - gain
    return Stopping(
        float(is_yes.mean()),
        float(is_no.mean()),
        float(seeds.mean()),
        float(off.mean()),
        float(off[~is_open].mean()) if (~is_open).any() else float("nan"),
        float(is_covered.mean()),
    )
