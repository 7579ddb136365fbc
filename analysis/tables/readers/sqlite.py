"""SQLite databases, opened so that nothing can be written."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

SIGNATURE = b"SQLite format 3\0"
_WRITE_VERSION_BYTE = 18
_WRITE_AHEAD = 2
"""Value of that byte in a database with a write-ahead log."""


@contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection with ``mode=ro``, which changes neither the file nor its folder.

    Reading a database with a write-ahead log makes files beside it, even with ``mode=ro``: such a
    one is copied into a temporary folder, with its log.
    """
    with path.open("rb") as file:
        head = file.read(_WRITE_VERSION_BYTE + 1)
    if head[_WRITE_VERSION_BYTE:] != bytes([_WRITE_AHEAD]):
        with closing(_connect(path)) as connection:
            yield connection
        return
    with tempfile.TemporaryDirectory(prefix="sparsetune-") as folder:
        copy = Path(folder, "copy.db")
        shutil.copyfile(path, copy)
        log = path.with_name(f"{path.name}-wal")
        if log.exists():
            shutil.copyfile(log, f"{copy}-wal")
        with closing(_connect(copy)) as connection:
            yield connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
    )
    # Functions that a view of an unknown file calls must not have side effects.
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def table_names(path: Path) -> list[str]:
    """Names of a database's tables, sorted."""
    with open_read_only(path) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return sorted(str(name) for (name,) in rows)
