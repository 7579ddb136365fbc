"""PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255) of many orders of the same points at once.

The numbers are those of Optuna's evaluator, which a test compares. That evaluator takes one order
at a time, through a study and its trials: hundreds of them took a tenth of a report's time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsetune.study.space import Axis, Choice, IntRange, LogUniform

from ...estimates.surface import Floats

MAX_GRID_STEPS = 50
"""Places on the grid of a continuous axis."""
MIN_DENSITY = 1e-12
"""Added to each density, so that none is 0."""
MIN_KERNEL_WIDTH = 0.5 / 1.64
"""Smallest standard deviation of a kernel, in steps of the grid: 90 % of it is within its step."""


def pearson_divergences(
    places: NDArray[np.int64], size: int, unordered: bool, scores: ArrayLike, better: float
) -> Floats:
    """Pearson's divergence on one axis of the better part of the points from all points.

    Args:
        places: Place of each point on the axis's grid, shape [n]; see `grid_places`.
        size: Number of places of the grid.
        unordered: True if they are the options of a choice.
        scores: Scores, lower is better, shape [orders, n]; NaN leaves a point out of that order.
        better: Part of the points that is better, in (0, 1); points equal to its last belong to it.

    Returns:
        Shape [orders]; not normalised, 0 if there are fewer than two points.
    """
    values = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    is_present = np.isfinite(values)
    count = is_present.sum(axis=1)
    last = np.maximum(np.ceil(better * count).astype(int) - 1, 0)
    # Absent points sort last, so that the k-th value counts present ones only.
    ordered = np.sort(np.where(is_present, values, np.inf), axis=1)
    worst_of_better = np.take_along_axis(ordered, last[:, None], axis=1)
    is_better = is_present & (values <= worst_of_better)
    # One product with this counts the points at each place, for all orders at once.
    one_hot = (places[:, None] == np.arange(size)).astype(np.float64)
    density = _choice_densities if unordered else _number_densities
    of_better = density(is_better @ one_hot) + MIN_DENSITY
    of_all = density(is_present @ one_hot) + MIN_DENSITY
    pearson = (of_all * (of_better / of_all - 1) ** 2).sum(axis=1)
    share = is_better.sum(axis=1) / np.maximum(count, 1)
    return np.where(count > 1, pearson * share**2, 0.0)


def grid_places(axis: Axis, values: ArrayLike) -> tuple[NDArray[np.int64], int]:
    """Place of each value on the axis's grid, shape [n], and the size of the grid.

    Values beyond the range are at its end.
    """
    if isinstance(axis, Choice):
        options = np.asarray(values, dtype=object).tolist()
        place_of = {option: k for k, option in enumerate(sorted(set(options), key=str))}
        return np.array([place_of[option] for option in options]), len(place_of)
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
    # Half a step is taken off before rounding up, as Optuna does: halves round down.
    places = np.ceil((given - low) / step - 0.5)
    return np.clip(places, 0, size - 1).astype(int), size


def _choice_densities(counts: Floats) -> Floats:
    """Densities of choices, from how often each was seen; shapes [orders, size].

    There is a kernel for each option that was seen, and a flat one.
    """
    size = counts.shape[1]
    n = counts.sum(axis=1, keepdims=True)
    kernels = (counts > 0).sum(axis=1, keepdims=True) + 1.0
    smoothed = (counts + n / kernels) / (1 + size / kernels)
    return np.asarray((smoothed + 1 / size) / (n + 1))


def _number_densities(counts: Floats) -> Floats:
    """Densities of numbers, from how often each place was seen; shapes [orders, size].

    Kernels are normal, as wide as Scott's rule says and cut at the grid's ends; one more is as wide
    as the grid.
    """
    from scipy.special import ndtr

    size = counts.shape[1]
    grid = np.arange(size)
    n = counts.sum(axis=1)
    width = _kernel_widths(counts)
    # A place reaches half a step to each side, so the grid ends half a step beyond it.
    edges = np.arange(size + 1) - 0.5
    # The mass of a kernel at a place depends on their distance alone: 2 size - 1 of them, not
    # size squared, are computed, and kernels are windows of them.
    distances = np.arange(-size, size) + 0.5
    below = ndtr(distances / width[:, None])
    mass = np.diff(below, axis=1)
    inside = below[:, 2 * size - 1 - grid] - below[:, size - 1 - grid]
    windows = np.lib.stride_tricks.sliding_window_view(mass, size, axis=1)[:, ::-1]
    wide = np.diff(ndtr((edges - (size - 1) / 2) / size))
    kernels = np.einsum("ok,okg->og", counts / inside, windows)
    return np.asarray((kernels + wide / wide.sum()) / (n + 1)[:, None])


def _kernel_widths(counts: Floats) -> Floats:
    """Standard deviation of the kernels by Scott's rule, in steps of the grid, shape [orders]."""
    grid = np.arange(counts.shape[1])
    n = counts.sum(axis=1)
    mean = counts @ grid / np.maximum(n, 1)
    squares = (counts * (grid - mean[:, None]) ** 2).sum(axis=1)
    spread = np.sqrt(squares / np.maximum(1, n - 1))
    below = counts.cumsum(axis=1)
    seen = counts > 0
    first = _next_seen_place(seen, (below < (n // 4)[:, None]).sum(axis=1))
    third = _next_seen_place(seen, (below <= (n * 3 // 4)[:, None]).sum(axis=1))
    # The quartiles' distance keeps a few far points from widening every kernel.
    robust_spread = np.minimum((third - first) / 1.34, spread)
    widths = 1.059 * robust_spread * np.maximum(n, 1) ** -0.2
    return np.asarray(np.maximum(widths, MIN_KERNEL_WIDTH))


def _next_seen_place(seen: NDArray[np.bool_], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first place from ``place`` on that was seen, else the last one seen, shape [orders]."""
    from_here = seen & (np.arange(seen.shape[1]) >= place[:, None])
    last = seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return np.asarray(np.where(from_here.any(axis=1), from_here.argmax(axis=1), last))
