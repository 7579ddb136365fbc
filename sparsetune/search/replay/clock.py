"""A simulated clock over recorded trials, and the schedulers of this project that play on it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sparsetune.search.stopping.halving import HalvingRungs, RungCandidate
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import Status
from sparsetune.storage.records import Ended, Report
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Study
from sparsetune.study.stopping import Halving


@dataclass(frozen=True)
class RecordedTrial:
    """A search trial that ran to its own end.

    Args:
        trial_id: Its id.
        config_id: Its configuration.
        spec: Its declaration.
        status: COMPLETE or DIVERGED.
        rows: Its evaluations in order of step, with ``seconds`` since it started.
    """

    trial_id: str
    config_id: str
    spec: TrialSpec
    status: Status
    rows: Sequence[Report]


class Scheduler(Protocol):
    """Decides, while trials run, which of them stop."""

    def started(self, trial: RecordedTrial) -> None:
        """Called when a worker takes the trial."""

    def reported(self, trial: RecordedTrial, row: Report) -> Collection[str]:
        """Called with a row of a running trial; returns ids of trials that stop or never start."""

    def ended(self, trial: RecordedTrial) -> None:
        """Called when the trial has run to its own end, after its last row."""


SchedulerFactory = Callable[[Study, Sequence[RecordedTrial]], Scheduler]
"""Makes a scheduler for the recorded trials of one cell."""


class NoStopping:
    """Lets every trial run to its end."""

    def started(self, trial: RecordedTrial) -> None:
        """Does nothing."""

    def reported(self, trial: RecordedTrial, row: Report) -> Collection[str]:
        """Stops nothing."""
        return ()

    def ended(self, trial: RecordedTrial) -> None:
        """Does nothing."""


class RampAwareHalving:
    """Halving as a study's ``stopping`` declares it, by the functions that a launch uses."""

    def __init__(self, rungs: HalvingRungs, trials: Sequence[RecordedTrial]) -> None:
        self.rungs = rungs
        self._states = {trial.trial_id: TrialState() for trial in trials}
        self._trials: dict[str, list[RecordedTrial]] = {}
        for trial in trials:
            self._trials.setdefault(trial.config_id, []).append(trial)
        self._begun: dict[str, None] = {}
        """Configurations that have begun, in order: the others have no standing."""

    def started(self, trial: RecordedTrial) -> None:
        """Count the trial's configuration among those that are compared."""
        self._begun[trial.config_id] = None

    def reported(self, trial: RecordedTrial, row: Report) -> Collection[str]:
        """Stops every seed of a configuration that a rung stops."""
        state = self._states[trial.trial_id]
        state.reports[row.step] = row
        for rung in self.rungs.rungs_reached(state, row):
            others = [self._candidate(name) for name in self._begun if name != trial.config_id]
            if self.rungs.stop_reason(self._candidate(trial.config_id), others, rung):
                return [seed.trial_id for seed in self._trials[trial.config_id]]
        return ()

    def ended(self, trial: RecordedTrial) -> None:
        """Record the end: a diverged trial stands last."""
        self._states[trial.trial_id].ended = Ended(
            trial_id=trial.trial_id, attempt=1, status=trial.status
        )

    def _candidate(self, config_id: str) -> RungCandidate:
        trials = self._trials[config_id]
        states = [self._states[trial.trial_id] for trial in trials]
        return RungCandidate(trials[0].spec, states)


def build_halving(study: Study, trials: Sequence[RecordedTrial], rule: Halving) -> RampAwareHalving:
    """The project's own halving by a rule, for the trials that will be played."""
    return RampAwareHalving(HalvingRungs(rule, study.objective, study.equal), trials)


@dataclass
class WorkerPool:
    """Workers that take recorded trials in order.

    Each row comes its recorded ``seconds`` after the start of its trial.

    Args:
        trials: The trials, in order of proposal.
        scheduler: Asked at every row.
        workers: Trials that run at once, at least one.
        epochs: Epochs of each trial that started, by its id; known after `run`.
        stopped: Ids of trials that the scheduler stopped or kept from starting; known after `run`.
        seconds: Simulated time until the last trial ended; known after `run`.
    """

    trials: Sequence[RecordedTrial]
    scheduler: Scheduler
    workers: int
    epochs: dict[str, float] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    seconds: float = 0.0
    _ended: set[str] = field(default_factory=set)

    def run(self) -> WorkerPool:
        """Play every trial to its end or to where it is stopped."""
        waiting = iter(enumerate(self.trials))
        # Simulated time, number of the trial, its row, start of the trial: of events at the same
        # time, that of the trial proposed first comes first.
        events: list[tuple[float, int, int, float]] = []
        for _ in range(self.workers):
            self._start(waiting, events)
        while events:
            self.seconds, number, position, began = heapq.heappop(events)
            trial = self.trials[number]
            if self._report(trial, position):
                following = _seconds_at(trial, position + 1)
                heapq.heappush(events, (began + following, number, position + 1, began))
            else:
                self._start(waiting, events)
        return self

    def _start(
        self,
        waiting: Iterator[tuple[int, RecordedTrial]],
        events: list[tuple[float, int, int, float]],
    ) -> None:
        """Give a free worker the next trial that was not stopped before it began."""
        for number, trial in waiting:
            if trial.trial_id not in self.stopped:
                self.scheduler.started(trial)
                first = self.seconds + _seconds_at(trial, 0)
                heapq.heappush(events, (first, number, 0, self.seconds))
                return

    def _report(self, trial: RecordedTrial, position: int) -> bool:
        """Play one row; True if another follows. A stopped trial ends at its next row."""
        row = trial.rows[position]
        last = position == len(trial.rows) - 1
        self.epochs[trial.trial_id] = row.epoch
        if trial.trial_id in self.stopped:
            return False
        # A trial at its last row is done, whatever the scheduler decides on it.
        if last:
            self._ended.add(trial.trial_id)
        self.stopped |= set(self.scheduler.reported(trial, row)) - self._ended
        if last:
            self.scheduler.ended(trial)
        return not last and trial.trial_id not in self.stopped


def _seconds_at(trial: RecordedTrial, position: int) -> float:
    """Seconds from the start of a trial to its row at this position."""
    return trial.rows[position].number("seconds") or 0.0
