"""TensorBoard's event files, a folder per trial: derived from the ledger, and safe to delete."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

from sparsetune.errors import StorageError
from sparsetune.paths import Place
from sparsetune.search.planner import Planner
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import FINAL_COLUMNS, MEASURED_COLUMNS
from sparsetune.storage.ledger import Record, TrialState

REPORT_SCALARS = tuple(column.name for column in MEASURED_COLUMNS)
FINAL_SCALARS = tuple(column.name for column in FINAL_COLUMNS if column.dtype == "float64")
FLUSH_SECONDS = 5


class EventFileWriter:
    """Follows a launch: rows as they come, and of every other trial what the ledger has of it.

    A trial's folder is made anew whenever an attempt starts, so that no step is there twice.

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
        """Write the trials that ended before and have no folder, as after a launch without event files."""
        for trial_id, trial in self.planner.trials.items():
            if trial.finished and trial.reports and not (self.folder / trial_id).exists():
                self._begin(trial_id)
                self._end(trial_id)

    def take(self, record: Record) -> None:
        """Write what a record that is in the planner's state adds."""
        if record["type"] == "started":
            self._begin(record["trial_id"])
        elif record["type"] == "report" and (writer := self._open.get(record["trial_id"])):
            _add_scalars(writer, record, REPORT_SCALARS, record["step"])
        elif record["type"] == "ended" and record["trial_id"] in self._open:
            self._end(record["trial_id"])

    def close(self) -> None:
        """Close the files of the trials that did not end."""
        for writer in self._open.values():
            writer.close()
        self._open.clear()

    def _begin(self, trial_id: str) -> None:
        from tensorboardX import SummaryWriter  # type: ignore[import-untyped]

        if writer := self._open.pop(trial_id, None):
            writer.close()
        shutil.rmtree(self.folder / trial_id, ignore_errors=True)
        writer = self._open[trial_id] = SummaryWriter(
            str(self.folder / trial_id), flush_secs=FLUSH_SECONDS
        )
        for step, row in sorted(self.planner.trials[trial_id].reports.items()):
            _add_scalars(writer, row, REPORT_SCALARS, step)

    def _end(self, trial_id: str) -> None:
        from tensorboardX.summary import hparams  # type: ignore[import-untyped]

        writer = self._open.pop(trial_id)
        trial = self.planner.trials[trial_id]
        ended = trial.ended or {}
        step = trial.last.get("step", 0)
        _add_scalars(writer, ended, FINAL_SCALARS, step)
        values = self._values(trial)
        column = self.planner.study.objective.column
        reached = trial.last.get(column)
        for part in hparams(values, {} if reached is None else {column: float(reached)}):
            writer.file_writer.add_summary(part)
        facts = {
            "trial": trial_id,
            "cell": trial.use["cell"],
            "role": trial.use["role"],
            "seed": trial.use["seed"],
        }
        facts |= {"status": ended.get("status"), "error": ended.get("error"), **values}
        rows = (f"| {name} | {value} |" for name, value in facts.items() if value is not None)
        writer.add_text(
            "trial", "\n".join(["| | |", "|-|-|", *rows]), step, walltime=ended.get("time")
        )
        writer.close()

    def _values(self, trial: TrialState) -> dict[str, float | int | str | bool]:
        """What distinguishes the trial: the searched values that apply, its arm and cell."""
        plan = self.planner.plans.get(trial.use["cell"])
        columns = TrialSpec.model_validate(trial.use["spec"]).columns()
        searched = {
            path: columns[path] for path in (plan.cell.search if plan else ()) if path in columns
        }
        return {"cell": trial.use["cell"], "role": trial.use["role"], **searched}


def _add_scalars(writer: Any, record: Record, columns: tuple[str, ...], step: int) -> None:
    """Add what is there: a worker's NaN is missing, as in the ledger."""
    for name in columns:
        if isinstance(value := record.get(name), int | float) and math.isfinite(value):
            writer.add_scalar(name, value, step, walltime=record.get("time"))
