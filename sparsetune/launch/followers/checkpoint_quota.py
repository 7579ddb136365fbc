"""The quota of a study's checkpoints: bytes for each trial, and deletion of what no trial needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sparsetune.paths import Place, delete_place
from sparsetune.storage import StudyDirectory, translating_write_errors
from sparsetune.storage.records import Ended
from sparsetune.storage.trial_files import find_large_files
from sparsetune.storage.trial_state import TrialState


@dataclass(frozen=True)
class _CheckpointFile:
    path: Place
    trial_id: str
    size: int
    time: float


@dataclass
class CheckpointQuota:
    """Bytes of checkpoints, divided among the running trials.

    One more share is for the trials that failed, until they are retried.

    Args:
        directory: The study's directory.
        trials: State of every trial, kept current.
        size: Bytes of all checkpoints at any time; may be infinite.
        slots: Trials at once.
        share: Bytes of one trial's checkpoints.
    """

    directory: StudyDirectory
    trials: Mapping[str, TrialState]
    size: float
    slots: int
    share: float = field(init=False)

    def __post_init__(self) -> None:
        interrupted = self._files_by_status("RUNNING", "WAITING")
        waiting = 0.0
        if len({file.trial_id for file in interrupted}) > self.slots:
            # More trials ran before than will now: those that wait keep theirs.
            waiting = sum(file.size for file in interrupted)
        # One share more than slots, for the trials that failed.
        self.share = max(0.0, self.size - waiting) / (self.slots + 1)

    def sweep(self) -> None:
        """Delete temporary files, and checkpoints of trials that ended or failed long ago.

        Call it while no trial runs.

        Raises:
            StorageError: if the disk or the store refuses.
        """
        # An interrupted trial counts as running; a failed one may be retried from its checkpoint.
        keep = ("RUNNING", "WAITING", "FAILED")
        needed = [file for file in self._files() if file.trial_id in self.trials]
        for file in needed:
            if file.path.suffix == ".tmp" or self.trials[file.trial_id].status not in keep:
                self._delete(file)
        self.trim_failed()

    def follow(self, message: object) -> None:
        """Make room when a trial fails and leaves its checkpoints behind."""
        # Listing all checkpoints costs time, and without a limit there is nothing to make room for.
        failed = isinstance(message, Ended) and message.status == "FAILED"
        if failed and self.size < math.inf:
            self.trim_failed()

    def trim_failed(self) -> None:
        """Delete failed trials' checkpoints, the oldest first, until their share holds them."""
        newest = sorted(self._files_by_status("FAILED"), key=lambda file: file.time, reverse=True)
        total = 0
        for file in newest:
            total += file.size
            if total > self.share:
                self._delete(file)

    def _files_by_status(self, *statuses: str) -> list[_CheckpointFile]:
        known = [file for file in self._files() if file.trial_id in self.trials]
        return [file for file in known if self.trials[file.trial_id].status in statuses]

    def _files(self) -> list[_CheckpointFile]:
        """Every checkpoint, whole or not; one may vanish while it is looked at."""
        if isinstance(self.directory.path, Path):
            large = find_large_files(self.directory, ("checkpoints",))
            paths: Iterable[Place] = [file.path for file in large]
        else:
            paths = self.directory.trials.glob("*/attempt-*/checkpoint-*")
        found = []
        for path in paths:
            with suppress(FileNotFoundError):
                facts = path.lstat() if isinstance(path, Path) else path.stat()
                found.append(
                    _CheckpointFile(path, path.parent.parent.name, facts.st_size, facts.st_mtime)
                )
        return found

    @staticmethod
    def _delete(file: _CheckpointFile) -> None:
        with translating_write_errors(file.path):
            delete_place(file.path)
