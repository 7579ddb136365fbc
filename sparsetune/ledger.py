"""The ledger of a study: append-only, typed records that tell what was proposed, started, reported and ended.

Nothing is ever rewritten. One launch of the driver writes one segment; a torn last line of a segment is a record that
was never acknowledged, and is ignored. Record types and their fields, besides
``type`` and ``time`` (seconds since 1970):

- ``proposed``: ``trial_id config_id cell arm role index source seed spec twin_id``; durable before the trial starts.
  A trial that serves another cell or role too is proposed again; it runs once. ``index`` counts the cell's
  configurations; ``source`` says where one came from (``base``, ``control``, ``known:0``, ``sobol:3``).
- ``started``: ``trial_id attempt resumed_from_step host device threads``, and ``reason`` for a retry.
- ``report``: ``trial_id attempt step`` and the measured columns of `sparsetune.tables`.
- ``ended``: ``trial_id attempt status error certified`` and the test columns.
- ``extended``: what was added to the declaration: ``report_seeds configurations_per_cell`` (counts), ``sweep`` (new
  values by axis, named as in `Study.sweep_axes`); and ``retried``, the failed trials that run once more.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsetune.errors import StorageError, StudyDirectoryError
from sparsetune.tables import FINISHED

Record = dict[str, Any]
ROLE_ORDER = ("report", "control", "search", "twin")
"""A trial of several roles is shown under the first of these."""


class Ledger:
    """The driver's open segment: every append is on disk when it returns."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number = 1 + max((int(path.stem) for path in folder.glob("*.jsonl")), default=0)
            path = folder / f"{number:06d}.jsonl"
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115  # open as long as the launch
        except OSError as error:
            raise StorageError(f"the ledger `{folder}` cannot be written: {error.strerror}") from error

    def append(self, *records: Mapping[str, Any]) -> None:
        """Write the records and sync them to disk.

        Raises:
            StorageError: if the disk is full or read-only; everything appended before stays readable.
        """
        lines = b"".join(encode(record) for record in records)
        end = os.fstat(self._file.fileno()).st_size
        try:
            written = self._file.write(lines)
            if written != len(lines):
                raise OSError(28, "No space left on device")
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), end)  # a torn line must stay the last one
            raise StorageError(f"the ledger `{self._file.name}` cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the segment; the next launch opens another."""
        self._file.close()


def encode(record: Mapping[str, Any]) -> bytes:
    """One line of JSON, its type first; numbers that are not finite become null, which reads as missing."""
    line = _finite({"type": record["type"], **record})
    return json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def read_lines(folder: Path) -> Iterator[bytes]:
    """Every acknowledged line of every segment, in order."""
    for segment in sorted(folder.glob("*.jsonl")):
        *lines, _torn = segment.read_bytes().split(b"\n")
        yield from lines


def read(folder: Path) -> list[Record]:
    """Every record, in order.

    Raises:
        StudyDirectoryError: if a line that is not a segment's last is not JSON: the file was damaged.
    """
    records = []
    for number, line in enumerate(read_lines(folder), start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise StudyDirectoryError(f"record {number} of the ledger `{folder}` is damaged: {error}") from error
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
    """

    proposed: list[Record] = field(default_factory=list)
    attempts: int = 0
    ended: Record | None = None
    reports: dict[int, Record] = field(default_factory=dict)
    again: bool = False

    @property
    def status(self) -> str:
        """WAITING, RUNNING (or interrupted), or how it ended."""
        if self.ended and not self.again:
            return str(self.ended["status"])
        return "RUNNING" if self.attempts and not self.again else "WAITING"

    @property
    def finished(self) -> bool:
        """Whether it is never run again by itself."""
        return self.status in FINISHED

    @property
    def use(self) -> Record:
        """The use under which it is shown: a report before a control, a search trial, a twin."""
        return min(self.proposed, key=lambda record: ROLE_ORDER.index(record["role"]))

    @property
    def last(self) -> Record:
        """The row of its last evaluation; empty before the first."""
        return self.reports[max(self.reports)] if self.reports else {}


def fold(records: Iterable[Record]) -> dict[str, TrialState]:
    """The state of every trial, in order of first proposal.

    Rows of an earlier attempt beyond a later attempt's ``resumed_from_step`` are dropped: that attempt did them again.
    """
    trials: dict[str, TrialState] = {}
    for record in records:
        take(trials, record)
    return {trial_id: trial for trial_id, trial in trials.items() if trial.proposed}


def take(trials: dict[str, TrialState], record: Record) -> None:
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
            trial.attempts, trial.ended, trial.again = max(trial.attempts, record["attempt"]), None, False
            trial.reports = {s: row for s, row in trial.reports.items() if s <= record["resumed_from_step"]}
        case "report":
            trial.reports[record["step"]] = record
        case "ended":
            trial.ended, trial.again = record, False
