"""The ledger of a study: append-only records of what was proposed, started, reported and ended.

Nothing is ever rewritten. On a disk, one launch of the driver writes one segment,
``<launch>.jsonl``. A last line that is torn is a record that was never acknowledged, and is
ignored. In an object store a launch writes many segments, ``<launch>-<number>.jsonl``, each created
whole and only where its key is free.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsetune.errors import StudyDirectoryError
from sparsetune.paths import Place, read_contents
from sparsetune.storage.owner import Owner
from sparsetune.storage.records import (
    REPORT_PREFIX,
    Ended,
    Extended,
    Proposed,
    Record,
    decode_record,
    encode_record,
)
from sparsetune.storage.segments import DiskSegment, ObjectSegments, segment_names

# No trial may run that no record names, nor lose its checkpoints while its end could be lost, and
# an extension brings further trials. Reports can wait: a checkpoint carries them too.
AT_ONCE = (Proposed, Ended, Extended)
"""Records that must be durable before anything follows from them."""


class Ledger:
    """The driver's open ledger.

    On a disk every record is durable when `append` returns. In an object store those of `AT_ONCE`
    are, with all before them. Others follow within a second or 64 KiB; until then a checkpoint
    holds them.

    Args:
        folder: Folder of the segments.
        owner: This process as the study's driver; needed in an object store.

    Raises:
        StorageError: if the disk refuses a new segment.
        StudyDirectoryError: if the folder is in an object store and there is no owner.
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

    def append(self, *records: Record) -> None:
        """Write the records, in order.

        Raises:
            StorageError: if the disk or the store refuses them; what was durable before stays
                readable.
        """
        if not records:
            return
        at_once = any(isinstance(record, AT_ONCE) for record in records)
        lines = b"".join(encode_record(record) for record in records)
        self._segment.write(lines, at_once)

    def close(self) -> None:
        """Make everything durable; the next launch opens other segments.

        Raises:
            StorageError: if the store refuses records that `append` accepted.
        """
        self._segment.close()


@dataclass(frozen=True)
class LedgerLines:
    """The acknowledged lines of a ledger, read once.

    Reports are many and flat, so that a table of them is read apart; see `report_table`.

    Args:
        folder: Folder of the segments, for messages.
        lines: Every line without its line feed, in order.
        report_numbers: Position in ``lines`` of each report.
        other_numbers: Position in ``lines`` of each other record.
    """

    folder: Place
    lines: Sequence[bytes]
    report_numbers: Sequence[int]
    other_numbers: Sequence[int]

    @property
    def reports(self) -> list[bytes]:
        """Lines of the reports, in order."""
        return [self.lines[number] for number in self.report_numbers]

    @property
    def others(self) -> list[bytes]:
        """Lines of all other records, in order."""
        return [self.lines[number] for number in self.other_numbers]

    def records(self) -> list[Record]:
        """Every record, in order.

        Raises:
            StudyDirectoryError: if a line is damaged.
        """
        return decode_lines(self.lines, self.folder)

    def other_records(self) -> list[Record]:
        """Every record that is no report, in order.

        Raises:
            StudyDirectoryError: if a line is damaged.
        """
        try:
            return decode_lines(self.others, self.folder)
        except StudyDirectoryError:
            self.records()  # names the damaged record by its number among all
            raise


def read_ledger(folder: Place) -> LedgerLines:
    """Read every segment of a ledger once.

    Raises:
        StorageError: if a segment cannot be read.
        StudyDirectoryError: if a segment is missing.
    """
    lines: list[bytes] = []
    report_numbers: list[int] = []
    other_numbers: list[int] = []
    for number, line in enumerate(read_lines(folder)):
        lines.append(line)
        numbers = report_numbers if line.startswith(REPORT_PREFIX) else other_numbers
        numbers.append(number)
    return LedgerLines(folder, lines, report_numbers, other_numbers)


def read_lines(folder: Place) -> Iterator[bytes]:
    """Every acknowledged line of every segment, in order, without its line feed.

    Raises:
        StorageError: if a segment cannot be read.
        StudyDirectoryError: if a segment is missing.
    """
    for segment in read_contents(folder, segment_names(folder)):
        # What follows the last line feed is empty, or was torn before it was acknowledged.
        *lines, _torn = segment.split(b"\n")
        yield from lines


def read_records(folder: Place) -> list[Record]:
    """Every record, in order.

    Raises:
        StudyDirectoryError: if a line that is not a segment's last is damaged, or a segment is
            missing.
        StorageError: if a segment cannot be read.
    """
    return decode_lines(list(read_lines(folder)), folder)


def decode_lines(lines: Sequence[bytes], folder: Place) -> list[Record]:
    """The records of lines, in order.

    Args:
        lines: Whole lines without their line feeds.
        folder: Folder of the ledger, for messages.

    Raises:
        StudyDirectoryError: naming the first damaged line by its number, from 1.
    """
    # One call of the parser for all lines is faster than one for each.
    try:
        values: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")
        # Two records in one line, with a comma between them, would pass as valid JSON.
        if len(values) == len(lines):
            return [decode_record(one) for one in values]
    except (ValueError, TypeError):
        pass  # read line by line, to name the damaged one
    return [_decode_line(line, number, folder) for number, line in enumerate(lines, start=1)]


def _decode_line(line: bytes, number: int, folder: Place) -> Record:
    try:
        return decode_record(json.loads(line))
    except (ValueError, TypeError) as error:
        raise StudyDirectoryError(
            f"record {number} of the ledger `{folder}` is damaged: {error}"
        ) from error
