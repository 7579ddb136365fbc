"""A table as the page, Markdown and LaTeX show it: text in its cells, and what they are sorted by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.recipes.optimum_figure import axis_name
from analysis.wording import (
    format_exact,
    format_interval,
    format_percent,
    format_sparsity,
    format_value,
)

FRACTION_HEADING_UNITS = ("(%)", "(points)", "(% of training)")
"""In headings of columns that hold fractions."""
MAX_UNWRAPPED_CHARACTERS = 48
"""Characters from which a cell is running text that may wrap."""


@dataclass(frozen=True)
class TableColumn:
    """A heading; numbers stand at the right."""

    heading: str
    right: bool


@dataclass(frozen=True)
class TableCell:
    """Text, and the key that it is sorted by where that is another; numbers stand at the right, long text wraps."""

    text: str
    key: str | None = None
    right: bool = False

    @property
    def long(self) -> bool:
        """Whether it may wrap."""
        return len(self.text) > MAX_UNWRAPPED_CHARACTERS


@dataclass(frozen=True)
class TableRow:
    """Cells; ``first`` of a group that is set apart by a line."""

    cells: Sequence[TableCell]
    first: bool = False


@dataclass(frozen=True)
class PageTable:
    """Headings and rows."""

    columns: Sequence[TableColumn]
    rows: Sequence[TableRow]


def page_table(frame: pd.DataFrame, columns: Mapping[str, str], by: str | None = None) -> PageTable:
    """The ``columns`` of a frame that it has and that say something, as `analysis.exhibit.Exhibit` names them.

    Args:
        frame: One row per line.
        columns: Heading of each column, or of three that are a value with its interval.
        by: A column whose change begins a group of rows, where groups have several.
    """
    kept = {
        key: _heading_with_unit(key, heading)
        for key, heading in columns.items()
        if _has_content(frame, key.split())
    }
    heads = [
        TableColumn(heading, _is_right_aligned(frame, key.split()[0]))
        for key, heading in kept.items()
    ]
    columns_of_cells = [_format_cells(frame, key.split(), heading) for key, heading in kept.items()]
    keys = (
        frame[by].astype("string").fillna("") if by in frame else pd.Series("", index=frame.index)
    )
    begins = keys.ne(keys.shift()).fillna(True)
    groups = (begins & (2 * begins.sum() <= len(begins))).tolist()
    lines = zip(*columns_of_cells, strict=True) if columns_of_cells else [()] * 0
    return PageTable(
        heads, [TableRow(cells, first) for cells, first in zip(lines, groups, strict=True)]
    )


def _heading_with_unit(key: str, heading: str) -> str:
    """A heading with its unit: sparsity is a fraction in a frame, a percentage in print."""
    return (
        f"{heading} (%)"
        if key in ("sparsity", "sparsity.target") and "(" not in heading
        else heading
    )


def _has_content(frame: pd.DataFrame, names: Sequence[str]) -> bool:
    return (
        all(name in frame for name in names)
        and not (frame[names[0]].isna() | frame[names[0]].eq("")).all()
    )


def _is_right_aligned(frame: pd.DataFrame, name: str) -> bool:
    return pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(
        frame[name]
    )


def _format_cells(frame: pd.DataFrame, names: Sequence[str], heading: str) -> list[TableCell]:
    hundredfold = any(unit in heading for unit in FRACTION_HEADING_UNITS)
    right = _is_right_aligned(frame, names[0])
    if len(names) == 3:
        rows = frame[list(names)].astype("float64").to_numpy()
        factor = 100 if hundredfold else 1
        return [
            TableCell(format_interval(mean, low, high, factor), _sort_key(mean), right)
            for mean, low, high in rows
        ]
    written = (
        _fraction_format(heading) if hundredfold else axis_name if names == ["axis"] else _cell_text
    )
    return [
        TableCell(written(given), _sort_key(given) if right else None, right)
        for given in frame[names[0]]
    ]


def _fraction_format(heading: str) -> Callable[[Any], str]:
    """Sparsity as it was declared, parts of training to four digits, what was measured to two decimals."""
    if "parsity" in heading:
        return format_sparsity
    return (lambda given: format_value(100 * given)) if "training" in heading else format_percent


def _cell_text(given: Any) -> str:
    if isinstance(given, bool) or type(given).__name__ == "bool_":
        return "yes" if given else "no"
    return (
        format_exact(given)
        if isinstance(given, float) and given == round(given, 3)
        else format_value(given)
    )


def _sort_key(given: Any) -> str:
    return "" if pd.isna(given) else repr(float(given))
