"""Ledger records from the few fields that a test gives, and records as the plain values of
their lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sparsetune.storage.checksums import Chain, seal_lines, unsealed
from sparsetune.storage.ledger import read_lines
from sparsetune.storage.records import Bracket, Record, Report, decode_record, encode_record

Plain = dict[str, Any]
"""A record as the plain values of its line."""
DEFAULTS: dict[str, dict[str, Any]] = {
    "proposed": {
        "config_id": "c", "cell": "dense", "arm": "dense", "role": "search",
        "index": 0, "source": "base", "seed": 0, "spec": {},
    },
    "started": {"attempt": 1, "resumed_from_step": 0},
    "report": {"attempt": 1},
    "ended": {"attempt": 1},
    "note": {"attempt": 1},
}  # fmt: skip


def record(plain: Mapping[str, Any]) -> Record:
    """The record of a line with these values; fields that its type must have are filled in."""
    made = decode_record({"time": 0.0, **DEFAULTS.get(plain["type"], {}), **plain})
    assert not isinstance(made, Bracket)
    return made


def records(plain: Iterable[Mapping[str, Any]]) -> list[Record]:
    """The records of lines with these values."""
    return [record(one) for one in plain]


def plain(one: Record) -> dict[str, Any]:
    """A record as it reads from its line."""
    found: dict[str, Any] = json.loads(encode_record(one))
    return found


def plain_records(folder: Any) -> list[dict[str, Any]]:
    """Every line of a ledger, as plain values."""
    return [json.loads(line) for line in read_lines(folder)]


def rows(reports: Mapping[int, Report]) -> dict[int, dict[str, Any]]:
    """Reports by step as plain values."""
    return {step: plain(report) for step, report in reports.items()}


def rewrite_segment(path: Path, change: Callable[[Plain], object]) -> None:
    """Change the records of the only segment of a ledger in place; numbers and checksums fit."""
    values = [json.loads(unsealed(line)) for line in path.read_bytes().splitlines()]
    for one in values:
        change(one)
    lines = [json.dumps(one, separators=(",", ":")).encode() + b"\n" for one in values]
    path.write_bytes(seal_lines(lines, Chain())[0])
