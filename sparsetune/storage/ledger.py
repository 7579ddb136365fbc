"""The ledger of a study: append-only records of what was proposed, started, reported and ended.

Nothing is ever rewritten. On a disk, one launch of the driver writes one segment,
``<launch>.jsonl``. A last line that is torn is a record that was never acknowledged, and is
ignored. In an object store a launch writes many segments, ``<launch>-<number>.jsonl``, each created
whole and only where its key is free.

Every line has its number and a checksum (`sparsetune.storage.checksums`). A launch begins with an
`Opened` record, which says what it continues, and a launch that ends by itself with a `Closed` one.
Both are about lines, not about trials, and are no part of what is read. Launch, status and analysis
read with one function, `read_ledger`, which proves all of it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from operator import not_
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsetune.errors import StorageError, StudyDirectoryError
from sparsetune.paths import Place
from sparsetune.storage.checks import (
    LineFault,
    join_and_parse,
    parse_json,
    parse_lines,
    require_length,
    require_record,
)
from sparsetune.storage.checksums import DamageError, seal_lines, unsealed
from sparsetune.storage.owner import DiskOwner, Owner
from sparsetune.storage.records import (
    REPORT_PREFIX,
    Bracket,
    Closed,
    Ended,
    Extended,
    Granted,
    Opened,
    Proposed,
    Record,
    Report,
    decode_record,
    decode_report,
    encode_record,
)
from sparsetune.storage.segments import (
    DiskSegment,
    LedgerEnd,
    LedgerText,
    ObjectSegments,
    read_ledger_text,
)

if TYPE_CHECKING:
    import pyarrow as pa

# No trial may run that no record names, nor lose its checkpoints while its end could be lost, and
# an extension or a grant brings further trials. Reports can wait: a checkpoint carries them too.
AT_ONCE = (Proposed, Ended, Extended, Granted)
"""Records that must be durable before anything follows from them."""
MAX_OTHER_RECORDS = 4_000_000
"""Most records of a ledger that are no reports; a trial has about three."""
Check = Callable[[Record], None]
"""Raises ValueError, a clause, for a record that does not hold what it must."""


class Ledger:
    """The driver's open ledger.

    On a disk every record is durable when `append` returns. In an object store those of `AT_ONCE`
    are, with all before them. Others follow within a second or 64 KiB; until then a checkpoint
    holds them.

    Args:
        folder: Folder of the segments.
        owner: This process as the study's driver; needed in an object store. Without one on a disk,
            nothing tells that another driver has taken the study over.
        after: End of the ledger as it was read last; None to read it now.
        launches: Lines of ``provenance.jsonl``, this launch's last; None where there is none.

    Raises:
        StorageError: if the disk refuses a new segment.
        StudyDirectoryError: if the folder is in an object store and there is no owner, or the
            ledger is damaged.
    """

    def __init__(
        self,
        folder: Place,
        owner: Owner | DiskOwner | None = None,
        *,
        after: LedgerEnd | None = None,
        launches: int | None = None,
    ) -> None:
        if after is None:
            after = read_ledger_text(folder).end
        if isinstance(folder, Path):
            held = owner if isinstance(owner, DiskOwner) else None
            self._segment: DiskSegment | ObjectSegments = DiskSegment(folder, held)
        elif not isinstance(owner, Owner):
            raise StudyDirectoryError(
                f"the ledger `{folder}` must be written by the study's driver alone"
            )
        else:
            self._segment = ObjectSegments(folder, owner)
        self._chain = after.chain
        self._refused = False
        self._closed = False
        opened = Opened(
            previous=after.segment,
            lines=after.chain.lines,
            last=after.chain.digits,
            torn=after.torn,
            launches=launches,
        )
        try:
            self._write([opened], at_once=False)
        except StorageError:
            self._segment.close()
            raise

    @property
    def lost(self) -> str | None:
        """Why this process may write no more: its folder, lock or segment is gone, or another's."""
        return self._segment.lost

    def append(self, *records: Record) -> None:
        """Write the records, in order.

        Raises:
            StorageError: if the disk or the store refuses them; what was durable before stays
                readable.
        """
        if records:
            self._write(records, any(isinstance(record, AT_ONCE) for record in records))

    def close(self) -> None:
        """Make everything durable, with a record of the end; the next launch opens other segments.

        Raises:
            StorageError: if the store refuses records that `append` accepted, or the record of the
                end.
        """
        if self._closed:
            return
        self._closed = True
        try:
            # After a refusal, or once the study is another's, nothing may follow: the end stays
            # open, and readers say so.
            if not self._refused and not self.lost:
                end = Closed(lines=self._chain.lines, last=self._chain.digits)
                self._write([end], at_once=False)
        finally:
            self._segment.close()

    def _write(self, records: Sequence[Record | Bracket], at_once: bool) -> None:
        lines, chain = seal_lines([encode_record(record) for record in records], self._chain)
        try:
            self._segment.write(lines, at_once)
        except StorageError:
            self._refused = True
            raise
        self._refused = False
        # Only now: a refused record leaves no gap in the numbers.
        self._chain = chain


@dataclass(frozen=True)
class LedgerLines:
    """The acknowledged records of a ledger, read once and proved.

    Reports are many and flat, so that they are read as a table.

    Args:
        text: The lines as they were written, and how they end.
        lines: Every line without its line feed, in order.
        report_numbers: Position in ``lines`` of each report.
        other_numbers: Position in ``lines`` of each other record.
        others: Every record that is no report, in order.
        reports: Every report, a row each, as `report_table` reads them.
    """

    text: LedgerText
    lines: Sequence[bytes]
    report_numbers: Sequence[int]
    other_numbers: Sequence[int]
    others: Sequence[Record]
    reports: pa.Table

    @property
    def other_lines(self) -> list[bytes]:
        """Lines of all records that are no reports, in order."""
        return [self.lines[number] for number in self.other_numbers]

    def records(self) -> list[Record]:
        """Every record, in order.

        Raises:
            DamageError: if a report cannot be read as one.
        """
        with paused_garbage_collection():
            reports = self._decode_reports()
            found: list[Any] = [None] * len(self.lines)
            for number, report in zip(self.report_numbers, reports, strict=True):
                found[number] = report
            for number, record in zip(self.other_numbers, self.others, strict=True):
                found[number] = record
            return [record for record in found if record is not None]

    def _decode_reports(self) -> list[Record]:
        lines = [self.lines[number] for number in self.report_numbers]
        return [decode_report(one) for one in join_and_parse(lines)]


def read_ledger(
    folder: Place,
    metrics: Sequence[str] = (),
    *,
    salvage: bool = False,
    check: Check = require_record,
) -> LedgerLines:
    """Read every segment of a ledger once, and prove its lines and their values.

    Args:
        folder: Folder of the segments.
        metrics: Metrics that the study's task names; see `DatasetTask.metric_names`.
        salvage: True to read what is whole before the first damage; ``text.damage`` then says what
            ended it.
        check: Test of every record that is no report.

    Raises:
        DamageError: naming file and line of the first damage.
        StorageError: if a segment cannot be read.
        StudyDirectoryError: if a segment is missing.
    """
    return parse_ledger(read_ledger_text(folder, salvage), metrics, salvage=salvage, check=check)


def parse_ledger(
    text: LedgerText,
    metrics: Sequence[str] = (),
    *,
    salvage: bool = False,
    check: Check = require_record,
) -> LedgerLines:
    """Records of lines that were read; see `read_ledger`."""
    from sparsetune.storage.report_table import parse_reports

    lines: list[bytes] = []
    for segment in text.segments:
        lines += segment.data.split(b"\n")
        lines.pop()  # nothing follows the last line feed
    try:
        with paused_garbage_collection():
            report_numbers, other_numbers, others = _sort_lines(lines, check)
            try:
                reports = parse_reports([lines[number] for number in report_numbers], metrics)
            except LineFault as fault:
                raise LineFault(report_numbers[fault.index], fault.reason) from None
    except LineFault as fault:
        number = fault.index + 1
        error = DamageError(number, text.place_of(number), fault.reason)
        if not salvage:
            raise error from None
        return parse_ledger(text.until(error), metrics, salvage=True, check=check)
    return LedgerLines(text, lines, report_numbers, other_numbers, others, reports)


def read_lines(folder: Place) -> Iterator[bytes]:
    """Every acknowledged record of every segment as its line, in order, without its number,
    checksum and line feed.

    Raises:
        DamageError: naming file and line of the first damage.
        StorageError: if a segment cannot be read.
        StudyDirectoryError: if a segment is missing.
    """
    ledger = read_ledger(folder)
    for number in sorted((*ledger.report_numbers, *ledger.other_numbers)):
        yield unsealed(ledger.lines[number])


def read_records(folder: Place) -> list[Record]:
    """Every record, in order; see `read_ledger`."""
    return read_ledger(folder).records()


def decode_lines(lines: Sequence[bytes], check: Check = require_record) -> list[Record]:
    """Records of lines that are no reports.

    Raises:
        LineFault: naming the first line that holds no such record.
    """
    return _sort_lines(lines, check)[2]


def _sort_lines(lines: Sequence[bytes], check: Check) -> tuple[list[int], list[int], list[Record]]:
    """Positions of the reports, positions of all other records, and these records.

    Raises:
        LineFault: naming the first line that is damaged.
    """
    is_report = [line.startswith(REPORT_PREFIX) for line in lines]
    report_numbers = list(compress(range(len(lines)), is_report))
    unread = list(compress(range(len(lines)), map(not_, is_report)))
    if len(unread) > MAX_OTHER_RECORDS:
        fault = f"more than {MAX_OTHER_RECORDS:,} records are no reports"
        raise LineFault(unread[MAX_OTHER_RECORDS], fault)
    other_numbers: list[int] = []
    others: list[Record] = []
    spaced: list[int] = []
    texts = [lines[number] for number in unread]
    for number, values in zip(unread, _parse_lines(texts, unread), strict=True):
        record = _decode_values(values, number, check)
        if isinstance(record, Report):  # written with spaces, or with its type elsewhere
            spaced.append(number)
        elif not isinstance(record, Bracket):
            other_numbers.append(number)
            others.append(record)
    return sorted(report_numbers + spaced), other_numbers, others


def _parse_lines(lines: Sequence[bytes], numbers: Sequence[int]) -> list[Any]:
    """Plain values of lines.

    Raises:
        LineFault: naming the first line that is no JSON within the bounds, by its number.
    """
    try:
        # One call of the parser for all lines is faster than one for each.
        values = parse_lines(lines)
        # Two records in one line, with a comma between them, would pass as valid JSON.
        if len(values) == len(lines):
            return values
    except ValueError:
        pass  # read line by line, to name the damaged one
    found = []
    for line, number in zip(lines, numbers, strict=True):
        try:
            require_length(line)
            found.append(parse_json(line))
        except ValueError as error:
            raise LineFault(number, str(error)) from error
    return found


def _decode_values(values: Any, number: int, check: Check) -> Record | Bracket:
    try:
        if not isinstance(values, dict):
            raise ValueError("a record must be a JSON object")
        record = decode_record(values)
        if isinstance(record, Bracket):
            require_record(record)
        else:
            check(record)
    except ValueError as error:
        raise LineFault(number, str(error)) from error
    return record


@contextmanager
def paused_garbage_collection() -> Iterator[None]:
    """Pause the search for reference cycles.

    The many objects that a ledger becomes have none, and looking for them takes as long as reading.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
