"""Records of a study's ledger as classes, with the writer and the reader of their lines.

A record is one line of JSON. Its ``type`` comes first, then its ``time`` in seconds since 1970,
then the fields of its class in order. Numbers that are not finite are written as null, which reads
as missing. Keys that a class does not know, of a ledger that another version wrote, are kept in
``extra`` and written back. The number and the checksum that end a line are none of the record's;
see `sparsetune.storage.checksums`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from time import time as current_time
from typing import Any, Literal, TypeAlias

from sparsetune.spec.columns import Role, Status
from sparsetune.storage.checksums import SEAL_KEYS
from sparsetune.study.additions import Additions, Grant

ColumnValue: TypeAlias = float | int | str | bool | None
"""Value of one column of a row; None and NaN are missing."""
COUNT_COLUMNS = {
    "pruned_weights": "pruned",
    "prunable_weights": "weights",
    "parameters": "parameters",
}
"""Final columns that are counts of the certificate, with their names there."""
# `encode_record` puts the type first, so that reports are told from others without parsing.
REPORT_PREFIX = b'{"type":"report"'
"""Start of the line of every report: a ledger has many, and they are read as a table."""
Cause = Literal["lost", "silent", "time", "memory", "data", "storage", "code"]
"""Why an attempt failed: its worker died, it made no step for too long, it took longer than it may,
memory ran out, data cannot be read there, the storage refuses a file, or the trial raised an error
of its own."""


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """A trial with its complete declaration, for one use; durable before the trial starts.

    A trial that serves another cell or role too is proposed again; it runs once.

    Args:
        trial_id: Digest of the trial's declaration.
        config_id: Digest of the declaration without its seed.
        cell: Name of the cell that uses the trial.
        arm: Name of the cell's arm; ``dense`` for a twin.
        role: What the cell uses it for.
        index: Number of the configuration in its cell, from 0.
        source: Where the configuration comes from: ``base``, ``control``, ``known:0``, ``sobol:3``…
        seed: Seed of the trial.
        spec: The declaration as plain values, as `TrialSpec.given` returns it.
        twin_id: Id of the dense twin; None where the use has none.
        time: When it was recorded, in seconds since 1970.
        extra: Fields that this version does not know.
    """

    trial_id: str
    config_id: str
    cell: str
    arm: str
    role: Role
    index: int
    source: str
    seed: int
    spec: Mapping[str, Any]
    twin_id: str | None = None
    time: float = field(default_factory=current_time)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Started:
    """The start of an attempt, with what it runs on. What an older version did not record is None.

    Args:
        trial_id: The trial.
        attempt: Number of the attempt, from 1.
        resumed_from_step: Optimizer steps of the checkpoint that it resumes from; 0 without one.
        pid: Process id of the worker.
        host: Name of the worker's machine.
        device: Device as torch names it: ``cpu``, ``cuda``.
        threads: CPU threads of torch.
        processor: Model name of what the trial runs on.
        data: Digests of the data, ``name=digest`` separated by spaces.
        own_code: Digests of the user's own modules that it runs, ``module=digest`` separated by
            spaces; see `sparsetune.own_code`. None also where it runs none.
        device_memory: Memory of the device in bytes.
        reason: Why the attempt before failed; None for a trial that is not retried.
        note: Why it does not run as it was asked to; None where it does.
        time: When it was recorded, in seconds since 1970.
        extra: Fields that this version does not know.
    """

    trial_id: str
    attempt: int
    resumed_from_step: int
    pid: int | None = None
    host: str | None = None
    device: str | None = None
    threads: int | None = None
    processor: str | None = None
    data: str | None = None
    own_code: str | None = None
    device_memory: int | None = None
    reason: str | None = None
    note: str | None = None
    time: float = field(default_factory=current_time)
    extra: Mapping[str, Any] = field(default_factory=dict)


# With slots, since a ledger may have hundreds of thousands of them in memory.
@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """An evaluation of a running trial.

    Args:
        trial_id: The trial.
        attempt: Number of the attempt.
        row: The progress and measured columns of `sparsetune.spec.columns`, in the order of
            evaluation.
        time: When it was recorded, in seconds since 1970.
    """

    trial_id: str
    attempt: int
    row: Mapping[str, ColumnValue]
    time: float = field(default_factory=current_time)

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return int(self.row["step"])  # type: ignore[arg-type]  # an integer column

    @property
    def epoch(self) -> float:
        """Epochs done; 0 where the row lacks them."""
        return float(self.row.get("epoch") or 0.0)

    @property
    def progress(self) -> float:
        """Fraction of the trial's own training done, in [0, 1]; 0 where the row lacks it."""
        return float(self.row.get("progress") or 0.0)

    @property
    def phase(self) -> str:
        """Phase of the mask, as in `sparsetune.spec.columns.Phase`."""
        return str(self.row["phase"])

    def number(self, column: str) -> float | None:
        """Value of a numeric column; None where the row lacks it."""
        value = self.row.get(column)
        return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The end of a trial.

    Args:
        trial_id: The trial.
        attempt: Number of its last attempt; 0 where it never started.
        status: How it ended.
        error: Why it diverged, is invalid, failed or was stopped; None where it is complete.
        certified: Whether the saved weights have the sparsity asked for; None where nobody looked.
        rung: Index of the rung that stopped it; None where none did.
        files: Digest of each file that the trial left in its folder, by name; see
            `sparsetune.storage.trial_files`.
        columns: The other final columns of `sparsetune.spec.columns`, and keys that this version
            does not know.
        time: When it was recorded, in seconds since 1970.
    """

    trial_id: str
    attempt: int
    status: Status
    error: str | None = None
    certified: bool | None = None
    rung: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, ColumnValue] = field(default_factory=dict)
    time: float = field(default_factory=current_time)

    def value(self, column: str) -> ColumnValue:
        """Value of a final column; None where it is missing."""
        if column in ("status", "error", "certified"):
            value: ColumnValue = getattr(self, column)
            return value
        return self.columns.get(column)


@dataclass(frozen=True, kw_only=True)
class Extended(Additions):
    """An extension of the study. Fields of `Additions` come first; what is empty is not written.

    Args:
        retried: Ids of the failed trials that run once more.
        asked: Questions that are asked from then on, as plain values: after the data.
        time: When it was recorded, in seconds since 1970.
        extra: Fields that this version does not know.
    """

    retried: Sequence[str] = ()
    asked: Sequence[Mapping[str, Any]] = ()
    time: float = field(default_factory=current_time)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Granted(Grant):
    """Report seeds that open answers need; durable before the first of their trials starts.

    Fields of `Grant` come first.

    Args:
        time: When it was recorded, in seconds since 1970.
        extra: Fields that this version does not know.
    """

    time: float = field(default_factory=current_time)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Note:
    """A remark of a worker on its trial, made once: it has no room for checkpoints.

    Args:
        trial_id: The trial.
        attempt: Number of the attempt.
        note: The remark, for people.
        time: When it was recorded, in seconds since 1970.
        extra: Fields that this version does not know.
    """

    trial_id: str
    attempt: int
    note: str
    time: float = field(default_factory=current_time)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The start of a launch's segments: what it found. It closes what an earlier launch left open.

    Args:
        previous: Name of the last segment before; None for the first of all.
        lines: Number of whole lines before.
        last: Their checksum, eight hexadecimal digits.
        torn: Bytes after the last whole line: a record that was never acknowledged.
        launches: Number of lines of ``provenance.jsonl``; None where the writer did not know.
        time: When it was recorded, in seconds since 1970.
        extra: Fields that this version does not know.
    """

    previous: str | None
    lines: int
    last: str
    torn: int = 0
    launches: int | None = None
    time: float = field(default_factory=current_time)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Closed:
    """The end of a launch that ended by itself: without it, the driver was killed.

    Args:
        lines: Number of lines of the ledger before it.
        last: Their checksum, eight hexadecimal digits.
        time: When it was recorded, in seconds since 1970.
        extra: Fields that this version does not know.
    """

    lines: int
    last: str
    time: float = field(default_factory=current_time)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class UnknownRecord:
    """A record of a type that this version does not know; it changes nothing.

    Args:
        values: The whole line as plain values, ``type`` included.
    """

    values: Mapping[str, Any]


Record: TypeAlias = Proposed | Started | Report | Ended | Extended | Granted | Note | UnknownRecord
Bracket: TypeAlias = Opened | Closed
"""A record that says where the lines of a launch begin and end; it is about no trial."""

_TYPE_OF_CLASS: dict[Any, str] = {
    Proposed: "proposed",
    Started: "started",
    Report: "report",
    Ended: "ended",
    Extended: "extended",
    Granted: "granted",
    Note: "note",
    Opened: "opened",
    Closed: "closed",
}
_ENDED_FIELDS = ("trial_id", "attempt", "status", "error", "certified")
_STOPPED_FIELDS = ("status", "error", "certified", "rung", "trial_id", "attempt")
"""Order of the fields of a trial's end, and of one that a rung stopped; the file format has two."""

_EMPTY_WHEN_FALSE = ("report_seeds", "configurations_per_cell", "sweep", "retried", "asked")
"""Optional fields that a line leaves out where they are 0 or empty, not only where None."""


def _field_names(record_class: Any) -> dict[str, bool]:
    """Names of a class's fields but ``time`` and ``extra``, in order; True for required ones."""
    named = [one for one in fields(record_class) if one.name not in ("time", "extra")]
    return {one.name: one.default is MISSING and one.default_factory is MISSING for one in named}


_FIELDS_OF_CLASS = {
    one: _field_names(one) for one in (Proposed, Started, Extended, Granted, Note, Opened, Closed)
}


def encode_record(record: Record | Bracket) -> bytes:
    """One line of JSON with its line feed; numbers that are not finite become null."""
    values = null_non_finite(plain_record(record))
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def plain_record(record: Record | Bracket) -> dict[str, Any]:
    """The record as plain JSON values, in the order of its line."""
    if isinstance(record, UnknownRecord):
        return {"type": record.values.get("type"), **record.values}
    head = {"type": _TYPE_OF_CLASS[type(record)], "time": record.time}
    match record:
        case Report():
            names = {"trial_id": record.trial_id, "attempt": record.attempt}
            return {**head, **names, **record.row}
        case Ended():
            order = _STOPPED_FIELDS if record.status == "PRUNED" else _ENDED_FIELDS
            values = {name: getattr(record, name) for name in order}
            if record.rung is None:
                values.pop("rung", None)
            files = {"files": dict(record.files)} if record.files else {}
            return {**head, **values, **record.columns, **files}
        case _:
            return {**head, **_set_fields(record), **record.extra}


def _set_fields(record: Any) -> dict[str, Any]:
    """The fields of a record but those that are optional and empty."""
    values = {}
    for name, required in _FIELDS_OF_CLASS[type(record)].items():
        value = getattr(record, name)
        if required or value or (value is not None and name not in _EMPTY_WHEN_FALSE):
            values[name] = value
    return values


def null_non_finite(value: Any) -> Any:
    """Plain JSON values with None in place of numbers that are not finite, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: null_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [null_non_finite(item) for item in value]
    return value


def decode_record(values: Mapping[str, Any]) -> Record | Bracket:
    """The record that a line holds; the types of its values are not checked.

    Raises:
        ValueError: if a field that its type must have is missing.
    """
    found = dict(values)
    for key in SEAL_KEYS:
        found.pop(key, None)
    name = found.pop("type", None)
    if not isinstance(name, str):
        raise ValueError("a record must have a `type`, a text")
    decode = _DECODERS.get(name)
    if decode is None:
        return UnknownRecord(values={"type": name, **found})
    when = found.pop("time", None)  # NaN below, so that a missing time is not taken for now
    try:
        return decode(found, math.nan if when is None else when)
    except KeyError as error:
        raise ValueError(f"a record of type `{name}` must have {error}") from error


def decode_report(values: dict[str, Any]) -> Report:
    """The report that a line holds; ``values`` become its row."""
    for key in ("type", *SEAL_KEYS):
        values.pop(key, None)
    when = values.pop("time", None)
    # Only for people: what is no time counts as missing.
    return _decode_report(values, when if type(when) in (int, float) else math.nan)


def _decode_report(found: dict[str, Any], when: float) -> Report:
    trial_id = found.pop("trial_id")
    attempt = found.pop("attempt")
    return Report(trial_id=trial_id, attempt=attempt, row=found, time=when)


def _decode_ended(found: dict[str, Any], when: float) -> Ended:
    return Ended(
        trial_id=found.pop("trial_id"),
        attempt=found.pop("attempt"),
        status=found.pop("status"),
        error=found.pop("error", None),
        certified=found.pop("certified", None),
        rung=found.pop("rung", None),
        files=found.pop("files", None) or {},
        columns=found,
        time=when,
    )


def _decoder_of(record_class: Any) -> Callable[[dict[str, Any], float], Record | Bracket]:
    """A decoder of a class whose fields have the names of its keys."""
    names = _FIELDS_OF_CLASS[record_class]

    def decode(found: dict[str, Any], when: float) -> Record | Bracket:
        known = {}
        for name, required in names.items():
            value = found.pop(name) if required else found.pop(name, None)
            # null means missing, and leaves the field at its default.
            if required or value is not None:
                known[name] = value
        record: Record | Bracket = record_class(**known, time=when, extra=found)
        return record

    return decode


_DECODERS: dict[str, Callable[[dict[str, Any], float], Record | Bracket]] = {
    "proposed": _decoder_of(Proposed),
    "started": _decoder_of(Started),
    "report": _decode_report,
    "ended": _decode_ended,
    "extended": _decoder_of(Extended),
    "granted": _decoder_of(Granted),
    "note": _decoder_of(Note),
    "opened": _decoder_of(Opened),
    "closed": _decoder_of(Closed),
}
