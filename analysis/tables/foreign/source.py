"""Rows of a table: a frame as it is, or what a path holds."""

from __future__ import annotations

import os

import pandas as pd

from sparsetune.errors import DataError

from ..readers import read_path
from ..readers.reading import FRAME, Reading


def read_source(source: str | os.PathLike[str] | pd.DataFrame) -> Reading:
    """Read a table.

    Args:
        source: A frame, or a path as `readers.read_path` takes it.

    Returns:
        Rows with an index from 0, those of a CSV all as text.

    Raises:
        DataError: if it is no such path or frame, or cannot be read.
    """
    if isinstance(source, pd.DataFrame):
        if source.columns.nlevels > 1:
            raise DataError(
                "a table must have one row of column names, got a frame with several:"
                " flatten its columns"
            )
        return Reading(source.reset_index(drop=True), "table", FRAME)
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            f"runs come from a file, a folder or a pandas frame, got a {type(source).__name__}"
        )
    return read_path(source)
