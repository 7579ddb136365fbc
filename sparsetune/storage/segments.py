"""Segments of a ledger: one file a launch on a disk, many small objects in an object store."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparsetune.errors import LostStudyError, StorageError, StudyDirectoryError
from sparsetune.paths import (
    Place,
    create_object,
    list_names,
    read_contents,
    translating_read_errors,
)
from sparsetune.paths.confined import create_file, file_facts, open_file
from sparsetune.storage.checks import MAX_LEDGER_BYTES, parse_json, require_record
from sparsetune.storage.checksums import SEAL_PATTERN, Chain, DamageError, find_damage, looks_sealed
from sparsetune.storage.owner import DiskOwner, Owner, is_locked, is_same_file
from sparsetune.storage.records import Opened, decode_record

if TYPE_CHECKING:
    from upath import UPath

# A PUT costs about 20 ms: one for each report would hold up the driver.
BUFFER_SECONDS = 1.0
BUFFER_BYTES = 65536
"""An object is written when its first line has waited so long or its lines have so many bytes."""
SEGMENT_NAME_PATTERN = re.compile(r"([0-9]{6})(?:-([0-9]{8}))?\.jsonl")
MIN_LINE_BYTES = len('{"type":"a"}\n')
"""Shortest line that holds a record."""
OPENED_PREFIX = b'{"type":"opened"'
CLOSED_PREFIX = b'{"type":"closed"'
"""Starts of the first and of the last line of a launch that ended by itself."""


class DiskSegment:
    """One segment on a disk, open for appending and held locked as long as the launch.

    Args:
        folder: Folder of the segments.
        owner: This process as the study's driver; None where it holds no lock.

    Raises:
        StorageError: if it cannot be opened.
    """

    def __init__(self, folder: Path, owner: DiskOwner | None = None) -> None:
        try:
            self._path = folder / f"{last_launch_number(folder) + 1:06d}.jsonl"
            self._file = open(create_file(self._path), "ab", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise StorageError(
                f"the ledger `{folder}` cannot be written: {error.strerror}"
            ) from error
        self._owner = owner or DiskOwner(folder.parent)
        self._size = 0
        # A second sign of a driver that runs, should its lock be deleted.
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_EX)

    @property
    def lost(self) -> str | None:
        """Why nothing may be written to it any more; None while something may."""
        if reason := self._owner.lost:
            return reason
        if not is_same_file(self._path, self._file.fileno()):
            change = "deleted or replaced"
        elif os.fstat(self._file.fileno()).st_size != self._size:
            change = "changed by another process"
        else:
            return None
        return (
            f"the ledger's segment `{self._path}` was {change} while the study ran, and what was"
            " reported there may be lost with it: this driver stops.\nSee what is left with"
            " `sparsetune status`; restore the file, or run the study under another name"
        )

    def write(self, lines: bytes, at_once: bool) -> None:
        """Write whole lines; they are durable when it returns, whatever ``at_once`` says.

        Raises:
            LostStudyError: if the study's folder, its lock or the segment is gone, or another's.
            StorageError: if the disk refuses.
        """
        self._require_ours()
        end = self._size
        try:
            # Unbuffered: what is refused is refused here, not at some later flush.
            written = self._file.write(lines)
            self._size += written
            # A disk that fills up takes a part of the bytes without an error.
            if written != len(lines):
                raise OSError(errno.ENOSPC, "No space left on device")
            os.fsync(self._file.fileno())
        except OSError as error:
            self._cut(end)
            raise StorageError(
                f"the ledger `{self._path}` cannot be written: {error.strerror}"
            ) from error
        try:
            self._require_ours()
        except StorageError:
            self._cut(end)  # another driver may have read the lines before these
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _require_ours(self) -> None:
        if reason := self.lost:
            raise LostStudyError(reason)

    def _cut(self, end: int) -> None:
        """Drop what follows ``end``: a torn line must stay the last one."""
        with suppress(OSError):
            os.ftruncate(self._file.fileno(), end)
            self._size = end


def is_segment_held(folder: Path) -> bool:
    """True if another process writes the last segment of a ledger on a disk."""
    with suppress(OSError, StorageError, StudyDirectoryError):
        names = segment_names(folder)
        if names:
            with open_file(folder / names[-1]) as file:
                return is_locked(file.fileno())
    return False


class ObjectSegments:
    """Segments of one launch in an object store, written by a thread in order.

    One is written only once the one before is acknowledged, so that what a reader finds has no
    hole.
    """

    def __init__(self, folder: UPath, owner: Owner) -> None:
        self._folder = folder
        self._owner = owner
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._taken = 0
        self._durable = 0
        self._now = False
        self._closing = False
        self._failure: StorageError | None = None
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def write(self, lines: bytes, at_once: bool) -> None:
        """Write whole lines.

        Args:
            lines: The lines with their line feeds.
            at_once: Whether to return only when they and all before are durable.

        Raises:
            StorageError: if the store refuses these or earlier lines, or another driver has taken
                the study over.
        """
        with self._changed:
            self._check()
            if self._closing:
                raise ValueError("the ledger is closed")
            self._waiting.append(lines)
            self._taken += 1
            self._now |= at_once or sum(map(len, self._waiting)) >= BUFFER_BYTES
            self._changed.notify_all()
            mine = self._taken
            if at_once:
                self._changed.wait_for(lambda: self._durable >= mine or self._failure)
                self._check()

    def close(self) -> None:
        """Write what waits.

        Raises:
            StorageError: if the store refuses, and no `write` has raised it.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        failure = self._failure
        self._failure = None  # closing again must not raise it again
        if failure and self._waiting:
            raise failure

    @property
    def lost(self) -> str | None:
        """Why nothing may be written any more; None while something may."""
        return self._owner.lost

    def _check(self) -> None:
        if self._owner.lost:
            raise LostStudyError(self._owner.lost)
        if self._failure:
            self._waiting.clear()  # raised here, it is not to be raised by `close` too
            raise self._failure

    def _run(self) -> None:
        number = 0
        while lines := self._next():
            number += 1
            try:
                path = self._folder / segment_name(self._owner.record.generation, number)
                # The key is taken where a later driver has sealed this launch.
                if not create_object(path, b"".join(lines)):
                    raise LostStudyError(
                        f"`{path}` was written by another driver, which took the study over"
                    )
            except Exception as error:  # any, or `write` would wait for ever for a dead thread
                self._fail(error, lines)
                return
            with self._changed:
                self._durable += len(lines)
                self._changed.notify_all()

    def _next(self) -> list[bytes]:
        """Lines of the next segment, once it is time to write it; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.wait_for(lambda: self._now or self._closing, timeout=BUFFER_SECONDS)
            lines = self._waiting
            self._waiting = []
            self._now = False
            return lines

    def _fail(self, error: Exception, lines: list[bytes]) -> None:
        with self._changed:
            self._failure = (
                error if isinstance(error, StorageError) else StorageError(f"the ledger: {error!r}")
            )
            self._waiting = lines + self._waiting
            self._changed.notify_all()


def segment_name(launch: int, number: int) -> str:
    """Name of a segment of a launch in an object store; names sort as they were written."""
    return f"{launch:06d}-{number:08d}.jsonl"


def segment_names(folder: Place) -> list[str]:
    """Names of all segments, in order.

    Raises:
        StorageError: if the folder cannot be read.
        StudyDirectoryError: if one is missing among those of a launch.
    """
    listed = []
    numbers: dict[str, int] = {}
    for name in list_names(folder):
        match = SEGMENT_NAME_PATTERN.fullmatch(name)
        if match is None:
            continue
        listed.append(name)
        launch, number = match.groups()
        if number is None:
            continue
        numbers[launch] = numbers.get(launch, 0) + 1
        if int(number) != numbers[launch]:
            missing = segment_name(int(launch), numbers[launch])
            raise StudyDirectoryError(
                f"segment `{missing}` of the ledger `{folder}` is missing: it was deleted"
            )
    return listed


class SegmentStamp(NamedTuple):
    """Facts of one segment that change when it does.

    Args:
        name: Its name.
        size: Its size in bytes.
        version: Time of its last change in nanoseconds; in an object store its ETag, None without
            one.
    """

    name: str
    size: int
    version: int | str | None


def segment_stamps(folder: Place) -> list[SegmentStamp]:
    """Stamps of all segments, in order: equal ones belong to the same records.

    Raises:
        StorageError: if the folder cannot be read.
        StudyDirectoryError: if a segment is missing.
    """
    with translating_read_errors(folder):
        listed = segment_names(folder)
        if isinstance(folder, Path):
            stamps = []
            for name in listed:
                stat = file_facts(folder / name)
                stamps.append(SegmentStamp(name, stat.st_size, stat.st_mtime_ns))
            return stamps
        # One request for all of them; a store may list them in any order.
        found = folder.fs.ls(folder.path, detail=True) if listed else []
        stamps = []
        for one in found:
            name = one["name"].rpartition("/")[2]
            stamps.append(SegmentStamp(name, one["size"], one.get("ETag")))
        return sorted(stamps, key=lambda stamp: stamp.name)


def last_launch_number(folder: Place) -> int:
    """Number of the last launch that has a segment; 0 if none has."""
    return max((int(name[:6]) for name in segment_names(folder)), default=0)


def seal_launches(folder: UPath, launches: Sequence[int]) -> None:
    """Write an empty segment where each launch whose driver seems dead would write its next one.

    Such a driver, if it was only paused, then finds its key taken and stops. What it wrote before
    is kept.
    """
    listed = segment_names(folder)
    for launch in launches:
        own = [name for name in listed if name.startswith(f"{launch:06d}-")]
        if own and next(read_contents(folder, own[-1:])) == b"":
            continue  # sealed by an earlier launch
        number = len(own) + 1
        # The other driver may write its next segment meanwhile: then the one after it is sealed.
        while not create_object(folder / segment_name(launch, number), b""):
            number += 1


@dataclass(frozen=True)
class LedgerEnd:
    """The end of a ledger, which the next launch continues.

    Args:
        segment: Name of the last segment that has lines; None where none has.
        chain: Number and checksum of all lines.
        torn: Bytes after the last whole line.
    """

    segment: str | None = None
    chain: Chain = field(default_factory=Chain)
    torn: int = 0


@dataclass(frozen=True)
class SegmentText:
    """Whole lines of one segment.

    Args:
        name: Its name.
        before: Number of lines of the segments before.
        data: The lines with their line feeds.
    """

    name: str
    before: int
    data: bytes


@dataclass(frozen=True)
class LedgerText:
    """The acknowledged lines of a ledger as they were written.

    Args:
        folder: Folder of the segments.
        segments: Segments that have lines, in order.
        end: Where the next launch continues.
        unsealed: Names of segments of an older version, whose lines have no checksums.
        closed: Whether the last launch ended by itself; None where an older version ran it.
        launches: Lines of ``provenance.jsonl`` when the last launch began; None where unknown.
        damage: What ends the lines before their end, where they are read up to it.
    """

    folder: Place
    segments: Sequence[SegmentText] = ()
    end: LedgerEnd = field(default_factory=LedgerEnd)
    unsealed: Sequence[str] = ()
    closed: bool | None = None
    launches: int | None = None
    damage: DamageError | None = None

    def place_of(self, number: int) -> str:
        """File and line of a line of the ledger, by its number from 1 over all segments."""
        own = [one for one in self.segments if one.before < number][-1]
        return f"line {number - own.before} of `{self.folder / own.name}`"

    def until(self, damage: DamageError) -> LedgerText:
        """The lines before a damaged one."""
        kept = []
        chain = Chain()
        for one in self.segments:
            if one.before < damage.number - 1:
                data = _first_lines(one.data, damage.number - 1 - one.before)
                chain = chain.followed_by(data, data.count(b"\n"))
                kept.append(replace(one, data=data))
        end = LedgerEnd(kept[-1].name if kept else None, chain)
        return replace(self, segments=kept, end=end, damage=damage)


def read_ledger_text(folder: Place, salvage: bool = False) -> LedgerText:
    """Read every segment of a ledger, and prove numbers and checksums of its lines.

    Args:
        folder: Folder of the segments.
        salvage: True to read what is whole before the first damage instead of refusing it.

    Raises:
        DamageError: naming the first damaged line.
        StorageError: if a segment cannot be read, is no regular file, or all of them are too large.
        StudyDirectoryError: if a segment is missing.
    """
    stamps = segment_stamps(folder)
    size = sum(stamp.size for stamp in stamps)
    if size > MAX_LEDGER_BYTES:
        raise StorageError(
            f"the ledger `{folder}` must have at most {MAX_LEDGER_BYTES:,} bytes, and has {size:,}"
        )
    reader = _SegmentReader(folder)
    names = [stamp.name for stamp in stamps]
    for name, content in zip(names, read_contents(folder, names), strict=True):
        try:
            reader.read(name, content)
        except DamageError as error:
            if not salvage:
                raise
            return reader.text(error)
    return reader.text()


class _SegmentReader:
    """Segments of a ledger that were read so far."""

    def __init__(self, folder: Place) -> None:
        self._folder = folder
        self._segments: list[SegmentText] = []
        self._unsealed: list[str] = []
        self._end = LedgerEnd()
        self._closed: bool | None = None
        self._launches: int | None = None

    def text(self, damage: DamageError | None = None) -> LedgerText:
        """What was read, with what stopped it."""
        return LedgerText(
            self._folder,
            self._segments,
            self._end,
            self._unsealed,
            self._closed,
            self._launches,
            damage,
        )

    def read(self, name: str, content: bytes) -> None:
        """Read the next segment; of a damaged one, only the lines before the damage.

        Raises:
            DamageError: naming the damaged line.
        """
        whole = content.rfind(b"\n") + 1
        torn = len(content) - whole
        data = content[:whole] if torn else content
        if not data:
            # On a disk a launch was killed at its start, or the file was cut; in a store an empty
            # object seals a launch.
            if "-" not in name:
                self._closed = False
                self._end = LedgerEnd(self._end.segment, self._end.chain, torn)
            return
        count = data.count(b"\n")
        before = self._end.chain.lines
        after = self._end.chain.followed_by(data, count)
        found = self._find_damage(name, data, after)
        index, reason = found or (count, "")
        if found:
            data = _first_lines(data, index)
            after = self._end.chain.followed_by(data, index)
        if data:
            self._segments.append(SegmentText(name, before, data))
            self._end = LedgerEnd(name, after, torn)
        if found:
            where = f"line {index + 1} of `{self._folder / name}`"
            raise DamageError(before + index + 1, where, reason)
        self._note_brackets(data, torn)

    def _find_damage(self, name: str, data: bytes, after: Chain) -> tuple[int, str] | None:
        """Index of the segment's first damaged line and what is wrong; None where all are whole."""
        count = after.lines - self._end.chain.lines
        if count * MIN_LINE_BYTES > len(data):  # so many lines would fill the memory
            short = re.search(rb"^.{0,%d}\n" % (MIN_LINE_BYTES - 2), data, re.MULTILINE)
            if short:
                return data.count(b"\n", 0, short.start()), "it is too short for a record"
        if not looks_sealed(data) and not data.startswith((OPENED_PREFIX, CLOSED_PREFIX)):
            self._unsealed.append(name)
            return None
        self._require_predecessor(data)
        return find_damage(data, self._end.chain, after)

    def _require_predecessor(self, data: bytes) -> None:
        """Refuse a segment before this one that is not as this one's launch found it.

        Raises:
            DamageError: naming the end of that segment.
        """
        opened = _opened_record(data)
        chain = self._end.chain
        if opened is None or (opened.lines, opened.last) == (chain.lines, chain.digits):
            return
        last = self._segments[-1] if self._segments else None
        if opened.previous is None or (last is not None and last.name > opened.previous):
            return  # the line itself is damaged, and named by its checksum
        path = self._folder / opened.previous
        if last is None or last.name < opened.previous:
            raise DamageError(chain.lines + 1, f"`{path}`", "it is missing")
        own = opened.lines - last.before
        found = chain.lines - last.before
        reason = f"{own} lines were in it when the next launch began, now {found}"
        if own == found:
            reason = "it has other lines than when the next launch began"
        raise DamageError(chain.lines + 1, f"line {found + 1} of `{path}`", reason)

    def _note_brackets(self, data: bytes, torn: int) -> None:
        """Record what the segment's first and last line say of its launch."""
        opened = _opened_record(data)
        if opened:
            self._launches = opened.launches
        last = data[data.rfind(b"\n", 0, -1) + 1 :]
        is_sealed = SEAL_PATTERN.search(last[:-1]) is not None
        self._closed = (last.startswith(CLOSED_PREFIX) and not torn) if is_sealed else None


def _first_lines(data: bytes, count: int) -> bytes:
    """The first lines of a text, with their line feeds; all of them where it has fewer."""
    lines = data.split(b"\n")[:-1][:count]
    return b"".join(line + b"\n" for line in lines)


def _opened_record(data: bytes) -> Opened | None:
    """The record that opens a segment; None where its first line is another, or not whole."""
    if not data.startswith(OPENED_PREFIX):
        return None
    first = data[: data.find(b"\n")]
    with suppress(ValueError, TypeError):
        record = decode_record(parse_json(first))
        require_record(record)
        seal = SEAL_PATTERN.search(first)
        if isinstance(record, Opened) and seal and int(seal[1]) == record.lines + 1:
            return record
    return None
