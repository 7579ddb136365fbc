"""Results of a table that are the best of several evaluations in a column that was not taken."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .columns.known import RESULT_COLUMNS

FACTORS = (1.0, 0.01)
"""Units of a column, relative to fractions or nats: the same, or percent."""
TOLERANCE = 1e-9
"""Difference, relative to the larger, of numbers that are one."""


def best_of_untaken(
    table: pd.DataFrame,
    untaken: Sequence[Hashable],
    evaluations: pd.DataFrame,
    trials: pd.DataFrame,
) -> tuple[tuple[str, str], ...]:
    """Pairs of our result and the table's column of evaluations whose best it is in every run.

    Args:
        table: The rows as they were given.
        untaken: Columns of it that have no name of ours, or were left out.
        evaluations: ``trial_id`` and ``row``, the row of the table, in each run's order.
        trials: One row per run, with its results.
    """
    if evaluations["trial_id"].is_unique:
        return ()
    ids = evaluations["trial_id"].to_numpy()
    results = [name for name in RESULT_COLUMNS if trials[name].notna().any()]
    shown = trials.set_index("trial_id")[results].astype("float64")
    found = []
    for column in untaken:
        values = table[column]
        if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            continue
        numbers = pd.Series(values.to_numpy(dtype=np.float64, na_value=np.nan))
        in_order = numbers[evaluations["row"]].reset_index(drop=True)
        ends = in_order.groupby(ids).agg(["min", "max", "last", "count"]).reindex(shown.index)
        found += [(name, str(column)) for name in results if _is_best_of(shown[name], ends)]
    return tuple(found)


def _is_best_of(shown: pd.Series[Any], ends: pd.DataFrame) -> bool:
    """True if every result is the best of its run's evaluations, and not always the last.

    Args:
        shown: Result by run.
        ends: ``min max last count`` of its evaluations by run.
    """
    is_known = shown.notna() & (ends["count"] > 0)
    shown = shown[is_known]
    ends = ends[is_known]
    for factor in FACTORS:
        last = _is_equal(shown, factor * ends["last"])
        for end in ("max", "min"):
            best = _is_equal(shown, factor * ends[end])
            if best.all() and not last.all():
                return True
    return False


def _is_equal(shown: pd.Series[Any], values: pd.Series[Any]) -> pd.Series[Any]:
    return (shown - values).abs() <= TOLERANCE * np.maximum(shown.abs(), values.abs())
