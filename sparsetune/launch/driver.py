"""The driver's side of a launch: hands trials to Tune, writes what workers send to the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sparsetune.errors import SparsetuneError, StorageError, TeacherError
from sparsetune.launch.failures import Cause, FailureCounter
from sparsetune.search.planner import Planner, TrialUse
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Ledger, Record, TrialState, apply_record
from sparsetune.storage.provenance import EnvironmentTracker
from sparsetune.train.checkpoint import Checkpoints
from sparsetune.train.distill import LOGITS_FILE

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
        followers: Called with every record after it is durable, and with what else is worth telling.
        stopped: Why the launch must end: the disk refused a record, or every trial fails.
        complete: Whether nothing was left to run.
        interrupted: Whether a signal asked to stop.
        failures: What failed in this launch.
        surroundings: What the trials ran on so far, those of earlier launches included.
    """

    directory: StudyDirectory
    ledger: Ledger
    trials: dict[str, TrialState]
    planner: Planner
    worker: dict[str, Any]
    slots: int
    followers: list[Callable[[Record], None]]
    stopped: SparsetuneError | None = None
    complete: bool = False
    interrupted: bool = False
    failures: FailureCounter = field(default_factory=FailureCounter)
    surroundings: EnvironmentTracker = field(default_factory=EnvironmentTracker)

    def next_config(self) -> dict[str, Any] | Done | None:
        """Configuration of the next trial; None to wait, ``done`` when nothing is left or the launch was stopped."""
        if self.stopped or self.interrupted:
            return "done"
        if len(self.planner.running) >= self.slots:
            return None
        try:
            use, notes = self.planner.next()
        except StorageError as error:
            self._stop(error)
            return "done"
        except TeacherError as error:
            self.stopped = error
            return "done"
        known = use is None or use.is_recorded_in(self.trials.get(use.trial_id))
        self.append(*notes, *([] if use is None or known else [use.record()]))
        if use is None and self.planner.running and not self.stopped:
            return None
        if use is None or self.stopped:
            self._end_unneeded_trials()
            self.complete = not self.stopped
            return "done"
        try:
            return self._config(use)
        except StorageError as error:
            self._stop(error)
            return "done"

    def finish(self) -> bool:
        """Whether nothing is left to run; then the last notes are recorded, without any worker."""
        config = self.next_config()
        if isinstance(config, dict):
            self.planner.ended(config["trial_id"])
        return config == "done"

    def announce(self, record: Record) -> None:
        """Tell every follower."""
        for follower in self.followers:
            follower(record)

    def note(self, *lines: str, kind: str = "note") -> None:
        """Tell the followers what is no record."""
        for line in lines:
            self.announce({"type": kind, "note": line})

    def _end_unneeded_trials(self) -> None:
        """End what nothing waits for: retries whose cell has another winner now, seeds of stopped configurations."""
        self._prune(self.planner.unended_trials(), "another seed of its configuration was stopped")
        left = {
            trial_id: trial.ended
            for trial_id, trial in self.trials.items()
            if trial.again and trial.ended
        }
        self.append(*({**ended, "time": time.time()} for ended in left.values()))

    def _config(self, use: TrialUse) -> dict[str, Any]:
        trial_id, spec = use.configuration.trial(use.seed)
        folders = self.directory.attempts(trial_id)
        attempt = 1 + max([self.trials[trial_id].attempts, *folders])
        return {
            **self.worker,
            "trial_id": trial_id,
            "attempt": attempt,
            "spec": spec.given(),
            "read_test": use.role != "search",
            "teaches": trial_id in self.planner.teachers,
            "teacher": self._teacher_logits_path(use),
            "folder": str(self.directory.attempt(trial_id, attempt)),
            "earlier": [str(self.directory.attempt(trial_id, number)) for number in folders],
            "retry": self.failures.reasons.get(trial_id),
            "rungs": self.planner.rung_fractions(use),
        }

    def _teacher_logits_path(self, use: TrialUse) -> str | None:
        """Where the last attempt of the trial's teacher left its logits."""
        teacher = self.planner.teacher_use(use)
        if teacher is None:
            return None
        attempt = self.trials[teacher.trial_id].attempts
        return str(self.directory.attempt(teacher.trial_id, attempt) / LOGITS_FILE)

    def receive(self, records: list[Record]) -> None:
        """Write a worker's records, leaving out reports that the ledger has from an earlier attempt."""
        for record in records:
            trial = self.trials[record["trial_id"]]
            if trial.status == "PRUNED":
                continue  # it was under way when a rung stopped the trial
            if record["type"] == "failed":
                self.failed(record["trial_id"], record["attempt"], record["cause"], record["error"])
            elif record["type"] != "report" or record["step"] not in trial.reports:
                self.append(record)
                self._stop_at_rungs(record)
            if record["type"] == "ended":
                self._count_end(record)

    def _stop_at_rungs(self, record: Record) -> None:
        """End every trial of a configuration that a report stops at a rung; its workers are told when they report."""
        stop = (
            self.planner.stop_after_report(record)
            if record["type"] == "report" and not self.stopped
            else None
        )
        if stop:
            self._prune(stop.trials, stop.reason, rung=stop.rung)
            self.failures.ended("PRUNED", stop.reason)

    def _prune(self, trials: list[str], reason: str, **fields: Any) -> None:
        names = {"type": "ended", "status": "PRUNED", "error": reason, "certified": None, **fields}
        self.append(
            *({**names, "trial_id": one, "attempt": self.trials[one].attempts} for one in trials)
        )

    def on_worker_left(self, trial_id: str) -> None:
        """Take note that a worker has left its trial; a stopped one is never continued, so its checkpoints go."""
        if self.trials[trial_id].status == "PRUNED":
            self.planner.ended(trial_id)
            try:
                for number in self.directory.attempts(trial_id):
                    Checkpoints(self.directory.attempt(trial_id, number)).clear()
            except StorageError as error:
                self._stop(error)

    def failed(self, trial_id: str, attempt: int, cause: Cause, reason: str) -> None:
        """Try a trial again, end it as FAILED, or end the launch where its storage refuses what a worker writes."""
        if self.trials[trial_id].finished:
            self.on_worker_left(trial_id)
            return
        if cause == "storage":
            self._stop(StorageError(reason))
        elif self.failures.again(trial_id, cause, reason):
            self.announce(
                {"type": "retried", "trial_id": trial_id, "attempt": attempt, "error": reason}
            )
            self.planner.ended(trial_id)
        else:
            names = {"type": "ended", "time": time.time(), "trial_id": trial_id, "attempt": attempt}
            self.append(ended := {**names, "status": "FAILED", "error": reason, "certified": None})
            self._count_end(ended)

    def ran_out_of_memory(self, reason: str) -> None:
        """Take note that no worker is left: Ray killed one of them for its node's memory, and gave up on the others."""
        self.note(
            "Ray killed a worker because memory ran out; running trials go on from their checkpoints"
        )
        for trial_id in sorted(self.planner.running):
            self.failed(trial_id, self.trials[trial_id].attempts, "memory", reason)

    def _count_end(self, ended: Record) -> None:
        self.planner.ended(ended["trial_id"])
        self.failures.ended(ended["status"], str(ended.get("error")))
        self.stopped = self.stopped or self.failures.hopeless_reason()

    def _stop(self, error: StorageError) -> None:
        advice = "Nothing that was reported is lost; free space and run again"
        self.stopped = self.stopped or StorageError(f"{error}\n{advice}")

    def append(self, *records: Record) -> None:
        """Make records durable, then part of the state. A disk that refuses ends the launch, and loses nothing."""
        stamped = [{"time": time.time(), **record} for record in records]
        if not stamped or self.stopped:
            return
        try:
            self.ledger.append(*stamped)
        except StorageError as error:
            self._stop(error)
            return
        for record in stamped:
            apply_record(self.trials, record)
            self.announce(record)
            for line in (
                self.surroundings.describe_changes(record) if record["type"] == "started" else ()
            ):
                self.announce({"type": "note", "trial_id": record["trial_id"], "note": line})


def python_path(study_file: Path | None) -> list[str]:
    """Folders that workers append to their path, so that a user's own model functions import there too."""
    folders = [Path.cwd(), *([study_file.resolve().parent] if study_file else [])]
    return [str(folder) for folder in folders]
