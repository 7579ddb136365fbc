"""A fixed sequence over sparsities that any answer may continue: what the answers do not do.

Each contrast is judged at the question's whole level, the highest sparsity first, and the next one
only if this one was answered, with a yes or with a no. Where the true effect of each is 0, every
"no" is right and opens the next contrast, where a "yes" may be false: the level is spent once per
sparsity.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit


def false_yes_of_sequence(
    contrasts: int, seeds: int, sd: float, margin: float, level: float, draws: int, seed: int
) -> tuple[float, float]:
    """Probability of any false "yes" where no effect is there, by the sequence and by Bonferroni.

    Args:
        contrasts: Number of sparsities.
        seeds: Number of seeds.
        sd: Standard deviation over seeds of a paired difference.
        margin: Smallest effect that matters.
        level: Level of the question.
        draws: Number of simulated studies.
        seed: Seed of the simulation.
    """
    rng = np.random.default_rng(seed)
    values = sd * rng.standard_normal((draws, contrasts, seeds))
    mean = values.mean(axis=2)
    se = values.std(axis=2, ddof=1) / np.sqrt(seeds)
    quantile = -stdtrit(seeds - 1, level)
    is_yes = mean - quantile * se > 0
    is_no = ~is_yes & (mean + quantile * se < margin)
    is_answered = np.cumprod(is_yes | is_no, axis=1).astype(bool)
    is_reached = np.hstack([np.ones((draws, 1), dtype=bool), is_answered[:, :-1]])
    by_sequence = (is_yes & is_reached).any(axis=1).mean()
    shared = -stdtrit(seeds - 1, level / contrasts)
    by_bonferroni = (mean - shared * se > 0).any(axis=1).mean()
    return float(by_sequence), float(by_bonferroni)
