"""How fast a study goes, from the times in its ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sparsetune.storage.ledger import TrialState

RECENT_SECONDS = 600
"""What counts as the recent past, unless nothing was reported in it."""


class StudyPace(NamedTuple):
    """Of the whole study, all its workers together."""

    trials_per_hour: float
    epochs_per_minute: float

    def seconds(self, epochs: float) -> float | None:
        """How long so many epochs take; None where none was reported."""
        return 60 * epochs / self.epochs_per_minute if self.epochs_per_minute else None


def measure_pace(trials: Iterable[TrialState], launched: float, now: float) -> StudyPace | None:
    """Over the recent past, or since the first start of the launch where nothing was reported recently.

    Args:
        trials: With their ``started`` records and rows.
        launched: When the last launch began, in seconds since 1970; starting Ray and its workers does not count.
        now: In seconds since 1970.
    """
    trials = list(trials)
    first = min(
        (start["time"] for t in trials for start in t.starts if start["time"] >= launched),
        default=None,
    )
    if first is None or first >= now:
        return None
    recent = _pace_between(trials, max(first, now - RECENT_SECONDS), now)
    return recent if recent.epochs_per_minute else _pace_between(trials, first, now)


def _pace_between(trials: Iterable[TrialState], since: float, now: float) -> StudyPace:
    ended = epochs = 0.0
    for trial in trials:
        rows = trial.reports.values()
        before = max((row["epoch"] for row in rows if row["time"] < since), default=0.0)
        epochs += max((row["epoch"] for row in rows), default=0.0) - before
        ended += bool(trial.ended and trial.ended["time"] >= since)
    return StudyPace(3600 * ended / (now - since), 60 * epochs / (now - since))
