"""Means and their intervals: Student's t for few seeds, with a standard deviation pooled over like cells; a bootstrap.

At n = 3 a percentile bootstrap covers 74 % where 95 % is claimed; the t interval covers 95 %, and pooling the standard
deviation over cells that vary alike makes it narrower, since every cell adds its degrees of freedom. From n = `BOOTSTRAP_FROM` on
a cell's own values say more about their spread than its neighbours', skew included: a bootstrap of them alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sparsetune.errors import SparsetuneError

Floats = NDArray[np.float64]

BOOTSTRAP_FROM = 10
"""Values from which on an interval is a bootstrap of them."""
IQM_FROM = 8
"""Values from which on an interquartile mean is given: the middle half is then four or more."""
BOOTSTRAP_RESAMPLES = 5_000
MAX_MORE_SEEDS = 1_000
"""No more seeds than this are ever suggested."""
SPREAD_TOLERANCE = 1e-12
"""Spreads up to this part of the values count as 0, or up to this where values are below 1: differences carry the
rounding of what they were taken from."""


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
    """Ends of the two-sided interval mean -+ t(df) sd / sqrt(n), elementwise.

    Args:
        mean: Sample mean, any shape.
        sd: Standard deviation, of the sample or pooled.
        n: Values behind the mean.
        df: Degrees of freedom of ``sd``; n - 1 by default.
        level: Coverage in (0, 1).

    Returns:
        Low and high ends; NaN where df or n is below 1, or ``sd`` is 0 up to rounding: equal values say nothing of how
        far the next one may lie.

    Raises:
        SparsetuneError: if ``level`` is outside (0, 1).
    """
    from scipy.special import stdtrit

    _require_level(level)
    mean, sd, n = (np.asarray(part, dtype=np.float64) for part in (mean, sd, n))
    df = n - 1 if df is None else np.asarray(df, dtype=np.float64)
    valid = (df > 0) & (n > 0) & ~has_no_spread(sd, mean)
    quantile = stdtrit(np.where(valid, df, 1.0), (1 + level) / 2)
    half = np.where(valid, quantile * sd / np.sqrt(np.where(valid, n, 1.0)), np.nan)
    return mean - half, mean + half


def has_no_spread(sd: ArrayLike, size: ArrayLike) -> NDArray[np.bool_]:
    """Where a standard deviation is 0 up to the rounding of values of this size, elementwise; false where it is NaN."""
    return np.asarray(
        np.asarray(sd) <= SPREAD_TOLERANCE * np.maximum(1.0, np.abs(size)), dtype=np.bool_
    )


def _require_level(level: float) -> None:
    if not isinstance(level, int | float) or not 0 < level < 1:
        raise SparsetuneError(
            f"`level` must be a fraction such as 0.95, above 0 and below 1, got {level}"
        )


def bootstrap_interval(
    values: ArrayLike, level: float = 0.95, seed: int = 0
) -> tuple[Floats, Floats]:
    """Ends of the BCa bootstrap interval of each row's mean, its level raised for how few values there are.

    A plain bootstrap of n values varies like sqrt((n - 1) / n) times their standard deviation, and by the normal, not
    by t: at n = 12 BCa covers 91 % where 95 % is claimed. At the level 2 Phi(sqrt(n / (n - 1)) t(n - 1)) - 1 it covers
    94 to 95 % (Hesterberg, "What teachers should know about the bootstrap", 2015, section 4.2).

    Args:
        values: Shape [n_rows, n], none missing.
        level: Coverage in (0, 1).
        seed: Of the resampling.

    Returns:
        Low and high ends, shape [n_rows]; NaN where all values of a row are equal up to rounding.

    Raises:
        SparsetuneError: if ``level`` is outside (0, 1).
    """
    from scipy.special import ndtr, stdtrit

    _require_level(level)
    values = np.asarray(values, dtype=np.float64)
    n = values.shape[1]
    ends = np.full((2, len(values)), np.nan)
    raised = float(2 * ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 + level) / 2)) - 1)
    resamples = np.random.default_rng(seed).integers(
        n, size=(BOOTSTRAP_RESAMPLES, n)
    )  # one for all: no row depends on another
    for row in np.flatnonzero(
        ~has_no_spread(values.std(axis=1), np.abs(values).max(axis=1, initial=0))
    ):
        ends[:, row] = bca_interval(values[row], values[row][resamples].mean(axis=1), raised)
    return ends[0], ends[1]


def bca_interval(values: Floats, means: Floats, level: float) -> Floats:
    """Ends of an interval for a mean, corrected for bias and for skew (Efron, "Better bootstrap intervals", 1987).

    Args:
        values: Shape [n], not all equal.
        means: Of resamples of them.
        level: Coverage in (0, 1).

    Returns:
        Low and high, shape [2]; those of `scipy.stats.bootstrap`, whose import takes longer than all that a report has
        to resample.
    """
    from scipy.special import ndtr, ndtri

    mean = values.mean()
    away = values - mean
    skew = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    bias = ndtri(((means < mean).mean() + (means <= mean).mean()) / 2)
    ends = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    return np.asarray(np.quantile(means, ndtr(bias + ends / (1 - skew * ends))))


def estimate_means(
    values: ArrayLike, like: Sequence[Hashable], level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Mean of each cell over its seeds, with its interval: t below n = `BOOTSTRAP_FROM` values, a bootstrap from there on.

    Args:
        values: Shape [n_cells, n_seeds]; NaN where a cell lacks the seed.
        like: Group of each cell, length n_cells: cells of one group are taken to vary alike.
        level: Coverage in (0, 1).
        seed: Of the bootstrap.

    Returns:
        One row per cell: ``n mean sd pooled_sd df low high iqm interval``. ``t`` intervals are of the standard
        deviation pooled over like cells, so that a cell of one seed has one by its group; a ``bootstrap`` is of the
        cell's own values; ``interval`` is empty where there is none: of one value without like cells, or where neither
        the cell nor the like ones spread, so that ``pooled_sd`` is 0. ``iqm`` is the mean of what is left without the
        floor(n / 4) lowest and highest values (`scipy.stats.trim_mean`, as in rliable), NaN below n = `IQM_FROM`.

    Raises:
        SparsetuneError: if ``level`` is outside (0, 1).
    """
    values = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(values)
    n = present.sum(axis=1)
    mean = np.where(n > 0, np.where(present, values, 0.0).sum(axis=1) / np.maximum(n, 1), np.nan)
    squares = np.where(present, (values - mean[:, None]) ** 2, 0.0).sum(axis=1)
    sd = np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)
    sd = np.where(has_no_spread(sd, mean), 0.0, sd)
    groups: dict[Hashable, list[int]] = {}
    for cell, group in enumerate(like):
        groups.setdefault(group, []).append(cell)
    pooled = np.full(len(n), np.nan)
    df = np.zeros(len(n), dtype=np.int64)
    for members in groups.values():
        pooled[members], df[members] = pooled_sd(sd[members], n[members])
    low, high = t_interval(mean, pooled, n, df, level)
    frame = pd.DataFrame({"n": n, "mean": mean, "sd": sd, "pooled_sd": pooled, "df": df})
    frame = frame.assign(low=low, high=high, iqm=np.nan, interval=np.where(np.isnan(low), "", "t"))
    for count in np.unique(n[n >= min(BOOTSTRAP_FROM, IQM_FROM)]):
        rows = np.flatnonzero(n == count)
        own = np.stack([values[row, present[row]] for row in rows])
        if count >= IQM_FROM:
            frame.loc[rows, "iqm"] = np.sort(own, axis=1)[:, count // 4 : count - count // 4].mean(
                axis=1
            )
        if count >= BOOTSTRAP_FROM:
            ends = bootstrap_interval(own, level, seed)
            given = ~np.isnan(ends[0])
            frame.loc[rows[given], "low"], frame.loc[rows[given], "high"] = (
                ends[0][given],
                ends[1][given],
            )
            frame.loc[rows[given], "interval"] = "bootstrap"
    return frame


def welch_difference(values: ArrayLike, others: ArrayLike, level: float = 0.95) -> dict[str, float]:
    """Mean of ``values`` minus that of ``others``, from runs that share nothing (Welch 1947).

    Returns:
        ``n`` of the smaller, ``mean sd df low high``; ``sd`` / sqrt(n) is the standard error; NaN from one value.
        No interval where neither has a spread.
    """
    kept = [np.asarray(part, dtype=np.float64) for part in (values, others)]
    kept = [part[~np.isnan(part)] for part in kept]
    n = min(map(len, kept))
    mean = float(kept[0].mean() - kept[1].mean()) if n else float("nan")
    found = {"n": n, "mean": mean, "sd": np.nan, "df": np.nan, "low": np.nan, "high": np.nan}
    if n < 2:
        return found
    errors = [float(part.var(ddof=1)) / len(part) for part in kept]
    weight = sum(error**2 / (len(part) - 1) for error, part in zip(errors, kept, strict=True))
    df = sum(errors) ** 2 / weight if weight else float(sum(map(len, kept)) - 2)
    sd = float(np.sqrt(n * sum(errors)))
    low, high = t_interval(mean, sd, n, df, level)
    return found | {"sd": sd, "df": df, "low": float(low), "high": float(high)}


def seeds_needed(
    mean: ArrayLike, sd: ArrayLike, n: ArrayLike, level: float = 0.95, df: ArrayLike | None = None
) -> Floats:
    """How many more seeds until a t interval would exclude 0, if mean and standard deviation stayed as they are.

    Args:
        mean: Sample mean, any shape; of differences, most often.
        sd: Standard deviation, of the sample or pooled.
        n: Values behind the mean so far.
        level: Coverage in (0, 1).
        df: Degrees of freedom of ``sd`` now, to which every new seed adds one; n - 1 by default.

    Returns:
        Elementwise, 0 where 0 is excluded already, infinite above `MAX_MORE_SEEDS`, NaN where anything is missing or ``sd`` is 0:
        equal values do not say how many would do.
    """
    mean, sd, n = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (mean, sd, n)))
    df = np.broadcast_to(n - 1 if df is None else np.asarray(df, dtype=np.float64), n.shape)
    needed = np.full(n.shape, np.nan)
    for place in np.ndindex(n.shape):
        known = not np.isnan([mean[place], sd[place], n[place], df[place]]).any() and n[place] > 0
        if known and not has_no_spread(sd[place], mean[place]):
            far = abs(mean[place]) > sd[place] * _half_widths(
                float(n[place]), float(df[place]), level
            )
            needed[place] = far.argmax() if far.any() else np.inf
    return needed


@cache
def _half_widths(n: float, df: float, level: float) -> Floats:
    """Of t intervals at n to n + `MAX_MORE_SEEDS` values, in standard deviations; infinite without degrees of freedom."""
    from scipy.special import stdtrit

    _require_level(level)
    more = np.arange(MAX_MORE_SEEDS + 1)
    with np.errstate(invalid="ignore"):
        widths = stdtrit(df + more, (1 + level) / 2) / np.sqrt(n + more)
    return np.asarray(np.where(df + more > 0, widths, np.inf), dtype=np.float64)


def unseparated_text(n: float, more: float, other: str = "") -> str:
    """In words: ``not separated from the dense twin at n = 3: about 4 more seeds``, ``other`` left out if empty."""
    seeds = f"more than {MAX_MORE_SEEDS}" if np.isinf(more) else f"about {more:.0f}"
    seeds += " more seed" if more == 1 else " more seeds"
    against = f" from {other}" if other else ""
    return f"not separated{against} at n = {n:.0f}" + ("" if np.isnan(more) else f": {seeds}")
