"""Training histories: the evaluations of the winners' report trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..estimates.means import add_dense_points, cell_values
from ..tables.results import Results
from ..tables.selection import report_rows

TRACE_COLUMNS = ["arm", "sparsity", "epochs", "seed", "trial_id", "progress"]
"""Columns that place one evaluation in a figure of histories."""
MAX_TRACED_LENGTHS = 3
"""Training lengths whose histories are shown."""


def winners_history(results: Results, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """One row per evaluation of the winners' report trials.

    Columns: ``arm sparsity epochs seed trial_id progress`` and the measures. ``sparsity`` is the
    target, ``sparsity_now`` the mask's; dense trials appear in every arm. Of more than three
    training lengths the shortest, the middle and the longest are kept.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
    """
    rows = report_rows(results)
    cells = cell_values(results, "val_loss", where)[0]
    rows = rows[rows["cell"].isin(cells.index)].assign(sparsity=rows["sparsity.target"])
    # Dense trials are the baseline of every arm, so each arm's panel has them.
    rows = add_dense_points(rows)
    lengths = sorted(set(rows["epochs"].dropna()))
    if len(lengths) > MAX_TRACED_LENGTHS:
        middle = lengths[len(lengths) // 2]
        rows = rows[rows["epochs"].isin([lengths[0], middle, lengths[-1]])]
    history = results.history().rename(columns={"sparsity": "sparsity_now"})
    # A trial's own arm and cell may differ from those that it is shown for.
    kept = [name for name in history.columns if name not in ("arm", "cell")]
    history = history.loc[history["trial_id"].isin(set(rows["trial_id"])), kept]
    trials = rows[["arm", "sparsity", "epochs", "trial_id"]]
    return trials.merge(history, on="trial_id", suffixes=("", "_"))
