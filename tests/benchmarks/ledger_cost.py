"""What durability costs: appends to a study's ledger, against a loop that writes and syncs the same
bytes.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsetune import ScheduleSpec, TrialSpec
from sparsetune.storage.ledger import Ledger
from sparsetune.storage.records import Report, encode_record
from sparsetune.train import train
from tests.benchmarks.rows import Row, interleaved

APPENDS = 200
"""In a round."""
BARE = "write and fsync"
UNSEALED = "encode, write and fsync, without numbers and checksums"
OURS = "Ledger.append"


def ledger_rows(rounds: int) -> list[Row]:
    """Seconds of a record in each round; the folder lies on the disk of the current one, as
    studies do.
    """
    reports = (report_rows(1) * APPENDS)[:APPENDS]
    records = [
        replace(report, time=1.0, row={**report.row, "step": step})
        for step, report in enumerate(reports)
    ]
    lines = [encode_record(record) for record in records]
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".benchmark-") as folder,
        _bare(Path(folder)) as file,
        closing(Ledger(Path(folder) / "ledger")) as segment,
    ):
        works = {
            BARE: lambda: _sync_all(file, lines),
            UNSEALED: lambda: _encode_all(file, records),
            OURS: lambda: _append_all(segment, records),
        }
        taken = interleaved(works, rounds)
    title = f"a ledger record of {len(lines[0])} bytes, durable"
    rows = [
        Row(title, name, taken[name], None if name == BARE else BARE, notes=_rate(taken[name]))
        for name in works
    ]
    sealed = f"{title}, numbered and with a checksum"
    return [
        *rows,
        Row(sealed, UNSEALED, taken[UNSEALED]),
        Row(sealed, OURS, taken[OURS], UNSEALED, limit=1.1),
    ]


def _rate(seconds: list[float]) -> dict[str, float]:
    return {"per_second": 1 / sorted(seconds)[len(seconds) // 2]}


def report_rows(epochs: int, trial_id: str = "t" * 16) -> list[Report]:
    """The ``report`` records of a short trial, with every column of a real one."""
    rows: list[dict[str, Any]] = []
    train(TrialSpec(schedule=ScheduleSpec(epochs=epochs)), report=rows.append)
    return [Report(trial_id=trial_id, attempt=1, row=row) for row in rows]


@contextmanager
def _bare(folder: Path) -> Iterator[int]:
    file = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield file
    os.close(file)


def _sync_all(file: int, lines: list[bytes]) -> float:
    start = time.perf_counter()  # of the clock: what the disk takes is no processor's time
    for line in lines:
        os.write(file, line)
        os.fsync(file)
    return (time.perf_counter() - start) / len(lines)


def _encode_all(file: int, records: list[Report]) -> float:
    start = time.perf_counter()
    for record in records:
        os.write(file, encode_record(record))
        os.fsync(file)
    return (time.perf_counter() - start) / len(records)


def _append_all(segment: Ledger, records: list[Report]) -> float:
    start = time.perf_counter()
    for record in records:
        segment.append(record)
    return (time.perf_counter() - start) / len(records)
