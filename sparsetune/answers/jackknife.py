"""Jackknife over test examples, for scores that are no mean over them: F1, correlations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sparsetune.errors import SparsetuneError

Floats = NDArray[np.float64]


def jackknife_values(score: Callable[[Floats], float], outcomes: Floats) -> Floats:
    """Share of each test example in a score: N score - (N - 1) (score without the example).

    Their mean is the score up to a bias of order 1 / N, and differences of two networks' values may
    stand in `Sample.examples` (Tukey's pseudo-values; Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, chapter 11). Of a mean over examples they are the examples' own values.

    Args:
        score: Score of any selection of examples from their outcomes, shape [n, n_values].
        outcomes: What the score is made of, a row per test example, shape [N, n_values], N >= 2.
            Equal rows count alike, so that only different ones are left out in turn.

    Returns:
        Shape [N]. NaN where the score without an example is undefined.

    Raises:
        SparsetuneError: if there are fewer than two examples.
    """
    rows = np.asarray(outcomes, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise SparsetuneError(
            "a jackknife needs outcomes of two or more test examples, one row each, got an array"
            f" of shape {rows.shape}"
        )
    n = len(rows)
    whole = score(rows)
    _, first, kind = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    without = np.array([score(np.delete(rows, place, axis=0)) for place in first])
    values: Floats = n * whole - (n - 1) * without[kind.reshape(-1)]
    return values
