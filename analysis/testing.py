"""Results made by hand, for tests of an analysis.

`MadeResults` holds any four tables, `report_results` makes them from rows of report trials, and
`ResultsBuilder` adds one cell after another, with a search, report trials or a control.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sparsetune.spec.columns import FINAL_COLUMNS, MEASURED_COLUMNS
from sparsetune.study.space import Axis

from .tables.design import EPOCH_MULTIPLIER_FIELD, EPOCHS_FIELD, TARGET_FIELD, Design
from .tables.results import Results
from .tables.selection import USE_DTYPES

TableName = Literal["trials", "history", "cells", "uses"]
Values = Mapping[str, ArrayLike]
"""Measured values by column."""

FIRST_REPORT_SEED = 100
_USE_DTYPES = {name: dtype for name, dtype in USE_DTYPES.items() if name != "index"}
_FLOAT_COLUMNS = tuple(
    column.name for column in (*MEASURED_COLUMNS, *FINAL_COLUMNS) if column.dtype == "float64"
)


class MadeResults(Results):
    """Results that consist of given tables.

    Args:
        design: Objective and axes.
        trials: One row per trial.
        history: One row per trial and evaluation.
        cells: One row per cell.
        uses: One row per cell and role that a trial serves.
        fresh_seeds: False if winners are reported on the runs that chose them.
        sources: Pairs of our name and a table's name of a column, as `TableResults` has them.
    """

    def __init__(
        self,
        design: Design,
        trials: pd.DataFrame,
        history: pd.DataFrame,
        cells: pd.DataFrame,
        uses: pd.DataFrame,
        *,
        fresh_seeds: bool = True,
        sources: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._design = design
        self._tables: dict[TableName, pd.DataFrame] = {
            "trials": trials,
            "history": history,
            "cells": cells,
            "uses": uses,
        }
        self._has_fresh_seeds = fresh_seeds
        self.sources = sources

    @classmethod
    def copy_of(cls, results: Results) -> MadeResults:
        """Tables of other results, without their directory or source."""
        return cls(
            results.design, results.trials(), results.history(), results.cells(), results.uses()
        )

    def replace(
        self,
        *,
        design: Design | None = None,
        trials: pd.DataFrame | None = None,
        history: pd.DataFrame | None = None,
        cells: pd.DataFrame | None = None,
        uses: pd.DataFrame | None = None,
        fresh_seeds: bool | None = None,
        sources: tuple[tuple[str, str], ...] | None = None,
    ) -> MadeResults:
        """Copy with other values for the arguments that are given."""
        return MadeResults(
            self._design if design is None else design,
            self._trials if trials is None else trials,
            self._history if history is None else history,
            self._cells if cells is None else cells,
            self._uses if uses is None else uses,
            fresh_seeds=self._has_fresh_seeds if fresh_seeds is None else fresh_seeds,
            sources=self.sources if sources is None else sources,
        )

    def with_values(
        self,
        table: TableName,
        column: str,
        value: Any,
        *,
        where: Callable[[pd.DataFrame], Any],
    ) -> MadeResults:
        """Copy with other values in some rows of a table.

        Args:
            table: Name of the table.
            column: Column to change; a new one is added.
            value: The value, or a function of the chosen rows that returns one or several.
            where: Function of the table that returns True for the rows to change.

        Raises:
            ValueError: if no row is chosen.
        """
        frame = self._tables[table].copy(deep=False)
        rows = where(frame)
        if not rows.any():
            raise ValueError(f"`where` must choose a row of {table}")
        if column in frame and pd.api.types.is_integer_dtype(frame[column]):
            frame[column] = frame[column].astype("float64")
        frame.loc[rows, column] = value(frame[rows]) if callable(value) else value
        tables = self._tables | {table: frame}
        return self.replace(
            trials=tables["trials"],
            history=tables["history"],
            cells=tables["cells"],
            uses=tables["uses"],
        )

    @property
    def design(self) -> Design:
        """Objective and axes."""
        return self._design

    @property
    def fresh_seeds(self) -> bool:
        """True if no winner is reported on the runs that chose it."""
        return self._has_fresh_seeds

    @property
    def _trials(self) -> pd.DataFrame:
        return self._tables["trials"]

    @property
    def _history(self) -> pd.DataFrame:
        return self._tables["history"]

    @property
    def _cells(self) -> pd.DataFrame:
        return self._tables["cells"]

    @property
    def _uses(self) -> pd.DataFrame:
        return self._tables["uses"]


def report_results(
    rows: Iterable[Mapping[str, Any]], history: pd.DataFrame | None = None
) -> MadeResults:
    """Results of report trials, with one cell per arm, sparsity and length.

    A sparse trial's twin is the trial of the arm ``dense`` with its length and seed, if there is
    one.

    Args:
        rows: ``arm sparsity epochs seed`` and measures of each trial; COMPLETE without ``status``.
        history: One row per trial and evaluation; no rows by default.
    """
    frame = pd.DataFrame([dict(row) for row in rows])
    epochs = frame["epochs"].map("{:g}".format)
    seeds = frame["seed"].astype(str)
    cells = frame["arm"] + "/" + frame["sparsity"].map("{:g}".format) + "/" + epochs
    twins = "dense/0/" + epochs + "/" + seeds
    frame = frame.assign(cell=cells, trial_id=cells + "/" + seeds, config_id=cells)
    frame = frame.assign(role="report", source="base", index=0)
    has_twin = (frame["sparsity"] > 0) & twins.isin(frame["trial_id"])
    frame = frame.assign(twin_id=twins.where(has_twin))
    uses = frame[
        ["cell", "arm", "role", "config_id", "source", "index", "seed", "trial_id", "twin_id"]
    ]
    fields: dict[str, Any] = {
        TARGET_FIELD: frame["sparsity"],
        EPOCHS_FIELD: frame["epochs"],
        EPOCH_MULTIPLIER_FIELD: 1,
    }
    trials = frame.assign(status=frame.get("status", "COMPLETE"), **fields)
    return MadeResults(
        Design("given", sweep=(TARGET_FIELD, EPOCHS_FIELD)),
        trials.drop(columns=["epochs", "source"]),
        pd.DataFrame() if history is None else history,
        uses[["cell", "arm"]].drop_duplicates().assign(winner_id=lambda table: table["cell"]),
        uses,
    )


@dataclass
class ResultsBuilder(Results):
    """Results that grow: `search`, `report` and `control` each add a cell's trials.

    Args:
        sweep: Dotted fields that make cells.
        objective: Column that chooses winners; None where nothing is chosen.
        minimize: True if lower is better in it.
        has_fresh_seeds: False if winners are reported on the runs that chose them.
        ranges: Searched range by cell and field.
        trial_rows: Columns of each trial in one role.
        cell_rows: Columns of each cell, by its name.
    """

    sweep: tuple[str, ...] = (TARGET_FIELD, EPOCHS_FIELD)
    objective: str | None = "val_error"
    minimize: bool = True
    has_fresh_seeds: bool = True
    ranges: dict[tuple[str, str], Axis] = field(default_factory=dict)
    trial_rows: list[dict[str, Any]] = field(default_factory=list)
    cell_rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def search(
        self,
        cell: str,
        axes: Mapping[str, Axis],
        places: ArrayLike,
        values: Values,
        target: float = 0.9,
        *,
        epochs: float = 8,
        arm: str | None = None,
    ) -> ResultsBuilder:
        """Add the search of a cell.

        Args:
            cell: Name of the cell.
            axes: Searched axes by field.
            places: Places of the configurations in the axes' ranges, shape [n, n_axes], in [0, 1].
            values: Measured values by column, each of shape [n]; NaN makes a trial DIVERGED.
            target: Sparsity asked for.
            epochs: Length of training.
            arm: Name of the arm; by default ``dense`` at target 0, else ``gmp``.

        Returns:
            The builder itself. The winner has the best objective, or the best value of the first
            column if the objective is not among them.
        """
        self.ranges |= {(cell, path): axis for path, axis in axes.items()}
        self._add_cell(cell, target, epochs, arm)
        columns = {name: np.asarray(column, dtype=np.float64) for name, column in values.items()}
        points: list[dict[str, Any]] = []
        for k, place in enumerate(np.asarray(places, dtype=np.float64)):
            point: dict[str, Any] = {}
            for (path, axis), unit in zip(axes.items(), place, strict=True):
                point[path] = axis.at(float(unit))
            points.append(point)
            reached = {name: float(column[k]) for name, column in columns.items()}
            self._add_trial(cell, "search", f"{cell}-{k}", f"sobol:{k}", 0, reached, point)
        objective = columns[min(columns, key=lambda name: name != self.objective)]
        if not np.isnan(objective).all():
            best = int(np.nanargmin(objective if self.minimize else -objective))
            self.cell_rows[cell] |= points[best] | {"winner_id": f"{cell}-{best}"}
        return self

    def report(
        self,
        cell: str,
        values: Values,
        target: float = 0.9,
        *,
        epochs: float = 8,
        arm: str | None = None,
    ) -> ResultsBuilder:
        """Add the report trials of a cell's winner.

        Args:
            cell: Name of the cell.
            values: Measured values by column, one per seed; a number is the same for all seeds.
            target: Sparsity asked for.
            epochs: Length of training.
            arm: Name of the arm; by default ``dense`` at target 0, else ``gmp``.
        """
        self._add_cell(cell, target, epochs, arm)
        self.cell_rows[cell]["winner_id"] = f"{cell}-w"
        for k, row in enumerate(_rows_by_seed(values)):
            self._add_trial(
                cell, "report", f"{cell}-w", "base", FIRST_REPORT_SEED + k, row, status="COMPLETE"
            )
        return self

    def control(self, cell: str, values: Values) -> ResultsBuilder:
        """Add the dense recipe's trials to a cell that exists.

        Args:
            cell: Name of the cell.
            values: Measured values by column, one per seed; NaN makes a trial DIVERGED.
        """
        self.cell_rows[cell]["control_id"] = f"{cell}-control"
        for k, row in enumerate(_rows_by_seed(values)):
            self._add_trial(
                cell, "control", f"{cell}-control", "control", FIRST_REPORT_SEED + k, row
            )
        return self

    def _add_cell(self, cell: str, target: float, epochs: float, arm: str | None) -> None:
        row = {
            EPOCHS_FIELD: epochs,
            "arm": arm or ("dense" if target == 0 else "gmp"),
            "cell": cell,
            TARGET_FIELD: target,
            "configurations": 1,
            "configurations_asked": 1,
            "winner_id": None,
            "finished": True,
        }
        self.cell_rows.setdefault(cell, row)

    def _add_trial(
        self,
        cell: str,
        role: str,
        config_id: str,
        source: str,
        seed: int,
        values: Mapping[str, float],
        point: Mapping[str, Any] | None = None,
        *,
        status: str | None = None,
    ) -> None:
        is_diverged = any(np.isnan(value) for value in values.values())
        of_cell = self.cell_rows[cell]
        row = {
            **dict.fromkeys(_FLOAT_COLUMNS, np.nan),
            "cell": cell,
            "arm": of_cell["arm"],
            "role": role,
            "config_id": config_id,
            "source": source,
            "seed": seed,
            "trial_id": f"{config_id}-{seed}-{role}",
            "twin_id": None,
            "status": status or ("DIVERGED" if is_diverged else "COMPLETE"),
            TARGET_FIELD: of_cell[TARGET_FIELD],
            EPOCHS_FIELD: of_cell[EPOCHS_FIELD],
            EPOCH_MULTIPLIER_FIELD: 1,
            **values,
            **(point or {}),
        }
        self.trial_rows.append(row)

    @property
    def design(self) -> Design:
        """Objective and axes, the fields with ranges being searched."""
        search = tuple(dict.fromkeys(path for _, path in self.ranges))
        return Design("made", "", self.objective, self.minimize, self.sweep, search, self.ranges)

    @property
    def fresh_seeds(self) -> bool:
        """True if no winner is reported on the runs that chose it."""
        return self.has_fresh_seeds

    @property
    def _trials(self) -> pd.DataFrame:
        frame = pd.DataFrame(self.trial_rows).drop_duplicates("trial_id", ignore_index=True)
        dtypes = _USE_DTYPES | {"status": "string"}
        return frame.astype({name: dtype for name, dtype in dtypes.items() if name in frame})

    @property
    def _history(self) -> pd.DataFrame:
        return self._trials

    @property
    def _uses(self) -> pd.DataFrame:
        return pd.DataFrame(self.trial_rows)[list(_USE_DTYPES)].astype(_USE_DTYPES)

    @property
    def _cells(self) -> pd.DataFrame:
        defaults: dict[str, Any] = {"control_id": None, "flops_ratio": np.nan}
        frame = pd.DataFrame([defaults | row for row in self.cell_rows.values()])
        return frame.astype(dict.fromkeys(("cell", "arm", "winner_id", "control_id"), "string"))


def _rows_by_seed(values: Values) -> Sequence[dict[str, float]]:
    """Values of each seed by column; shorter columns repeat."""
    seeds = max(np.size(column) for column in values.values())
    columns = {name: np.resize(column, seeds) for name, column in values.items()}
    return [{name: float(column[k]) for name, column in columns.items()} for k in range(seeds)]
