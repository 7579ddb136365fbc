"""The state of each trial, as the records of the ledger add up to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sparsetune.spec.columns import FINISHED_STATUSES, Status
from sparsetune.storage.records import Ended, Extended, Note, Proposed, Record, Report, Started

ROLE_ORDER = ("report", "control", "search", "twin", "teacher")
"""A trial of several roles is shown under the first of these."""


@dataclass
class TrialState:
    """State of one trial.

    Args:
        proposed: Every use of the trial (cell and role), oldest first.
        attempts: Number of its last attempt; 0 before the first.
        ended: Its last end; None while it waits, runs or was interrupted.
        reports: Its evaluations by step, of the attempts that count.
        again: Whether it failed, is to run once more, and has not started since.
        starts: Starts of its attempts, oldest first.
    """

    proposed: list[Proposed] = field(default_factory=list)
    attempts: int = 0
    ended: Ended | None = None
    reports: dict[int, Report] = field(default_factory=dict)
    again: bool = False
    starts: list[Started] = field(default_factory=list)

    @property
    def status(self) -> Status:
        """WAITING, RUNNING (also where it was interrupted), or how it ended."""
        if self.again:
            return "WAITING"
        if self.ended:
            return self.ended.status
        return "RUNNING" if self.attempts else "WAITING"

    @property
    def finished(self) -> bool:
        """True if it is never run again by itself."""
        return self.status in FINISHED_STATUSES

    @property
    def use(self) -> Proposed:
        """The use under which it is shown, by `ROLE_ORDER`."""
        return min(self.proposed, key=lambda use: ROLE_ORDER.index(use.role))

    @property
    def own_code(self) -> list[str]:
        """The user's own code that its numbers come from, as `Started.own_code`, oldest first.

        There are several where an attempt went on from a checkpoint under other code.
        """
        found: dict[str, None] = {}
        for start in self.starts:
            if start.resumed_from_step == 0:
                found.clear()  # the attempt began again
            if start.own_code is not None:
                found[start.own_code] = None
        return list(found)

    @property
    def last(self) -> Report | None:
        """Its last evaluation; None before the first."""
        return self.reports[max(self.reports)] if self.reports else None

    @property
    def heard_at(self) -> float | None:
        """Time of its last evaluation or start, in seconds since 1970; None before the first."""
        times = [start.time for start in self.starts[-1:]]
        times += [last.time] if (last := self.last) else []
        return max(times, default=None)

    @property
    def epochs(self) -> float:
        """Epochs trained at its last evaluation; 0 before the first."""
        last = self.last
        return last.epoch if last else 0.0

    def last_value(self, column: str) -> float | None:
        """Value of a numeric column at its last evaluation; None where it is missing."""
        last = self.last
        return last.number(column) if last else None


def fold_records(records: Iterable[Record]) -> dict[str, TrialState]:
    """The state of every trial that was proposed, by its id, in order of first proposal.

    Evaluations of an earlier attempt beyond the step that a later one resumed from are dropped:
    that attempt did them again.
    """
    trials: dict[str, TrialState] = {}
    for record in records:
        apply_record(trials, record)
    # Without its proposal, a trial has no declaration to show or to run.
    return {trial_id: trial for trial_id, trial in trials.items() if trial.proposed}


def apply_record(trials: dict[str, TrialState], record: Record) -> None:
    """Update the state of the trials that a record names, in place. Only failed ones run again."""
    match record:
        case Proposed():
            _state_of(trials, record.trial_id).proposed.append(record)
        case Started():
            _apply_start(_state_of(trials, record.trial_id), record)
        case Report():
            _state_of(trials, record.trial_id).reports[record.step] = record
        case Ended():
            trial = _state_of(trials, record.trial_id)
            trial.ended = record
            trial.again = False
        case Extended():
            for trial_id in record.retried:
                if trial_id in trials and trials[trial_id].status == "FAILED":
                    trials[trial_id].again = True
        case Note():
            _state_of(trials, record.trial_id)


def _state_of(trials: dict[str, TrialState], trial_id: str) -> TrialState:
    return trials.setdefault(trial_id, TrialState())


def _apply_start(trial: TrialState, start: Started) -> None:
    trial.starts.append(start)
    trial.attempts = max(trial.attempts, start.attempt)
    trial.ended = None
    trial.again = False
    kept = start.resumed_from_step
    trial.reports = {step: row for step, row in trial.reports.items() if step <= kept}
