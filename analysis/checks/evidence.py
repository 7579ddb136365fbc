"""Evidence of the checks: tables of some results, joined as the checks need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from sparsetune.errors import SparsetuneError

from ..estimates.means import add_dense_points
from ..load import StudyResults
from ..tables.results import Results
from ..tables.selection import cell_phrases, report_rows
from .finding import MAX_NAMED_CELLS, MissingEvidenceError, list_names

OWN_ROLES = ("search", "report", "control")
"""Roles of a cell's own trials; its dense twins and its teacher have others."""
HEADLINE_MEASURES = (
    "test_accuracy",
    "test_score",
    "val_accuracy",
    "val_score",
    "test_loss",
    "val_loss",
)
STEP_COLUMNS = ("step", "epoch", "progress")
"""Columns that may order a trial's evaluations; the first that was measured does."""
CHECKED_HISTORY_COLUMNS = (
    "trial_id",
    "config_id",
    "task.weights",
    "step",
    "epoch",
    "progress",
    "sparsity",
    "train_loss",
    "train_entropy",
    "val_accuracy",
    "val_score",
    "val_error",
    "val_loss",
    "val_entropy",
    "test_accuracy",
    "test_score",
    "test_loss",
)
"""Columns of the history that the checks read, of the test set where a table has them by epoch."""
MACHINE_COLUMNS = ("host", "device", "processor", "threads", "data")
"""Columns on where a trial ran last, and the digest of its data, from the ledger."""


@dataclass(frozen=True)
class Evidence:
    """Tables of some results; each is joined once.

    Args:
        results: Results of a study or of a table.
        where: Dotted fields and their values; cells with other values are left out, cells to which
            a field does not apply stay.
        measure: Measure that curves show; None for the first of `HEADLINE_MEASURES` with values.
    """

    results: Results
    where: Mapping[str, Any]
    measure: str | None = None

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per cell.

        Raises:
            SparsetuneError: if a field in ``where`` is unknown.
        """
        cells = self.results.cells()
        for path, value in self.where.items():
            given = cells["cell"].map(self._field_by_cell(path))
            cells = cells[given.isna() | (given == value)]
        return cells

    @cached_property
    def _phrases(self) -> dict[str, str]:
        """Names of the cells within a sentence, by their ids."""
        return cell_phrases(self.results)

    def name_cells(self, cells: Iterable[Any], most: int = MAX_NAMED_CELLS) -> str:
        """Names of the first cells within a sentence, and the number of others.

        Args:
            cells: Ids of the cells; repetitions count once.
            most: Cells that are named.
        """
        ids = dict.fromkeys(map(str, cells))
        return list_names((self._phrases.get(cell, cell) for cell in ids), most)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row per cell, role and trial, twins too.

        The cell's ``arm``, ``source`` and ``seed`` come first, then the trial's columns.
        """
        uses = self.results.uses()
        uses = uses[uses["cell"].isin(self.cells["cell"])]
        # A trial in several cells has one row each, with the columns of that use.
        shared = [name for name in map(str, uses) if name != "trial_id" and name in self._trials]
        return uses.merge(self._trials.drop(columns=shared), on="trial_id")

    @cached_property
    def own_trials(self) -> pd.DataFrame:
        """One row per cell and trial of its own, the first of those in `runs`."""
        own = self.runs[self.runs["role"].isin(OWN_ROLES)]
        return own.drop_duplicates(["cell", "trial_id"])

    @cached_property
    def report(self) -> pd.DataFrame:
        """One row per report trial of a cell's winner, with `MACHINE_COLUMNS`."""
        rows = report_rows(self.results)
        rows = rows[rows["cell"].isin(self.cells["cell"])]
        return rows.join(self.machines, on="trial_id")

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per trial, twins too."""
        return self._trials[self._trials["trial_id"].isin(self.runs["trial_id"])]

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row per trial and evaluation, with the known `CHECKED_HISTORY_COLUMNS`."""
        history = self.results.history()
        history = history[[name for name in CHECKED_HISTORY_COLUMNS if name in history]]
        if not self.where:
            return history
        return history[history["trial_id"].isin(self.runs["trial_id"])]

    @cached_property
    def step_column(self) -> str:
        """Column that orders a trial's evaluations: the first measured one of `STEP_COLUMNS`.

        Raises:
            MissingEvidenceError: if there is none.
        """
        for name in STEP_COLUMNS:
            if _has_values(self.history, name):
                return name
        raise MissingEvidenceError(["step or epoch or progress"])

    @cached_property
    def machines(self) -> pd.DataFrame:
        """`MACHINE_COLUMNS` of a study's started trials, by id; other results have no rows."""
        states = self.results.states if isinstance(self.results, StudyResults) else {}
        rows: dict[str, dict[str, Any]] = {}
        for trial_id, state in states.items():
            if state.starts:
                last = state.starts[-1]
                rows[trial_id] = {name: getattr(last, name) for name in MACHINE_COLUMNS}
        frame = pd.DataFrame(list(rows.values()), columns=[*MACHINE_COLUMNS])
        return frame.set_axis(pd.Index(list(rows), dtype="str"), axis=0)

    @cached_property
    def y(self) -> str | None:
        """Measure that curves show; None if none of `HEADLINE_MEASURES` has values."""
        if self.measure:
            return self.measure
        return next((name for name in HEADLINE_MEASURES if _has_values(self.report, name)), None)

    @cached_property
    def _trials(self) -> pd.DataFrame:
        return self.results.trials()

    def _field_by_cell(self, path: str) -> pd.Series[Any]:
        """Value of a dotted field in each cell's first trial, by cell."""
        fields = [name for name in map(str, self._trials) if "." in name]
        if path not in fields:
            raise SparsetuneError(
                f"a field in `where` must be one of {', '.join(fields)}, got `{path}`"
            )
        uses = self.results.uses()
        # Twins have other fields than the cell that they serve.
        first = uses[uses["role"].isin(OWN_ROLES)].drop_duplicates("cell")
        values = self._trials.set_index("trial_id")[path]
        return first.set_index("cell")["trial_id"].map(values)

    def rows_by_line(self, rows: pd.DataFrame, *names: str) -> pd.DataFrame:
        """Rows with the figure and the arm of the line that they are drawn in.

        Each combination of sweep axes besides sparsity and length has a figure of its own. Dense
        cells start the line of every arm that they belong to, so that they appear several times.

        Args:
            rows: Trials of cells.
            names: Columns to keep.

        Returns:
            ``figure arm cell sparsity`` and ``names``.
        """
        others = [path for path in self.results.design.other_axes() if path in rows]
        figure: pd.Series[Any] | str = ""
        if others and len(rows):
            figure = rows[others].map(str).agg("/".join, axis=1)
        rows = rows.assign(figure=figure, sparsity=rows["sparsity.target"])
        rows = rows[["figure", "arm", "cell", "sparsity", *names]]
        parts = [add_dense_points(part) for _, part in rows.groupby("figure", sort=False)]
        return pd.concat(parts, ignore_index=True) if parts else rows


def _has_values(frame: pd.DataFrame, name: str) -> bool:
    return name in frame and bool(frame[name].notna().any())


def require_columns(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The frame, if it has a value in a column of each name.

    Args:
        frame: Any rows. Without rows it lacks nothing, since there is nothing to judge yet.
        names: Names of columns; ``a|b`` asks for one of the two.

    Returns:
        The frame with every column that was asked for, NaN where it had none.

    Raises:
        MissingEvidenceError: naming the columns that it lacks.
    """
    lacking: list[str] = []
    columns = list(frame)
    for alternatives in names:
        options = alternatives.split("|")
        columns += options
        if not any(_has_values(frame, option) for option in options):
            lacking.append(" or ".join(options))
    if lacking and len(frame):
        raise MissingEvidenceError(lacking)
    return frame.reindex(columns=list(dict.fromkeys(columns)))


def has_value(column: pd.Series[Any], value: Any) -> pd.Series[Any]:
    """True for rows with this value, as plain booleans; a missing value is False."""
    return column.eq(value).astype("boolean").fillna(False).astype(bool)
