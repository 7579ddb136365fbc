"""Tables that a tool exports, recognised by their column names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

_ORDER_NAMES = ("step", "epoch", "progress")
"""Columns of ours that tell the rows of one run apart."""


def _syne_tune_statuses(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with ``status``: that of the trial, or `stopped` where the scheduler decided so.

    Syne Tune writes down what a trial was at its report, before the decision on it.
    """
    status = frame["st_status"].replace({"InProgress": "running", "Stopping": "stopped"})
    return frame.assign(status=status.mask(frame["st_decision"] == "STOP", "stopped"))


@dataclass(frozen=True)
class Layout:
    """Column names of one tool's table.

    Args:
        tool: What such a table is, such as ``results of Ray Tune``.
        required: Columns that all such tables have.
        columns: For each of ours the names of the column that certainly holds it, of which the
            first that the table has counts.
        prepare: Adds what the tool's columns say only together; None for nothing.
    """

    tool: str
    required: frozenset[str]
    columns: Mapping[str, tuple[str, ...]]
    prepare: Callable[[pd.DataFrame], pd.DataFrame] | None = None

    def certain_columns(self, frame: pd.DataFrame) -> dict[str, str]:
        """The table's name by ours.

        A name that repeats is no id of runs, unless another column tells a run's rows apart.
        """
        found: dict[str, str] = {}
        for ours, names in self.columns.items():
            present = [name for name in names if name in frame]
            if present:
                found[ours] = present[0]
        has_order = "step" in found or any(name in frame for name in _ORDER_NAMES)
        if "trial_id" in found and not has_order and frame[found["trial_id"]].duplicated().any():
            del found["trial_id"]
        return found


LAYOUTS = (
    Layout(
        "results of Syne Tune",
        frozenset({"trial_id", "st_status", "st_decision"}),
        {
            "trial_id": ("trial_id",),
            "status": ("status",),
            "step": ("st_worker_iter",),
            "seconds": ("st_worker_time",),
        },
        _syne_tune_statuses,
    ),
    Layout(
        "results of Ray Tune",
        frozenset({"trial_id", "training_iteration", "time_total_s"}),
        {
            "trial_id": ("trial_id",),
            "step": ("training_iteration",),
            "seconds": ("time_total_s",),
        },
    ),
    Layout(
        "trials of Optuna",
        frozenset({"number", "state", "datetime_start"}),
        {"trial_id": ("number",), "status": ("state",)},
    ),
    Layout(
        "runs of MLflow, from `search_runs`",
        frozenset({"run_id", "experiment_id", "status"}),
        {"trial_id": ("run_id",), "status": ("status",)},
    ),
    Layout(
        "runs of MLflow, from its page",
        frozenset({"Run ID", "Status", "Start Time"}),
        {"trial_id": ("Run ID",), "status": ("Status",)},
    ),
    Layout(
        "runs of Weights & Biases",
        frozenset({"Name", "State"}),
        {"trial_id": ("ID", "Name"), "status": ("State",), "step": ("_step",)},
    ),
)
"""Layouts, those with the most telling names first."""


def find_layout(frame: pd.DataFrame) -> Layout | None:
    """Layout of a table; None where it is nobody's, or two of its columns share a name."""
    names = set(map(str, frame.columns))
    if len(names) < frame.shape[1]:
        return None
    return next((layout for layout in LAYOUTS if layout.required <= names), None)
