"""Settings of a launch, and what a worker sends, for tests without Ray."""

from __future__ import annotations

import math
from typing import Any

from sparsetune.cluster.assignment import Assignment, LaunchSettings
from sparsetune.storage.announcements import AttemptFailed
from sparsetune.storage.records import Cause, Record
from tests.ledger_records import record

SETTINGS = LaunchSettings(
    launch="test",
    device="cpu",
    threads=1,
    checkpoint_seconds=30,
    checkpoint_bytes=math.inf,
    keep_models=False,
    data_root=None,
    python_path=(),
)


def sent(given: Assignment, kind: str, **fields: Any) -> Any:
    """A record of this type as the trial's worker sends it."""
    names = {"trial_id": given.trial_id, "attempt": given.attempt}
    found: Record = record({"type": kind, **names, **fields})
    return found


def failed(given: Assignment, cause: Cause, error: str = "why") -> AttemptFailed:
    """The failure of a trial as its worker sends it."""
    return AttemptFailed(given.trial_id, given.attempt, cause, error)
