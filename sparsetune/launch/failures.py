"""Failures of trials: which are tried again, and when a study in which nothing works ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sparsetune.errors import HopelessStudyError
from sparsetune.storage.records import Cause

MAX_ATTEMPTS = 3
MAX_SILENT_ATTEMPTS = 2
"""Attempts of a trial in one launch before a cause that may pass counts as the trial's failure; a
silent one has cost its whole limit."""
HOPELESS_FAILURES = 5
"""A launch starts no more trials after so many that failed, if none ended otherwise."""
ATTEMPTS_BY_CAUSE: Mapping[Cause, int] = {
    "lost": MAX_ATTEMPTS,
    "silent": MAX_SILENT_ATTEMPTS,
    "memory": MAX_ATTEMPTS,
    "data": MAX_ATTEMPTS,
}
"""Attempts under causes that may pass on another node, or once other trials have ended."""


class FailureCounter:
    """Counts the failures of one launch.

    Args:
        directory: The study's directory as a command names it.
    """

    def __init__(self, directory: str = "DIRECTORY") -> None:
        self._directory = directory
        self.reasons: dict[str, str] = {}
        """Reason why the last attempt of each trial failed, by trial."""
        self._attempts: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._fruitful = False

    def again(self, trial_id: str, cause: Cause, reason: str) -> bool:
        """Count a failed attempt; returns True if the trial is tried again."""
        # Counted per launch: who launches again may have removed the cause.
        self._attempts[trial_id] += 1
        self.reasons[trial_id] = reason
        return self._attempts[trial_id] < ATTEMPTS_BY_CAUSE.get(cause, 1)

    def ended(self, status: str, reason: str) -> None:
        """Count a trial that is not tried again."""
        if status == "FAILED":
            self._failed[reason] += 1
        else:
            self._fruitful = True  # a trial that diverged ran as well

    def hopeless_reason(self) -> HopelessStudyError | None:
        """Reason to start no more trials; None unless the first `HOPELESS_FAILURES` all failed."""
        failed = self._failed.total()
        if self._fruitful or failed < HOPELESS_FAILURES:
            return None
        ((reason, count),) = self._failed.most_common(1)
        times = "each with" if count == failed else f"{count} of them with"
        return HopelessStudyError(
            f"the first {failed} trials all failed, {times}\n  {reason}\nNo more were started;"
            " remove the cause, then go on with"
            f" `sparsetune resume {self._directory} --retry-failed`"
        )
