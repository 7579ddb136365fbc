"""Cells whose value is a mean itself: over several configurations, or given as one by a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..tables.results import Results
from .intervals import estimate_means, t_interval, welch_intervals, within_range

DENSE_MEAN_COLUMNS = ("dense_mean", "dense_runs", "dense_sd")
POOLED_COLUMNS = (
    "configurations",
    "pooled_runs",
    "given_runs",
    "given_sd",
    *DENSE_MEAN_COLUMNS,
)
"""What `cell_values` says of values that are means themselves.

``configurations`` counts those behind the cell; where they are several, ``pooled_runs`` counts
their runs, and their mean stands as one value, since different configurations are no seeds.
``given_runs`` and ``given_sd`` are those of a mean that a table gives; ``dense_mean``,
``dense_runs`` and ``dense_sd`` those of the dense mean with its recipe.
"""
POOLING_COLUMNS = ("arm", "sparsity")
"""Columns that cells with a common spread share: it differs by method and by sparsity."""


def with_pooled_values(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """Report rows in which a cell of several configurations has one row, with its mean.

    Args:
        results: The study or table.
        rows: Report rows with ``cell trial_id seed value twin``.
    """
    trials = results.trials().set_index("trial_id")
    ids = rows["trial_id"].map(trials["config_id"])
    rows = rows.assign(
        configurations=ids.groupby(rows["cell"]).transform("nunique").astype("int64"),
        pooled_runs=0,
        spread_low=np.nan,
        spread_high=np.nan,
    )
    is_pooled = rows["configurations"] > 1
    if not is_pooled.any():
        return rows
    pooled = rows[is_pooled]
    groups = pooled.groupby("cell", sort=False)
    means = pooled["value"].groupby([pooled["cell"], ids[is_pooled]], sort=False).mean()
    by_cell = means.groupby(level=0, sort=False)
    # The mean difference to the twins is that of the runs that have one.
    gap = (pooled["value"] - pooled["twin"]).groupby(pooled["cell"], sort=False).mean()
    mean = groups["value"].mean()
    statistics = pd.DataFrame(
        {
            "value": mean,
            "twin": mean - gap,
            "pooled_runs": groups["value"].count(),
            "spread_low": by_cell.min(),
            "spread_high": by_cell.max(),
        }
    )
    first = pooled.drop_duplicates("cell").set_index("cell")
    # Seeds below all others pair with no other cell.
    lowest = min(0, int(rows["seed"].min()))
    seeds = pd.Series(lowest - 1 - np.arange(len(first)), first.index, dtype="Int64")
    joined = first.drop(columns=list(statistics)).join(statistics).assign(seed=seeds)
    return pd.concat([rows[~is_pooled], joined.reset_index()]).loc[:, list(rows)]


def with_given_means(
    results: Results, y: str, rows: pd.DataFrame, complete: pd.Series[Any]
) -> pd.DataFrame:
    """Report rows with `POOLED_COLUMNS` of those that are means over several runs.

    Args:
        results: The study or table.
        y: The measure.
        rows: Report rows.
        complete: Values of ``y`` by trial, NaN unless it is COMPLETE.
    """
    given = results.given_means(y)
    names = ("given_runs", "given_sd", *DENSE_MEAN_COLUMNS)
    if given.empty:
        return rows.assign(**dict.fromkeys(names, np.nan))
    own = given.reindex(rows["trial_id"])
    dense = given.reindex(own["dense_id"])
    dense_mean = complete.reindex(own["dense_id"])
    columns = (own["n"], own["sd"], dense_mean, dense["n"], dense["sd"])
    values = [column.to_numpy(dtype=np.float64) for column in columns]
    return rows.assign(**dict(zip(names, values, strict=True)))


def welch_differences(cells: pd.DataFrame, values: pd.DataFrame, level: float) -> pd.DataFrame:
    """Differences of means that a table gives to the dense ones, as of independent runs.

    Args:
        cells: Rows of `cell_values`.
        values: Its values, shape [n_cells, n_seeds].
        level: Coverage of the intervals, in (0, 1).

    Returns:
        One row per cell with both means, by its name, with columns of `estimate_means`; ``n`` is
        that of the mean over fewer runs.
    """
    difference = values.mean(axis=1) - cells["dense_mean"]
    is_given = difference.notna() & cells["given_runs"].notna() & (cells["configurations"] == 1)
    own = cells[is_given]
    variances = own[["given_sd", "dense_sd"]] ** 2
    sizes = own[["given_runs", "dense_runs"]]
    found = welch_intervals(difference[is_given], variances, sizes, level).set_index(own.index)
    interval = np.where(found["low"].isna(), "", "t")
    return found.assign(pooled_sd=found["sd"], interval=interval)


def estimate_cells(
    cells: pd.DataFrame,
    values: pd.DataFrame,
    like: Sequence[str] = POOLING_COLUMNS,
    level: float = 0.95,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Mean of each cell over its seeds with an interval, where seeds are what it is over.

    A cell of several configurations has its mean and its number of runs, and no interval. One that
    is a mean in a table has the t interval of its own spread.

    Args:
        cells: Rows of `cell_values`.
        values: Its values, or what is made of them, shape [n_cells, n_seeds].
        like: Columns that cells with a common spread share.
        level: Coverage of the intervals, in (0, 1).
        seed: Seed of the bootstrap.
        bounds: Lowest and highest possible value, see `estimate_means`.

    Returns:
        One row per cell, by its name, with the columns of `estimate_means`.
    """
    points = estimate_means(values, spread_groups(cells, like), level, seed, bounds)
    points = points.set_index(cells.index)
    is_pooled = (cells["configurations"] > 1) & (points["n"] > 0)
    points["n"] = points["n"].where(~is_pooled, cells["pooled_runs"])
    is_given = cells["given_runs"].notna() & (points["n"] > 0) & ~is_pooled
    if not is_given.any():
        return points
    runs = cells.loc[is_given, "given_runs"]
    sd = cells.loc[is_given, "given_sd"]
    low, high = t_interval(points.loc[is_given, "mean"], sd, runs, runs - 1, level)
    if bounds is not None:
        low, high = within_range(points.loc[is_given, "mean"], low, high, bounds)
    points.loc[is_given, "n"] = runs.astype("int64")
    points.loc[is_given, "df"] = (runs - 1).astype("int64")
    points.loc[is_given, ["sd", "pooled_sd", "low", "high"]] = np.stack([sd, sd, low, high], axis=1)
    points.loc[is_given, "interval"] = np.where(np.isnan(low), "", "t")
    return points


def spread_groups(
    cells: pd.DataFrame, like: Sequence[str] = POOLING_COLUMNS
) -> list[tuple[Any, ...]]:
    """Group of each cell, within which spreads over seeds are pooled.

    A cell whose value is a mean itself shares its group with no other.
    """
    groups = [tuple(row) for row in cells[list(like)].itertuples(index=False)]
    is_mean = (cells["configurations"] > 1) | cells["given_runs"].notna()
    return [
        (*group, name) if alone else group
        for group, name, alone in zip(groups, cells.index, is_mean, strict=True)
    ]
