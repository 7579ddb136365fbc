"""What a study found, in numbers: each sparsity's best length, its distance from dense, what longer training gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.curves import length_curve
from analysis.fairness import with_ratios
from analysis.lengths.extension import extension_gain
from analysis.means import cell_values
from analysis.results import Results

MORE_OR_LESS = ("gains more", "gains less")
"""Verdicts of a step whose interval excludes zero."""


def summary(
    results: Results, y: str = "test_accuracy", *, where: Mapping[str, Any] | None = None, level: float = 0.95
) -> pd.DataFrame:
    """One row per arm and sparsity; dense ones come first, under the arm ``dense``.

    The training length of a row is chosen by the study's objective, which is a validation column, over report seeds;
    ``y`` at that length is then no best of several test results.

    Returns:
        ``arm sparsity epochs n mean low high difference difference_low difference_high`` (to the dense twins), then the
        step from the shortest claimed to the longest length: ``from_epochs to_epochs gain gain_low gain_high gain_n
        verdict``; see `extension_gain`; last ``flops_ratio`` (training FLOPs over the dense twin's) and ``warning``.

    Raises:
        SparsetuneError: if a name is unknown, or a point would mix several cells.
    """
    points = length_curve(results, y, where=where, level=level).frame()
    points = points.rename(columns={"sparsity.target": "sparsity"}).dropna(subset="mean")
    keys = ["arm", "sparsity"]
    objective = length_curve(results, results.design.objective or y, where=where).frame()
    objective = objective.rename(columns={"sparsity.target": "sparsity"})[[*keys, "epochs", "mean"]]
    points = points.merge(objective.rename(columns={"mean": "objective"}), on=[*keys, "epochs"])
    ranked = points.sort_values("objective", ascending=results.design.minimize, kind="stable")
    best = ranked.drop_duplicates(keys).sort_index()
    gains = extension_gain(results, y, where=where, level=level)
    steps = gains[gains["claimed"].eq(True)].sort_values("to_epochs", kind="stable").drop_duplicates(keys, keep="last")
    steps = steps.rename(columns={"n": "gain_n", "low": "gain_low", "high": "gain_high"})
    step = ["from_epochs", "to_epochs", "gain", "gain_low", "gain_high", "gain_n"]
    rows = best.merge(steps[[*keys, *step]], on=keys, how="left")
    found = ["epochs", "n", "mean", "low", "high", "difference", "difference_low", "difference_high"]
    rows = rows[[*keys, *found, *step]].assign(verdict=[verdict(row) for row in rows.to_dict("records")])
    rows = with_ratios(rows, cell_values(results, "train_flops", where)[0], results)
    dense = rows[rows["sparsity"] == 0].assign(arm="dense").drop_duplicates()
    return pd.concat([dense, rows[rows["sparsity"] > 0]], ignore_index=True)


def verdict(row: Mapping[Any, Any]) -> str:
    """What the interval of an extension gain allows to say; empty where there is none to judge."""
    if pd.isna(row["gain"]):
        return ""
    if row["gain_low"] > 0:
        return MORE_OR_LESS[0]
    if row["gain_high"] < 0:
        return MORE_OR_LESS[1]
    return f"not separated at n = {int(row['gain_n'])}"
