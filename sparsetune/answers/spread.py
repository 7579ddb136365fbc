"""Spread over seeds, shared by the contrasts of one arm and sparsity.

Two or three seeds say little about their own spread: at n = 3 and a level of 0.1 % an interval by
the contrast's own spread is three times as wide as one shared by three contrasts. Spreads differ
between sparsities, though, by factors of 3 and more: shrinking all towards a common one (the
moderated t of Smyth 2004) then misses the widest contrast 3 to 15 times as often as it may. So the
spread is shared within one sparsity only, and never below the contrast's own: lengths of one
sparsity spread unequally too, by a factor of 1.4 up or down in the records of
`studies.fashion_mnist_extension`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparsetune.answers.components import Components
from sparsetune.answers.sample import Sample

Floats = NDArray[np.float64]


def shared_spread(samples: Sequence[Sample], parts: Sequence[Components]) -> tuple[Floats, Floats]:
    """Variance of one seed's difference for each contrast, and its degrees of freedom.

    The variance is the larger of the contrast's own and the mean of its group, weighted by degrees
    of freedom. Contrasts that cannot be judged, and copies of another one, do not count.

    Args:
        samples: A sample for each contrast, shape [n_contrasts].
        parts: Their components.

    Returns:
        Two arrays of shape [n_contrasts]; NaN for contrasts that cannot be judged.
    """
    variances = np.full(len(parts), np.nan)
    df = np.full(len(parts), np.nan)
    for members in _groups(samples, parts):
        counted = _without_copies(samples, members)
        own = np.array([parts[place].seeds for place in counted])
        own_df = np.array([parts[place].n - 1 for place in counted])
        with np.errstate(over="ignore"):
            pooled = float(own @ own_df) / own_df.sum()
        for place in members:
            variances[place] = max(pooled, parts[place].seeds)
            df[place] = _shared_df(own_df)
    return variances, df


def _shared_df(df: NDArray[np.int_]) -> float:
    """Degrees of freedom of the larger of one variance and the mean of its group's k.

    Differences that share one of their two runs are correlated by one half, so that the mean of
    their variances has 4 k / (k + 3) times the degrees of freedom of one (Satterthwaite 1946). The
    larger of two variances may count for more: with 8 k / (k + 7), bounds at 2.5, 0.4 and 0.08 %
    keep their level in simulation for k = 2, 3, 6 and n = 2 to 10, where spreads within the group
    are equal, and exceed it by up to a quarter where they differ by a factor of 1.5 up or down.
    """
    return float(df.sum() * 8 / (len(df) + 7))


def _groups(samples: Sequence[Sample], parts: Sequence[Components]) -> list[list[int]]:
    """Places of the contrasts of each group that can be judged."""
    groups: dict[str, list[int]] = {}
    for place, (sample, part) in enumerate(zip(samples, parts, strict=True)):
        if part.is_finite and not part.has_no_spread:
            groups.setdefault(sample.spread_group, []).append(place)
    return list(groups.values())


def _without_copies(samples: Sequence[Sample], members: Sequence[int]) -> list[int]:
    """Places of one contrast for each set of equal differences."""
    return list({samples[place].differences.tobytes(): place for place in members}.values())
