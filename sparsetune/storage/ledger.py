"""The ledger of a study: append-only, typed records that tell what was proposed, started, reported and ended.

Nothing is ever rewritten. On a disk, one launch of the driver writes one segment, ``<launch>.jsonl``; a torn last line
of it is a record that was never acknowledged, and is ignored. In an object store a launch writes many segments,
``<launch>-<number>.jsonl``, each created whole and only where its key is free. Record types and their fields, besides
``type`` and ``time`` (seconds since 1970):

- ``proposed``: ``trial_id config_id cell arm role index source seed spec twin_id``; durable before the trial starts.
  A trial that serves another cell or role too is proposed again; it runs once. ``index`` counts the cell's
  configurations; ``source`` says where one came from (``base``, ``control``, ``known:0``, ``sobol:3``).
- ``started``: ``trial_id attempt resumed_from_step host device device_memory threads`` (memory in bytes), ``reason``
  for a retry, and a ``note`` where it does not run as asked (on the CPU, since torch sees no GPU).
- ``report``: ``trial_id attempt step`` and the measured columns of `sparsetune.spec.columns`.
- ``ended``: ``trial_id attempt status error certified peak_memory`` (bytes) and the test columns.
- ``note``: ``trial_id attempt note``, what a worker says of its trial once: it had no room for checkpoints.
- ``extended``: what was added to the declaration: ``report_seeds configurations_per_cell`` (counts), ``sweep`` (new
  values by axis, named as in `Study.sweep_axes`); and ``retried``, the failed trials that run once more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsetune.errors import StudyDirectoryError
from sparsetune.paths import Place, read_contents
from sparsetune.spec.columns import FINISHED_STATUSES
from sparsetune.storage.owner import Owner
from sparsetune.storage.segments import DiskSegment, ObjectSegments, segment_names

Record = dict[str, Any]
AT_ONCE = ("proposed", "ended", "extended")
"""Records that must be durable before anything follows from them."""
ROLE_ORDER = ("report", "control", "search", "twin", "teacher")
"""A trial of several roles is shown under the first of these."""


class Ledger:
    """The driver's open ledger.

    On a disk every record is durable when `append` returns. In an object store those of `AT_ONCE` are, with all before
    them; others a second or 64 KiB later, and a checkpoint holds what is on its way.

    Args:
        folder: Where the segments lie.
        owner: The driver that this process is; needed in an object store.
    """

    def __init__(self, folder: Place, owner: Owner | None = None) -> None:
        if isinstance(folder, Path):
            self._segment: DiskSegment | ObjectSegments = DiskSegment(folder)
        elif owner is None:
            raise StudyDirectoryError(
                f"the ledger `{folder}` must be written by the study's driver alone"
            )
        else:
            self._segment = ObjectSegments(folder, owner)

    def append(self, *records: Mapping[str, Any]) -> None:
        """Write the records, in order.

        Raises:
            StorageError: if the disk or the store refuses them; everything that was durable before stays readable.
        """
        if not records:
            return
        at_once = any(record["type"] in AT_ONCE for record in records)
        self._segment.write(b"".join(encode_record(record) for record in records), at_once)

    def close(self) -> None:
        """Make everything durable; the next launch opens other segments.

        Raises:
            StorageError: if the store refuses what `append` took.
        """
        self._segment.close()


def encode_record(record: Mapping[str, Any]) -> bytes:
    """One line of JSON, its type first; numbers that are not finite become null, which reads as missing."""
    line = _null_non_finite({"type": record["type"], **record})
    return json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _null_non_finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _null_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_null_non_finite(item) for item in value]
    return value


def read_lines(folder: Place) -> Iterator[bytes]:
    """Every acknowledged line of every segment, in order.

    Raises:
        StorageError: if a segment cannot be read.
    """
    for segment in read_contents(folder, segment_names(folder)):
        *lines, _torn = segment.split(b"\n")
        yield from lines


def read_records(folder: Place) -> list[Record]:
    """Every record, in order.

    Raises:
        StudyDirectoryError: if a line that is not a segment's last is not JSON: the file was damaged.
        StorageError: if a segment cannot be read.
    """
    records = []
    for number, line in enumerate(read_lines(folder), start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise StudyDirectoryError(
                f"record {number} of the ledger `{folder}` is damaged: {error}"
            ) from error
    return records


@dataclass
class TrialState:
    """What the ledger says of one trial.

    Args:
        proposed: Every use of the trial (cell and role), as proposed; the first is the oldest.
        attempts: Process lives so far.
        ended: The last ``ended`` record, or None while it waits, runs or was interrupted.
        reports: Row of each evaluation by step, of the attempts that count.
        again: Whether it failed, was asked for once more, and has not started since.
        starts: Its ``started`` records, oldest first: why it was tried again, on which device.
    """

    proposed: list[Record] = field(default_factory=list)
    attempts: int = 0
    ended: Record | None = None
    reports: dict[int, Record] = field(default_factory=dict)
    again: bool = False
    starts: list[Record] = field(default_factory=list)

    @property
    def status(self) -> str:
        """WAITING, RUNNING (or interrupted), or how it ended."""
        if self.ended and not self.again:
            return str(self.ended["status"])
        return "RUNNING" if self.attempts and not self.again else "WAITING"

    @property
    def finished(self) -> bool:
        """Whether it is never run again by itself."""
        return self.status in FINISHED_STATUSES

    @property
    def use(self) -> Record:
        """The use under which it is shown: a report before a control, a search trial, a twin."""
        return min(self.proposed, key=lambda record: ROLE_ORDER.index(record["role"]))

    @property
    def last(self) -> Record:
        """The row of its last evaluation; empty before the first."""
        return self.reports[max(self.reports)] if self.reports else {}


def fold_records(records: Iterable[Record]) -> dict[str, TrialState]:
    """The state of every trial, in order of first proposal.

    Rows of an earlier attempt beyond a later attempt's ``resumed_from_step`` are dropped: that attempt did them again.
    """
    trials: dict[str, TrialState] = {}
    for record in records:
        apply_record(trials, record)
    return {trial_id: trial for trial_id, trial in trials.items() if trial.proposed}


def apply_record(trials: dict[str, TrialState], record: Record) -> None:
    """Bring the state of the trials that the record names up to date, in place. Only failed ones are run again."""
    for trial_id in record.get("retried", ()):
        if trial_id in trials and trials[trial_id].status == "FAILED":
            trials[trial_id].again = True
    if "trial_id" not in record:
        return
    trial = trials.setdefault(record["trial_id"], TrialState())
    match record["type"]:
        case "proposed":
            trial.proposed.append(record)
        case "started":
            trial.starts.append(record)
            trial.attempts, trial.ended, trial.again = (
                max(trial.attempts, record["attempt"]),
                None,
                False,
            )
            trial.reports = {
                s: row for s, row in trial.reports.items() if s <= record["resumed_from_step"]
            }
        case "report":
            trial.reports[record["step"]] = record
        case "ended":
            trial.ended, trial.again = record, False
