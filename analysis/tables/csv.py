"""CSV files whose texts no spreadsheet takes for formulas, and the texts back from them.

A spreadsheet runs a cell that begins with one of ``= + - @``, a tab or a carriage return. Such a
text is written with an apostrophe before it, which shows that it is text, and which our reader
removes. Numbers stay as they are.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import pandas as pd

FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""Start of a text that is written with an apostrophe; those that have one already among them, so
that all come back as they were."""
GUARDED_FORMULA = r"^'(?='*[=+\-@\t\r])"
"""Apostrophe that the writer put before a text."""


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """A frame as CSV, without its index."""
    import pyarrow as pa
    import pyarrow.csv

    guarded = guard_formulas(frame)
    options = pyarrow.csv.WriteOptions(quoting_style="needed")
    try:
        table = pa.Table.from_pandas(guarded, preserve_index=False)
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(table, sink, options)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        # Columns of mixed types: pandas writes them too, far more slowly.
        return _format_with_pandas(guarded).encode()
    return bytes(sink.getvalue())


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV text as pandas writes it, without its index."""
    return _format_with_pandas(guard_formulas(frame))


def _format_with_pandas(frame: pd.DataFrame) -> str:
    text = frame.to_csv(index=False)
    # It leaves a carriage return without quotes, where it would end the row.
    return frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC) if "\r" in text else text


def guard_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with an apostrophe before every text, and name of a column, that a spreadsheet
    would run.
    """
    changed = {}
    for position in range(frame.shape[1]):
        column = frame.iloc[:, position]
        if pd.api.types.is_numeric_dtype(column):
            continue
        # Few texts of a long column are different ones.
        texts = {value for value in _distinct(column) if isinstance(value, str)}
        guarded = {text: f"'{text}" for text in texts if _is_formula(text)}
        if guarded:
            changed[position] = column.map(partial(_replaced, guarded=guarded))
    names = [f"'{name}" if _is_formula(name) else name for name in frame.columns]
    if not changed and names == list(frame.columns):
        return frame
    columns = [changed.get(n, frame.iloc[:, n]) for n in range(frame.shape[1])]
    made = pd.concat(columns, axis=1) if columns else frame.copy()
    made.columns = pd.Index(names)
    return made


def remove_guards(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of texts as a CSV file holds them, without the apostrophes of `guard_formulas`."""
    return rows.apply(_without_guards)


def _without_guards(column: pd.Series[Any]) -> pd.Series[Any]:
    # A look at the first character is much quicker than a pattern in every text.
    if not column.str.startswith("'").any():
        return column
    unguarded: pd.Series[Any] = column.str.replace(GUARDED_FORMULA, "", regex=True)
    return unguarded


def _distinct(column: pd.Series[Any]) -> list[Any]:
    try:
        return list(column.unique())
    except TypeError:  # a column of lists
        return list(column)


def _replaced(value: Any, guarded: Mapping[str, str]) -> Any:
    return guarded.get(value, value) if isinstance(value, str) else value


def _is_formula(value: object) -> bool:
    """True for a text that a spreadsheet would run; a number written as text is none."""
    if not isinstance(value, str) or not FORMULA.match(value):
        return False
    with suppress(ValueError):
        float(value)
        return False
    return True
