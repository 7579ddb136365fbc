"""What tuning in every cell is worth: its winner against the dense recipe, run unchanged."""

from __future__ import annotations

import pandas as pd

from analysis.curves import cell_values
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
    table = results.cells().set_index("cell")
    winner = cell_values(results, y)[1]
    table = table.loc[table.index.isin(winner.index) & table["control_id"].notna()]
    table = table[table["control_id"] != table["winner_id"]]
    uses, trials = results.uses(), results.trials().set_index("trial_id")
    uses = uses[uses["role"].isin(["control", "report"]) & (uses["config_id"] == uses["cell"].map(table["control_id"]))]
    uses = uses.drop_duplicates(["cell", "seed"])
    uses = uses.assign(value=uses["trial_id"].map(trials[y].where(trials["status"] == "COMPLETE")))
    control = uses.pivot(index="cell", columns="seed", values="value").reindex(table.index, columns=winner.columns)
    gains = (winner.reindex(table.index) - control).astype("float64")
    frame = estimate(gains, [0] * len(gains), level).set_index(gains.index).rename(columns={"mean": "gain"})
    both = gains.notna()
    frame = frame.assign(
        control=control.where(both).mean(axis=1), winner=winner.reindex(table.index).where(both).mean(axis=1)
    )
    sweep = [path for path in results.design.points() if path in table]
    kept = ["control", "winner", "gain", "n", "sd", "pooled_sd", "df", "low", "high"]
    return table[["arm", *sweep]].join(frame[kept]).dropna(subset="gain").reset_index()
