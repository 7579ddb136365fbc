"""What becomes of a trial that fails: tried again, given up, or the end of a study in which nothing works."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from sparsetune.errors import HopelessStudyError

MAX_ATTEMPTS = 3
"""Process lives of a trial in one launch before what passes by itself counts as the trial's failure."""
HOPELESS_FAILURES = 5
"""Trials that all failed, with none that ended otherwise, after which a launch starts no more."""

Cause = Literal["lost", "memory", "data", "storage", "code"]
"""A worker that died; no memory; data that cannot be read there; a storage that refuses; the trial's own error."""
RETRYABLE_CAUSES: tuple[Cause, ...] = ("lost", "memory", "data")
"""May go well on another node, or once other trials have ended."""


class FailureCounter:
    """The failures of one launch."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        """Why each trial that is tried again failed before."""
        self._attempts: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._fruitful = False

    def again(self, trial_id: str, cause: Cause, reason: str) -> bool:
        """Take note of a failed attempt; whether the trial is worth another."""
        self._attempts[trial_id] += 1
        self.reasons[trial_id] = reason
        return cause in RETRYABLE_CAUSES and self._attempts[trial_id] < MAX_ATTEMPTS

    def ended(self, status: str, reason: str) -> None:
        """Take note of a trial that is not tried again."""
        if status == "FAILED":
            self._failed[reason] += 1
        else:
            self._fruitful = True

    def hopeless_reason(self) -> HopelessStudyError | None:
        """Why no more trials should start: the launch's first `HOPELESS_FAILURES` all failed. None while there is hope."""
        failed = self._failed.total()
        if self._fruitful or failed < HOPELESS_FAILURES:
            return None
        ((reason, count),) = self._failed.most_common(1)
        times = "each with" if count == failed else f"{count} of them with"
        return HopelessStudyError(
            f"the first {failed} trials all failed, {times}\n  {reason}\nNo more were started;"
            " mend the cause, then go on with `sparsetune resume DIRECTORY --retry-failed`"
        )
