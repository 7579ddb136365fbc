"""Summary of a study: the best length of each sparsity, its distance from dense, further gain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..curves.curve import length_curve
from ..estimates.equal_flops import add_flops_ratios
from ..estimates.intervals import seeds_needed, unsettled_text
from ..estimates.means import cell_values
from ..measure import Measure
from ..tables.results import Results
from .extension import extension_gain_if_judged

MORE_OR_LESS = ("gains more", "gains less")
"""Verdicts of a step whose interval excludes zero."""
POINT_COLUMNS = [
    "epochs",
    "n",
    "mean",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "unpaired",
]
STEP_COLUMNS = [
    "from_epochs",
    "to_epochs",
    "gain",
    "gain_low",
    "gain_high",
    "gain_n",
    "gain_more_seeds",
    "sparse_gain",
    "dense_gain",
]
LINE_KEYS = ["arm", "sparsity"]


def summary(
    results: Results,
    y: str = "test_accuracy",
    *,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row per arm and sparsity; dense ones come first, under the arm ``dense``.

    The training length of a row is chosen by the study's objective, which is a validation column,
    over report seeds; ``y`` at that length is then no best of several test results. If nothing was
    selected, as in a table of which all runs are shown, nothing is chosen here either: there is a
    row for every length.

    Args:
        results: The study.
        y: A measured column.
        where: Dotted fields and their values, as in `sparsity_curve`.
        level: Coverage of the intervals, in (0, 1).

    Returns:
        ``arm sparsity epochs n mean low high difference difference_low difference_high`` (to the
        dense twins) and ``unpaired`` (see `analysis.Curve.frame`), then the step from the shortest
        claimed to the longest length: ``from_epochs to_epochs gain gain_low gain_high gain_n
        sparse_gain dense_gain gain_more_seeds`` (until the interval would exclude 0, NaN if it
        does; all NaN if `extension_gain` must be given its tolerance) and ``verdict``, see
        `gain_verdict`; last ``flops_ratio`` (training FLOPs over the dense twin's) and ``warning``.

    Raises:
        SparsetuneError: if a name is unknown, or a point would mix several cells.
    """
    points = length_curve(results, y, where=where, level=level).frame()
    points = points.rename(columns={"sparsity.target": "sparsity"}).dropna(subset="mean")
    # The length with the best test result would be too good by luck.
    nothing_selected = results.design.objective is None
    best = points if nothing_selected else _best_length(results, points, where)
    gains = extension_gain_if_judged(results, y, where=where, level=level)
    steps = _longest_steps(gains, level)
    rows = best.merge(steps, on=LINE_KEYS, how="left")
    rows = rows[[*LINE_KEYS, *POINT_COLUMNS, *STEP_COLUMNS]]
    measure = results.measure(y)
    rows = rows.assign(verdict=[gain_verdict(row, measure) for row in rows.to_dict("records")])
    rows = add_flops_ratios(rows, cell_values(results, "train_flops", where)[0], results)
    # Arms may share a dense network, which then has one row.
    dense = rows[rows["sparsity"] == 0].assign(arm="dense").drop_duplicates()
    return pd.concat([dense, rows[rows["sparsity"] > 0]], ignore_index=True)


def _longest_steps(gains: pd.DataFrame, level: float) -> pd.DataFrame:
    """The longest claimed step of each arm and sparsity: `LINE_KEYS` and `STEP_COLUMNS`."""
    claimed = gains[gains["claimed"].eq(True) & gains["gain"].notna()]
    ordered = claimed.sort_values("to_epochs", kind="stable")
    steps = ordered.drop_duplicates(LINE_KEYS, keep="last")
    n = steps["n"].astype("float64")
    more = seeds_needed(steps["gain"], steps["pooled_sd"], n, level, steps["df"])
    # No seeds are missing if the interval excludes 0 already.
    steps = steps.assign(gain_more_seeds=np.where(more > 0, more, np.nan))
    steps = steps.rename(columns={"n": "gain_n", "low": "gain_low", "high": "gain_high"})
    return steps[[*LINE_KEYS, *STEP_COLUMNS]]


def _best_length(
    results: Results, points: pd.DataFrame, where: Mapping[str, Any] | None
) -> pd.DataFrame:
    """The row of each arm and sparsity whose length has the best objective."""
    objective = length_curve(results, str(results.design.objective), where=where).frame()
    objective = objective.rename(columns={"sparsity.target": "sparsity", "mean": "objective"})
    by_length = [*LINE_KEYS, "epochs"]
    points = points.merge(objective[[*by_length, "objective"]], on=by_length)
    ranked = points.sort_values("objective", ascending=results.design.minimize, kind="stable")
    return ranked.drop_duplicates(LINE_KEYS).sort_index()


def gain_verdict(row: Mapping[Any, Any], y: Measure) -> str:
    """Conclusion that the interval of an extension gain of ``y`` supports; empty without a gain.

    Args:
        row: ``gain gain_low gain_high gain_n``.
        y: The measure.
    """
    if pd.isna(row["gain"]):
        return ""
    if row["gain_low"] > 0 or row["gain_high"] < 0:
        return MORE_OR_LESS[0 if y.direction * row["gain"] > 0 else 1]
    return unsettled_text(row["gain_n"])
