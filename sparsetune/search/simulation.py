"""A simulated clock over recorded trials, and what may be played on it: ours, none, and Ray Tune's schedulers."""

from __future__ import annotations

import heapq
import math
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sparsetune.search.halving import HalvingRungs, RungCandidate
from sparsetune.spec import TrialSpec
from sparsetune.storage.ledger import Record, TrialState
from sparsetune.study import Minimize, Study


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
    status: str
    rows: Sequence[Record]


class Scheduler(Protocol):
    """What decides, while trials run, which of them stop."""

    def started(self, trial: RecordedTrial) -> None:
        """A worker took the trial."""

    def reported(self, trial: RecordedTrial, row: Record) -> Collection[str]:
        """Take a row of a running trial; returns the ids of trials that stop now or never start."""

    def ended(self, trial: RecordedTrial) -> None:
        """The trial ran to its own end, its last row reported."""


class NoStopping:
    """Lets every trial run to its end."""

    def started(self, trial: RecordedTrial) -> None:
        """Nothing to note."""

    def reported(self, trial: RecordedTrial, row: Record) -> Collection[str]:
        """Stops nothing."""
        return ()

    def ended(self, trial: RecordedTrial) -> None:
        """Nothing to note."""


class RampAwareHalving:
    """Halving as a study's ``stopping`` declares it, carried out by the functions that a launch uses."""

    def __init__(self, rungs: HalvingRungs, trials: Sequence[RecordedTrial]) -> None:
        self._rungs = rungs
        self._states = {trial.trial_id: TrialState() for trial in trials}
        self._trials: dict[str, list[RecordedTrial]] = {}
        for trial in trials:
            self._trials.setdefault(trial.config_id, []).append(trial)

    def started(self, trial: RecordedTrial) -> None:
        """A trial without rows stands nowhere."""

    def reported(self, trial: RecordedTrial, row: Record) -> Collection[str]:
        """Stops every seed of a configuration that a rung stops."""
        state = self._states[trial.trial_id]
        state.reports[row["step"]] = row
        for rung in self._rungs.rungs_reached(state, row):
            others = [self._candidate(name) for name in self._trials if name != trial.config_id]
            if self._rungs.stop_reason(self._candidate(trial.config_id), others, rung):
                return [one.trial_id for one in self._trials[trial.config_id]]
        return ()

    def ended(self, trial: RecordedTrial) -> None:
        """A diverged one stands last."""
        self._states[trial.trial_id].ended = {"status": trial.status}

    def _candidate(self, config_id: str) -> RungCandidate:
        trials = self._trials[config_id]
        return RungCandidate(trials[0].spec, [self._states[trial.trial_id] for trial in trials])


@dataclass(eq=False)
class RayTrial:
    """What Ray's schedulers read of a trial."""

    trial_id: str
    config: dict[str, Any] = field(default_factory=dict)
    status: str = "RUNNING"
    last_result: dict[str, Any] = field(default_factory=dict)


class RayScheduler:
    """Any of Ray Tune's schedulers that stops trials, one by one; rows are its results."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._trials: dict[str, RayTrial] = {}

    def get_live_trials(self) -> list[RayTrial]:
        """What the schedulers ask Tune's controller for."""
        return [one for one in self._trials.values() if one.status == "RUNNING"]

    def started(self, trial: RecordedTrial) -> None:
        """Announces the trial to Ray's scheduler."""
        self._trials[trial.trial_id] = RayTrial(trial.trial_id)
        self._scheduler.on_trial_add(self, self._trials[trial.trial_id])

    def reported(self, trial: RecordedTrial, row: Record) -> Collection[str]:
        """Stops the trial that reports, where Ray's scheduler does.

        Raises:
            ValueError: if the scheduler pauses trials, which a recorded trial cannot do.
        """
        one = self._trials[trial.trial_id]
        numbers = {name: math.nan if value is None else value for name, value in row.items()}
        iteration = one.last_result.get("training_iteration", 0) + 1
        one.last_result = {
            **numbers,
            "training_iteration": iteration,
            "time_total_s": row["seconds"],
        }
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # a rung that holds nothing but diverged trials
            decision = self._scheduler.on_trial_result(self, one, one.last_result)
        if decision == "PAUSE":
            raise ValueError(
                f"{type(self._scheduler).__name__} pauses trials: it cannot be replayed over a record"
            )
        if decision == "STOP":
            self.ended(trial)
        return [trial.trial_id] if decision == "STOP" else ()

    def ended(self, trial: RecordedTrial) -> None:
        """Tells Ray's scheduler, which may have been told already."""
        one = self._trials[trial.trial_id]
        if one.status == "RUNNING":
            one.status = "TERMINATED"
            self._scheduler.on_trial_complete(self, one, one.last_result)


def build_asha(study: Study, trials: Sequence[RecordedTrial], reduction: float) -> RayScheduler:
    """Ray's ASHA as it is mostly used: on epochs, from one epoch on, up to the longest of the trials."""
    from ray.tune.schedulers import AsyncHyperBandScheduler

    longest = max(trial.rows[-1]["epoch"] for trial in trials)
    return RayScheduler(
        AsyncHyperBandScheduler(
            time_attr="epoch",
            metric=study.objective.column,
            mode="min" if isinstance(study.objective, Minimize) else "max",
            max_t=longest,
            grace_period=min(1, longest),
            reduction_factor=reduction,
        )
    )


@dataclass
class WorkerPool:
    """Workers that take recorded trials in order; each row comes its recorded ``seconds`` after the trial's start.

    Args:
        trials: In order of proposal.
        scheduler: Asked at every row.
        workers: Trials that run at once, at least one.
        epochs: Trained by each trial that started, afterwards.
        stopped: Ids of trials that the scheduler stopped or kept from starting, afterwards.
        seconds: Simulated time until the last trial ended, afterwards.
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
        events: list[tuple[float, int, int, float]] = []
        for _ in range(self.workers):
            self._start(waiting, events)
        while events:
            self.seconds, number, position, began = heapq.heappop(events)
            trial = self.trials[number]
            if self._report(trial, position):
                following = trial.rows[position + 1]["seconds"]
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
                heapq.heappush(
                    events, (self.seconds + trial.rows[0]["seconds"], number, 0, self.seconds)
                )
                return

    def _report(self, trial: RecordedTrial, position: int) -> bool:
        """Play one row; whether another follows. A trial that another one stopped ends at its next row."""
        row = trial.rows[position]
        last = position == len(trial.rows) - 1
        self.epochs[trial.trial_id] = row["epoch"]
        if trial.trial_id in self.stopped:
            return False
        if last:
            self._ended.add(trial.trial_id)
        self.stopped |= set(self.scheduler.reported(trial, row)) - self._ended
        if last:
            self.scheduler.ended(trial)
        return not last and trial.trial_id not in self.stopped
