"""What tuning in every cell is worth: its winner against the dense recipe, run unchanged."""

from __future__ import annotations

import pandas as pd

from analysis.estimates.intervals import estimate_means
from analysis.estimates.means import POOLING_COLUMNS, cell_values, control_values, diverged_controls
from analysis.tables.results import Results


def retuning_gain(
    results: Results, y: str = "test_accuracy", *, level: float = 0.95
) -> pd.DataFrame:
    """What tuning in the cell gained over the control: the winner minus the dense recipe, paired by report seed.

    Args:
        results: A study that searches something.
        y: A measured column.
        level: Coverage of the intervals, t with the standard deviation pooled over an arm's cells of one sparsity.

    Returns:
        One row per cell with a control that it did not choose itself: ``cell arm``, the sweep axes, ``control winner
        gain n sd pooled_sd df low high``, means over the seeds that both have; ``control_diverged``, on how many seeds
        the control diverged: then there is no gain, since the seeds that are left would flatter it.

    Raises:
        SparsetuneError: if ``y`` is unknown.
    """
    cells, winner, _ = cell_values(results, y)
    control = control_values(results, y)
    table = results.cells().set_index("cell")
    table = table.loc[table.index.isin(winner.index) & table.index.isin(control.index)]
    control = control.reindex(table.index, columns=winner.columns)
    gains = (winner.reindex(table.index) - control).astype("float64")
    like = [
        tuple(row) for row in cells.loc[table.index, list(POOLING_COLUMNS)].itertuples(index=False)
    ]
    frame = (
        estimate_means(gains, like, level).set_index(gains.index).rename(columns={"mean": "gain"})
    )
    both = gains.notna()
    diverged = diverged_controls(results).reindex(table.index).fillna(0).astype("Int64")
    means = {"control": control, "winner": winner.reindex(table.index)}
    frame = frame.assign(
        **{name: values.where(both).mean(axis=1) for name, values in means.items()}
    )
    sweep = [path for path in results.design.points() if path in table]
    kept = ["control", "winner", "gain", "n", "sd", "pooled_sd", "df", "low", "high"]
    rows = table[["arm", *sweep]].join(frame[kept]).assign(control_diverged=diverged)
    return rows[rows["gain"].notna() | rows["control_diverged"].gt(0)].reset_index()
