"""Gain of re-tuning in every cell: its winner minus the dense recipe, run unchanged."""

from __future__ import annotations

import pandas as pd

from ...estimates.intervals import estimate_means
from ...estimates.means import cell_values, control_values, diverged_controls
from ...estimates.pooled import POOLING_COLUMNS
from ...tables.results import Results

GAIN_COLUMNS = ["control", "winner", "gain", "n", "sd", "pooled_sd", "df", "low", "high"]


def retuning_gain(
    results: Results, y: str = "test_accuracy", *, level: float = 0.95
) -> pd.DataFrame:
    """Gain of tuning in the cell over the control: the dense winner at multiplier 1, unchanged.

    The gain is the winner minus the control, paired by report seed.

    Args:
        results: A study that searches something.
        y: A measured column.
        level: Coverage of the intervals, in (0, 1); t with the standard deviation pooled over an
            arm's cells of one sparsity.

    Returns:
        One row per cell with a control that it did not choose itself: ``cell arm``, the sweep axes,
        ``control winner gain n sd pooled_sd df low high``, means over the seeds that both have;
        ``control_diverged``, the number of seeds on which the control diverged: then the gain is
        NaN, since the remaining seeds would flatter the control.

    Raises:
        SparsetuneError: if ``y`` is unknown.
    """
    cells, winner, _ = cell_values(results, y)
    control = control_values(results, y)
    table = results.cells().set_index("cell")
    # A cell that chose the dense recipe itself has no control to be compared with.
    table = table.loc[table.index.isin(winner.index) & table.index.isin(control.index)]
    winner = winner.reindex(table.index)
    control = control.reindex(table.index, columns=winner.columns)
    gains = (winner - control).astype("float64")
    alike = cells.loc[table.index, list(POOLING_COLUMNS)]
    groups = [tuple(row) for row in alike.itertuples(index=False)]
    frame = estimate_means(gains, groups, level).set_index(gains.index)
    frame = frame.rename(columns={"mean": "gain"})
    is_paired = gains.notna()
    frame = frame.assign(
        control=control.where(is_paired).mean(axis=1), winner=winner.where(is_paired).mean(axis=1)
    )
    sweep = [path for path in results.design.points() if path in table]
    diverged = diverged_controls(results).reindex(table.index).fillna(0).astype("Int64")
    rows = table[["arm", *sweep]].join(frame[GAIN_COLUMNS]).assign(control_diverged=diverged)
    # Cells with a diverged control stay, to show why they have no gain.
    return rows[rows["gain"].notna() | rows["control_diverged"].gt(0)].reset_index()
