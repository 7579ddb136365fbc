"""Tables of a whole study: the main table, the cells, the trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..curves.comparison import COST_COLUMNS, cell_costs
from ..estimates.means import is_measured
from ..exhibit import SPARSITY_COLUMN, CellFormat, TableColumn, measure_format, plain_columns
from ..lengths.summary import summary
from ..measure import Measure
from ..recipes.axis_text import axis_column
from ..tables.results import Results
from ..tables.selection import report_rows
from ..wording import format_value
from .network_names import NetworkNames
from .table import PageTable, measure_column, page_table

MAX_LISTED_TRIALS = 200
"""Trials up to which the page shows them in a table."""
TRIAL_COLUMNS = (
    TableColumn("Trial", "trial_id"),
    TableColumn("Arm", "arm"),
    TableColumn("Network", "cell"),
    TableColumn("Role", "role"),
    TableColumn("Seed", "seed"),
    TableColumn("Status", "status"),
    TableColumn("Epochs", "epoch"),
    TableColumn("Validation\nloss", "val_loss"),
)
"""Columns of the table of trials, before the scores."""
SCORE_HEADINGS = {"val_score": "Validation\nscore", "test_score": "Test\nscore"}
FAILED_TRIAL_COLUMNS = (
    TableColumn("Trial", "trial_id"),
    TableColumn("Network", "cell"),
    TableColumn("Role", "role"),
    TableColumn("Seed", "seed"),
    TableColumn("Status", "status"),
    TableColumn("Last step", "step"),
    TableColumn("Reason", "error"),
)
FAILED_STATUSES = ("DIVERGED", "FAILED", "INVALID")


def main_table_frame(results: Results, y: str, where: Mapping[str, Any]) -> pd.DataFrame:
    """The numbers of the main table: `analysis.lengths.summary.summary` with each row's costs.

    Args:
        results: The study.
        y: The headline measure.
        where: Sweep axes and the value of each.

    Returns:
        One row per arm, sparsity and length shown; empty if ``y`` was not measured.
    """
    if not is_measured(results, y):
        return pd.DataFrame()
    rows = _with_costs(summary(results, y, where=where), results, where)
    rows = rows.assign(step=_step_texts(rows))
    has_gains = rows["gain"].notna().any()
    if not has_gains and rows["arm"].nunique() > 2:
        # Arms are compared with each other then, the best first.
        keys = ["sparsity", "mean"]
        rows = rows.sort_values(keys, ascending=[True, False], kind="stable", ignore_index=True)
    if not rows["extra_flops"].gt(0).any():
        rows = rows.drop(columns="extra_flops")
    if not rows["ever_active"].lt(1).any():
        rows = rows.drop(columns="ever_active")
    return rows


def _with_costs(rows: pd.DataFrame, results: Results, where: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of a summary with the columns of costs."""
    costs = cell_costs(results, where)
    # A summary has one dense network for all arms.
    costs = costs.assign(arm=costs["arm"].where(costs["sparsity"] > 0, "dense"))
    keys = ["arm", "sparsity", "epochs"]
    costs = costs[[*keys, *COST_COLUMNS]].drop_duplicates(keys)
    return rows.merge(costs, on=keys, how="left")


def _step_texts(rows: pd.DataFrame) -> pd.Series[str]:
    """The lengths that each row's gain lies between: ``8 to 16``; empty without a verdict."""
    texts = []
    for row in rows.to_dict("records"):
        start = format_value(row["from_epochs"])
        end = format_value(row["to_epochs"])
        texts.append(f"{start} to {end}" if row["verdict"] != "" else "")
    return pd.Series(texts, rows.index, dtype="str")


def main_table_columns(y: Measure, has_one_length: bool) -> list[TableColumn]:
    """Columns of the main table.

    Args:
        y: The headline measure.
        has_one_length: Leaves the column of lengths out.
    """
    percent = CellFormat.PERCENT
    form = measure_format(y)
    mean_heading = f"{y.label}\n[95 % interval]"
    twin_heading = y.difference_heading("Minus dense\ntwin")
    gain_heading = y.difference_heading("Gain beyond\ndense")
    columns = [
        TableColumn("Arm", "arm"),
        SPARSITY_COLUMN,
    ]
    if not has_one_length:
        columns.append(TableColumn("Length\n(epochs)", "epochs"))
    return [
        *columns,
        TableColumn(mean_heading, "mean", "low", "high", form),
        TableColumn("n", "n"),
        TableColumn(twin_heading, "difference", "difference_low", "difference_high", form),
        TableColumn("Training\nFLOPs (%)", "training_flops", format=percent),
        TableColumn("Mask choice\nFLOPs (%)", "extra_flops", format=percent),
        TableColumn("Inference\nFLOPs (%)", "inference_flops", format=percent),
        TableColumn("Ever active\n(%)", "ever_active", format=percent),
        TableColumn("Longer training\n(epochs)", "step"),
        TableColumn(gain_heading, "gain", "gain_low", "gain_high", form),
        TableColumn("Verdict", "verdict"),
    ]


def cells_table(results: Results, names: NetworkNames) -> PageTable:
    """One row per cell, with its winner; ``names`` writes arms in words."""
    cells = results.cells()
    shown = cells.assign(
        arm=_arm_names(names.in_words(cells)),
        pruned=_pruned_weight_texts(results, cells),
        searched=_done_of_asked(cells, "configurations"),
        reported=_done_of_asked(cells, "report_trials"),
        state=cells["finished"].map({True: "finished", False: "unfinished"}),
    )
    for name in ("stopped", "diverged", "failed"):
        # A column of zeros is empty, and left out.
        shown[name] = cells[name].where(cells[name] > 0)
    return page_table(shown, _cell_columns(results, cells), "arm")


def _arm_names(cells: pd.DataFrame) -> pd.Series[Any]:
    is_added = cells["added"].fillna(False).astype(bool)
    return cells["arm"].where(~is_added, cells["arm"] + " (control only)")


def _pruned_weight_texts(results: Results, cells: pd.DataFrame) -> pd.Series[Any]:
    """Weights pruned in each cell's report trials: ``15,322``; empty for a cell without any."""
    by_cell = report_rows(results).groupby("cell")["pruned_weights"].first()
    counts = cells["cell"].map(by_cell)
    return counts.map(lambda count: "" if pd.isna(count) else f"{count:,.0f}")


def _done_of_asked(cells: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Count of what was done, of what was asked for: ``7 / 8``."""
    done = cells[name].astype("string")
    asked = cells[f"{name}_asked"].astype("string")
    return done + " / " + asked


def _cell_columns(results: Results, cells: pd.DataFrame) -> list[TableColumn]:
    """Columns of the table of cells: sweep axes, the search, the winner's values, the outcome."""
    design = results.design
    names = [str(name) for name in cells]
    sweep = [name for name in names if name in design.points()]
    search = [name for name in names if name in design.search and name not in sweep]
    columns = [
        TableColumn("Arm", "arm"),
        *(axis_column(path) for path in sweep),
        TableColumn("Pruned weights", "pruned"),
        TableColumn("Configurations", "searched"),
        *(axis_column(path) for path in search),
        measure_column(results.measure(design.objective or "objective"), "objective"),
        TableColumn("Report trials", "reported"),
    ]
    if design.equal == "train_flops":
        columns.append(TableColumn("FLOPs over\ntwin's", "flops_ratio"))
    outcome = {
        "stopped": "Stopped early",
        "diverged": "Diverged",
        "failed": "Failed",
        "winner_id": "Winner",
        "state": "State",
    }
    return [*columns, *plain_columns(outcome)]


def trials_table(results: Results, names: NetworkNames) -> PageTable | None:
    """One row per trial, with ``names`` in words; None if there are too many to list."""
    trials = results.trials()
    if len(trials) > MAX_LISTED_TRIALS:
        return None
    columns = list(TRIAL_COLUMNS)
    for name, heading in SCORE_HEADINGS.items():
        score = results.measure(name)
        columns.append(TableColumn(score.heading(heading), name, format=measure_format(score)))
    return page_table(names.in_words(trials), columns)


def failed_trials_table(trials: pd.DataFrame) -> PageTable | None:
    """Trials that diverged, failed or were refused, with the reason; None if there are none."""
    rows = trials[trials["status"].isin(FAILED_STATUSES)]
    if rows.empty:
        return None
    return page_table(rows, FAILED_TRIAL_COLUMNS)
