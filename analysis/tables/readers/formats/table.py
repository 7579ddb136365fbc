"""A table of a general format, and whose export it is."""

from __future__ import annotations

import pandas as pd

from sparsetune.errors import DataError

from ..layouts import find_layout
from ..reading import Reading
from ..source import Source


def table_reading(frame: pd.DataFrame, source: Source, what: str) -> Reading:
    """Rows of a file as they stand, with the columns that a tool's layout makes certain.

    Args:
        frame: Rows.
        source: The file.
        what: Kind of the file, such as ``a CSV file``.

    Raises:
        DataError: if there are several rows of column names.
    """
    if frame.columns.nlevels > 1:
        raise DataError(
            f"`{source.name}` must have one row of column names, got several: flatten its columns"
        )
    frame = frame.reset_index(drop=True)
    layout = find_layout(frame)
    if layout is None:
        return Reading(frame, source.stem, what)
    if layout.prepare is not None:
        frame = layout.prepare(frame)
    recognised = f"{what} of {layout.tool}"
    return Reading(frame, source.stem, recognised, layout.certain_columns(frame))
