"""TensorBoard's event files, a folder per trial: derived from the ledger, and safe to delete."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsetune.errors import StorageError
from sparsetune.paths import Place
from sparsetune.search.planner import Planner
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import FINAL_COLUMNS, MEASURED_COLUMNS
from sparsetune.storage.announcements import Announcement
from sparsetune.storage.records import ColumnValue, Ended, Report, Started
from sparsetune.storage.trial_state import TrialState

REPORT_SCALARS = tuple(column.name for column in MEASURED_COLUMNS)
FINAL_SCALARS = tuple(column.name for column in FINAL_COLUMNS if column.dtype == "float64")
FLUSH_SECONDS = 5
"""A row is in its file after at most this time."""


class EventFileWriter:
    """Follower that writes rows as they come, and the finished trials of earlier launches.

    A trial's folder is replaced whenever an attempt starts, so that no step is there twice.

    Args:
        path: The study's directory.
        planner: Knows the trials and what their cells search.

    Raises:
        StorageError: if the study does not lie on a disk.
    """

    def __init__(self, path: Place, planner: Planner) -> None:
        if not isinstance(path, Path):
            raise StorageError(
                f"--tensorboard needs a study in a folder, got `{path}`; leave it out"
            )
        self.folder = path / "tensorboard"
        self.planner = planner
        self._open: dict[str, Any] = {}

    def catch_up(self) -> None:
        """Write the trials that ended before and have no folder yet."""
        for trial_id, trial in self.planner.trials.items():
            if trial.finished and trial.reports and not (self.folder / trial_id).exists():
                self._begin(trial_id)
                self._end(trial_id)

    def follow(self, message: Announcement) -> None:
        """Write what a record adds; the planner's state holds it already."""
        match message:
            case Started():
                self._begin(message.trial_id)
            case Report() if message.trial_id in self._open:
                _add_report(self._open[message.trial_id], message)
            case Ended() if message.trial_id in self._open:
                self._end(message.trial_id)

    def close(self) -> None:
        """Close the files of the trials that did not end."""
        for writer in self._open.values():
            writer.close()
        self._open.clear()

    def _begin(self, trial_id: str) -> None:
        from tensorboardX import SummaryWriter  # type: ignore[import-untyped]

        if writer := self._open.pop(trial_id, None):
            writer.close()
        # Event files only grow: rows beyond the checkpoint would stay beside those done again.
        shutil.rmtree(self.folder / trial_id, ignore_errors=True)
        writer = self._open[trial_id] = SummaryWriter(
            str(self.folder / trial_id), flush_secs=FLUSH_SECONDS
        )
        for _, report in sorted(self.planner.trials[trial_id].reports.items()):
            _add_report(writer, report)

    def _end(self, trial_id: str) -> None:
        from tensorboardX.summary import hparams  # type: ignore[import-untyped]

        writer = self._open.pop(trial_id)
        trial = self.planner.trials[trial_id]
        ended = trial.ended
        step = trial.last.step if trial.last else 0
        if ended:
            _add_scalars(writer, ended.columns, FINAL_SCALARS, step, ended.time)
        values = self._values(trial)
        column = self.planner.study.objective.column
        reached = trial.last_value(column)
        for part in hparams(values, {} if reached is None else {column: reached}):
            writer.file_writer.add_summary(part)
        facts = {
            "trial": trial_id,
            "cell": trial.use.cell,
            "role": trial.use.role,
            "seed": trial.use.seed,
            "status": ended.status if ended else None,
            "error": ended.error if ended else None,
            **values,
        }
        rows = [f"| {name} | {value} |" for name, value in facts.items() if value is not None]
        table = "\n".join(["| | |", "|-|-|", *rows])
        writer.add_text("trial", table, step, walltime=ended.time if ended else None)
        writer.close()

    def _values(self, trial: TrialState) -> dict[str, float | int | str | bool]:
        """Values that tell the trial from others: cell, role and searched values."""
        use = trial.use
        plan = self.planner.plans.get(use.cell)
        columns = TrialSpec.model_validate(use.spec).columns()
        paths = plan.cell.search if plan else ()
        searched = {path: columns[path] for path in paths if path in columns}
        return {"cell": use.cell, "role": use.role, **searched}


def _add_report(writer: Any, report: Report) -> None:
    _add_scalars(writer, report.row, REPORT_SCALARS, report.step, report.time)


def _add_scalars(
    writer: Any,
    values: Mapping[str, ColumnValue],
    columns: tuple[str, ...],
    step: int,
    time: float,
) -> None:
    """Write the numbers of some columns; NaN in a worker's row is missing, as in the ledger."""
    for name in columns:
        value = values.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            writer.add_scalar(name, value, step, walltime=time)
