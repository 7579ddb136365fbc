"""The driver as the engine sees it: where trials come from, and where their messages go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from sparsetune.cluster.assignment import Assignment
from sparsetune.errors import SparsetuneError
from sparsetune.storage.announcements import WorkerMessage
from sparsetune.storage.records import Cause


class TrialSource(Protocol):
    """Hands out trials, and follows what becomes of them."""

    @property
    def slots(self) -> int:
        """Trials that may run at once."""

    @property
    def stopped(self) -> SparsetuneError | None:
        """Reason why the launch must end; None while it may continue."""

    def check_folder(self) -> None:
        """End the launch if the study's folder was renamed or deleted."""

    def next_assignment(self) -> Assignment | Literal["done"] | None:
        """The next trial; None to wait, ``done`` when nothing is left or the launch ends."""

    def receive(self, messages: Sequence[WorkerMessage]) -> None:
        """Take a worker's messages, in order."""

    def is_pruned(self, trial_id: str) -> bool:
        """True if the driver has ended the trial at a rung, so that its worker must leave it."""

    def on_worker_left(self, trial_id: str) -> None:
        """Called when a worker has left its trial."""

    def on_attempt_failed(self, trial_id: str, attempt: int, cause: Cause, reason: str) -> None:
        """Called when an attempt has failed."""

    def on_memory_kill(self, reason: str) -> None:
        """Called when Ray has killed a worker because its node ran out of memory, and gave up."""
