"""Segments of a ledger: one file a launch on a disk, many small objects in an object store."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparsetune.errors import StorageError, StudyDirectoryError
from sparsetune.paths import (
    Place,
    create_object,
    list_names,
    read_contents,
    translating_read_errors,
)
from sparsetune.storage.owner import Owner

if TYPE_CHECKING:
    from upath import UPath

# A PUT costs about 20 ms: one for each report would hold up the driver.
BUFFER_SECONDS = 1.0
BUFFER_BYTES = 65536
"""An object is written when its first line has waited so long or its lines have so many bytes."""
SEGMENT_NAME_PATTERN = re.compile(r"(\d{6})(?:-(\d{8}))?\.jsonl")


class DiskSegment:
    """One segment on a disk, open for appending as long as the launch.

    Raises:
        StorageError: if it cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{last_launch_number(folder) + 1:06d}.jsonl"
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115  # open as long as the launch
        except OSError as error:
            raise StorageError(
                f"the ledger `{folder}` cannot be written: {error.strerror}"
            ) from error

    def write(self, lines: bytes, at_once: bool) -> None:
        """Write whole lines; they are durable when it returns, whatever ``at_once`` says.

        Raises:
            StorageError: if the disk refuses.
        """
        end = os.fstat(self._file.fileno()).st_size
        try:
            # Unbuffered: what is refused is refused here, not at some later flush.
            written = self._file.write(lines)
            # A disk that fills up takes a part of the bytes without an error.
            if written != len(lines):
                raise OSError(28, "No space left on device")
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), end)  # a torn line must stay the last one
            raise StorageError(
                f"the ledger `{self._file.name}` cannot be written: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


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

    def _check(self) -> None:
        if self._owner.lost:
            raise StorageError(self._owner.lost)
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
                    raise StorageError(
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
                stat = (folder / name).stat()
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
