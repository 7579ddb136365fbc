"""What tuning in every cell is worth: its winner against the dense recipe, run unchanged."""

from __future__ import annotations

import pandas as pd

from analysis.means import cell_values, control_values
from analysis.results import Results
from analysis.statistics import estimate


def retuning_gain(results: Results, y: str = "test_accuracy", *, level: float = 0.95) -> pd.DataFrame:
    """What tuning in the cell gained over the control: the winner minus the dense recipe, paired by report seed.

    Args:
        results: A study that searches something.
        y: A measured column.
        level: Coverage of the intervals, t with the standard deviation pooled over all cells.

    Returns:
        One row per cell with a control that it did not choose itself: ``cell arm``, the sweep axes, ``control winner
        gain n sd pooled_sd df low high``; means over the seeds that both have.

    Raises:
        SparsetuneError: if ``y`` is unknown.
    """
    winner, control = cell_values(results, y)[1], control_values(results, y)
    table = results.cells().set_index("cell")
    table = table.loc[table.index.isin(winner.index) & table.index.isin(control.index)]
    control = control.reindex(table.index, columns=winner.columns)
    gains = (winner.reindex(table.index) - control).astype("float64")
    frame = estimate(gains, [0] * len(gains), level).set_index(gains.index).rename(columns={"mean": "gain"})
    both = gains.notna()
    frame = frame.assign(
        control=control.where(both).mean(axis=1), winner=winner.reindex(table.index).where(both).mean(axis=1)
    )
    sweep = [path for path in results.design.points() if path in table]
    kept = ["control", "winner", "gain", "n", "sd", "pooled_sd", "df", "low", "high"]
    return table[["arm", *sweep]].join(frame[kept]).dropna(subset="gain").reset_index()
