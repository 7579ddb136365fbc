"""The driver of a launch: assigns trials, and writes what workers send to the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from sparsetune.cluster.assignment import Assignment, LaunchSettings
from sparsetune.cluster.exit_note import read_exit_note
from sparsetune.errors import LostStudyError, SparsetuneError, StorageError, TeacherError
from sparsetune.launch.failures import FailureCounter
from sparsetune.search.looks import Looks
from sparsetune.search.planner import Planner, TrialUse
from sparsetune.storage import StudyDirectory
from sparsetune.storage.announcements import (
    Announcement,
    AttemptFailed,
    Remark,
    Retried,
    WorkerMessage,
)
from sparsetune.storage.ledger import Ledger
from sparsetune.storage.provenance import EnvironmentTracker
from sparsetune.storage.records import Cause, Ended, Record, Report, Started
from sparsetune.storage.trial_state import TrialState, apply_record
from sparsetune.train.checkpoint import Checkpoints
from sparsetune.train.distill import LOGITS_FILE

Listener = Callable[[Announcement], None]
"""Called with every record after it is durable, and with the driver's own messages."""


@dataclass
class Driver:
    """State of one launch while trials run in one Ray session; a `sparsetune.cluster` trial source.

    Args:
        directory: The study's directory.
        ledger: The ledger, open for appending.
        trials: State of every trial, kept current with the ledger.
        planner: Names the next trial; shares ``trials``.
        settings: What the assignments of all trials share.
        slots: Trials that may run at once.
        listeners: Called with every announcement, in order.
        failures: Failures of the launch so far.
        environment: What the trials ran on so far, in earlier launches too.
        looks: Says which cells need further report seeds; None where each has the declared number.
        stopped: Why the launch must end: the disk refused a record, or every trial fails.
        complete: Whether nothing was left to run.
        interrupted: Whether a signal asked to stop.
    """

    directory: StudyDirectory
    ledger: Ledger
    trials: dict[str, TrialState]
    planner: Planner
    settings: LaunchSettings
    slots: int
    listeners: Sequence[Listener]
    failures: FailureCounter = field(default_factory=FailureCounter)
    environment: EnvironmentTracker = field(default_factory=EnvironmentTracker)
    looks: Looks | None = None
    stopped: SparsetuneError | None = field(default=None, init=False)
    complete: bool = field(default=False, init=False)
    interrupted: bool = field(default=False, init=False)

    def next_assignment(self) -> Assignment | Literal["done"] | None:
        """The next trial; None to wait, ``done`` when nothing is left or the launch was stopped."""
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
        if use and not use.is_recorded_in(self.trials.get(use.trial_id)):
            notes.append(use.record())
        # Durable before the trial is handed out: no trial runs that the ledger does not know.
        self.append(*notes)
        # What ends next may decide a winner, and so bring further trials.
        if use is None and self.planner.running and not self.stopped:
            return None
        if use is None and self._grant_seeds():
            return self.next_assignment()
        if use is None or self.stopped:
            self._end_unneeded_trials()
            self.complete = not self.stopped
            return "done"
        try:
            return self._assign(use)
        except StorageError as error:
            self._stop(error)
            return "done"

    def _grant_seeds(self) -> bool:
        """Record the seeds that open answers need at the next look; False where there are none.

        Call it only when all trials of the reached look have ended.
        """
        if self.looks is None or self.stopped:
            return False
        try:
            grant = self.looks.next_grant()
        except StorageError as error:
            self._stop(error)
            return False
        if grant is None:
            return False
        # Durable before the first trial of it starts: a later launch takes it as decided.
        self.append(grant)
        if self.stopped:
            return False
        self.planner.grant(grant)
        return True

    def finish(self) -> bool:
        """Record the last notes without any worker; returns True if nothing is left to run."""
        assignment = self.next_assignment()
        if isinstance(assignment, Assignment):
            self.planner.ended(assignment.trial_id)
        return assignment == "done"

    def announce(self, message: Announcement) -> None:
        """Pass a message to every listener."""
        for listener in self.listeners:
            listener(message)

    def _end_unneeded_trials(self) -> None:
        """End trials that nothing waits for.

        These are seeds of stopped configurations, and retries whose cell has another winner now.
        """
        self._prune(
            self.planner.judge.unended_trials(), "another seed of its configuration was stopped"
        )
        unneeded = [trial.ended for trial in self.trials.values() if trial.again and trial.ended]
        self.append(*(replace(ended, time=time.time()) for ended in unneeded))

    def _assign(self, use: TrialUse) -> Assignment:
        trial_id, spec = use.configuration.trial(use.seed)
        folders = self.directory.attempts(trial_id)
        # By folders too: a worker writes its folder before the ledger has its start, and no two
        # attempts may share one.
        attempt = 1 + max([self.trials[trial_id].attempts, *folders])
        earlier = [str(self.directory.attempt(trial_id, number)) for number in folders]
        return Assignment(
            trial_id=trial_id,
            attempt=attempt,
            spec=spec.given(),
            # Configurations are chosen from search trials: the choice must not see the test set.
            read_test=use.role != "search",
            folder=str(self.directory.attempt(trial_id, attempt)),
            earlier=tuple(earlier),
            retry=self.failures.reasons.get(trial_id),
            rungs=self.planner.judge.fractions(use.role),
            teaches=trial_id in self.planner.teachers,
            teacher=self._teacher_logits_path(use),
            shared=self.settings,
        )

    def _teacher_logits_path(self, use: TrialUse) -> str | None:
        """Path of the logits of the last attempt of the trial's teacher; None without one."""
        teacher = self.planner.teacher_use(use)
        if teacher is None:
            return None
        attempt = self.trials[teacher.trial_id].attempts
        return str(self.directory.attempt(teacher.trial_id, attempt) / LOGITS_FILE)

    def receive(self, messages: Iterable[WorkerMessage]) -> None:
        """Write a worker's records, without reports that the ledger has from an earlier attempt.

        Those that decide nothing are written with the next one that does: each writing waits for
        the disk.
        """
        waiting: list[Record] = []
        for message in messages:
            # One of a stopped trial was on its way when a rung stopped it.
            if self.is_pruned(message.trial_id) or self._is_known(message):
                continue
            if isinstance(message, AttemptFailed):
                self._write(waiting)
                self.on_attempt_failed(
                    message.trial_id, message.attempt, message.cause, message.error
                )
                continue
            waiting.append(message)
            match message:
                case Started():
                    # It drops reports beyond its checkpoint, which may come again.
                    self._write(waiting)
                case Ended():
                    self._write(waiting)
                    self._count_end(message)
                case Report() if self.planner.judge.reaches_rung(message):
                    self._write(waiting)
                    self._stop_at_rungs(message)
        self._write(waiting)

    def _is_known(self, message: WorkerMessage) -> bool:
        """True for a report that the ledger has: a resumed attempt repeats its checkpoint's."""
        reports = self.trials[message.trial_id].reports
        return isinstance(message, Report) and message.step in reports

    def _write(self, waiting: list[Record]) -> None:
        """Write records that wait, at once, and empty their list."""
        self.append(*waiting)
        waiting.clear()

    def is_pruned(self, trial_id: str) -> bool:
        """True if a rung has stopped the trial."""
        return self.trials[trial_id].status == "PRUNED"

    def _stop_at_rungs(self, report: Report) -> None:
        """End all trials of a configuration that a report stops; workers leave when they report."""
        if self.stopped:
            return
        stop = self.planner.judge.stop_after(report, self.planner.teachers)
        if stop:
            self._prune(stop.trials, stop.reason, stop.rung)
            self.failures.ended("PRUNED", stop.reason)

    def _prune(self, trials: Iterable[str], reason: str, rung: int | None = None) -> None:
        ends = []
        for trial_id in trials:
            attempt = self.trials[trial_id].attempts
            ended = Ended(
                trial_id=trial_id, attempt=attempt, status="PRUNED", error=reason, rung=rung
            )
            ends.append(ended)
        self.append(*ends)

    def on_worker_left(self, trial_id: str) -> None:
        """Free a stopped trial's slot; it is never resumed, so that its checkpoints are deleted."""
        if self.is_pruned(trial_id):
            self.planner.ended(trial_id)
            try:
                for number in self.directory.attempts(trial_id):
                    Checkpoints(self.directory.attempt(trial_id, number)).clear()
            except StorageError as error:
                self._stop(error)

    def on_attempt_failed(self, trial_id: str, attempt: int, cause: Cause, reason: str) -> None:
        """Retry a trial or end it as FAILED; end the launch where the storage refuses a file."""
        if self.trials[trial_id].finished:
            self.on_worker_left(trial_id)  # its end is in the ledger; only its worker died
            return
        if cause == "lost":
            # Ray knows only that the process is gone.
            noted = read_exit_note(self.directory.attempt(trial_id, attempt))
            cause, reason = noted or (cause, reason)
        # The trial did nothing wrong, and the next one would meet the same full disk.
        if cause == "storage":
            self._stop(StorageError(reason))
        elif self.failures.again(trial_id, cause, reason):
            self.announce(Retried(trial_id, attempt, reason))
            self.planner.ended(trial_id)
        else:
            ended = Ended(trial_id=trial_id, attempt=attempt, status="FAILED", error=reason)
            self.append(ended)
            self._count_end(ended)

    def on_memory_kill(self, reason: str) -> None:
        """Count every running trial as failed: Ray killed a worker, and gave up on the others."""
        what = "Ray killed a worker because memory ran out"
        self.announce(Remark(f"{what}; running trials go on from their checkpoints"))
        for trial_id in sorted(self.planner.running):
            self.on_attempt_failed(trial_id, self.trials[trial_id].attempts, "memory", reason)

    def _count_end(self, ended: Ended) -> None:
        self.planner.ended(ended.trial_id)
        self.failures.ended(ended.status, str(ended.error))
        self.stopped = self.stopped or self.failures.hopeless_reason()

    def _stop(self, error: StorageError) -> None:
        self.check_folder()
        advice = "Nothing that was reported is lost; free space and run again"
        self.stopped = self.stopped or StorageError(f"{error}\n{advice}")

    def check_folder(self) -> None:
        """End the launch if the study's folder, its lock or its ledger is gone, or another's."""
        reason = self.ledger.lost
        if reason and not self.stopped:
            self.stopped = LostStudyError(reason)

    def append(self, *records: Record) -> None:
        """Write records durably, then apply and announce them; a full disk ends the launch."""
        self.check_folder()
        if not records or self.stopped:
            return
        try:
            self.ledger.append(*records)
        except StorageError as error:
            self._stop(error)
            return
        # Only once the ledger has taken them: neither state nor listeners run ahead of it.
        for record in records:
            apply_record(self.trials, record)
            self.announce(record)
            if isinstance(record, Started):
                for line in self.environment.describe_changes(record):
                    self.announce(Remark(line, record.trial_id))


def python_path(study_file: Path | None, path: Sequence[Path] = ()) -> list[str]:
    """Absolute folders for the import path of workers, so that a user's own functions import there.

    Args:
        study_file: The file that declares the study; None where there is none.
        path: Further folders, which come first.
    """
    folders = [*path, Path.cwd()]
    if study_file:
        folders.append(study_file.resolve().parent)
    absolute = [str(folder.expanduser().resolve()) for folder in folders]
    return list(dict.fromkeys(absolute))
