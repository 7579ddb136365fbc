"""The driver's side of a launch: hands trials to Tune, writes what workers send to the ledger."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sparsetune.errors import StorageError
from sparsetune.ledger import Ledger, Record, TrialState, take
from sparsetune.store import StudyDirectory
from sparsetune.tune.planner import Planner, Use

MAX_ATTEMPTS = 3
"""Process lives of a trial in one launch before a lost worker counts as the trial's failure."""
Done = Literal["done"]


@dataclass
class Driver:
    """State of one launch.

    Args:
        directory: Where the study lies.
        ledger: Open for appending.
        trials: State of every trial, kept current with the ledger.
        planner: Names the next trial; shares ``trials``.
        worker: What every trial's configuration has in common.
        slots: Trials that may run at once.
        announce: Called with every record after it is durable.
        stopped: Why the launch must end: the disk refused a record.
        complete: Whether nothing was left to run.
        interrupted: Whether a signal asked to stop.
    """

    directory: StudyDirectory
    ledger: Ledger
    trials: dict[str, TrialState]
    planner: Planner
    worker: dict[str, Any]
    slots: int
    announce: Callable[[Record], None]
    stopped: str | None = None
    complete: bool = False
    interrupted: bool = False
    _lost: Counter[str] = field(default_factory=Counter)
    _reasons: dict[str, str] = field(default_factory=dict)

    def next_config(self) -> dict[str, Any] | Done | None:
        """Configuration of the next trial; None to wait, ``done`` when nothing is left or the launch was stopped."""
        if self.stopped or self.interrupted:
            return "done"
        if len(self.planner.running) >= self.slots:
            return None
        try:
            use, notes = self.planner.next()
        except StorageError as error:
            self.stopped = str(error)
            return "done"
        known = use is None or use.known_to(self.trials.get(use.trial_id))
        self.append(*notes, *([] if use is None or known else [use.record()]))
        if use is None and self.planner.running and not self.stopped:
            return None
        if use is None or self.stopped:
            self._give_up_unwanted()
            self.complete = not self.stopped
            return "done"
        return self._config(use)

    def _give_up_unwanted(self) -> None:
        """End the retries that nothing waits for any more: a retried search gave their cell another winner."""
        left = {trial_id: trial.ended for trial_id, trial in self.trials.items() if trial.again and trial.ended}
        self.append(*({**ended, "time": time.time()} for ended in left.values()))

    def _config(self, use: Use) -> dict[str, Any]:
        trial_id, spec = use.configuration.trial(use.seed)
        folders = self.directory.attempts(trial_id)
        attempt = 1 + max([self.trials[trial_id].attempts, *folders])
        return {
            **self.worker,
            "trial_id": trial_id,
            "attempt": attempt,
            "spec": spec.given(),
            "read_test": use.role != "search",
            "folder": str(self.directory.attempt(trial_id, attempt)),
            "earlier": [str(self.directory.attempt(trial_id, number)) for number in folders],
            "retry": self._reasons.get(trial_id),
        }

    def receive(self, records: list[Record]) -> None:
        """Write a worker's records, leaving out reports that the ledger has from an earlier attempt."""
        for record in records:
            trial = self.trials[record["trial_id"]]
            if record["type"] != "report" or record["step"] not in trial.reports:
                self.append(record)
            if record["type"] == "ended":
                self.planner.ended(record["trial_id"])

    def lost(self, trial_id: str, attempt: int, reason: str) -> None:
        """Retry a trial whose worker died; after `MAX_ATTEMPTS` it has failed."""
        if self.trials[trial_id].finished:
            return
        self._lost[trial_id] += 1
        self._reasons[trial_id] = reason
        if self._lost[trial_id] >= MAX_ATTEMPTS:
            ended = {"trial_id": trial_id, "attempt": attempt, "status": "FAILED", "error": reason, "certified": None}
            self.append({"type": "ended", "time": time.time(), **ended})
        else:
            self.announce({"type": "lost", "trial_id": trial_id, "attempt": attempt, "error": reason})
        self.planner.ended(trial_id)

    def append(self, *records: Record) -> None:
        """Make records durable, then part of the state. A disk that refuses ends the launch, and loses nothing."""
        stamped = [{"time": time.time(), **record} for record in records]
        if not stamped or self.stopped:
            return
        try:
            self.ledger.append(*stamped)
        except StorageError as error:
            self.stopped = str(error)
            return
        for record in stamped:
            take(self.trials, record)
            self.announce(record)


def python_path(study_file: Path | None) -> list[str]:
    """Folders that workers append to their path, so that a user's own model functions import there too."""
    folders = [Path.cwd(), *([study_file.resolve().parent] if study_file else [])]
    return [str(folder) for folder in folders]
