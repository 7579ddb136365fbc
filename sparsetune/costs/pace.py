"""Pace of a running study, from the times in its ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sparsetune.storage.trial_state import TrialState

RECENT_SECONDS = 600
"""Length of the recent past, which is measured unless nothing was reported in it."""


class StudyPace(NamedTuple):
    """Pace of the whole study, summed over workers.

    Args:
        trials_per_hour: Trials that ended, per hour.
        epochs_per_minute: Epochs trained, per minute.
    """

    trials_per_hour: float
    epochs_per_minute: float

    def seconds(self, epochs: float) -> float | None:
        """Seconds that so many epochs take; None where none was reported."""
        return 60 * epochs / self.epochs_per_minute if self.epochs_per_minute else None


def measure_pace(trials: Iterable[TrialState], launched: float, now: float) -> StudyPace | None:
    """Pace over the recent past, or since the first start where nothing was reported recently.

    Args:
        trials: State of the trials, with their starts and reports.
        launched: When the last launch began, in seconds since 1970; starting Ray and its workers
            does not count.
        now: The time, in seconds since 1970.

    Returns:
        The pace; None where no trial has started in this launch.
    """
    trials = list(trials)
    starts: list[float] = []
    for trial in trials:
        starts += [start.time for start in trial.starts if start.time >= launched]
    first = min(starts, default=None)
    if first is None or first >= now:
        return None
    # Workers may be added or lost while a study runs: the recent pace forecasts better.
    recent = _pace_between(trials, max(first, now - RECENT_SECONDS), now)
    return recent if recent.epochs_per_minute else _pace_between(trials, first, now)


def _pace_between(trials: Iterable[TrialState], since: float, now: float) -> StudyPace:
    ended = 0
    epochs = 0.0
    for trial in trials:
        epochs_before = 0.0
        epochs_now = 0.0
        for report in trial.reports.values():
            epochs_now = max(epochs_now, report.epoch)
            if report.time < since:
                epochs_before = max(epochs_before, report.epoch)
        epochs += epochs_now - epochs_before
        ended += trial.ended is not None and trial.ended.time >= since
    return StudyPace(3600 * ended / (now - since), 60 * epochs / (now - since))
