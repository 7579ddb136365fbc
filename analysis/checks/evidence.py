"""What the checks read: the tables of some results, joined as most of them need them, each made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.checks.finding import MissingEvidenceError
from analysis.estimates.means import add_dense_points
from analysis.load import StudyResults
from analysis.tables.results import Results
from analysis.tables.selection import report_rows
from sparsetune.errors import SparsetuneError

OWN_ROLES = ("search", "report", "control")
"""Roles of the trials that are a cell's own; its dense twins and its teacher are not."""
HEADLINE_MEASURES = (
    "test_accuracy",
    "test_score",
    "val_accuracy",
    "val_score",
    "test_loss",
    "val_loss",
)
HISTORY_COLUMNS: tuple[str, ...] = (
    "trial_id",
    "config_id",
    "task.weights",
    "step",
    "epoch",
    "progress",
    "train_loss",
    "train_entropy",
)
HISTORY_COLUMNS += ("val_accuracy", "val_score", "val_error", "val_loss", "val_entropy")
HISTORY_COLUMNS += ("test_accuracy", "test_score", "test_loss")
MACHINE_COLUMNS = ("host", "device", "processor", "threads", "data")
"""What the ledger says of where a trial ran last, and the digest of its data."""


@dataclass(frozen=True)
class Evidence:
    """The tables of some results.

    Args:
        results: Of a study, or of a table.
        where: Dotted fields and their values: only cells with these, or where a field does not apply, are looked at.
        measure: What curves show; None for the first of `HEADLINE_MEASURES` that was measured.
    """

    results: Results
    where: Mapping[str, Any]
    measure: str | None = None

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per cell."""
        cells = self.results.cells()
        for path, value in self.where.items():
            given = cells["cell"].map(self._field(path))
            cells = cells[given.isna() | (given == value)]
        return cells

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row per cell, role and trial: the cell's ``arm``, ``source`` and ``seed``, then the trial's columns."""
        uses = self.results.uses()
        uses = uses[uses["cell"].isin(self.cells["cell"])]
        same = [name for name in map(str, uses) if name != "trial_id" and name in self._trials]
        return uses.merge(self._trials.drop(columns=same), on="trial_id")

    @cached_property
    def own_trials(self) -> pd.DataFrame:
        """The rows of `runs` that are trials of the cells themselves, each once."""
        return self.runs[self.runs["role"].isin(OWN_ROLES)].drop_duplicates(["cell", "trial_id"])

    @cached_property
    def report(self) -> pd.DataFrame:
        """One row per report trial of a cell's winner (`select.report_rows`), with `MACHINE_COLUMNS`."""
        rows = report_rows(self.results)
        rows = rows[rows["cell"].isin(self.cells["cell"])]
        return rows.join(self.machines, on="trial_id")

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per trial, twins too."""
        return self._trials[self._trials["trial_id"].isin(self.runs["trial_id"])]

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row per trial and evaluation: what the checks read of it."""
        history = self.results.history()
        history = history[[name for name in HISTORY_COLUMNS if name in history]]
        return history[history["trial_id"].isin(self.runs["trial_id"])] if self.where else history

    @cached_property
    def clock(self) -> str:
        """The column that orders a trial's evaluations: step, or what stands for it in a table.

        Raises:
            Missing: if there is none.
        """
        found = (
            name
            for name in ("step", "epoch", "progress")
            if self.history.get(name, pd.Series()).notna().any()
        )
        if (name := next(found, None)) is None:
            raise MissingEvidenceError(["step or epoch or progress"])
        return name

    @cached_property
    def machines(self) -> pd.DataFrame:
        """`MACHINE_COLUMNS` of every trial that a study started, by its id; of other results no rows."""
        states = self.results.states if isinstance(self.results, StudyResults) else {}
        rows = {trial_id: state.starts[-1] for trial_id, state in states.items() if state.starts}
        frame = pd.DataFrame(
            [{name: getattr(start, name) for name in MACHINE_COLUMNS} for start in rows.values()],
            columns=[*MACHINE_COLUMNS],
        )
        return frame.set_axis(pd.Index(list(rows), dtype="str"), axis=0)

    @cached_property
    def y(self) -> str | None:
        """The measure that curves show; None where none of `HEADLINE_MEASURES` was measured."""
        measured = (
            name
            for name in HEADLINE_MEASURES
            if name in self.report and self.report[name].notna().any()
        )
        return self.measure or next(measured, None)

    @cached_property
    def _trials(self) -> pd.DataFrame:
        return self.results.trials()

    def _field(self, path: str) -> pd.Series[Any]:
        """The value of a dotted field by cell."""
        fields = [name for name in map(str, self._trials) if "." in name]
        if path not in fields:
            raise SparsetuneError(
                f"a field in `where` must be one of {', '.join(fields)}, got `{path}`"
            )
        uses = self.results.uses()
        first = (
            uses[uses["role"].isin(OWN_ROLES)].drop_duplicates("cell").set_index("cell")["trial_id"]
        )
        return first.map(self._trials.set_index("trial_id")[path])

    def figures(self, rows: pd.DataFrame, *names: str) -> pd.DataFrame:
        """The columns ``cell sparsity`` and ``names`` of the rows, with ``figure arm``: which line they are drawn in.

        Combinations of sweep axes besides sparsity and length have a figure each. Dense cells start every line of
        theirs, so that they appear several times.
        """
        others = [path for path in self.results.design.other_axes() if path in rows]
        figure = rows[others].map(str).agg("/".join, axis=1) if others and len(rows) else ""
        rows = rows.assign(figure=figure, sparsity=rows["sparsity.target"])
        rows = rows[["figure", "arm", "cell", "sparsity", *names]]
        parts = [add_dense_points(part) for _, part in rows.groupby("figure", sort=False)]
        return pd.concat(parts, ignore_index=True) if parts else rows


def require_columns(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The frame, if it holds a value in a column of each name; ``a|b`` asks for one of the two.

    Raises:
        Missing: naming those it lacks. A frame without rows lacks nothing: there is nothing to judge yet.
    """
    lacking = [
        name
        for name in names
        if not any(n in frame and frame[n].notna().any() for n in str(name).split("|"))
    ]
    if lacking and len(frame):
        raise MissingEvidenceError(name.replace("|", " or ") for name in lacking)
    asked = (name for alternatives in names for name in alternatives.split("|"))
    return frame.reindex(columns=list(dict.fromkeys([*frame, *asked])))


def has_value(column: pd.Series[Any], value: Any) -> pd.Series[Any]:
    """Where the column has this value, as plain booleans; what is missing has it not."""
    return column.eq(value).astype("boolean").fillna(False).astype(bool)
