"""TensorBoard's event files, a folder per trial: derived from the ledger, and safe to delete."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsetune.launch.followers.followed_trial import FollowedTrial
from sparsetune.launch.followers.tracker import finite_numbers
from sparsetune.storage.records import ColumnValue, Ended, Report

FLUSH_SECONDS = 5
"""A row is in its file after at most this time."""


class EventFolders:
    """Folders of event files, named as the runs; a run that ended holds an empty file of its id.

    Args:
        folder: Their parent.
    """

    def __init__(self, folder: Path) -> None:
        self.location = str(folder)
        self._folder = folder

    def holds(self, trial: FollowedTrial) -> bool:
        """True if the trial's folder holds its end."""
        return (self._run_folder(trial) / trial.trial_id).exists()

    def open(self, trial: FollowedTrial) -> EventFile:
        """A new event file in place of the trial's earlier ones."""
        folder = self._run_folder(trial)
        # Event files only grow: rows beyond the checkpoint would stay beside those done again.
        shutil.rmtree(folder, ignore_errors=True)
        return EventFile(folder, trial)

    def _run_folder(self, trial: FollowedTrial) -> Path:
        return self._folder / trial.name.replace("/", "-")


class EventFile:
    """The event file of one trial.

    Args:
        folder: Its folder, which is made.
        trial: The trial.
    """

    def __init__(self, folder: Path, trial: FollowedTrial) -> None:
        from tensorboardX import SummaryWriter  # type: ignore[import-untyped]

        self.steps = ()
        self._folder = folder
        self._trial = trial
        self._writer: Any = SummaryWriter(str(folder), flush_secs=FLUSH_SECONDS)
        self._reached: float | None = None

    def add_row(self, row: Report) -> None:
        """Write the numbers of one evaluation."""
        self._reached = row.number(self._trial.objective)
        self._add_scalars(row.row, row.step, row.time)

    def end(self, outcome: Ended | None, step: int) -> None:
        """Write final numbers, searched values and a table of facts; close the file."""
        if outcome is None:
            self._writer.close()
            return
        self._add_scalars(outcome.columns, step, outcome.time)
        self._add_searched_values()
        self._writer.add_text("trial", self._facts_table(outcome), step, walltime=outcome.time)
        self._writer.close()
        (self._folder / self._trial.trial_id).touch()

    def _add_scalars(self, values: Mapping[str, ColumnValue], step: int, time: float) -> None:
        for name, value in finite_numbers(values).items():
            self._writer.add_scalar(name, value, step, walltime=time)

    def _add_searched_values(self) -> None:
        """Write what TensorBoard's table of hyperparameters shows."""
        from tensorboardX.summary import hparams  # type: ignore[import-untyped]

        trial = self._trial
        values = {"cell": trial.cell, "role": trial.role, **trial.searched}
        reached = {} if self._reached is None else {trial.objective: self._reached}
        for part in hparams(values, reached):
            self._writer.file_writer.add_summary(part)

    def _facts_table(self, outcome: Ended) -> str:
        """A table in Markdown of what tells the trial from others."""
        trial = self._trial
        facts = {
            "trial": trial.trial_id,
            "cell": trial.cell,
            "role": trial.role,
            "seed": trial.seed,
            "status": outcome.status,
            "error": outcome.error,
            **trial.searched,
        }
        rows = [f"| {name} | {value} |" for name, value in facts.items() if value is not None]
        return "\n".join(["| | |", "|-|-|", *rows])
