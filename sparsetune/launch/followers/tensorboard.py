"""TensorBoard's event files, a folder per trial: derived from the ledger, and safe to delete."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsetune.launch.followers.followed_trial import FollowedTrial
from sparsetune.launch.followers.tracker import finite_numbers
from sparsetune.storage.records import ColumnValue, Ended, Report

FLUSH_SECONDS = 5
"""A row is in its file after at most this time, once another comes."""


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

    The library's own writer has a queue and a thread: they lose what a full disk refuses.

    Args:
        folder: Its folder, which is made.
        trial: The trial.
    """

    def __init__(self, folder: Path, trial: FollowedTrial) -> None:
        from tensorboardX.event_file_writer import (  # type: ignore[import-untyped]
            EventsWriter,
        )

        self.steps = ()
        self._folder = folder
        self._trial = trial
        self._reached: float | None = None
        folder.mkdir(parents=True)
        self._writer: Any = EventsWriter(str(folder / "events"))
        self._flush_due = time.monotonic() + FLUSH_SECONDS

    def add_row(self, row: Report) -> None:
        """Write the numbers of one evaluation."""
        self._reached = row.number(self._trial.objective)
        self._add_scalars(row.row, row.step, row.time)
        if time.monotonic() > self._flush_due:
            # It syncs the file, and the ledger's disk may be the same.
            self._writer.flush()
            self._flush_due = time.monotonic() + FLUSH_SECONDS

    def end(self, outcome: Ended | None, step: int) -> None:
        """Write final numbers, searched values and a table of facts; close the file."""
        if outcome is None:
            self._writer.close()
            return
        from tensorboardX.summary import hparams, text  # type: ignore[import-untyped]

        trial = self._trial
        self._add_scalars(outcome.columns, step, outcome.time)
        # What TensorBoard's table of hyperparameters shows.
        searched = {"cell": trial.cell, "role": trial.role, **trial.searched}
        reached = {} if self._reached is None else {trial.objective: self._reached}
        for part in hparams(searched, reached):
            self._add(part, step, outcome.time)
        self._add(text("trial", self._facts_table(outcome)), step, outcome.time)
        self._writer.close()
        (self._folder / trial.trial_id).touch()

    def _add_scalars(self, values: Mapping[str, ColumnValue], step: int, at: float) -> None:
        from tensorboardX.summary import scalar

        for name, value in finite_numbers(values).items():
            self._add(scalar(name, value), step, at)

    def _add(self, summary: Any, step: int, at: float) -> None:
        """Write one event of a time in seconds since 1970."""
        from tensorboardX.proto.event_pb2 import Event  # type: ignore[import-untyped]

        self._writer.write_event(Event(wall_time=at, step=step, summary=summary))

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
