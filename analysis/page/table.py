"""A table as the page, Markdown and LaTeX show it: text in cells, and keys that sort them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..exhibit import CellFormat, TableColumn, measure_format
from ..measure import Measure
from ..recipes.axis_text import axis_name
from ..wording import (
    format_exact,
    format_interval,
    format_percent,
    format_sparsity,
    format_value,
)

MAX_UNWRAPPED_CHARACTERS = 48
"""Characters up to which a cell stays on one line."""


@dataclass(frozen=True)
class ColumnHead:
    """Top of a column.

    Args:
        heading: The text.
        right: True if the column is right-aligned, which numbers are.
    """

    heading: str
    right: bool


@dataclass(frozen=True)
class TableCell:
    """One cell.

    Args:
        text: The text.
        key: Value that the cell is sorted by, empty for a missing number; None to sort by the text.
        right: True if the cell is right-aligned, which numbers are.
    """

    text: str
    key: str | None = None
    right: bool = False

    @property
    def long(self) -> bool:
        """True if the text may wrap."""
        return len(self.text) > MAX_UNWRAPPED_CHARACTERS


@dataclass(frozen=True)
class TableRow:
    """One row.

    Args:
        cells: A cell for each column.
        first: True for the first row of a group, which a line sets apart from the row above.
    """

    cells: Sequence[TableCell]
    first: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table whose columns all have something in them."""

    columns: Sequence[ColumnHead]
    rows: Sequence[TableRow]


def measure_column(measure: Measure, value: str = "") -> TableColumn:
    """Column of a measure such as ``val_error``; ``value`` is its name in the frame, if another."""
    return TableColumn(measure.label, value or measure.column, format=measure_format(measure))


def page_table(
    frame: pd.DataFrame, columns: Sequence[TableColumn], group_by: str = ""
) -> PageTable:
    """The table of a frame; columns that are missing or empty are left out.

    Args:
        frame: The numbers, one row per row of the table.
        columns: Columns of the table, from left to right.
        group_by: Column of the frame whose change begins a group of rows; groups are only set
            apart if they have two rows on average.
    """
    shown = [column for column in columns if _has_content(frame, column)]
    heads = [ColumnHead(column.heading, _is_right_aligned(frame, column.value)) for column in shown]
    cells_by_column = [_column_cells(frame, column) for column in shown]
    rows = []
    for number, begins_group in enumerate(_group_starts(frame, group_by)):
        cells = [column_cells[number] for column_cells in cells_by_column]
        rows.append(TableRow(cells, begins_group))
    return PageTable(heads, rows)


def _has_content(frame: pd.DataFrame, column: TableColumn) -> bool:
    """True if the frame has the column with its interval, and a value in it."""
    if not all(name in frame for name in column.names):
        return False
    values = frame[column.value]
    is_empty = values.isna() | values.eq("")
    return not is_empty.all()


def _is_right_aligned(frame: pd.DataFrame, name: str) -> bool:
    values = frame[name]
    is_number = pd.api.types.is_numeric_dtype(values)
    return is_number and not pd.api.types.is_bool_dtype(values)


def _group_starts(frame: pd.DataFrame, group_by: str) -> list[bool]:
    """True for each row that has a separating line above it, the first of its group; (rows,)."""
    if group_by not in frame:
        # Without groups, all rows are one.
        return [number == 0 and len(frame) > 1 for number in range(len(frame))]
    # As strings, missing keys are equal: they make one group, not one each.
    keys = frame[group_by].astype("string").fillna("")
    starts = keys.ne(keys.shift()).fillna(True)
    are_groups_large = 2 * starts.sum() <= len(starts)
    return [bool(start) and bool(are_groups_large) for start in starts]


def _column_cells(frame: pd.DataFrame, column: TableColumn) -> list[TableCell]:
    """The cells of one column, shape [rows]."""
    right = _is_right_aligned(frame, column.value)
    if column.low is not None and column.high is not None:
        return _interval_cells(frame, column, right)
    format_cell = CELL_FORMATTERS[column.format]
    cells = []
    for value in frame[column.value]:
        key = _sort_key(value) if right else None
        cells.append(TableCell(format_cell(value), key, right))
    return cells


def _interval_cells(frame: pd.DataFrame, column: TableColumn, right: bool) -> list[TableCell]:
    """The cells of a column with intervals, sorted by their values, shape [rows]."""
    factor = column.format.factor
    cells = []
    for value, low, high in frame[list(column.names)].astype("float64").to_numpy():
        text = format_interval(value, low, high, factor)
        cells.append(TableCell(text, _sort_key(value), right))
    return cells


def _format_plain(value: Any) -> str:
    """A truth value as yes or no, a number with up to three decimals in full, else four digits."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float) and value == round(value, 3):
        return format_exact(value)
    return format_value(value)


def _format_training_share(value: Any) -> str:
    return format_value(100 * value)


CELL_FORMATTERS: Mapping[CellFormat, Callable[[Any], str]] = {
    CellFormat.PLAIN: _format_plain,
    CellFormat.PERCENT: format_percent,
    CellFormat.SPARSITY: format_sparsity,
    CellFormat.TRAINING_SHARE: _format_training_share,
    CellFormat.AXIS_NAME: axis_name,
}


def _sort_key(value: Any) -> str:
    """A number in full; empty if it is missing."""
    return "" if pd.isna(value) else repr(float(value))
