"""A fixed sequence over sparsities that any answer may continue: what the answers do not do.

Each contrast is judged at the question's whole level, the highest sparsity first, and the next one
only if this one was answered, with a yes or with a no. Where no effect is there, every "no" is
right and opens the next contrast, where a "yes" may be false: the level is spent once per sparsity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

LEVEL = 0.05
MARGIN_WIDTH = 1.6
"""The margin, as a multiple of the mean distance from a mean to its bound: where the sequence errs
most. Nearly every contrast is then answered."""


@dataclass(frozen=True)
class Comparison:
    """Rates of studies with any false "yes", where no effect is there.

    Args:
        sequence: By the fixed sequence.
        bonferroni: By an equal share of the level for each contrast.
    """

    sequence: float
    bonferroni: float


def compare(contrasts: int, seeds: int = 10, draws: int = 20_000, seed: int = 0) -> Comparison:
    """Judge the same studies both ways.

    Args:
        contrasts: Number of sparsities.
        seeds: Number of seeds.
        draws: Number of simulated studies.
        seed: Seed of the simulation.
    """
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((draws, contrasts, seeds))
    mean = values.mean(axis=2)
    se = values.std(axis=2, ddof=1) / np.sqrt(seeds)
    half = -stdtrit(seeds - 1, LEVEL) * se
    margin = MARGIN_WIDTH * half.mean()
    is_no = mean + half < margin
    is_yes = ~is_no & (mean - half > 0)
    is_reached = _reached(is_no | is_yes)
    shared = -stdtrit(seeds - 1, LEVEL / contrasts) * se
    by_share = (mean - shared > 0) & (mean + shared >= margin)
    return Comparison(
        float((is_yes & is_reached).any(axis=1).mean()), float(by_share.any(axis=1).mean())
    )


def _reached(is_answered: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether all contrasts before each one were answered."""
    before = np.logical_and.accumulate(is_answered, axis=1)[:, :-1]
    return np.hstack([np.ones((len(before), 1), dtype=bool), before])
