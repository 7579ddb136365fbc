"""Follower that keeps a run of a tracker for each trial: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Protocol

from sparsetune.launch.followers.followed_trial import FollowedTrial
from sparsetune.launch.followers.follower import Follower
from sparsetune.storage.records import ColumnValue, Ended, Report


class TrackedRun(Protocol):
    """One run of a tracker, open for writing.

    Steps that it has already, of an earlier attempt or launch, are not written again.
    """

    @property
    def steps(self) -> Collection[int]:
        """Steps of the evaluations that the tracker has."""
        ...

    def add_row(self, row: Report) -> None:
        """Write one evaluation."""
        ...

    def end(self, outcome: Ended | None, step: int) -> None:
        """Write the end and close the run.

        Args:
            outcome: How the trial ended; None for one that was interrupted.
            step: Step of the last evaluation; 0 without one.
        """
        ...


class RunStore(Protocol):
    """Where a tracker keeps the runs of a study.

    Args:
        location: For people: a folder or an address.
    """

    location: str

    def holds(self, trial: FollowedTrial) -> bool:
        """True if the store has the trial with its end."""
        ...

    def open(self, trial: FollowedTrial) -> TrackedRun:
        """The trial's run: a new one, or that of its earlier attempts."""
        ...


class Tracker(Follower):
    """Follower that writes what it is told into a store of runs, each step once.

    Args:
        store: The store.
    """

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self._open: dict[str, _OpenRun] = {}

    def on_started(self, trial: FollowedTrial) -> None:
        """Open the trial's run, and write what earlier attempts left."""
        if before := self._open.pop(trial.trial_id, None):
            # It may still refuse what it refused before; that is written into the new run.
            with suppress(Exception):
                before.end(None)
        run = self._open[trial.trial_id] = _OpenRun(self.store.open(trial))
        for row in trial.earlier:
            run.add(row)

    def on_report(self, trial: FollowedTrial, row: Report) -> None:
        """Write one evaluation."""
        self._open[trial.trial_id].add(row)

    def on_ended(self, trial: FollowedTrial, outcome: Ended) -> None:
        """Write the end of a trial; one that never started has no run."""
        if trial.trial_id not in self._open:
            if trial.attempt == 0:
                return
            self.on_started(trial)
        self._open.pop(trial.trial_id).end(outcome)

    def close(self) -> None:
        """Close the runs of the trials that did not end."""
        while self._open:
            _, run = self._open.popitem()
            run.end(None)


class _OpenRun:
    """A run with the steps that it has."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = run
        self._steps = set(run.steps)

    def add(self, row: Report) -> None:
        if row.step not in self._steps:
            self._run.add_row(row)
            self._steps.add(row.step)

    def end(self, outcome: Ended | None) -> None:
        self._run.end(outcome, max(self._steps, default=0))


def finite_numbers(values: Mapping[str, ColumnValue]) -> dict[str, float]:
    """The numbers among the values of a row, without its step and without what is missing."""
    numbers = {}
    for name, value in values.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and name != "step" and math.isfinite(value):  # type: ignore[arg-type]
            numbers[name] = value
    return numbers  # type: ignore[return-value]
