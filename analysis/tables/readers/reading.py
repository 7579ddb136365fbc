"""What a reader gives, and what a reader is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from ...catalogue import write
from .source import Source

FRAME = "a pandas frame"
"""What a frame is recognised as."""


@dataclass(frozen=True)
class Reading:
    """Rows that a path holds.

    Args:
        frame: One row per run or per evaluation, under the names that the tool gave, with an index
            from 0.
        name: Name of the rows: a file without its ending, or a folder.
        recognised: What the path was taken for, such as ``a Ray Tune experiment of 12 trials``.
        columns: The table's name by ours, of columns whose meaning the tool's layout makes certain.
        notes: What was left out on the way, a sentence each.
    """

    frame: pd.DataFrame
    name: str
    recognised: str
    columns: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def certain_columns(self, given: Mapping[str, Hashable]) -> dict[str, Hashable]:
        """Columns that the layout makes certain and the caller has not said otherwise.

        One of ours is left out if the caller names it, uses its column for another, or the table
        has a column of that very name.

        Args:
            given: The table's name by ours, as the caller says.
        """
        taken = set(map(str, given.values()))
        certain: dict[str, Hashable] = {}
        for ours, theirs in self.columns.items():
            is_shadowed = ours != theirs and ours in self.frame
            is_open = ours not in given and theirs not in taken and not is_shadowed
            if is_open and theirs in self.frame and self.frame[theirs].notna().any():
                certain[ours] = theirs
        return certain

    def said(self, certain: Mapping[str, Hashable]) -> tuple[str, ...]:
        """Sentences on what was recognised and taken; none of a frame, which the caller knows.

        Args:
            certain: What `certain_columns` gave.
        """
        if self.recognised == FRAME:
            return ()
        said = [str(write("reading_source", name=self.name, kind=self.recognised))]
        if certain:
            pairs = [f"`{ours}` is `{theirs}`" for ours, theirs in certain.items()]
            said.append(str(write("reading_layout", columns=", ".join(pairs))))
        return (*said, *self.notes)


@dataclass(frozen=True)
class Reader:
    """One kind of path that is read.

    Args:
        kind: What it reads, such as ``a Ray Tune experiment``.
        recognises: True for a path of that kind, by its content where that tells.
        read: Its rows. Whatever this raises besides a `DataError` becomes one.
    """

    kind: str
    recognises: Callable[[Source], bool]
    read: Callable[[Source], Reading]
