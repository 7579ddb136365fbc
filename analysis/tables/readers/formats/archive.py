"""Archives of one file, such as the ``results.csv.zip`` of Syne Tune."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

from sparsetune.errors import DataError, first_line

from ..source import MAX_BYTES, Source, check_size
from .workbook import ZIP_SIGNATURE

GZIP_SIGNATURE = b"\x1f\x8b"


def is_archive(source: Source) -> bool:
    """True for a gzip or zip file."""
    return source.head.startswith((GZIP_SIGNATURE, ZIP_SIGNATURE))


def unpack(source: Source) -> Source:
    """The one file in an archive, in memory.

    Raises:
        DataError: if it holds none or several, or more than `MAX_BYTES`, or is damaged.
    """
    try:
        if source.head.startswith(GZIP_SIGNATURE):
            return _unpack_gzip(source)
        return _unpack_zip(source)
    except DataError:
        raise
    except Exception as error:  # the library raises many kinds on damaged files
        kind = "gzip" if source.head.startswith(GZIP_SIGNATURE) else "zip"
        raise DataError(
            f"`{source.name}` is a damaged or locked {kind} file: unpack it first"
            f" ({first_line(error)[:100]})"
        ) from error


def _unpack_gzip(source: Source) -> Source:
    with gzip.GzipFile(fileobj=io.BytesIO(source.data())) as file:
        content = file.read(MAX_BYTES + 1)
    check_size(len(content), source.name)
    return Source(_inner_path(source, source.path.stem), content)


def _unpack_zip(source: Source) -> Source:
    with zipfile.ZipFile(io.BytesIO(source.data())) as archive:
        parts = [part for part in archive.infolist() if not part.is_dir()]
        # macOS adds files of its own.
        parts = [part for part in parts if not part.filename.startswith("__MACOSX/")]
        if len(parts) != 1:
            names = ", ".join(f"`{part.filename[:60]}`" for part in parts[:5]) or "none"
            raise DataError(
                f"`{source.name}` must be a zip archive of one file, got {names}: unpack it first"
            )
        check_size(parts[0].file_size, source.name)
        content = archive.read(parts[0])
    return Source(_inner_path(source, Path(parts[0].filename).name), content)


def _inner_path(source: Source, name: str) -> Path:
    """Path for messages and names; nothing is unpacked there."""
    return source.path.with_name(name or source.path.name)
