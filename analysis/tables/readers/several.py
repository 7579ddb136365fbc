"""Several files or folders, given by a pattern such as ``runs/*.csv``."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sparsetune.errors import DataError

from .reading import Reading

MAX_PATHS = 10_000
"""Paths that a pattern may match."""
PATH_COLUMN = "path"
"""Column with the place of each row's file, below the folder that all files share."""


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """True for a text with wildcards that is no path itself."""
    text = os.fspath(path)
    return glob.has_magic(text) and not os.path.lexists(text)


def matching_paths(pattern: str) -> list[Path]:
    """Paths that a pattern matches, sorted.

    Raises:
        DataError: if there are none, or more than `MAX_PATHS`.
    """
    paths = sorted(Path(found) for found in glob.iglob(pattern, recursive=True))
    if not paths:
        raise DataError(
            f"a pattern must match at least one path, got none for `{pattern[:200]}` in"
            f" `{Path.cwd()}`"
        )
    if len(paths) > MAX_PATHS:
        raise DataError(
            f"a pattern must match at most {MAX_PATHS:,} paths, got {len(paths):,}: join the files"
            " first"
        )
    return paths


@dataclass(frozen=True)
class PathReading:
    """One of several paths.

    Args:
        path: Where it lies.
        kind: Kind of its reader.
        reading: Its rows.
    """

    path: Path
    kind: str
    reading: Reading


def join_readings(parts: Sequence[PathReading], pattern: str) -> Reading:
    """Rows of several paths one below another, with their place in `PATH_COLUMN`.

    What is certain of all of them stays certain. Ids of runs that occur in several paths begin with
    the path.

    Args:
        parts: At least one.
        pattern: What matched them.

    Raises:
        DataError: if they are of several kinds.
    """
    examples = {part.kind: part.path.name for part in parts}
    if len(examples) > 1:
        named = ", ".join(f"`{name}` ({kind})" for kind, name in examples.items())
        raise DataError(
            f"paths that one pattern matches must be of one kind, got {named}: load them apart"
        )
    readings = [part.reading for part in parts]
    shared = set.intersection(*(set(reading.columns.items()) for reading in readings))
    columns = {
        ours: theirs for ours, theirs in readings[0].columns.items() if (ours, theirs) in shared
    }
    places = _places([part.path for part in parts])
    frames: list[pd.DataFrame] = []
    for reading, place in zip(readings, places, strict=True):
        frames.append(reading.frame.assign(**{PATH_COLUMN: place}))
    id_column = columns.get("trial_id")
    if id_column is not None and _share_values([frame[id_column] for frame in frames]):
        for frame in frames:
            frame[id_column] = frame[PATH_COLUMN] + "/" + frame[id_column].astype("str")
    notes = tuple(dict.fromkeys(note for reading in readings for note in reading.notes))
    recognised = readings[0].recognised
    if len(readings) > 1:
        recognised = f"{len(readings)} paths, the first of which is {recognised}"
    joined = pd.concat(frames, ignore_index=True)
    return Reading(joined, _pattern_name(pattern), recognised, columns, notes)


def _places(paths: Sequence[Path]) -> list[str]:
    parents = [str(path.absolute().parent) for path in paths]
    shared = os.path.commonpath(parents)
    return [path.absolute().relative_to(shared).as_posix() for path in paths]


def _share_values(columns: Sequence[pd.Series[Any]]) -> bool:
    """True if a value occurs in several of the columns."""
    seen: set[str] = set()
    for column in columns:
        own = set(column.astype("str"))
        if own & seen:
            return True
        seen |= own
    return False


def _pattern_name(pattern: str) -> str:
    """Name of the folder before the first wildcard."""
    parts = Path(pattern).parts
    fixed = [part for part in parts[:-1] if not glob.has_magic(part)]
    return Path(*fixed).absolute().name if fixed else Path.cwd().name or "table"
