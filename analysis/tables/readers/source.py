"""A path whose kind is to be found: its first bytes, its content, the files below it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sparsetune.errors import DataError, first_line

MAX_BYTES = 2 * 2**30
"""Bytes of a file, unpacked, up to which it is read."""
MAX_FOLDERS = 100_000
"""Folders below a given one that are looked at."""
HEAD_BYTES = 2**16
"""First bytes, by which a file's kind is found."""


@dataclass(frozen=True)
class Source:
    """A file or folder that exists.

    Args:
        path: Where it lies.
        content: Bytes to read instead of the file's, such as those unpacked from an archive.
    """

    path: Path
    content: bytes | None = None

    @property
    def name(self) -> str:
        """Name for messages."""
        return self.path.name or str(self.path)

    @property
    def stem(self) -> str:
        """Name of the rows: of a file all before its first ending, of a folder its name."""
        if self.is_folder:
            return self.path.resolve().name or "table"
        return self.path.stem

    @cached_property
    def is_folder(self) -> bool:
        """True for a folder."""
        return self.content is None and self.path.is_dir()

    @cached_property
    def head(self) -> bytes:
        """First bytes of the file, at most `HEAD_BYTES`; none of a folder."""
        if self.is_folder:
            return b""
        if self.content is not None:
            return self.content[:HEAD_BYTES]
        with self.path.open("rb") as file:
            return file.read(HEAD_BYTES)

    def data(self) -> bytes:
        """Whole content of the file."""
        return self.path.read_bytes() if self.content is None else self.content

    def text(self) -> str:
        """Whole content of a text file.

        Raises:
            DataError: if it is not UTF-8, holds a zero byte, or is blank.
        """
        data = self.data()
        if b"\0" in data:
            raise DataError(
                f"`{self.name}` must be text, got a zero byte at {data.index(0)}: it is binary or"
                " damaged"
            )
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(
                f"`{self.name}` must be UTF-8 text, got {error.reason} at byte {error.start}:"
                " save it as UTF-8"
            ) from error
        if not text.strip():
            raise DataError(
                f"`{self.name}` is empty: a row of column names and rows of runs are due"
            )
        return text

    def files(self, wanted: Callable[[str], bool], depth: int) -> list[Path]:
        """Files below this folder with a wanted name, sorted; links to folders are not followed.

        Args:
            wanted: True for the name of a file that is looked for.
            depth: Levels of folders below this one that are looked at, 0 for its own files alone.

        Raises:
            DataError: if there are more than `MAX_FOLDERS` folders.
        """
        return sorted(self._walk(wanted, depth))

    def has_file(self, wanted: Callable[[str], bool], depth: int) -> bool:
        """True if `files` has any."""
        return next(self._walk(wanted, depth), None) is not None

    def _walk(self, wanted: Callable[[str], bool], depth: int) -> Iterator[Path]:
        for seen, (folder, below, names) in enumerate(os.walk(self.path), 1):
            if seen > MAX_FOLDERS:
                raise DataError(
                    f"`{self.name}` must have at most {MAX_FOLDERS:,} folders below it, got more:"
                    " give the folder of the runs"
                )
            if len(Path(folder).relative_to(self.path).parts) >= depth:
                below.clear()
            below.sort()
            yield from (Path(folder, name) for name in names if wanted(name))


def open_source(path: str | os.PathLike[str]) -> Source:
    """A path that can be read.

    Raises:
        DataError: if there is none, it may not be read, or is neither a folder nor a file of at
            most `MAX_BYTES`.
    """
    shown = os.fspath(path)[:200]
    try:
        place = Path(path)
        status = place.stat()
        source = Source(place)
        source.head  # noqa: B018  # raises here where the file may not be read
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(f"the table `{shown}` cannot be read: {reason}") from error
    if source.is_folder:
        return source
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"the table `{shown}` must be a file or a folder, got a device or a pipe")
    check_size(status.st_size, source.name)
    return source


def check_size(size: int, name: str) -> None:
    """Refuse what is too large for memory.

    Raises:
        DataError: if ``size`` exceeds `MAX_BYTES`.
    """
    if size > MAX_BYTES:
        raise DataError(
            f"`{name}` must have at most {MAX_BYTES / 2**30:g} GiB, got {size / 2**30:.1f}: read"
            " the columns that you need with pandas and give the frame"
        )
