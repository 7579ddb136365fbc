"""Gain of longer training of a sparse network beyond the gain of the dense one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..estimates.intervals import estimate_means, t_interval
from ..estimates.means import cell_values
from ..measure import MarginError, Measure
from ..tables.results import Results
from ..tables.selection import dense_arm_of

EXTENSION_COLUMNS = (
    "arm",
    "sparsity",
    "from_epochs",
    "to_epochs",
    "claimed",
    "sparse_gain",
    "dense_gain",
    "gain",
)
GAIN_STATISTICS = ("n", "sd", "pooled_sd", "df", "low", "high")
ROUNDING_MARGIN = 1e-12
"""Differences of means below this are rounding."""


def extension_gain(
    results: Results,
    y: str = "test_accuracy",
    *,
    tolerance: float | None = None,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Gain of the sparse network minus gain of the dense one, from one training length to another.

    Gains are paired by report seed. At a very short budget the dense network is under-trained too,
    so the claim starts at the shortest budget at which the dense cells' mean ``test_accuracy`` is
    within ``tolerance`` of their best (their mean ``y`` if no accuracy was measured). Every other
    budget is compared with that one; for shorter ones ``claimed`` is False. All steps of a line
    share that budget: their gains are correlated by about a half, which costs degrees of freedom
    (Satterthwaite): df = sum (n - 1) * 4 / (steps + 3).

    The start is chosen by the dense runs that the gains are measured from, which favours a length
    at which those runs were lucky: the gains of longer steps are too large if dense lengths are
    nearly as good. Simulated with four such lengths, sparse and dense alike, by 0.2 to 0.3 points
    at n = 2, 0.1 to 0.2 at n = 3 and 0.1 or less at n = 10 if seeds vary by 0.3 points (standard
    deviation), by 0.06 at most if they vary by 0.1.

    Args:
        results: A study that sweeps ``schedule.epochs`` or ``schedule.epoch_multiplier`` and has
            dense cells.
        y: A measured column; gains are differences of it, so that of a loss is negative if it
            falls.
        tolerance: In units of accuracy, or of ``y`` if that decides; by default 0.002 of a
            fraction, which is 0.2 points, or of nats. If another measure decides it must be given.
        where: Dotted fields and their values, as in `sparsity_curve`.
        level: Coverage of the intervals, in (0, 1).

    Returns:
        One row per arm, sparsity and step: ``arm sparsity from_epochs to_epochs claimed
        sparse_gain dense_gain gain n sd pooled_sd df low high``. Lengths are in epochs, multiplier
        included; the standard deviation is pooled over the steps of one arm and sparsity. There is
        no row if fewer than two dense budgets are measured.

    Raises:
        SparsetuneError: if ``y`` is unknown, or `tolerance` must be given.
    """
    cells, values, _twins = cell_values(results, y, where)
    accuracy = cell_values(results, "test_accuracy", where)[1]
    measure = results.measure(y)
    dense_arms = list(dict.fromkeys(cells.loc[cells["sparsity"] == 0, "arm"]))
    parts = []
    for _, line in cells[cells["sparsity"] > 0].groupby(["arm", "sparsity"], sort=False):
        arm = line["arm"].iloc[0]
        sparsity = line["sparsity"].iloc[0]
        dense = cells[(cells["sparsity"] == 0) & (cells["arm"] == dense_arm_of(arm, dense_arms))]
        # Accuracy decides wherever it was measured: the start is then the same for every `y`.
        has_accuracy = accuracy.loc[dense.index].notna().any(axis=None)
        quality = accuracy if has_accuracy else measure.direction * values
        deciding = results.measure("test_accuracy") if has_accuracy else measure
        start = _shortest_sufficient_length(_by_length(dense, quality), deciding, tolerance)
        steps = _steps(_by_length(line, values), _by_length(dense, values), start, level)
        parts.append(steps.assign(arm=arm, sparsity=sparsity))
    return _typed(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame())


def extension_gain_if_judged(
    results: Results,
    y: str,
    *,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """The rows of `extension_gain`; none where the tolerance would have to be given."""
    try:
        return extension_gain(results, y, where=where, level=level)
    except MarginError:
        return _typed(pd.DataFrame())


def tolerance_text(results: Results, y: str, where: Mapping[str, Any] | None) -> str:
    """Default tolerance of `extension_gain`, with the unit of the measure that decides."""
    accuracy = cell_values(results, "test_accuracy", where)[1]
    deciding = results.measure("test_accuracy" if accuracy.notna().any(axis=None) else y)
    return deciding.margin_text(deciding.margin(None, "tolerance"))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with all columns of `extension_gain`, each with its type."""
    # A frame without rows has no types of its own.
    dtypes = dict.fromkeys((*EXTENSION_COLUMNS, *GAIN_STATISTICS), "float64")
    dtypes |= {"arm": "string", "claimed": "boolean", "n": "Int64"}
    return frame.reindex(columns=list(dtypes)).astype(dtypes)


def _shortest_sufficient_length(
    dense: pd.DataFrame, deciding: Measure, tolerance: float | None
) -> float:
    """The shortest length whose mean is within the tolerance of the best; NaN without values."""
    means = dense.mean(axis=1)
    # A single length is the best one, whatever the tolerance.
    margin = deciding.margin(tolerance, "tolerance") if means.notna().sum() > 1 else 0.0
    is_near_best = means >= means.max() - margin - ROUNDING_MARGIN
    return float(means.index[is_near_best].min())


def _by_length(cells: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Values of one line, shape [n_lengths, n_seeds], indexed by epochs."""
    return values.loc[cells.index].set_axis(cells["epochs"], axis=0).sort_index()


def _steps(sparse: pd.DataFrame, dense: pd.DataFrame, start: float, level: float) -> pd.DataFrame:
    """One row per step between ``start`` and every other length that both networks have."""
    both = sparse.index.intersection(dense.index)
    if pd.isna(start) or start not in both:
        return pd.DataFrame()
    others = [length for length in both if length != start]
    # A step is always read from the shorter length to the longer one.
    sign = np.array([1 if length > start else -1 for length in others])[:, None]
    sparse_gains = sign * (sparse.loc[others] - sparse.loc[start]).to_numpy()
    dense_gains = sign * (dense.loc[others] - dense.loc[start]).to_numpy()
    gains = sparse_gains - dense_gains
    one_group = [0] * len(others)
    frame = estimate_means(gains, one_group, level)
    # Steps share their start and are correlated: see `extension_gain` for the correction.
    steps = int((frame["n"] > 0).sum())
    frame["df"] = frame["df"] * 4 / (steps + 3)
    frame["low"], frame["high"] = t_interval(
        frame["mean"], frame["pooled_sd"], frame["n"], frame["df"], level
    )
    # Both gains are over the seeds of the pairs, or their difference would not be the gain.
    is_paired = ~np.isnan(gains)
    frame = frame.rename(columns={"mean": "gain"}).assign(
        sparse_gain=estimate_means(np.where(is_paired, sparse_gains, np.nan), one_group)["mean"],
        dense_gain=estimate_means(np.where(is_paired, dense_gains, np.nan), one_group)["mean"],
    )
    ends = [(min(length, start), max(length, start), length > start) for length in others]
    return frame.join(pd.DataFrame(ends, columns=["from_epochs", "to_epochs", "claimed"]))
