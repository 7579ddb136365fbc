"""CSV files, read as text: what their values mean is decided by columns, not by pandas."""

from __future__ import annotations

import io

import pandas as pd

from ...csv import remove_guards
from ..reading import Reader, Reading
from ..source import Source
from .table import table_reading

SEPARATORS = ",;\t"


def read_delimited(source: Source) -> Reading:
    """Rows of a CSV file, all as text.

    Raises:
        DataError: if it is no UTF-8 text or blank.
        pandas.errors.ParserError: if rows have more values than the first.
    """
    text = source.text()
    header = text.lstrip().split("\n", 1)[0]
    # The header has more separators than any other of these marks.
    separator = max(SEPARATORS, key=header.count)
    # As text without a header: pandas would rename repeated columns and guess types.
    rows = pd.read_csv(
        io.StringIO(text), header=None, dtype="str", keep_default_na=False, sep=separator
    )
    rows = remove_guards(rows)
    table = rows.iloc[1:].reset_index(drop=True)
    table.columns = pd.Index(rows.iloc[0].fillna("").str.strip())
    return table_reading(table, source, "a CSV file")


DELIMITED = Reader("a CSV file", lambda source: not source.is_folder, read_delimited)
