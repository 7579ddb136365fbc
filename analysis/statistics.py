"""Means and their intervals from few seeds: Student's t with a standard deviation pooled over like cells.

At n = 3 a percentile bootstrap covers 74 % where 95 % is claimed; the t interval covers 95 %, and pooling the standard
deviation over cells that vary alike makes it narrower, since every cell adds its degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def pooled_sd(sd: ArrayLike, n: ArrayLike) -> tuple[float, int]:
    """Standard deviation common to cells with means of their own, and its degrees of freedom.

    Args:
        sd: Sample standard deviation of each cell, shape [n_cells]; read only where n > 1.
        n: Values in each cell, shape [n_cells].

    Returns:
        sqrt(sum (n - 1) sd^2 / sum (n - 1)), NaN where no cell has two values; sum (n - 1).
    """
    weights = np.maximum(np.asarray(n) - 1, 0)
    df = int(weights.sum())
    squares = np.where(weights > 0, np.asarray(sd, dtype=np.float64), 0.0) ** 2
    return (float(np.sqrt(weights @ squares / df)) if df else float("nan")), df


def t_interval(
    mean: ArrayLike, sd: ArrayLike, n: ArrayLike, df: ArrayLike | None = None, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Ends of the two-sided interval mean -+ t(df) sd / sqrt(n), elementwise; NaN where df or n is below 1.

    Args:
        mean: Sample mean, any shape.
        sd: Standard deviation, of the sample or pooled.
        n: Values behind the mean.
        df: Degrees of freedom of ``sd``; n - 1 by default.
        level: Coverage in (0, 1).
    """
    from scipy.special import stdtrit

    n = np.asarray(n, dtype=np.float64)
    df = n - 1 if df is None else np.asarray(df, dtype=np.float64)
    valid = (df > 0) & (n > 0)
    quantile = stdtrit(np.where(valid, df, 1.0), (1 + level) / 2)
    half = np.where(valid, quantile * np.asarray(sd) / np.sqrt(np.where(valid, n, 1.0)), np.nan)
    return np.asarray(mean) - half, np.asarray(mean) + half


def estimate(values: ArrayLike, like: Sequence[Hashable], level: float = 0.95) -> pd.DataFrame:
    """Mean of each cell over its seeds, with the t interval of the standard deviation pooled over like cells.

    Args:
        values: Shape [n_cells, n_seeds]; NaN where a cell lacks the seed.
        like: Group of each cell, length n_cells: cells of one group are taken to vary alike.
        level: Coverage in (0, 1).

    Returns:
        One row per cell: ``n mean sd pooled_sd df low high``; a cell of one seed has an interval only by its group.
    """
    values = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(values)
    n = present.sum(axis=1)
    mean = np.where(n > 0, np.where(present, values, 0.0).sum(axis=1) / np.maximum(n, 1), np.nan)
    squares = np.where(present, (values - mean[:, None]) ** 2, 0.0).sum(axis=1)
    sd = np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)
    frame = pd.DataFrame({"n": n, "mean": mean, "sd": sd, "pooled_sd": np.nan, "df": 0})
    groups: dict[Hashable, list[int]] = {}
    for cell, group in enumerate(like):
        groups.setdefault(group, []).append(cell)
    for members in groups.values():
        frame.loc[members, "pooled_sd"], frame.loc[members, "df"] = pooled_sd(sd[members], n[members])
    low, high = t_interval(mean, frame["pooled_sd"], n, frame["df"], level)
    return frame.assign(low=low, high=high)
