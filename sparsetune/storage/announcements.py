"""Messages that are no records: the driver's to its followers, and a worker's failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sparsetune.storage.records import Cause, Ended, Note, Record, Report, Started


@dataclass(frozen=True)
class AttemptFailed:
    """A worker's last message of an attempt that raised an error.

    Args:
        trial_id: The trial.
        attempt: Number of the attempt.
        cause: Kind of the failure.
        error: The error in one line, with the place where it was raised.
    """

    trial_id: str
    attempt: int
    cause: Cause
    error: str


@dataclass(frozen=True)
class Remark:
    """A remark of the driver, for people.

    Args:
        note: The remark.
        trial_id: The trial that it is about; None for the whole launch.
    """

    note: str
    trial_id: str | None = None


@dataclass(frozen=True)
class ForecastLine:
    """A line of the forecast of time and bytes.

    Args:
        note: The line.
    """

    note: str


@dataclass(frozen=True)
class Retried:
    """A failed attempt whose trial is tried again.

    Args:
        trial_id: The trial.
        attempt: Number of the failed attempt.
        error: Why it failed.
    """

    trial_id: str
    attempt: int
    error: str


Announcement: TypeAlias = Record | Remark | ForecastLine | Retried
"""Message to a follower of a launch: a record, once it is durable, or one of the driver's own."""
WorkerMessage: TypeAlias = Started | Report | Note | Ended | AttemptFailed
"""Message of a worker to the driver."""
