"""Cells of two studies side by side: the difference of their means, its interval and verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..estimates.intervals import (
    estimate_means,
    seeds_needed,
    welch_difference,
)
from ..estimates.means import cell_values
from ..estimates.pooled import POOLING_COLUMNS, estimate_cells
from ..tables.results import Results

STUDY_SIDES = ("before", "after")
NOT_SETTLED = "not settled"
SIDE_STATISTICS = ("n", "mean", "low", "high")
DIFFERENCE_STATISTICS = ["n", "mean", "sd", "df", "low", "high"]
CONCLUSION_DTYPES = {
    "n_before": "Int64",
    "mean_before": "float64",
    "low_before": "float64",
    "high_before": "float64",
    "n_after": "Int64",
    "mean_after": "float64",
    "low_after": "float64",
    "high_after": "float64",
    "difference": "float64",
    "low": "float64",
    "high": "float64",
    "df": "float64",
    "n": "Int64",
    "paired": "boolean",
    "more_seeds": "float64",
    "verdict": "string",
}
"""Columns of the conclusions after those that name the cell, and their types."""


@dataclass(frozen=True)
class StudySide:
    """The cells of one of two studies.

    Args:
        rows: One row per cell: the columns that name it, ``n mean low high`` and the cell's name.
            The last five have the study's suffix.
        values: Measured values, shape [cells, seeds], by the cell's name.
    """

    rows: pd.DataFrame
    values: pd.DataFrame


def compare_cells(before: Results, after: Results, y: str, level: float) -> pd.DataFrame:
    """Compare the cells of two studies; those of one study only are included.

    Args:
        before: The first study.
        after: The second study.
        y: The measure.
        level: Coverage of the intervals, in (0, 1).

    Returns:
        One row per cell: ``arm sparsity epochs``, the further sweep axes that both studies have,
        and `CONCLUSION_DTYPES`. Cells of ``before`` come first.
    """
    after_axes = after.design.other_axes()
    common_axes = [path for path in before.design.other_axes() if path in after_axes]
    keys = ["arm", "sparsity", "epochs", *common_axes]
    first = _study_side(before, "before", y, keys, level)
    second = _study_side(after, "after", y, keys, level)
    matched = _match_cells(first.rows, second.rows, keys)
    found = _add_differences(matched, first.values, second.values, level)
    return found.reindex(columns=[*keys, *CONCLUSION_DTYPES]).astype(CONCLUSION_DTYPES)


def _study_side(results: Results, side: str, y: str, keys: list[str], level: float) -> StudySide:
    cells, values, _ = cell_values(results, y)
    bounds = results.measure(y).range
    means = estimate_cells(cells, values, level=level, bounds=bounds)
    statistics = means[list(SIDE_STATISTICS)].add_suffix(f"_{side}")
    rows = cells.reindex(columns=keys).join(statistics)
    rows[side] = cells.index
    return StudySide(rows, values)


def _pooling_groups(cells: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Group of each cell, within which spreads are pooled."""
    return list(cells[list(POOLING_COLUMNS)].itertuples(index=False, name=None))


def _match_cells(before: pd.DataFrame, after: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The rows of both studies, joined by their keys; cells of ``before`` come first."""
    # Cells that another axis tells apart, which one study lacks, are matched by the first.
    matched = before.drop_duplicates(keys).merge(
        after.drop_duplicates(keys), on=keys, how="outer", sort=False
    )
    ranks: dict[tuple[Any, ...], int] = {}
    for row in [*_rows_without_nan(before[keys]), *_rows_without_nan(after[keys])]:
        ranks.setdefault(row, len(ranks))
    order = np.argsort([ranks[row] for row in _rows_without_nan(matched[keys])], kind="stable")
    return matched.iloc[order].reset_index(drop=True)


def _rows_without_nan(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Rows with None for missing values, since NaN equals nothing, itself included."""
    values = frame.astype("object").where(frame.notna(), None)
    return list(values.itertuples(index=False, name=None))


def _add_differences(
    cells: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame, level: float
) -> pd.DataFrame:
    """Add ``difference low high df n paired more_seeds verdict`` to each cell.

    Args:
        cells: Rows of `_match_cells`.
        before: Values of the first study, shape [cells, seeds].
        after: Values of the second study, likewise.
        level: Coverage of the intervals.
    """
    old_values = before.reindex(cells["before"])
    new_values = after.reindex(cells["after"])
    seeds = old_values.columns.union(new_values.columns)
    old = old_values.reindex(columns=seeds).to_numpy(dtype="float64")
    new = new_values.reindex(columns=seeds).to_numpy(dtype="float64")
    # Values are paired only if both studies have exactly the same seeds, and at least one.
    is_paired = (np.isnan(old) == np.isnan(new)).all(axis=1) & ~np.isnan(old).all(axis=1)
    paired = _paired_differences(cells, np.where(is_paired[:, None], new - old, np.nan), level)
    unpaired = _unpaired_differences(old, new, level)
    found = paired.where(pd.Series(is_paired), unpaired)
    more_seeds = seeds_needed(found["mean"], found["sd"], found["n"], level, found["df"])
    is_equal = is_paired & (np.nan_to_num(old) == np.nan_to_num(new)).all(axis=1)
    compared = cells.assign(
        n=found["n"],
        df=found["df"],
        low=found["low"],
        high=found["high"],
        difference=found["mean"],
        paired=is_paired,
    )
    judged = compared.assign(is_equal=is_equal)
    verdict = pd.Series([_verdict(row) for row in judged.to_dict("records")], compared.index)
    # What is not settled asks for at least one more seed.
    at_least_one = pd.Series(np.maximum(more_seeds, 1), compared.index)
    return compared.assign(verdict=verdict, more_seeds=at_least_one.where(verdict == NOT_SETTLED))


def _paired_differences(cells: pd.DataFrame, differences: np.ndarray, level: float) -> pd.DataFrame:
    """`DIFFERENCE_STATISTICS` of differences by seed, shape [cells, seeds]; NaN in other cells."""
    means = estimate_means(differences, _pooling_groups(cells), level)
    # A bootstrap is of the cell's own values, a t interval of the pooled spread.
    is_own = means["interval"] == "bootstrap"
    means["df"] = means["df"].where(~is_own, means["n"] - 1)
    means["sd"] = means["pooled_sd"].where(~is_own, means["sd"])
    return means[DIFFERENCE_STATISTICS].astype("float64")


def _unpaired_differences(old: np.ndarray, new: np.ndarray, level: float) -> pd.DataFrame:
    """`DIFFERENCE_STATISTICS` of each cell by Welch; values have the shape [cells, seeds]."""
    pairs = zip(old, new, strict=True)
    rows = [welch_difference(after, before, level) for before, after in pairs]
    return pd.DataFrame(rows, columns=DIFFERENCE_STATISTICS).astype("float64")


def _verdict(row: Mapping[Any, Any]) -> str:
    """Whether a cell changed, as its interval supports it, or what is missing for an answer."""
    if pd.isna(row["before"]):
        return "only after"
    if pd.isna(row["after"]):
        return "only before"
    lacking = [side for side in STUDY_SIDES if pd.isna(row[f"mean_{side}"])]
    if lacking:
        return f"no mean {' or '.join(lacking)}"
    if row["is_equal"]:
        return "no, equal on every seed"
    if pd.isna(row["low"]):
        return "no interval"
    if row["low"] > 0:
        return "yes, higher"
    if row["high"] < 0:
        return "yes, lower"
    return NOT_SETTLED
