"""What a study found, in numbers: each sparsity's best length, its distance from dense, what longer training gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.curves.curve import length_curve
from analysis.estimates.equal_flops import add_flops_ratios
from analysis.estimates.intervals import seeds_needed
from analysis.estimates.means import cell_values, direction_of
from analysis.lengths.extension import extension_gain
from analysis.tables.results import Results

MORE_OR_LESS = ("gains more", "gains less")
"""Verdicts of a step whose interval excludes zero."""


def summary(
    results: Results,
    y: str = "test_accuracy",
    *,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row per arm and sparsity; dense ones come first, under the arm ``dense``.

    The training length of a row is chosen by the study's objective, which is a validation column, over report seeds;
    ``y`` at that length is then no best of several test results. Where nothing was selected, as in a table of which all
    runs are shown, nothing is chosen here either: there is a row for every length.

    Returns:
        ``arm sparsity epochs n mean low high difference difference_low difference_high`` (to the dense twins), then the
        step from the shortest claimed to the longest length: ``from_epochs to_epochs gain gain_low gain_high gain_n
        sparse_gain dense_gain gain_more_seeds`` (until the interval would exclude 0, NaN where it does) ``gain_verdict``,
        see `extension_gain`; last ``flops_ratio`` (training FLOPs over the dense twin's) and ``warning``.

    Raises:
        SparsetuneError: if a name is unknown, or a point would mix several cells.
    """
    points = length_curve(results, y, where=where, level=level).frame()
    points = points.rename(columns={"sparsity.target": "sparsity"}).dropna(subset="mean")
    keys = ["arm", "sparsity"]
    best = points if results.design.objective is None else _best_length(results, points, where)
    gains = extension_gain(results, y, where=where, level=level)
    claimed = gains[gains["claimed"].eq(True) & gains["gain"].notna()]
    steps = claimed.sort_values("to_epochs", kind="stable").drop_duplicates(keys, keep="last")
    more = seeds_needed(
        steps["gain"], steps["pooled_sd"], steps["n"].astype("float64"), level, steps["df"]
    )
    steps = steps.assign(gain_more_seeds=np.where(more > 0, more, np.nan))
    steps = steps.rename(columns={"n": "gain_n", "low": "gain_low", "high": "gain_high"})
    step = [
        "from_epochs",
        "to_epochs",
        "gain",
        "gain_low",
        "gain_high",
        "gain_n",
        "gain_more_seeds",
    ]
    step += ["sparse_gain", "dense_gain"]
    rows = best.merge(steps[[*keys, *step]], on=keys, how="left")
    found = [
        "epochs",
        "n",
        "mean",
        "low",
        "high",
        "difference",
        "difference_low",
        "difference_high",
    ]
    rows = rows[[*keys, *found, *step]].assign(
        verdict=[gain_verdict(row, y) for row in rows.to_dict("records")]
    )
    rows = add_flops_ratios(rows, cell_values(results, "train_flops", where)[0], results)
    dense = rows[rows["sparsity"] == 0].assign(arm="dense").drop_duplicates()
    return pd.concat([dense, rows[rows["sparsity"] > 0]], ignore_index=True)


def _best_length(
    results: Results, points: pd.DataFrame, where: Mapping[str, Any] | None
) -> pd.DataFrame:
    """Of each arm and sparsity the row whose length has the best objective."""
    keys = ["arm", "sparsity"]
    objective = length_curve(results, str(results.design.objective), where=where).frame()
    objective = objective.rename(columns={"sparsity.target": "sparsity"})[[*keys, "epochs", "mean"]]
    points = points.merge(objective.rename(columns={"mean": "objective"}), on=[*keys, "epochs"])
    ranked = points.sort_values("objective", ascending=results.design.minimize, kind="stable")
    return ranked.drop_duplicates(keys).sort_index()


def gain_verdict(row: Mapping[Any, Any], y: str) -> str:
    """What the interval of an extension gain of ``y`` allows to say; empty where there is none to judge."""
    if pd.isna(row["gain"]):
        return ""
    if row["gain_low"] > 0 or row["gain_high"] < 0:
        return MORE_OR_LESS[0 if direction_of(y) * row["gain"] > 0 else 1]
    return f"not separated at n = {int(row['gain_n'])}"
