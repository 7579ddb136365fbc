"""Readers of tables of runs, of any format and of the tools that left them behind."""

from __future__ import annotations

import os
from pathlib import Path

from sparsetune.errors import DataError, first_line

from .formats.archive import is_archive, unpack
from .formats.refused import refuse_known
from .formats.workbook import is_workbook
from .reading import Reader, Reading
from .registry import FORMATS, READERS, TOOLS
from .several import PathReading, is_pattern, join_readings, matching_paths
from .source import Source, open_source
from .sqlite import SIGNATURE, table_names

__all__ = ["READERS", "Reading", "read_path"]

_LEDGER = "ledger"
"""Folder by which a study directory is known."""
MAX_LISTED_FILES = 5


def read_path(path: str | os.PathLike[str]) -> Reading:
    """Rows that a path holds, which is recognised by its content and not by its name.

    Args:
        path: A file, a folder, or a pattern such as ``runs/*.csv``.

    Raises:
        DataError: naming what the path is, or why it cannot be read, and what to do.
    """
    if not is_pattern(path):
        return _read_one(path).reading
    pattern = os.fspath(path)
    paths = matching_paths(pattern)
    return join_readings([_read_one(one) for one in paths], pattern)


def _read_one(path: str | os.PathLike[str]) -> PathReading:
    source = open_source(path)
    # Trackers may have left their own files in a study's directory.
    if source.is_folder and (source.path / _LEDGER).is_dir():
        raise DataError(
            f"`{source.name}` is a study directory: `analysis.load` reads it, this function a table"
        )
    for reader in TOOLS:
        if _recognises(reader, source):
            return PathReading(source.path, reader.kind, _read_guarded(reader, source))
    if source.is_folder:
        raise _unknown_folder(source)
    if source.head.startswith(SIGNATURE):
        raise _unknown_database(source)
    if is_archive(source) and not is_workbook(source):
        source = unpack(source)
    refuse_known(source)
    reader = next(reader for reader in FORMATS if _recognises(reader, source))
    return PathReading(source.path, reader.kind, _read_guarded(reader, source))


def _recognises(reader: Reader, source: Source) -> bool:
    """True if the reader takes the source; one that cannot be looked at is none of its kind."""
    try:
        return reader.recognises(source)
    except DataError:
        raise
    except Exception:
        return False


def _read_guarded(reader: Reader, source: Source) -> Reading:
    """Read a source; whatever a parser raises on a damaged one becomes a `DataError`."""
    try:
        return reader.read(source)
    except DataError:
        raise
    except Exception as error:
        reason = first_line(error)[:200]
        raise DataError(
            f"`{source.name}` is taken for {reader.kind} and cannot be read: {reason}"
        ) from error


def _unknown_folder(source: Source) -> DataError:
    kinds = ", ".join(reader.kind for reader in TOOLS)
    names = sorted(os.listdir(source.path))
    found = ", ".join(f"`{name}`" for name in names[:MAX_LISTED_FILES]) or "nothing"
    rest = len(names) - MAX_LISTED_FILES
    more = f" and {rest} more" if rest > 0 else ""
    pattern = str(Path(source.name, "*.csv"))
    return DataError(
        f"a folder must hold what a tool left ({kinds}), or a study directory for `analysis.load`;"
        f" `{source.name}` holds {found}{more}. For several files give a pattern: `{pattern}`"
    )


def _unknown_database(source: Source) -> DataError:
    try:
        tables = table_names(source.path)
    except Exception as error:
        return DataError(
            f"`{source.name}` is an SQLite database that cannot be read: {first_line(error)}"
        )
    names = ", ".join(f"`{name}`" for name in tables[:MAX_LISTED_FILES]) or "none"
    return DataError(
        f"an SQLite database must be a storage of Optuna or a store of MLflow; `{source.name}` has"
        f" the tables {names}: give the frame of `pandas.read_sql`"
    )
