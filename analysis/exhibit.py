"""One item of a report: numbers, a caption that explains them, and a function that draws them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import pandas as pd

from sparsetune.errors import SparsetuneError

from .measure import Measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class NotShownError(SparsetuneError):
    """An exhibit lacks what it needs; the text is one for the page, of the catalogue."""


class CellFormat(Enum):
    """Format in which the values of a table's column are written."""

    PLAIN = "plain"
    """Numbers and words as they are: what has up to three decimals in full, else four digits."""
    PERCENT = "percent"
    """Fractions in percent or points, with two decimals."""
    SPARSITY = "sparsity"
    """Fractions in percent, with all the digits that were declared."""
    TRAINING_SHARE = "training share"
    """Fractions of training in percent, with four digits."""
    AXIS_NAME = "axis name"
    """Dotted fields as the names of search axes."""

    @property
    def factor(self) -> float:
        """Factor between a value of the frame and the number that is written."""
        fractions = (CellFormat.PERCENT, CellFormat.SPARSITY, CellFormat.TRAINING_SHARE)
        return 100.0 if self in fractions else 1.0


def measure_format(measure: Measure) -> CellFormat:
    """Format of a measure: percent for fractions, plain for others."""
    return CellFormat.PERCENT if measure.is_fraction else CellFormat.PLAIN


@dataclass(frozen=True)
class TableColumn:
    """One column of a table on the page, made from one column of a frame or from three.

    Args:
        heading: Text at the top, with its unit.
        value: Name of the frame's column that is shown.
        low: Name of the column with the interval's lower end; None for a column without intervals.
        high: Name of the column with the interval's upper end; None for a column without intervals.
        format: How the values are written; in a column with intervals, only its factor counts.
    """

    heading: str
    value: str
    low: str | None = None
    high: str | None = None
    format: CellFormat = CellFormat.PLAIN

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the frame's columns that it reads: the value, then the ends of the interval."""
        names = (self.value, self.low, self.high)
        return tuple(name for name in names if name is not None)


SPARSITY_COLUMN = TableColumn("Sparsity (%)", "sparsity", format=CellFormat.SPARSITY)
"""The column of sparsities, the same in every table."""


def plain_columns(headings: Mapping[str, str]) -> tuple[TableColumn, ...]:
    """Columns without intervals or units, from the heading of each column of a frame."""
    return tuple(TableColumn(heading, value) for value, heading in headings.items())


@dataclass(frozen=True)
class Exhibit:
    """A figure with its numbers, or a table alone.

    Args:
        name: Stem of its files, such as ``extension-gain``.
        title: A heading, without a full stop.
        frame: The numbers, one row per mark; a CSV beside the figure holds them.
        caption: What marks, bars and n mean, and what may not be concluded.
        draw: Makes the figure when called; None if there is only a table. It must be picklable,
            since a second process draws the figures of a report.
        columns: Columns of the page's table, from left to right; None for no table.
    """

    name: str
    title: str
    frame: pd.DataFrame
    caption: str
    draw: Callable[[], Figure] | None = None
    columns: tuple[TableColumn, ...] | None = None
