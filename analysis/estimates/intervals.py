"""Means with intervals: Student's t for few seeds, with pooled standard deviations; a bootstrap.

At n = 3 a percentile bootstrap covers 74 % where 95 % is claimed. The t interval covers 95 %, and
pooling the standard deviation over cells that vary alike makes it narrower, since every cell adds
its degrees of freedom. From n = `BOOTSTRAP_FROM` on, a cell's own values tell more about their
spread, skew included, than its neighbours' do: then the interval is a bootstrap of them alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sparsetune.errors import SparsetuneError

from ..wording import format_seeds

Floats = NDArray[np.float64]

BOOTSTRAP_FROM = 10
"""Number of values from which on an interval is a bootstrap of them."""
IQM_FROM = 8
"""Number of values from which on an interquartile mean is given: its middle half has four."""
BOOTSTRAP_RESAMPLES = 5_000
MIN_TAIL_RESAMPLES = 25
"""Resamples that must lie beyond an end of a bootstrap interval; else the interval is t's."""
MAX_MORE_SEEDS = 1_000
"""Largest number of further seeds that is ever suggested."""
SPREAD_TOLERANCE = 1e-12
"""Spread that counts as 0, relative to values above 1 and absolute for smaller ones.

Differences carry the rounding of the values that they were taken from.
"""


def pooled_sd(sd: ArrayLike, n: ArrayLike) -> tuple[float, int]:
    """Standard deviation common to cells with different means, and its degrees of freedom.

    Args:
        sd: Sample standard deviation of each cell, shape [n_cells]; read only where n > 1.
        n: Number of values in each cell, shape [n_cells].

    Returns:
        sqrt(sum (n - 1) sd^2 / sum (n - 1)), NaN where no cell has two values; sum (n - 1).
    """
    # A cell of one value adds no degree of freedom, and has no sd.
    weights = np.maximum(np.asarray(n) - 1, 0)
    df = int(weights.sum())
    if not df:
        return float("nan"), 0
    squares = np.where(weights > 0, np.asarray(sd, dtype=np.float64), 0.0) ** 2
    return float(np.sqrt(weights @ squares / df)), df


def t_interval(
    mean: ArrayLike, sd: ArrayLike, n: ArrayLike, df: ArrayLike | None = None, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Ends of the two-sided interval mean -+ t(df) sd / sqrt(n), elementwise.

    Args:
        mean: Sample mean, any shape.
        sd: Standard deviation, of the sample or pooled.
        n: Number of values behind the mean.
        df: Degrees of freedom of ``sd``; n - 1 by default.
        level: Coverage in (0, 1).

    Returns:
        Low and high ends. NaN where df or n is below 1, or where ``sd`` is 0 up to rounding, since
        equal values do not tell how far the next one may lie.

    Raises:
        SparsetuneError: if ``level`` is outside (0, 1).
    """
    from scipy.special import stdtrit

    _require_level(level)
    mean = np.asarray(mean, dtype=np.float64)
    sd = np.asarray(sd, dtype=np.float64)
    n = np.asarray(n, dtype=np.float64)
    df = n - 1 if df is None else np.asarray(df, dtype=np.float64)
    is_valid = (df > 0) & (n > 0) & ~has_no_spread(sd, mean)
    quantile = stdtrit(np.where(is_valid, df, 1.0), (1 + level) / 2)
    root_n = np.sqrt(np.where(is_valid, n, 1.0))
    half = np.where(is_valid, quantile * sd / root_n, np.nan)
    return mean - half, mean + half


def within_range(
    mean: ArrayLike, low: ArrayLike, high: ArrayLike, bounds: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Ends of intervals of means that cannot leave a range, elementwise.

    An interval that lies within the range stays as it is. One that leaves a range with two ends is
    carried to the logit scale, mean -+ half becoming logit(mean) -+ half / (mean (1 - mean)) in
    units of the range: of skewed fractions at n = 3, 94 % where the plain interval, cut or not,
    covers 91 %. Of a range with one end the interval is cut there, which changes no coverage: on
    the logarithmic scale n = 2 would give upper ends of a thousand times the mean.

    Args:
        mean: Means, any shape.
        low: Low ends; NaN stays NaN.
        high: High ends.
        bounds: Lowest and highest possible value; infinite for none.
    """
    from scipy.special import expit, logit

    mean = np.asarray(mean, dtype=np.float64)
    low = np.asarray(low, dtype=np.float64)
    high = np.asarray(high, dtype=np.float64)
    lowest, highest = bounds
    cut_low = np.maximum(low, lowest)
    cut_high = np.minimum(high, highest)
    if not np.isfinite([lowest, highest]).all():
        return cut_low, cut_high
    width = highest - lowest
    place = (mean - lowest) / width
    leaves = (low < lowest) | (high > highest)
    # At an end of the range itself the logit is infinite: such an interval is cut.
    is_carried = leaves & (place > 0) & (place < 1)
    inside = np.where(is_carried, place, 0.5)
    half = (high - low) / (2 * width) / (inside * (1 - inside))
    carried_low = lowest + width * expit(logit(inside) - half)
    carried_high = lowest + width * expit(logit(inside) + half)
    return (
        np.where(is_carried, carried_low, cut_low),
        np.where(is_carried, carried_high, cut_high),
    )


def has_no_spread(sd: ArrayLike, size: ArrayLike) -> NDArray[np.bool_]:
    """Elements whose standard deviation is 0 up to the rounding of values of this size.

    False where the standard deviation is NaN.
    """
    tolerance = SPREAD_TOLERANCE * np.maximum(1.0, np.abs(size))
    return np.asarray(np.asarray(sd) <= tolerance, dtype=np.bool_)


def _require_level(level: float) -> None:
    if not isinstance(level, int | float) or not 0 < level < 1:
        raise SparsetuneError(
            f"`level` must be a fraction such as 0.95, above 0 and below 1, got {level}"
        )


def bootstrap_interval(
    values: ArrayLike, level: float = 0.95, seed: int = 0
) -> tuple[Floats, Floats]:
    """Ends of the BCa bootstrap interval of each row's mean, its level raised for a small n.

    A plain bootstrap of n values varies like sqrt((n - 1) / n) times their standard deviation, and
    by the normal distribution instead of t: at n = 12 BCa covers 91 % where 95 % is claimed. At the
    level 2 Phi(sqrt(n / (n - 1)) t(n - 1)) - 1 it covers 94 to 95 % (Hesterberg, "What teachers
    should know about the bootstrap", 2015, section 4.2).

    Args:
        values: Shape [n_rows, n], none missing.
        level: Coverage in (0, 1).
        seed: Seed of the resampling.

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
    quantile = stdtrit(n - 1, (1 + level) / 2)
    raised = float(2 * ndtr(np.sqrt(n / (n - 1)) * quantile) - 1)
    # All rows share their resamples, so that no row's interval depends on the rows before it.
    resamples = np.random.default_rng(seed).integers(n, size=(BOOTSTRAP_RESAMPLES, n))
    size = np.abs(values).max(axis=1, initial=0)
    for row in np.flatnonzero(~has_no_spread(values.std(axis=1), size)):
        means = values[row][resamples].mean(axis=1)
        ends[:, row] = bca_interval(values[row], means, raised)
    return ends[0], ends[1]


def bca_interval(values: Floats, means: Floats, level: float) -> Floats:
    """Ends of a bootstrap interval of a mean, corrected for bias and skew.

    Equal to that of `scipy.stats.bootstrap`, whose import alone takes longer than all resampling
    of a report. Source: Efron, "Better bootstrap confidence intervals", 1987.

    Args:
        values: Shape [n], not all equal.
        means: Means of resamples of the values, shape [n_resamples].
        level: Coverage in (0, 1).

    Returns:
        Low and high end, shape [2].
    """
    from scipy.special import ndtr, ndtri

    mean = values.mean()
    away = values - mean
    skew = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    bias = ndtri(((means < mean).mean() + (means <= mean).mean()) / 2)
    ends = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    return np.asarray(np.quantile(means, ndtr(bias + ends / (1 - skew * ends))))


def estimate_means(
    values: ArrayLike,
    like: Sequence[Hashable],
    level: float = 0.95,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Mean of each cell over its seeds, with an interval.

    Args:
        values: Shape [n_cells, n_seeds]; NaN where a cell lacks the seed.
        like: Group of each cell, length n_cells; cells of one group are assumed to vary alike.
        level: Coverage in (0, 1).
        seed: Seed of the bootstrap.
        bounds: Lowest and highest possible value, which no interval leaves, see `within_range`;
            ignored if a value lies outside, as of a loss that its name says too little of.

    Returns:
        One row per cell: ``n mean sd pooled_sd df low high iqm interval``. ``interval`` is ``t``
        below n = `BOOTSTRAP_FROM`, and at levels above 0.99, else ``bootstrap``. A ``t`` interval
        uses the standard deviation pooled over like cells, so that a cell of one seed gets one from
        its group; a ``bootstrap`` uses the cell's own values. It is empty where no interval exists:
        for one value without like cells, or where neither the cell nor like ones spread, so that
        ``pooled_sd`` is 0. ``iqm`` is the mean without the floor(n / 4) lowest and highest values
        (`scipy.stats.trim_mean`, as in rliable), NaN below n = `IQM_FROM`.

    Raises:
        SparsetuneError: if ``level`` is outside (0, 1).
    """
    values = np.asarray(values, dtype=np.float64)
    is_present = ~np.isnan(values)
    n = is_present.sum(axis=1)
    total = np.where(is_present, values, 0.0).sum(axis=1)
    mean = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    squares = np.where(is_present, (values - mean[:, None]) ** 2, 0.0).sum(axis=1)
    sd = np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)
    # Rounding alone would give intervals of a width near 0, and tests that find everything.
    sd = np.where(has_no_spread(sd, mean), 0.0, sd)
    pooled, df = _pooled_by_group(sd, n, like)
    low, high = t_interval(mean, pooled, n, df, level)
    frame = pd.DataFrame({"n": n, "mean": mean, "sd": sd, "pooled_sd": pooled, "df": df})
    interval = np.where(np.isnan(low), "", "t")
    frame = frame.assign(low=low, high=high, iqm=np.nan, interval=interval)
    has_tails = (1 - level) / 2 * BOOTSTRAP_RESAMPLES >= MIN_TAIL_RESAMPLES
    for count in np.unique(n[n >= min(BOOTSTRAP_FROM, IQM_FROM)]):
        rows = np.flatnonzero(n == count)
        own = np.stack([values[row, is_present[row]] for row in rows])
        if count >= IQM_FROM:
            frame.loc[rows, "iqm"] = _interquartile_means(own)
        if count >= BOOTSTRAP_FROM and has_tails:
            own_low, own_high = bootstrap_interval(own, level, seed)
            is_given = ~np.isnan(own_low)
            frame.loc[rows[is_given], "low"] = own_low[is_given]
            frame.loc[rows[is_given], "high"] = own_high[is_given]
            frame.loc[rows[is_given], "interval"] = "bootstrap"
    if bounds is not None and _are_within(values[is_present], bounds):
        low, high = within_range(frame["mean"], frame["low"], frame["high"], bounds)
        frame = frame.assign(low=low, high=high)
    return frame


def _are_within(values: Floats, bounds: tuple[float, float]) -> bool:
    """True if all values are possible, up to rounding."""
    lowest, highest = bounds
    is_possible = (values >= lowest - SPREAD_TOLERANCE) & (values <= highest + SPREAD_TOLERANCE)
    return bool(is_possible.all())


def _pooled_by_group(
    sd: Floats, n: NDArray[np.int64], like: Sequence[Hashable]
) -> tuple[Floats, NDArray[np.int64]]:
    """Pooled standard deviation of each cell's group and its degrees of freedom, [n_cells]."""
    groups: dict[Hashable, list[int]] = {}
    for cell, group in enumerate(like):
        groups.setdefault(group, []).append(cell)
    pooled = np.full(len(n), np.nan)
    df = np.zeros(len(n), dtype=np.int64)
    for members in groups.values():
        pooled[members], df[members] = pooled_sd(sd[members], n[members])
    return pooled, df


def _interquartile_means(values: Floats) -> Floats:
    """Mean of each row without its floor(n / 4) lowest and highest values, shape [n_rows]."""
    n = values.shape[1]
    middle = np.sort(values, axis=1)[:, n // 4 : n - n // 4]
    return np.asarray(middle.mean(axis=1))


def welch_difference(values: ArrayLike, others: ArrayLike, level: float = 0.95) -> dict[str, float]:
    """Mean of ``values`` minus that of ``others``, from independent runs (Welch 1947).

    Args:
        values: Shape [n]; NaN is left out.
        others: Shape [m]; NaN is left out.
        level: Coverage in (0, 1).

    Returns:
        ``n`` of the smaller sample, ``mean sd df low high``; ``sd`` / sqrt(n) is the standard
        error. All but ``n`` and ``mean`` are NaN if a sample has one value; no interval where
        neither has a spread.

    Raises:
        SparsetuneError: if ``level`` is outside (0, 1).
    """
    samples = [np.asarray(part, dtype=np.float64) for part in (values, others)]
    samples = [sample[~np.isnan(sample)] for sample in samples]
    sizes = [len(sample) for sample in samples]
    n = min(sizes)
    mean = float(samples[0].mean() - samples[1].mean()) if n else float("nan")
    found = {"n": n, "mean": mean, "sd": np.nan, "df": np.nan, "low": np.nan, "high": np.nan}
    if n < 2:
        return found
    variances = [float(sample.var(ddof=1)) for sample in samples]
    interval = welch_intervals([mean], [variances], [sizes], level).iloc[0]
    return found | {name: float(interval[name]) for name in ("sd", "df", "low", "high")}


def welch_intervals(
    differences: ArrayLike, variances: ArrayLike, sizes: ArrayLike, level: float = 0.95
) -> pd.DataFrame:
    """Intervals of differences of two independent means (Welch 1947), with t's quantiles.

    Variances may differ: that of a difference is v1 / n1 + v2 / n2, with Satterthwaite's degrees of
    freedom, its square over the sum of (v / n)^2 / (n - 1).

    Args:
        differences: Differences of means, shape [rows].
        variances: Sample variances of both, shape [rows, 2].
        sizes: Numbers of values behind both means, shape [rows, 2].
        level: Coverage in (0, 1).

    Returns:
        ``n`` of the smaller sample, ``mean sd df low high``; ``sd`` / sqrt(n) is the standard
        error. NaN but for ``n`` and ``mean`` where a sample has one value or no variance is known.

    Raises:
        SparsetuneError: if ``level`` is outside (0, 1).
    """
    mean = np.asarray(differences, dtype=np.float64)
    size = np.asarray(sizes, dtype=np.float64)
    n = size.min(axis=1)
    size = np.where(size > 1, size, np.nan)
    errors = np.asarray(variances, dtype=np.float64) / size
    error = errors.sum(axis=1)
    weight = (errors**2 / (size - 1)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Equal values have no weights; the degrees of freedom then do not matter.
        df = np.where(weight == 0, size.sum(axis=1) - 2, error**2 / weight)
    sd = np.sqrt(n * error)
    low, high = t_interval(mean, sd, n, df, level)
    return pd.DataFrame({"n": n, "mean": mean, "sd": sd, "df": df, "low": low, "high": high})


def seeds_needed(
    mean: ArrayLike, sd: ArrayLike, n: ArrayLike, level: float = 0.95, df: ArrayLike | None = None
) -> Floats:
    """Number of further seeds until a t interval would exclude 0, mean and sd staying as they are.

    Args:
        mean: Sample mean, any shape; usually of differences.
        sd: Standard deviation, of the sample or pooled.
        n: Number of values behind the mean so far.
        level: Coverage in (0, 1).
        df: Degrees of freedom of ``sd`` now, to which every new seed adds one; n - 1 by default.

    Returns:
        Elementwise: 0 where 0 is excluded already, infinite above `MAX_MORE_SEEDS`, NaN where
        anything is missing or ``sd`` is 0, since equal values do not tell how many would do.

    Raises:
        SparsetuneError: if ``level`` is outside (0, 1).
    """
    arrays = [np.asarray(part, dtype=np.float64) for part in (mean, sd, n)]
    mean, sd, n = np.broadcast_arrays(*arrays)
    df = np.broadcast_to(n - 1 if df is None else np.asarray(df, dtype=np.float64), n.shape)
    needed = np.full(n.shape, np.nan)
    for place in np.ndindex(n.shape):
        is_missing = np.isnan([mean[place], sd[place], n[place], df[place]]).any()
        if is_missing or n[place] <= 0 or has_no_spread(sd[place], mean[place]):
            continue
        half = sd[place] * _half_widths(float(n[place]), float(df[place]), level)
        excludes_zero = abs(mean[place]) > half
        needed[place] = excludes_zero.argmax() if excludes_zero.any() else np.inf
    return needed


@cache
def _half_widths(n: float, df: float, level: float) -> Floats:
    """Half widths of t intervals at n to n + `MAX_MORE_SEEDS` values, in standard deviations.

    Infinite where there are no degrees of freedom.
    """
    from scipy.special import stdtrit

    _require_level(level)
    more = np.arange(MAX_MORE_SEEDS + 1)
    with np.errstate(invalid="ignore"):
        widths = stdtrit(df + more, (1 + level) / 2) / np.sqrt(n + more)
    return np.asarray(np.where(df + more > 0, widths, np.inf), dtype=np.float64)


def unsettled_text(n: float, more: float = np.nan, other: str = "") -> str:
    """Words for a difference whose interval holds 0: ``not settled against X with 3 seeds``.

    Args:
        n: Number of seeds so far.
        more: Number of further seeds that `seeds_needed` gives; NaN leaves it out.
        other: Name of what is compared with, left out if empty.
    """
    against = f" against {other}" if other else ""
    text = f"not settled{against} with {format_seeds(n)}"
    if np.isnan(more):
        return text
    count = f"more than {MAX_MORE_SEEDS:,}" if np.isinf(more) else f"about {more:.0f}"
    return f"{text}: {count} more seed{'' if more == 1 else 's'}"
