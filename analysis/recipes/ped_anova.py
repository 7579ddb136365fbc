"""PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255) of many orders of the same points at once.

The numbers are those of Optuna's evaluator, of which a test is. That evaluates one order at a time, through a study and
its trials: hundreds of them took a tenth of a report's time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.estimates.surface import Floats
from sparsetune.study.space import Axis, Choice, IntRange, LogUniform

MAX_GRID_STEPS = 50
"""Places on the grid of a continuous axis."""
MIN_DENSITY = 1e-12
"""Added to each density."""
MIN_KERNEL_WIDTH = 0.5 / 1.64
"""Standard deviation of a kernel, in steps of the grid, at least: 90 % of it within its step."""


def pearson_divergences(
    places: NDArray[np.int64], size: int, unordered: bool, scores: ArrayLike, better: float
) -> Floats:
    """How differently the better part of the points lies on one axis than all of them, by Pearson's divergence.

    Args:
        places: Where each point is on the axis's grid, shape [n]; see `grid_places`.
        size: How many places the grid has.
        unordered: Whether they are those of a choice.
        scores: What is to be low, shape [orders, n]; NaN leaves a point out of that order.
        better: The part of the points that is better, in (0, 1); those equal to its last are too.

    Returns:
        Shape [orders]; not normalised, 0 where there are fewer than two points.
    """
    values = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    there = np.isfinite(values)
    count = there.sum(axis=1)
    last = np.maximum(np.ceil(better * count).astype(int) - 1, 0)
    worst = np.take_along_axis(
        np.sort(np.where(there, values, np.inf), axis=1), last[:, None], axis=1
    )
    top = there & (values <= worst)
    one_hot = (places[:, None] == np.arange(size)).astype(np.float64)
    density = _choice_densities if unordered else _number_densities
    of_top, of_all = (density(part @ one_hot) + MIN_DENSITY for part in (top, there))
    pearson = (of_all * (of_top / of_all - 1) ** 2).sum(axis=1)
    return np.where(count > 1, pearson * (top.sum(axis=1) / np.maximum(count, 1)) ** 2, 0.0)


def grid_places(axis: Axis, values: ArrayLike) -> tuple[NDArray[np.int64], int]:
    """Each value's place on the axis's grid, and the grid's size; what lies beyond the range is at its end."""
    if isinstance(axis, Choice):
        options = np.asarray(values, dtype=object).tolist()
        known = {option: place for place, option in enumerate(sorted(set(options), key=str))}
        return np.array([known[option] for option in options]), len(known)
    whole = axis.high - axis.low + 1 if isinstance(axis, IntRange) else MAX_GRID_STEPS
    size = int(min(whole, MAX_GRID_STEPS)) if axis.high > axis.low else 1
    low = axis.low
    high = axis.high
    given = np.asarray(values, dtype=np.float64)
    if isinstance(axis, LogUniform):
        low = math.log(low)
        high = math.log(high)
        given = np.log(given)
    step = (high - low) / (size - 1) if size > 1 else 1.0
    return np.clip(np.ceil((given - low) / step - 0.5), 0, size - 1).astype(int), size


def _choice_densities(counts: Floats) -> Floats:
    """Densities of choices, seen so many times: a kernel for each one seen and a flat one; shapes [orders, size]."""
    size = counts.shape[1]
    n = counts.sum(axis=1, keepdims=True)
    kernels = (counts > 0).sum(axis=1, keepdims=True) + 1.0
    return np.asarray(((counts + n / kernels) / (1 + size / kernels) + 1 / size) / (n + 1))


def _number_densities(counts: Floats) -> Floats:
    """Densities of numbers: normal kernels as wide as by Scott's rule, cut at the grid's ends, and a wide one."""
    from scipy.special import ndtr

    grid = np.arange(counts.shape[1])
    size = counts.shape[1]
    n = counts.sum(axis=1)
    mean = counts @ grid / np.maximum(n, 1)
    spread = np.sqrt((counts * (grid - mean[:, None]) ** 2).sum(axis=1) / np.maximum(1, n - 1))
    below = counts.cumsum(axis=1)
    first = (below < (n // 4)[:, None]).sum(axis=1)
    third = (below <= (n * 3 // 4)[:, None]).sum(axis=1)
    seen = counts > 0
    first, third = (_next_seen_place(seen, place) for place in (first, third))
    width = np.maximum(
        1.059 * np.minimum((third - first) / 1.34, spread) * np.maximum(n, 1) ** -0.2,
        MIN_KERNEL_WIDTH,
    )
    edges = np.arange(size + 1) - 0.5
    mass = np.diff(ndtr((edges[None, None] - grid[None, :, None]) / width[:, None, None]), axis=2)
    mass /= mass.sum(axis=2, keepdims=True)
    wide = np.diff(ndtr((edges - (size - 1) / 2) / size))
    return np.asarray(
        (np.einsum("ok,okg->og", counts, mass) + wide / wide.sum()) / (n + 1)[:, None]
    )


def _next_seen_place(seen: NDArray[np.bool_], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first place from this one on that was seen, else the last one, shape [orders]."""
    from_here = seen & (np.arange(seen.shape[1]) >= place[:, None])
    last = seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return np.asarray(np.where(from_here.any(axis=1), from_here.argmax(axis=1), last))
