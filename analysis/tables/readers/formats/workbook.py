"""Excel workbooks of one sheet."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsetune.errors import DataError

from ..reading import Reader, Reading
from ..source import Source, check_size
from .table import table_reading

if TYPE_CHECKING:
    from openpyxl import Workbook

ZIP_SIGNATURE = b"PK\x03\x04"
OLD_SIGNATURE = b"\xd0\xcf\x11\xe0"
"""First bytes of the format used before 2007."""
_PARTS = "[Content_Types].xml"
"""Part that every workbook has."""
_WAYS_OUT = "save it as CSV, or give the frame of `pandas.read_excel`"


def is_workbook(source: Source) -> bool:
    """True for a workbook: a zip archive that lists its parts, or the old format."""
    is_new = source.head.startswith(ZIP_SIGNATURE) and _PARTS.encode() in source.data()
    return is_new or source.head.startswith(OLD_SIGNATURE)


def read_workbook(source: Source) -> Reading:
    """Rows of the one sheet that has any, under its first row with values.

    Raises:
        DataError: if openpyxl is not installed, several sheets have rows, columns lack names, or
            a formula was never calculated.
    """
    if source.head.startswith(OLD_SIGNATURE):
        raise DataError(
            f"`{source.name}` is an Excel workbook of the format before 2007: {_WAYS_OUT}"
        )
    try:
        import openpyxl
    except ModuleNotFoundError as error:
        raise DataError(
            f"`{source.name}` is an Excel workbook, which openpyxl reads:"
            f" `pip install 'sparsetune[excel]'`; or {_WAYS_OUT}"
        ) from error
    data = source.data()
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        check_size(sum(part.file_size for part in parts.infolist()), source.name)
    # Read with formulas first: those that were never calculated have no value to be read.
    entered = _rows_by_sheet(openpyxl.load_workbook(io.BytesIO(data), read_only=True))
    name = _only_sheet(entered, source.name)
    rows = entered[name]
    if any(_is_formula(value) for row in rows for value in row):
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        calculated = _rows_by_sheet(book)[name]
        _refuse_uncalculated(rows, calculated, source.name)
        rows = calculated
    return table_reading(_sheet_frame(rows, source.name), source, "an Excel workbook")


def _rows_by_sheet(book: Workbook) -> dict[str, list[tuple[Any, ...]]]:
    """Values of each sheet's rows, those without any left out."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for sheet in book.worksheets:
        rows = sheet.iter_rows(values_only=True)
        found[sheet.title] = [row for row in rows if any(value is not None for value in row)]
    book.close()
    return found


def _only_sheet(sheets: dict[str, list[tuple[Any, ...]]], file: str) -> str:
    filled = [name for name, rows in sheets.items() if rows]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        raise DataError(f"`{file}` is empty: a row of column names and rows of runs are due")
    names = ", ".join(f"`{name}`" for name in filled[:10])
    raise DataError(
        f"`{file}` must have one sheet with rows, got {names}: give the frame of"
        f" `pandas.read_excel(path, sheet_name={filled[0]!r})`"
    )


def _is_formula(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("=")


def _refuse_uncalculated(
    entered: Sequence[Sequence[Any]], calculated: Sequence[Sequence[Any]], file: str
) -> None:
    for typed, shown in zip(entered, calculated, strict=False):
        for formula, value in zip(typed, shown, strict=False):
            if _is_formula(formula) and value is None:
                raise DataError(
                    f"`{file}` must hold values, got the formula `{formula[:60]}` without its"
                    " result: open and save it in a spreadsheet program first"
                )


def _sheet_frame(rows: Sequence[Sequence[Any]], file: str) -> pd.DataFrame:
    names, *values = rows
    used = [n for n in range(len(names)) if any(row[n] is not None for row in rows)]
    unnamed = sum(names[n] is None for n in used)
    if unnamed:
        raise DataError(
            f"`{file}` must name every column in its first row with values, got {unnamed} without"
            " a name: remove titles above the table"
        )
    columns = [pd.Series([row[n] for row in values], dtype="object") for n in used]
    frame = pd.concat([column.infer_objects() for column in columns], axis=1)
    frame.columns = pd.Index([str(names[n]).strip() for n in used])
    return frame


WORKBOOK = Reader("an Excel workbook", is_workbook, read_workbook)
